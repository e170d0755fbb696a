"""Arrow columns into frames in storage dtypes (`pipeline.schema`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest.csv.types import SourceColumn, to_microseconds


def build_frame(columns: dict[str, Any], ids: pd.Index) -> pd.DataFrame:
    """A host frame of these columns, with the row ids as its index."""
    return pd.DataFrame(columns, index=ids, copy=False)


def to_storage_array(column: SourceColumn, values: pa.ChunkedArray) -> Any:
    """The column's values as a pandas array in its storage dtype.

    Raises:
        pa.ArrowInvalid: a value does not fit (an unsigned integer beyond int64, a time outside
            of the years 1 to 9999, text that is not UTF-8, …).
    """
    if column.dtype == "text":
        return to_categorical(values)
    if column.dtype == "int64":
        whole = values.cast(pa.int64()) if not _floats(values) else _integers(values)
        return pd.Int64Dtype().__from_arrow__(whole)  # type: ignore[attr-defined]
    if column.dtype == "bool":
        return pd.BooleanDtype().__from_arrow__(values.cast(pa.bool_()))  # type: ignore[attr-defined]
    if column.dtype == "datetime":
        return to_microseconds(values).to_numpy().astype("datetime64[us]")
    return values.cast(pa.float64(), safe=False).to_numpy()


def _floats(values: pa.ChunkedArray) -> bool:
    return bool(pa.types.is_floating(values.type))


def _integers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole floats as integers; NaN is missing."""
    nothing = pc.or_kleene(pc.is_nan(values), pc.is_null(values))
    return pc.if_else(nothing, pa.scalar(None, values.type), values).cast(pa.int64())


def to_categorical(values: pa.ChunkedArray) -> pd.Categorical:
    """A category array of text, its codes from the dictionary where there is one."""
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    array = values.unify_dictionaries().combine_chunks()
    array.dictionary.validate(full=True)  # Parquet's writers may put any bytes there
    if array.dictionary.null_count or len(array.dictionary.unique()) < len(array.dictionary):
        array = array.cast(pa.string()).dictionary_encode()
    words = pd.Index(pd.array(array.dictionary, dtype="str"))
    codes = array.indices.fill_null(-1).to_numpy()
    made = pd.Categorical.from_codes(codes, categories=words, validate=False)
    # pandas 3.0 checks that the words differ, and keeps what it made for that: a Python string and
    # a place in a hash table for each, 70 bytes and more where the words themselves take 18
    getattr(words, "_cache", {}).clear()
    return made


def repeat_folder_value(column: SourceColumn, word: str | None, rows: int) -> Any:
    """A folder's ``key=value`` as a column of n equal values; None is missing."""
    if column.dtype == "text":
        return pd.Categorical.from_codes(
            np.full(rows, -1 if word is None else 0, dtype="int8"),
            categories=pd.Index([] if word is None else [word], dtype="str"),
        )
    return to_storage_array(column, pa.chunked_array([pa.array([word] * rows, pa.string())]))
