"""Types of CSV columns, and the parsing of text into their values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from pydantic import JsonValue

from pipeline.config.date_format import EPOCHS, check_format, is_format
from pipeline.config.model import ColumnType
from pipeline.ingest.csv import number_formats
from pipeline.ingest.csv.date_formats import has_time, parse_dates
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.loose_values import LOOSE, are_flags, parse_loosely
from pipeline.ingest.csv.missing_words import BLANK_CELLS, is_blank, mask_words
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
    """A column of the files: its type, and how its values are written."""

    name: str
    type: ColumnType
    pattern: str | None = None
    """Format of the values, if their type does not fix it.

    Dates and timestamps: ``iso``, ``iso zoned``, or a format (`pipeline.config.date_format`).
    Numbers: an example (`pipeline.ingest.csv.number_formats`).
    """
    partition: bool = False
    """True if the values are those of ``key=value`` folders."""
    keeps_words: bool = False
    """True for text whose words are all values, such as classes: only blank cells are missing."""
    is_flag: bool = False
    """True for numbers that are all 0 or 1 in the sample: true and false stand for them."""

    @property
    def dtype(self) -> Dtype:
        """Storage dtype."""
        return DTYPES[self.type]

    def loosen(self) -> SourceColumn:
        """Return the column that takes other spellings of its values, but is read more slowly."""
        if self.pattern is None and (self.type == "integer" or self.is_flag):
            return replace(self, pattern=LOOSE)
        return self

    @property
    def config_type(self) -> str:
        """Type or format of dates that `Source.types` may have for such a column."""
        is_written = self.dtype == "datetime" and is_format(self.pattern or "")
        return str(self.pattern) if is_written else self.type

    def describe_rule(self, dialect: Dialect | None = None) -> str:
        """Return what the values must be, for messages."""
        if self.type == "bool":
            allowed = (*dialect.true, *dialect.false) if dialect else ("true", "false")
            return "one of " + ", ".join(allowed)
        if self.pattern == ZONED:
            return "a timestamp with a zone (2026-01-31T12:00:00+01:00)"
        if self.pattern in EPOCHS:
            return f"a time in {self.pattern} since 1970"
        if self.pattern == ISO:
            shown = "2026-01-31" if self.type == "date" else "2026-01-31 12:00:00, no zone"
            return f"{TYPE_NAMES[self.type]} ({shown})"
        has_format = self.pattern not in (None, LOOSE)
        return f"{TYPE_NAMES[self.type]} ({self.pattern})" if has_format else TYPE_NAMES[self.type]

    def to_json(self) -> dict[str, JsonValue]:
        """Return the column's part of ``schema.json``."""
        return asdict(self)


def make_asked_column(name: str, asked: str) -> SourceColumn:
    """Return a column of the type, or of the format of dates, that the config gives for it."""
    if is_format(asked):
        return SourceColumn(name, "datetime" if has_time(asked) else "date", asked)
    kind = cast("ColumnType", asked)
    return SourceColumn(name, kind, ISO if kind in ("date", "datetime") else None)


def is_valid_pattern(kind: ColumnType, pattern: str | None) -> bool:
    """Return whether a column of the type may have the pattern (`SourceColumn.pattern`)."""
    if kind not in ("date", "datetime"):
        is_number = kind in ("float", "decimal")
        return pattern is None or (is_number and number_formats.is_example(pattern))
    if pattern in (ISO, ZONED):
        return True
    try:
        return pattern is not None and bool(check_format(pattern))
    except ValueError:
        return False


def is_flag(column: SourceColumn, values: Sequence[str], dialect: Dialect) -> bool:
    """Return whether a column of plain numbers has no other values than 0 and 1."""
    if column.type not in ("integer", "float") or column.pattern:
        return False
    return are_flags({*values}.difference(list_missing(column, dialect)))


def list_missing(column: SourceColumn, dialect: Dialect) -> tuple[str, ...]:
    """Return the words that mean missing in a column, beside cells of blanks."""
    if column.keeps_words:
        return ("",)
    if column.type == "text":
        return dialect.missing
    return (*dialect.missing, *dialect.inferred_missing)


def to_arrow_type(column: SourceColumn) -> pa.DataType:
    """Return the type that ``pyarrow.csv`` reads; columns with a pattern are read as text."""
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
    """Return the options by which ``pyarrow.csv`` converts these columns."""
    return csv.ConvertOptions(
        column_types={c.name: to_arrow_type(c) for c in columns},
        # These are for columns that Arrow parses; `mask_words` finds those of text.
        null_values=[*dialect.missing, *dialect.inferred_missing, *BLANK_CELLS],
        true_values=list(dialect.true),
        false_values=list(dialect.false),
        strings_can_be_null=False,
        include_columns=include,
    )


