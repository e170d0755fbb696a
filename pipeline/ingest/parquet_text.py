"""Parquet columns of another type than the run's, read as the text that they have in a CSV.

A frame then means the same in both formats: whatever a CSV of it says is what is parsed.
"""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.ingest import arrow_to_frame
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn, find_misfits, parse_values

TIME_UNITS = ("D", "s", "ms", "us", "ns")
"""Units in which timestamps are written, the coarsest first."""
NOT_TEXT = "not text"
"""Pattern of a text column of new data whose values are not text in the file."""


def to_storage_array(
    column: SourceColumn, values: pa.ChunkedArray, dialect: Dialect | None
) -> tuple[Any, dict[int, str]]:
    """Convert values of any type to a pandas array in the column's storage dtype.

    Args:
        column: the column as it is to be read.
        values: n values of a Parquet file.
        dialect: the words for missing, true and false; None if all values must fit (in training).

    Returns:
        (n values; the bad ones among them by position, as text).

    Raises:
        pa.ArrowInvalid: a value does not fit, and has no text that could be reported.
    """
    if column.type == "text":
        text = values if is_text(values.type) else write_text(values, column.pattern)
        return arrow_to_frame.to_storage_array(column, text), {}
    if dialect is None:
        return arrow_to_frame.to_storage_array(column, values), {}
    if _is_native(column, values.type):
        try:
            return arrow_to_frame.to_storage_array(column, values), {}
        except pa.ArrowInvalid:
            if column.dtype != "int64":
                raise
    parsed, bad = parse_text(column, write_text(values), dialect)
    return arrow_to_frame.to_storage_array(column, parsed), bad


def _is_native(column: SourceColumn, arrow: pa.DataType) -> bool:
    """Return whether values of an Arrow type become those of the column by a cast."""
    kinds = pa.types
    if kinds.is_dictionary(arrow):
        arrow = arrow.value_type
    if column.dtype == "bool":
        return bool(kinds.is_boolean(arrow))
    if column.dtype == "datetime":
        is_time = kinds.is_timestamp(arrow) or kinds.is_date(arrow)
        return bool(is_time and column.pattern in (ISO, ZONED))
    return bool(kinds.is_integer(arrow) or kinds.is_floating(arrow) or kinds.is_decimal(arrow))


def is_text(arrow: pa.DataType) -> bool:
    """Return whether values of an Arrow type are text, perhaps in a dictionary."""
    kinds = pa.types
    if kinds.is_dictionary(arrow):
        arrow = arrow.value_type
    return bool(
        kinds.is_string(arrow) or kinds.is_large_string(arrow) or kinds.is_string_view(arrow)
    )


def is_written(arrow: pa.DataType) -> bool:
    """Return whether `write_text` knows how pandas writes values of a type that ops do not have."""
    kinds = pa.types
    if isinstance(arrow, pa.BaseExtensionType):  # intervals, periods
        return bool(arrow.extension_name.startswith("pandas."))
    return bool(kinds.is_time(arrow) or kinds.is_duration(arrow))


def write_text(values: pa.ChunkedArray, unit: str | None = None) -> pa.ChunkedArray:
    """Write values of any type as pandas writes them to CSV; missing ones stay so.

    Args:
        values: n values that are not nested.
        unit: one of `TIME_UNITS`, in which pandas writes all timestamps without a zone of a column
            (`find_time_unit`).

    Returns:
        n strings.
    """
    kinds, kind = pa.types, values.type
    if kinds.is_dictionary(kind):
        kind = kind.value_type
        values = values.cast(kind)
    if is_text(kind) or any(
        test(kind) for test in (kinds.is_null, kinds.is_integer, kinds.is_decimal)
    ):
        return values.cast(pa.string())
    if kinds.is_date(kind):
        return values.cast(pa.date32()).cast(pa.string())
    if kinds.is_boolean(kind):
        return pc.if_else(values, "True", "False")
    if kinds.is_timestamp(kind) and kind.tz is None and unit in TIME_UNITS:
        to = pa.date32() if unit == "D" else pa.timestamp(unit)
        return values.cast(to, safe=False).cast(pa.string())
    # An integer beside a missing value would become a float here.
    lines = values.to_pandas().to_csv(index=False, header=False)
    text = [row[0] or None for row in csv.reader(io.StringIO(lines))]
    return pa.chunked_array([pa.array(text, pa.string())])


def find_time_unit(values: pa.ChunkedArray) -> str:
    """Return the coarsest of `TIME_UNITS` that shows all timestamps."""
    counts = values.cast(pa.int64())
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[values.type.unit]
    for unit, parts in (("D", 1 / 86_400), ("s", 1), ("ms", 10**3), ("us", 10**6)):
        step = int(per_second / parts)
        if step <= 1 or not pc.any(pc.not_equal(counts, _floor(counts, step))).as_py():
            return unit
    return "ns"


def _floor(counts: pa.ChunkedArray, step: int) -> pa.ChunkedArray:
    return pc.multiply(pc.divide(counts, step), step)


def parse_text(
    column: SourceColumn, text: pa.ChunkedArray, dialect: Dialect
) -> tuple[pa.ChunkedArray, dict[int, str]]:
    """Parse text as cells of a CSV, each distinct one once.

    Args:
        column: a column that is not text.
        text: n strings.
        dialect: the words for missing, true and false.

    Returns:
        (n values, of which the bad ones are null; the bad values by row).
    """
    column = column.loosen()
    coded = text.dictionary_encode().combine_chunks()
    if isinstance(coded, pa.ChunkedArray):  # no chunks
        return pa.chunked_array([pa.nulls(0, pa.string())]), {}
    cells = coded.dictionary.to_pylist()
    odd = find_misfits(column, cells, dialect)
    good = np.delete(np.arange(len(cells)), odd)
    parsed = parse_values(column, [cells[i] for i in good], dialect)
    if parsed is None:  # `find_misfits` has left only cells that fit
        raise AssertionError(f"column {column.name!r}: the two readers disagree")
    place = np.full(len(cells) + 1, -1)
    place[good] = np.arange(len(good))
    codes = coded.indices.fill_null(len(cells)).to_numpy()
    rows = place[codes]
    values = parsed.combine_chunks() if parsed.num_chunks else pa.nulls(0, parsed.type)
    taken = values.take(pa.array(rows, mask=rows < 0))
    bad = np.flatnonzero(np.isin(codes, odd))
    return pa.chunked_array([taken]), {int(row): str(cells[codes[row]]) for row in bad}
