"""The values of an expression's parts: arrays of the device with a mask, and conversions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Literal

import numpy as np

from pipeline.device import Array, Frames, Series, dtype_of
from pipeline.device.factorize import factorize
from pipeline.schema import EARLIEST, LATEST

Kind = Literal["int64", "float64", "bool", "datetime", "text"]
NUMBERS = ("int64", "float64", "bool")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Value:
    """n values, or one for all rows (arrays of length 1)."""

    kind: Kind
    data: Array
    """int64, float64 or bool; datetimes as int64 µs; texts as codes into ``words``, -1 missing."""
    missing: Array
    words: np.ndarray | None = None
    """The distinct texts, on the host."""
    literal: str | int | float | bool | None = None
    """The value itself, if it was written in the expression."""


def from_column(series: Series, device: Frames) -> Value:
    """Return the values of a column; int32 becomes int64, float32 float64."""
    dtype = dtype_of(series)
    if dtype == "text":
        codes, words = device.to_codes(series)
        return Value("text", codes, codes < 0, words)
    values, missing = device.to_arrays(series)
    if dtype in ("float64", "float32"):
        values = values.astype("float64")
        return Value("float64", values, missing | device.xp.isnan(values))
    if dtype in ("int64", "int32"):
        return Value("int64", values.astype("int64"), missing)
    return Value("bool" if dtype == "bool" else "datetime", values, missing)


def from_literal(value: int | float | str | bool, xp: ModuleType) -> Value:
    """Return one value for all rows."""
    missing = xp.zeros(1, dtype=bool)
    if isinstance(value, str):
        words = np.array([value], dtype=object)
        return Value("text", xp.zeros(1, dtype="int32"), missing, words, value)
    kind: Kind = "float64"
    if isinstance(value, bool):
        kind = "bool"
    elif isinstance(value, int):
        kind = "int64"
    return Value(kind, xp.full(1, value, dtype=kind), missing, None, value)


def to_series(value: Value, rows: int, device: Frames) -> Series:
    """Convert a value to a column of n rows in its storage dtype."""
    xp = device.xp
    data, missing = (
        xp.ascontiguousarray(xp.broadcast_to(a, (rows,))) for a in (value.data, value.missing)
    )
    if value.words is not None:
        return device.make_text(xp.where(missing, -1, data).astype("int32"), value.words)
    if value.kind == "text":
        raise AssertionError("a text without its words")
    return device.make_series(data, value.kind, missing)


def as_datetime(value: Value, xp: ModuleType) -> Value:
    """Parse an ISO literal (``"2013-07-01"``, ``"2013-07-01T12:30+02:00"``) to a datetime, UTC.

    Raises:
        ValueError: the literal is not ISO 8601, or is outside the years 1 to 9999.
    """
    stamp = datetime.fromisoformat(str(value.literal))
    stamp = stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp
    micros = (stamp - EPOCH) // timedelta(microseconds=1)
    # the zone can move the first and last day out of the calendar
    if not EARLIEST <= micros <= LATEST:
        raise ValueError("the zone leads out of the years 1 to 9999")
    return Value("datetime", xp.full(1, micros, dtype="int64"), value.missing)


def as_float(value: Value) -> Array:
    """Convert the numbers to float64."""
    return value.data.astype("float64")


def as_integer(value: Value) -> Array:
    """Convert int64 and bool to int64."""
    return value.data.astype("int64")


def take_by_code(table: np.ndarray, codes: Array, device: Frames) -> Array:
    """Read a table of the host by codes: an entry per distinct value, then one for code -1."""
    return device.to_device(table)[codes]


def unify_texts(values: list[Value], device: Frames, *, ordered: bool = False) -> list[Value]:
    """Rewrite texts to codes into one list of words; ``ordered`` sorts it by code point."""
    words = [v.words for v in values if v.words is not None]
    table, common = factorize(np.concatenate(words), ordered=ordered)
    ends = np.cumsum([len(w) for w in words])[:-1]
    return [
        replace(
            value,
            data=take_by_code(np.append(codes, -1).astype("int32"), value.data, device),
            words=common,
        )
        for value, codes in zip(values, np.split(table, ends), strict=True)
    ]