def finish_column(
    column: SourceColumn, values: pa.ChunkedArray, dialect: Dialect
) -> pa.ChunkedArray | None:
    """Finish a column that Arrow has read: find missing words in text, and parse its pattern.

    Returns None if a value does not fit.

    Dates and timestamps outside of the years 1 to 9999 do not fit: ISO text may hold year 0, and
    a zone may lead out of year 1 or 9999.
    """
    if pa.types.is_dictionary(values.type):
        values = mask_words(values, list_missing(column, dialect))
    if column.pattern in (None, ISO, ZONED) or not pa.types.is_dictionary(values.type):
        if column.dtype == "datetime":
            try:
                to_microseconds(values)
            except pa.ArrowInvalid:
                return None
        return values
    chunks = []
    for chunk in values.chunks:
        # distinct values are parsed once, however many rows have them
        parsed = _parse_pattern(column, chunk.dictionary)
        if parsed.null_count:
            return None
        chunks.append(parsed.take(chunk.indices))
    return pa.chunked_array(chunks, _pattern_type(column))


def to_microseconds(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Convert dates, timestamps or their ISO text to timestamps in µs, UTC without a zone.

    Raises:
        pa.ArrowInvalid: a value lies outside of the years 1 to 9999.
    """
    kind = values.type
    # Nanoseconds are truncated. Other units are coarser, and their values may overflow.
    exact = not (pa.types.is_timestamp(kind) and kind.unit == "ns")
    stamps = values.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=exact)
    stamps = stamps.cast(pa.timestamp("us"))
    extremes = pc.min_max(stamps.cast(pa.int64())).as_py()
    low, high = extremes["min"], extremes["max"]
    if low is not None and (low < EARLIEST or high > LATEST):
        odd = np.datetime64(low if low < EARLIEST else high, "us")
        raise pa.ArrowInvalid(f"{odd} lies outside of the years 1 to 9999")
    return stamps


def _pattern_type(column: SourceColumn) -> pa.DataType:
    types = {"int64": pa.int64(), "float64": pa.float64()}
    return types.get(column.dtype, pa.timestamp("us"))


def _parse_pattern(column: SourceColumn, values: pa.Array) -> pa.Array:
    """Parse text by the column's pattern as numbers or µs timestamps; null where it misfits."""
    if column.pattern == LOOSE:
        return parse_loosely(values, _pattern_type(column), flags=column.is_flag)
    if column.dtype == "float64":
        return number_formats.parse_numbers(values, str(column.pattern))
    return parse_dates(values, str(column.pattern))


def parse_values(
    column: SourceColumn, values: list[str], dialect: Dialect
) -> pa.ChunkedArray | None:
    """Parse text as the readers do; return None if a value does not fit the column."""
    # Arrow does not know all cells of blanks; a text's are found below
    cells = ("" if is_blank(value) else value.replace('"', '""') for value in values)
    quoted = "\n".join(f'"{cell}"' for cell in cells)
    only = replace(column, name="c")
    if not values:
        return pa.chunked_array([], _pattern_type(only) if only.pattern else to_arrow_type(only))
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
    return finish_column(only, table["c"], dialect)


def find_misfits(column: SourceColumn, values: list[str], dialect: Dialect) -> list[int]:
    """Return the positions of the values that are neither missing nor fit the column."""
    if column.type == "text":
        return []
    words = set(list_missing(column, dialect))

    def is_missing(value: str) -> bool:
        return value in words or (is_blank(value) and not column.partition)

    if column.pattern not in (None, ISO, ZONED):
        parsed = _parse_pattern(column, pa.array(values, pa.string()))
        odd = np.flatnonzero(parsed.is_null().to_numpy(zero_copy_only=False))
        return [int(i) for i in odd if not is_missing(values[i])]
    plausible = _build_quick_test(column, dialect)
    bad: list[int] = []
    rest: list[int] = []
    for i, value in enumerate(values):
        if not is_missing(value):
            (rest if plausible(value) else bad).append(i)
    return sorted(
        bad + [rest[i] for i in _bisect_misfits(column, [values[i] for i in rest], dialect)]
    )


def are_all_valid(column: SourceColumn, values: Sequence[str], dialect: Dialect) -> bool:
    """Return whether all values fit the column and can be parsed at once."""
    if column.type == "text" or column.pattern not in (None, ISO, ZONED):
        return False
    plausible = _build_quick_test(column, dialect)
    return (
        all(plausible(w) for w in values)
        and parse_values(column, list(values), dialect) is not None
    )


def _build_quick_test(column: SourceColumn, dialect: Dialect) -> Callable[[str], object]:
    """Return a quick test that all values of the column pass, and few other values do."""
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
    # Dates must not pass, because each would be parsed on its own.
    number = r"(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|inf|nan|infinity"
    return re.compile(rf"\s*[-+]?({number})\s*$", re.IGNORECASE).match


def _bisect_misfits(column: SourceColumn, values: list[str], dialect: Dialect) -> list[int]:
    """Return the positions of the values that the reader refuses, by bisection."""
    if not values or parse_values(column, values, dialect) is not None:
        return []
    if len(values) == 1:
        return [0]
    middle = len(values) // 2
    left = _bisect_misfits(column, values[:middle], dialect)
    return left + [middle + i for i in _bisect_misfits(column, values[middle:], dialect)]
