"""Conversion of a scorer's input, any frame with the Arrow C stream interface, to pandas frames."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa

from pipeline.ingest.arrow_to_frame import to_categorical
from pipeline.ingest.frame_file import iter_groups
from pipeline.ingest.frame_stream import open_stream
from pipeline.schema import Schema

_NULLABLE: dict[str, Any] = {
    "bool": pd.BooleanDtype, "int8": pd.Int8Dtype, "int16": pd.Int16Dtype, "int32": pd.Int32Dtype,
    "int64": pd.Int64Dtype, "uint8": pd.UInt8Dtype, "uint16": pd.UInt16Dtype,
    "uint32": pd.UInt32Dtype, "uint64": pd.UInt64Dtype,
}  # fmt: skip
"""pandas' types by those of Arrow."""


def iter_pandas(frame: Any, schema: Schema, rows: int | None) -> Iterator[pd.DataFrame]:
    """Yield a frame's rows as pandas frames, whose index is the number of the row.

    Args:
        frame: an object with ``__arrow_c_stream__``.
        schema: the columns that are needed; others have no values.
        rows: the number of rows of each frame; None: all in one.

    Raises:
        SchemaError, DataError: as `open_stream`.
    """
    stream = open_stream(frame, schema.names)
    at = 0
    for group in iter_groups(stream, sys.maxsize if rows is None else rows):
        yield _to_pandas(group, schema, at)
        at += len(group)
    if not at:
        yield _to_pandas(stream.schema.empty_table(), schema, 0)


def _to_pandas(table: pa.Table, schema: Schema, first: int) -> pd.DataFrame:
    """Convert the needed columns; the others are all missing."""
    columns = {
        name: _to_array(table[name]) if name in schema else [None] * len(table)
        for name in table.column_names
    }
    return pd.DataFrame(columns, index=pd.RangeIndex(first, first + len(table)), copy=False)


def _to_array(values: pa.ChunkedArray) -> Any:
    kind = values.type
    if kind == pa.large_string():
        return to_categorical(values)
    if pa.types.is_date(kind):
        return values.cast(pa.timestamp("s")).to_pandas().array
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        # Without pandas' nullable types, integers beside a missing one would become floats.
        nullable = _NULLABLE[str(kind)]()
        return nullable.__from_arrow__(values)
    return values.to_pandas().array
