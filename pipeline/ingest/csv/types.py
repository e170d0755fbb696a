"""What the text of a field means: the types a column may have, and text turned into them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pipeline.config.model import ColumnType
from pipeline.ingest.csv import number_formats
from pipeline.ingest.csv.dialect import Dialect
from pipeline.schema import EARLIEST, LATEST, Dtype

ISO, ZONED = "iso", "iso zoned"
DTYPES: Mapping[ColumnType, Dtype] = {
    "integer": "int64", "float": "float64", "decimal": "float64", "bool": "bool",
    "date": "datetime", "datetime": "datetime", "text": "text",
}  # fmt: skip
TYPE_NAMES = {"integer": "an integer", "float": "a number", "decimal": "a number", "date": "a date",
     "datetime": "a timestamp", "text": "UTF-8 text"}  # fmt: skip


@dataclass(frozen=True)
class SourceColumn:
    """A column as it is written in the files."""

    name: str
    type: ColumnType
    pattern: str | None = None
    """Of dates and timestamps: ``iso``, ``iso zoned``, or a pattern of ``strptime``. Of numbers
    that are not written plainly: an example (`pipeline.ingest.csv.number_formats`)."""
    partition: bool = False
    """Its values are the ``key=value`` names of folders."""

    @property
    def dtype(self) -> Dtype:
        """Its storage dtype."""
        return DTYPES[self.type]

    def describe_rule(self, dialect: Dialect | None = None) -> str:
        """What its values must be, for messages."""
        if self.type == "bool":
            words = (*dialect.true, *dialect.false) if dialect else ("true", "false")
            return "one of " + ", ".join(words)
        if self.pattern == ZONED:
            return "a timestamp with a zone (2026-01-31T12:00:00+01:00)"
        if self.pattern == ISO:
            shown = "2026-01-31" if self.type == "date" else "2026-01-31 12:00:00, no zone"
            return f"{TYPE_NAMES[self.type]} ({shown})"
        return (
            f"{TYPE_NAMES[self.type]} ({self.pattern})" if self.pattern else TYPE_NAMES[self.type]
        )

    def to_json(self) -> dict[str, Any]:
        """For ``schema.json``."""
        return asdict(self)


def is_valid_pattern(kind: ColumnType, pattern: str | None) -> bool:
    """Tell whether columns of the type may be written in the pattern (`SourceColumn.pattern`)."""
    if kind in ("date", "datetime"):
        return pattern in (ISO, ZONED) or _is_strptime(pattern)
    return pattern is None or (kind in ("float", "decimal") and number_formats.is_example(pattern))


def _is_strptime(pattern: str | None) -> bool:
    """Tell whether pandas can read times of the pattern."""
    if pattern is None or "%" not in pattern:
        return False
    try:
        pd.to_datetime(pd.Series(["1"]), format=pattern, errors="coerce")
    except (ValueError, TypeError, KeyError):
        return False
    return True


def to_arrow_type(column: SourceColumn) -> pa.DataType:
    """The type that ``pyarrow.csv`` reads the column as; what has a pattern comes as text."""
    text = pa.dictionary(pa.int32(), pa.string())
    if column.pattern not in (None, ISO, ZONED):
        return text
    return {
        "integer": pa.int64(), "float": pa.float64(), "decimal": pa.float64(), "bool": pa.bool_(),
        "date": pa.date32(), "text": text,
        "datetime": pa.timestamp("us", "UTC" if column.pattern == ZONED else None),
    }[column.type]  # fmt: skip


def build_convert_options(
    columns: Sequence[SourceColumn], dialect: Dialect, include: list[str]
) -> csv.ConvertOptions:
    """How ``pyarrow.csv`` converts these columns: one set of words for every reader."""
    return csv.ConvertOptions(
        column_types={c.name: to_arrow_type(c) for c in columns},
        null_values=list(dialect.missing),
        true_values=list(dialect.true),
        false_values=list(dialect.false),
        strings_can_be_null=True,
        include_columns=include,
    )


def apply_pattern(column: SourceColumn, values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Patterned values from the dictionary they were read as; None if one does not fit.

    Dates and timestamps outside of the years 1 to 9999 do not fit: ISO text may hold year 0, and
    a zone may lead out of year 1 or 9999.
    """
    if column.pattern in (None, ISO, ZONED) or not pa.types.is_dictionary(values.type):
        return values if column.dtype != "datetime" or _has_known_years(values) else None
    chunks = []
    for chunk in values.chunks:
        known = _parse_pattern(column, chunk.dictionary)
        if known.null_count:
            return None
        chunks.append(known.take(chunk.indices))
    return pa.chunked_array(chunks, _finished_type(column))


