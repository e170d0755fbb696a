"""A CSV's fields, text on a device, made typed there; None where one might not be what it seems.

What is taken here is less than what the host's reader takes (`pipeline.ingest.csv.types`), and
means the same: plain numbers, the dialect's words, ISO dates, patterns of fixed width. Everything
else is for the host's reader to judge, which names line and value of what is bad.
"""

from __future__ import annotations

import re

from pipeline.device import Array, Frames, Series
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn
from pipeline.schema import EARLIEST, LATEST

INTEGER = r"^-?[0-9]+$"
NUMBER = r"^-?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$"
DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
TIME = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?$"
OFFSET = r"^.*[-+]([01][0-9]|2[0-3]):[0-5][0-9]$"
WIDTHS = {"%Y": 4, "%m": 2, "%d": 2, "%H": 2, "%M": 2, "%S": 2}
SAFE_DIGITS, SAFE_SIZE = 18, 9.2e18
"""Integers of so many characters, or so large, fit into int64."""
NUMERIC = {"integer": "0", "float": "0", "decimal": "0"}


def parse_fields(
    column: SourceColumn, words: Series, dialect: Dialect, device: Frames
) -> Series | None:
    """The column in its storage dtype; None if a field is not plainly missing or a value of it.

    Args:
        column: what the fields are to be.
        words: n > 0 texts, none missing.
        dialect: its words for missing, true and false.
        device: where the words are.
    """
    blank = words.isin(list(dialect.missing))
    if column.type == "text":
        return words.where(~blank, None).astype("category")
    missing = _to_mask(blank, device)
    if column.type == "bool":
        return _parse_bools(words, missing, dialect, device)
    if column.type in NUMERIC and column.pattern:
        return None
    if column.type in NUMERIC:
        values = _parse_numbers(words.where(~blank, "0"), column.type == "integer", device)
        dtype = column.dtype
    else:
        values, dtype = _parse_timestamps(words, blank, column, device), "datetime"
        if values is not None and not has_known_years(values):
            return None
    return None if values is None else device.make_series(values, dtype, missing)


def has_known_years(times: Array, unit: int = 1) -> bool:
    """Whether all times since 1970, in units of so many µs, are of the years 1 to 9999."""
    if len(times) == 0:
        return True
    return int(times.min()) >= EARLIEST // unit and int(times.max()) <= LATEST // unit


def _to_mask(series: Series, device: Frames) -> Array:
    return device.to_arrays(series)[0]


def _is_all_true(series: Series, device: Frames) -> bool:
    return bool(_to_mask(series, device).all())


def _parse_bools(words: Series, missing: Array, dialect: Dialect, device: Frames) -> Series | None:
    true = _to_mask(words.isin(list(dialect.true)), device) & ~missing
    false = _to_mask(words.isin(list(dialect.false)), device) & ~missing
    if not bool((true | false | missing).all()):
        return None
    return device.make_series(true, "bool", missing)


def _parse_numbers(words: Series, whole: bool, device: Frames) -> Array | None:
    if not _is_all_true(words.str.match(INTEGER if whole else NUMBER), device):
        return None
    if not whole:
        values = device.to_arrays(words.astype("float64"))[0]
        return values if bool(device.xp.isfinite(values).all()) else None
    small = int(words.str.len().max()) <= SAFE_DIGITS
    if small or _is_all_true(words.astype("float64").abs() < SAFE_SIZE, device):
        return device.to_arrays(words.astype("int64"))[0]
    return None


# -- dates and timestamps --------------------------------------------------------------------------


def _parse_timestamps(
    words: Series, blank: Series, column: SourceColumn, device: Frames
) -> Array | None:
    """int64 µs since 1970, UTC."""
    if column.pattern not in (ISO, ZONED):
        return _parse_pattern(words, blank, str(column.pattern), device)
    dates = column.type == "date" or _is_all_true(words.str.len() <= len("2026-01-31"), device)
    if dates and column.pattern == ISO:
        return _parse_format(words.where(~blank, "1970-01-01"), DATE, "%Y-%m-%d", device)
    words = words.where(~blank, "1970-01-01 00:00:00" + "Z" * (column.pattern == ZONED))
    if column.pattern == ISO:
        return _parse_times(words, device)
    words = words.str.replace("Z", "+00:00", regex=False)
    if not _is_all_true(words.str.match(OFFSET), device):
        return None
    local = _parse_times(words.str.slice(0, -6), device)
    return None if local is None else local - _parse_offsets(words.str.slice(-6), device)


def _parse_times(words: Series, device: Frames) -> Array | None:
    """µs of ``2026-01-31T12:30:00.25``; the T may be a space."""
    if not _is_all_true(words.str.match(TIME), device):
        return None
    seconds = words.str.slice(0, 19).str.replace("T", " ", regex=False)
    found = _parse_format(seconds, None, "%Y-%m-%d %H:%M:%S", device)
    if found is None or int(words.str.len().max()) == 19:
        return found
    fraction = words.str.slice(20, 26).str.ljust(6, "0")
    return found + device.to_arrays(fraction.astype("int64"))[0]


def _parse_offsets(words: Series, device: Frames) -> Array:
    """µs of ``+01:30``."""
    hours, minutes = (
        device.to_arrays(words.str.slice(at, at + 2).astype("int64"))[0] for at in (1, 4)
    )
    ahead = _to_mask(words.str.slice(0, 1).isin(["+"]), device)
    size = (hours * 60 + minutes) * 60_000_000
    return device.xp.where(ahead, size, -size)


def _parse_pattern(words: Series, blank: Series, pattern: str, device: Frames) -> Array | None:
    """µs by a pattern of ``strptime`` all of whose parts have a fixed width."""
    parts = re.split(r"(%.)", pattern)
    if {p for p in parts if p.startswith("%")} - set(WIDTHS) or not {"%Y", "%m", "%d"} <= {*parts}:
        return None
    shape = "".join(f"[0-9]{{{WIDTHS[p]}}}" if p in WIDTHS else _escape_literal(p) for p in parts)
    example = "".join("0" * (WIDTHS[p] - 1) + "1" if p in WIDTHS else p for p in parts)
    return _parse_format(words.where(~blank, example), f"^{shape}$", pattern, device)


def _escape_literal(text: str) -> str:
    """Characters as they are, in a regular expression of libcudf's."""
    return "".join(c if c.isalnum() or c in " ,:/-" else f"[{c}]" for c in text)


def _parse_format(words: Series, shape: str | None, pattern: str, device: Frames) -> Array | None:
    """µs of words of one shape; None if one has another, or is no day or time."""
    if shape is not None and not _is_all_true(words.str.match(shape), device):
        return None
    try:
        stamps = device.lib.to_datetime(words, format=pattern)
    except ValueError:
        return None
    # a 31 June that were taken for 1 July would show
    at = re.sub("%Y", "    ", pattern[: pattern.index("%d")])
    days = words.str.slice(len(at), len(at) + 2).astype("int64")
    same = device.to_arrays(days)[0] == device.to_arrays(stamps.dt.day)[0]
    return device.to_arrays(stamps)[0] if bool(same.all()) else None
