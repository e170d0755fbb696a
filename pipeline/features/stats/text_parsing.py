"""Conversion of distinct values to text and back, on the host; `cast` runs it once per value."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd

from pipeline.schema import EARLIEST, LATEST

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
INTEGER = re.compile(r"[+-]?\d{1,25}", re.ASCII)
TRUE, FALSE = frozenset({"true", "t", "yes", "y", "1"}), frozenset({"false", "f", "no", "n", "0"})
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_texts(texts: np.ndarray, to: str, pattern: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Return (values, fits): texts as int64, float64, bool, or int64 µs for datetimes."""
    if to == "datetime" and pattern is not None:
        stripped = pd.Series(texts, dtype="str").str.strip()
        stamps = pd.to_datetime(stripped, format=pattern, errors="coerce", utc=True)
        micros = stamps.dt.tz_localize(None).astype("datetime64[us]").to_numpy().astype("int64")
        fits = (micros >= EARLIEST) & (micros <= LATEST)  # NaT is below EARLIEST
        return np.where(fits, micros, 0), fits
    parse: Callable[[str], Any] = {
        "integer": parse_integer,
        "float": parse_number,
        "bool": parse_bool,
        "datetime": parse_datetime,
    }[to]
    parsed = [parse(str(text).strip()) for text in texts]
    fits = np.array([v is not None for v in parsed], dtype=bool)
    dtype = {"float": "float64", "bool": "bool"}.get(to, "int64")
    return np.array([0 if v is None else v for v in parsed], dtype=dtype), fits


def parse_integer(text: str) -> int | None:
    """Parse ``12``, ``-3``, also ``12.0`` and ``1e3``; None if not an integer, or outside int64."""
    if INTEGER.fullmatch(text):
        value = int(text)
    else:
        whole = parse_number(text)
        if whole is None or whole != int(whole):
            return None
        value = int(whole)
    return value if -(2**63) <= value < 2**63 else None


def parse_number(text: str) -> float | None:
    """Parse a decimal number; None if the text is not a number, or too large for float64."""
    if not NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if np.isfinite(value) else None


def parse_bool(text: str) -> bool | None:
    """Parse words for true and false, in any case; None for other words."""
    word = text.lower()
    return True if word in TRUE else False if word in FALSE else None


def parse_datetime(text: str) -> int | None:
    """Parse an ISO 8601 date or time as µs since 1970, UTC; None if the text is not one."""
    try:
        stamp = datetime.fromisoformat(text)
        stamp = stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp
        micros = (stamp - EPOCH) // timedelta(microseconds=1)
        return micros if EARLIEST <= micros <= LATEST else None
    except (ValueError, OverflowError):
        return None


def format_values(values: np.ndarray, dtype: str, pattern: str | None = None) -> list[str]:
    """Format numbers and bools as Python does; int64 µs as ISO 8601, or by a pattern."""
    if dtype != "datetime":
        # The first zero seen may be -0.0 in one partition and 0.0 in another.
        return [str(v) for v in (values + 0.0 if values.dtype.kind == "f" else values).tolist()]
    stamps = values.astype("int64").astype("datetime64[us]")
    if pattern is None:
        return [str(v).removesuffix(".000000") for v in np.datetime_as_string(stamps)]
    return [str(v) for v in pd.Series(stamps).dt.strftime(pattern).tolist()]