def to_microseconds(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert dates, timestamps or their ISO text to timestamps in µs, UTC without a zone.

    Raises:
        pa.ArrowInvalid: a value lies outside of the years 1 to 9999.
    """
    kind = values.type
    # nanoseconds are cut off; other units are coarser, and may hold what overflows
    exact = not (pa.types.is_timestamp(kind) and kind.unit == "ns")
    stamps = values.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=exact)
    stamps = stamps.cast(pa.timestamp("us"))
    bounds = pc.min_max(stamps.cast(pa.int64())).as_py()
    low, high = bounds["min"], bounds["max"]
    if low is not None and (low < EARLIEST or high > LATEST):
        odd = np.datetime64(low if low < EARLIEST else high, "us")
        raise pa.ArrowInvalid(f"{odd} lies outside of the years 1 to 9999")
    return stamps


def _has_known_years(values: pa.ChunkedArray) -> bool:
    try:
        to_microseconds(values)
    except pa.ArrowInvalid:
        return False
    return True


def _finished_type(column: SourceColumn) -> pa.DataType:
    return pa.float64() if column.dtype == "float64" else pa.timestamp("us")


def _parse_pattern(column: SourceColumn, words: pa.Array) -> pa.Array:
    """float64, or timestamps in µs, by the column's pattern; null for words that misfit."""
    if column.dtype == "float64":
        return number_formats.parse_numbers(words, str(column.pattern))
    texts = pd.Series(words.to_pylist(), dtype="str")
    stamps = pd.to_datetime(texts, format=column.pattern, errors="coerce")
    return pa.array(stamps.to_numpy().astype("datetime64[us]"))


def parse_values(
    column: SourceColumn, words: list[str], dialect: Dialect
) -> pa.ChunkedArray | None:
    """The words as values of the column, parsed as the readers do; None if one does not fit."""
    quoted = "\n".join('"' + word.replace('"', '""') + '"' for word in words)
    only = SourceColumn("c", column.type, column.pattern)
    if not words:
        return pa.chunked_array([], _finished_type(only) if only.pattern else to_arrow_type(only))
    try:
        table = csv.read_csv(
            pa.BufferReader(quoted.encode() + b"\n"),
            read_options=csv.ReadOptions(
                column_names=["c"], use_threads=False, block_size=len(quoted) * 4 + 64
            ),
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=build_convert_options([only], dialect, ["c"]),
        )
    except pa.ArrowInvalid:
        return None
    return apply_pattern(only, table["c"])


def find_misfits(column: SourceColumn, words: list[str], dialect: Dialect) -> list[int]:
    """Positions of the words that are neither missing nor a value of the column."""
    missing = set(dialect.missing)
    if column.type == "text":
        return []
    if column.pattern not in (None, ISO, ZONED):
        values = _parse_pattern(column, pa.array(words, pa.string()))
        odd = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False))
        return [int(i) for i in odd if words[i] not in missing]
    plausible = _build_quick_test(column, dialect)
    bad: list[int] = []
    rest: list[int] = []
    for i, word in enumerate(words):
        if word not in missing:
            (rest if plausible(word) else bad).append(i)
    return sorted(
        bad + [rest[i] for i in _bisect_misfits(column, [words[i] for i in rest], dialect)]
    )


def are_all_valid(column: SourceColumn, words: Sequence[str], dialect: Dialect) -> bool:
    """Whether all words are plainly values of the column: parsed once, and only if they look so."""
    if column.type == "text" or column.pattern not in (None, ISO, ZONED):
        return False
    plausible = _build_quick_test(column, dialect)
    return (
        all(plausible(w) for w in words) and parse_values(column, list(words), dialect) is not None
    )


def _build_quick_test(column: SourceColumn, dialect: Dialect) -> Callable[[str], object]:
    """A quick test that all values of the column pass, and nearly all other words do not."""
    if column.type == "bool":
        return {*dialect.true, *dialect.false}.__contains__
    if column.type == "date":
        return re.compile(r"\d{4}-\d\d-\d\d").fullmatch
    if column.type == "datetime":
        zone = r"(Z|[+-]\d\d(:?\d\d)?)" if column.pattern == ZONED else ""
        time = r"[ T]\d\d(:?\d\d(:?\d\d(\.\d{1,6})?)?)?"
        return re.compile(rf"\d{{4}}-\d\d-\d\d({time})?{zone}").fullmatch
    if column.type == "integer":
        return re.compile(r"\s*-?(\d+|0[xX][0-9a-fA-F]+)\s*$").match
    return re.compile(r"\s*[-+.\deE]+\s*$|\s*[-+]?(inf|nan|infinity)\s*$", re.I).match


def _bisect_misfits(column: SourceColumn, words: list[str], dialect: Dialect) -> list[int]:
    """Positions of the words that the reader refuses, found by halving."""
    if not words or parse_values(column, words, dialect) is not None:
        return []
    if len(words) == 1:
        return [0]
    middle = len(words) // 2
    left = _bisect_misfits(column, words[:middle], dialect)
    return left + [middle + i for i in _bisect_misfits(column, words[middle:], dialect)]
