"""Conversion of Arrow columns to frames in storage dtypes (`pipeline.schema`)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.date_format import is_format
from pipeline.errors import shorten
from pipeline.ingest.csv.date_formats import parse_dates
from pipeline.ingest.csv.types import SourceColumn, to_microseconds


def build_frame(columns: dict[str, Any], ids: pd.Index) -> pd.DataFrame:
    """Build a CPU frame of these columns, with the row ids as its index."""
    return pd.DataFrame(columns, index=ids, copy=False)


def to_storage_array(column: SourceColumn, values: pa.ChunkedArray) -> Any:
    """Convert a column's values to a pandas array in its storage dtype.

    Raises:
        pa.ArrowInvalid: a value does not fit (an unsigned integer beyond int64, a time outside
            of the years 1 to 9999, text that is not UTF-8, …).
    """
    if column.dtype == "text":
        return to_categorical(values)
    if column.dtype == "int64":
        if pa.types.is_floating(values.type):  # whole numbers as floats, NaN for missing
            missing = pc.or_kleene(pc.is_nan(values), pc.is_null(values))
            values = pc.if_else(missing, pa.scalar(None, values.type), values)
        return pd.Int64Dtype().__from_arrow__(values.cast(pa.int64()))  # type: ignore[attr-defined]
    if column.dtype == "bool":
        return pd.BooleanDtype().__from_arrow__(values.cast(pa.bool_()))  # type: ignore[attr-defined]
    if column.dtype == "datetime":
        return to_microseconds(_parse_written(column, values)).to_numpy().astype("datetime64[us]")
    return values.cast(pa.float64(), safe=False).to_numpy()


def _parse_written(column: SourceColumn, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Parse dates that Parquet stores as text or numbers, by the column's format."""
    pattern = column.pattern or ""
    if not is_format(pattern) or pa.types.is_temporal(values.type):
        return values
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
    encoded = values.cast(pa.string()).combine_chunks().dictionary_encode()
    times = parse_dates(encoded.dictionary, pattern)
    if times.null_count:
        odd = encoded.dictionary.filter(times.is_null())[0]
        raise pa.ArrowInvalid(f"{shorten(odd.as_py())} is not {column.describe_rule()}")
    return pa.chunked_array([times.take(encoded.indices)])


def to_categorical(values: pa.ChunkedArray) -> pd.Categorical:
    """Convert text to a category array, whose codes come from Arrow's dictionary if it has one."""
    if not pa.types.is_dictionary(values.type):
        values = values.cast(pa.string()).dictionary_encode()
    array = values.unify_dictionaries().combine_chunks()
    array.dictionary.validate(full=True)  # writers of Parquet may put any bytes there
    if array.dictionary.null_count or len(array.dictionary.unique()) < len(array.dictionary):
        array = array.cast(pa.string()).dictionary_encode()
    categories = pd.Index(pd.array(array.dictionary, dtype="str"))
    codes = array.indices.fill_null(-1).to_numpy()
    text = pd.Categorical.from_codes(codes, categories=categories, validate=False)
    # pandas 3.0 checks that the categories are distinct, and keeps what it made for that: a Python
    # string and a slot of a hash table each, 70 bytes and more where the text itself takes 18.
    getattr(categories, "_cache", {}).clear()
    return text


def repeat_folder_value(column: SourceColumn, value: str | None, rows: int) -> Any:
    """Repeat the value of a ``key=value`` folder as a column of n rows; None is missing."""
    if column.dtype == "text":
        return pd.Categorical.from_codes(
            np.full(rows, -1 if value is None else 0, dtype="int8"),
            categories=pd.Index([] if value is None else [value], dtype="str"),
        )
    return to_storage_array(column, pa.chunked_array([pa.array([value] * rows, pa.string())]))
