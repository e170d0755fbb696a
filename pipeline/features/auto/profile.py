"""Profiles of the training rows' columns: counts that add up over partitions.

Distinct values are counted exactly up to `MAX_VALUES`. With more, only values whose hash is below a
threshold are counted, and the threshold halves until few enough are left (Gibbons, "Distinct
sampling for highly-accurate answers to distinct values queries", VLDB 2001). The selection depends
only on the set of values, so every layout of partitions gives the same profile. All rows of a
selected value are counted, so the number of rows per value stays correct.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.device import Frame, Frames, Series, cpu
from pipeline.device.choose import frames_of
from pipeline.features.engine.transform import TransformContext, select_training_rows, to_part
from pipeline.schema import Column, Schema

MAX_VALUES = 10_000
SHOWN = 5  # values named in a result
DAY = 86_400_000_000  # µs
_SEED = 3


@dataclass(frozen=True)
class ColumnCounts:
    """One column's counts."""

    missing: int
    low: Any = None
    """Smallest number, or µs since 1970; None for text, or if every value is missing."""
    high: Any = None
    counts: pd.Series | None = None
    """int64, rows by value, sorted; None for float and datetime columns."""
    level: int = 0
    """Counted values have a hash below ``2**(32 - level)``; 0: all values are counted."""
    clock: bool = False
    """True if some datetimes are not at midnight (UTC)."""


@dataclass(frozen=True)
class ProfileSummary:
    """Counts of all columns over some of the partitions."""

    rows: int
    columns: Mapping[str, ColumnCounts]


def summarise(frame: Frame, schema: Schema, context: TransformContext) -> ProfileSummary:
    """Count values over the training rows of one partition.

    Args:
        frame: the schema's columns, and the reserved ones.
        schema: the columns to profile.
        context: names the device that the frame is on.
    """
    device = frames_of(context.device)
    part = select_training_rows(to_part(frame, context))
    frame = part.frame(schema.names)
    seen = {c.name: _profile_column(frame[c.name], c, device) for c in schema}
    return ProfileSummary(len(part.rows.ids), seen)


def _profile_column(series: Series, column: Column, device: Frames) -> ColumnCounts:
    missing = int(series.isna().sum())
    if missing == len(series):
        low, high = None, None
        clock = False
    elif column.dtype == "text":
        low, high, clock = None, None, False
    else:
        values, absent = device.to_arrays(series)
        values = values[~absent]
        low, high = values.min().item(), values.max().item()
        clock = column.kind == "datetime" and bool((values % DAY != 0).any())
    if column.dtype not in ("int64", "int32", "bool", "text"):
        return ColumnCounts(missing, low, high, clock=clock)
    codes, values = device.to_codes(series)
    rows = device.bincount(codes, len(values))
    # The dictionary of a text column may list values that no row has.
    index = pd.Index(values[rows > 0], dtype=object if column.dtype == "text" else None)
    counts = pd.Series(rows[rows > 0], index=index, dtype="int64").sort_index()
    counts, level = _limit_values(counts, 0)
    return ColumnCounts(missing, low, high, counts, level)


def _limit_values(counts: pd.Series, level: int) -> tuple[pd.Series, int]:
    """Return at most `MAX_VALUES` of the counts, and the level at which these are left."""
    while len(counts) > MAX_VALUES:
        level += 1
        counts = counts[_hashes(counts.index) < 2 ** (32 - level)]
    return counts, level


def _hashes(values: pd.Index) -> np.ndarray:
    if values.dtype.kind == "i":
        return cpu.hash_ints(values.to_numpy("int64"), _SEED)
    return cpu.hash_text(values.to_numpy(dtype=object), _SEED)


def merge(a: ProfileSummary, b: ProfileSummary) -> ProfileSummary:
    """Merge the counts of two partitions."""
    columns = {name: _merge_columns(seen, b.columns[name]) for name, seen in a.columns.items()}
    return ProfileSummary(a.rows + b.rows, columns)


def _merge_columns(a: ColumnCounts, b: ColumnCounts) -> ColumnCounts:
    lows = [s.low for s in (a, b) if s.low is not None]
    highs = [s.high for s in (a, b) if s.high is not None]
    counts, level = None, max(a.level, b.level)
    if a.counts is not None and b.counts is not None:
        # Values that only the finer level counts must go before the counts are added.
        parts = [
            s.counts if s.level == level else s.counts[_hashes(s.counts.index) < 2 ** (32 - level)]
            for s in (a, b)
            if s.counts is not None
        ]
        parts = [p for p in parts if len(p)] or parts[:1]  # an empty one would change the dtype
        counts, level = _limit_values(pd.concat(parts).groupby(level=0, sort=True).sum(), level)
    return ColumnCounts(
        a.missing + b.missing,
        min(lows, default=None),
        max(highs, default=None),
        counts,
        level,
        a.clock or b.clock,
    )


def finish(summary: ProfileSummary, schema: Schema) -> dict[str, Any]:
    """Return the profile as JSON values.

    Returns:
        ``{"rows": n, "columns": {name: {…}}}``. Per column: ``dtype``; ``missing`` rows; ``low``
        and ``high`` (datetimes: µs since 1970, UTC); ``constant``: at most one value, missing
        aside; ``clock``: datetimes other than midnight. Text, integers and bools also have
        ``distinct`` values (``exact``, or estimated to about 1 %), the mean ``rows_per_value``,
        and the most frequent ``values`` if exact. Text has the mean number of ``words`` per row.
    """
    return {
        "rows": summary.rows,
        "columns": {c.name: _describe(summary.columns[c.name], c) for c in schema},
    }


def _describe(seen: ColumnCounts, column: Column) -> dict[str, Any]:
    profile = {
        "dtype": column.dtype,
        "missing": seen.missing,
        "low": seen.low,
        "high": seen.high,
        "clock": seen.clock,
    }
    if seen.counts is None:
        return {**profile, "constant": seen.low == seen.high}
    values, exact = len(seen.counts), seen.level == 0
    shown = seen.counts.sort_values(ascending=False, kind="stable").index[:SHOWN].tolist()
    if column.dtype == "text":
        profile["words"] = _count_words(seen.counts)
    return {
        **profile,
        "constant": values <= 1 and exact,
        "distinct": values * 2**seen.level,
        "exact": exact,
        "rows_per_value": float(seen.counts.sum() / values) if values else None,
        "values": shown if exact else [],
    }


def _count_words(counts: pd.Series) -> float:
    """Count the words per row, those between blanks; 0 without values."""
    words = np.array([len(str(value).split()) for value in counts.index], dtype="float64")
    return float(np.average(words, weights=counts)) if len(words) else 0.0
