"""Parsing of CSV fields on the GPU, limited to fields whose meaning is certain.

They accept less than the CPU reader (`pipeline.ingest.csv.types`), with the same meaning:
plain numbers, the dialect's words, ISO dates, dates of fixed width. Dates in other formats are
parsed on the host, once per distinct text. They return None if a field may be something else. The
CPU reader then parses the block and reports line and value.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

from pipeline.config.date_format import EPOCHS
from pipeline.device import Array, Frames, Series
from pipeline.ingest.csv.date_formats import parse_dates
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.missing_words import BLANK_CELLS
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn, list_missing
from pipeline.schema import EARLIEST, LATEST

BLANKS = "^[ \t]+$"
INTEGER = r"^-?[0-9]+$"
NUMBER = r"^-?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?$"
OFFSET = r"^.*[-+]([01][0-9]|2[0-3]):[0-5][0-9]$"
SHAPES = {
    "%Y": "[0-9]{4}", "%m": "[0-9]{2}", "%d": "[0-9]{2}", "%H": "([01][0-9]|2[0-3])",
    "%M": "[0-5][0-9]", "%S": "[0-5][0-9]",
}  # fmt: skip
"""Regular expressions of directives; cuDF reads hour 25 or minute 61 as another time."""
EXAMPLES = {"%Y": "0001", "%m": "01", "%d": "01", "%H": "01", "%M": "01", "%S": "01"}
SAFE_DIGITS, SAFE_SIZE = 18, 9.2e18
"""Characters, or size, up to which an integer surely fits into int64."""
NUMERIC = frozenset({"integer", "float", "decimal"})


def parse_fields(
    column: SourceColumn, fields: Series, dialect: Dialect, device: Frames
) -> Series | None:
    """Parse a column to its storage dtype; None if a field is not certainly missing or a value.

    Args:
        column: the expected type of the fields.
        fields: n > 0 texts, none missing.
        dialect: its words for missing, true and false.
        device: where the fields are.
    """
    blank = fields.isin([*list_missing(column, dialect), *BLANK_CELLS])
    if column.type == "text":
        blank |= fields.str.match(BLANKS)  # other columns leave unusual blanks to the CPU reader
        return fields.where(~blank, None).astype("category")
    missing = _to_mask(blank, device)
    if column.type == "bool":
        return _parse_bools(fields, missing, dialect, device)
    if column.type in NUMERIC and column.pattern:
        return None
    if column.type in NUMERIC:
        # missing fields get a text that parses; the mask hides its value
        values = _parse_numbers(fields.where(~blank, "0"), column.type == "integer", device)
        dtype = column.dtype
    else:
        values, dtype = _parse_timestamps(fields, blank, column, device), "datetime"
        if values is not None and not has_known_years(values):
            return None
    return None if values is None else device.make_series(values, dtype, missing)


def has_known_years(times: Array, unit: int = 1) -> bool:
    """Return whether times since 1970, in units of ``unit`` µs, lie in the years 1 to 9999."""
    if len(times) == 0:
        return True
    return int(times.min()) >= EARLIEST // unit and int(times.max()) <= LATEST // unit


def _to_mask(series: Series, device: Frames) -> Array:
    return device.to_arrays(series)[0]


def _is_all_true(series: Series, device: Frames) -> bool:
    return bool(_to_mask(series, device).all())


def _parse_bools(fields: Series, missing: Array, dialect: Dialect, device: Frames) -> Series | None:
    true = _to_mask(fields.isin(list(dialect.true)), device) & ~missing
    false = _to_mask(fields.isin(list(dialect.false)), device) & ~missing
    if not bool((true | false | missing).all()):
        return None
    return device.make_series(true, "bool", missing)


def _parse_numbers(fields: Series, whole: bool, device: Frames) -> Array | None:
    if not _is_all_true(fields.str.match(INTEGER if whole else NUMBER), device):
        return None
    if not whole:
        values = device.to_arrays(fields.astype("float64"))[0]
        return values if bool(device.xp.isfinite(values).all()) else None
    small = int(fields.str.len().max()) <= SAFE_DIGITS
    if small or _is_all_true(fields.astype("float64").abs() < SAFE_SIZE, device):
        return device.to_arrays(fields.astype("int64"))[0]
    return None


# -- dates and timestamps --------------------------------------------------------------------------


def _parse_timestamps(
    fields: Series, blank: Series, column: SourceColumn, device: Frames
) -> Array | None:
    """Parse dates or timestamps as int64 µs since 1970, UTC."""
    if column.pattern not in (ISO, ZONED):
        pattern = str(column.pattern)
        times = _parse_pattern(fields, blank, pattern, device)
        return _parse_distinct(fields, blank, pattern, device) if times is None else times
    # a timestamp column may hold dates without a time
    dates = column.type == "date" or _is_all_true(fields.str.len() <= len("2026-01-31"), device)
    if dates and column.pattern == ISO:
        return _parse_format(fields.where(~blank, "1970-01-01"), DATE, "%Y-%m-%d", device)
    fields = fields.where(~blank, "1970-01-01 00:00:00" + "Z" * (column.pattern == ZONED))
    if column.pattern == ISO:
        return _parse_times(fields, device)
    fields = fields.str.replace("Z", "+00:00", regex=False)
    if not _is_all_true(fields.str.match(OFFSET), device):
        return None
    local = _parse_times(fields.str.slice(0, -6), device)
    return None if local is None else local - _parse_offsets(fields.str.slice(-6), device)


def _parse_times(fields: Series, device: Frames) -> Array | None:
    """Parse ``2026-01-31T12:30:00.25`` as µs; the T may be a space."""
    if not _is_all_true(fields.str.match(TIME), device):
        return None
    seconds = fields.str.slice(0, 19).str.replace("T", " ", regex=False)
    micros = _parse_format(seconds, None, "%Y-%m-%d %H:%M:%S", device)
    if micros is None or int(fields.str.len().max()) == 19:
        return micros
    fraction = fields.str.slice(20, 26).str.ljust(6, "0")
    return micros + device.to_arrays(fraction.astype("int64"))[0]


def _parse_offsets(fields: Series, device: Frames) -> Array:
    """Parse ``+01:30`` as µs."""
    hours, minutes = (
        device.to_arrays(fields.str.slice(at, at + 2).astype("int64"))[0] for at in (1, 4)
    )
    ahead = _to_mask(fields.str.slice(0, 1).isin(["+"]), device)
    size = (hours * 60 + minutes) * 60_000_000
    return device.xp.where(ahead, size, -size)


def _parse_pattern(fields: Series, blank: Series, pattern: str, device: Frames) -> Array | None:
    """Parse times as µs by a pattern of ``strptime`` whose parts all have a fixed width."""
    parts = re.split(r"(%.)", pattern)
    if pattern in EPOCHS or "[" in pattern or "]" in pattern:
        return None
    if {p for p in parts if p.startswith("%")} - set(SHAPES) or not {"%Y", "%m", "%d"} <= {*parts}:
        return None
    # a class of one character, such as `[.]`, stands for the character itself
    shape = "".join(
        SHAPES.get(p) or "".join(c if c.isalnum() or c in " ,:/-" else f"[{c}]" for c in p)
        for p in parts
    )
    example = "".join(EXAMPLES.get(p, p) for p in parts)
    return _parse_format(fields.where(~blank, example), f"^{shape}$", pattern, device)


def _parse_distinct(fields: Series, blank: Series, pattern: str, device: Frames) -> Array | None:
    """Parse times as µs on the host, once per distinct text, by the parser of the CPU reader."""
    codes, texts = device.to_codes(fields.where(~blank, None).astype("category"))
    times = parse_dates(pa.array(texts, pa.string()), pattern)
    if times.null_count:
        return None
    micros = times.to_numpy().astype("int64")
    # a blank field has code -1: the last of these, which the mask hides
    return device.to_device(np.append(micros, 0))[codes]


def _parse_format(fields: Series, shape: str | None, pattern: str, device: Frames) -> Array | None:
    """Parse fields of one shape as µs; None if one has another shape, or is not a time."""
    if shape is not None and not _is_all_true(fields.str.match(shape), device):
        return None
    try:
        stamps = device.lib.to_datetime(fields, format=pattern)
    except ValueError:
        return None
    # the days differ if a date such as 31 June is read as 1 July
    at = re.sub("%Y", "    ", pattern[: pattern.index("%d")])
    days = fields.str.slice(len(at), len(at) + 2).astype("int64")
    same = device.to_arrays(days)[0] == device.to_arrays(stamps.dt.day)[0]
    return device.to_arrays(stamps)[0] if bool(same.all()) else None
