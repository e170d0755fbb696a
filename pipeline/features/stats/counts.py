"""Rows per value of a column: counted per partition, added up, ranked by frequency.

Summaries are exact and keyed by value, so that partitions may hold different values; row weights do
not enter them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.device import Frame, Series
from pipeline.features.op import Rows, Summary
from pipeline.features.saved_state import Expected, key_kind
from pipeline.features.stats.key_tables import check_key_count, to_key_column
from pipeline.schema import Dtype


class Counts(NamedTuple):
    """Rows per value, and rows that are missing."""

    table: pd.DataFrame
    """Host frame, a row per value: ``value`` (str, int64, float64, bool; datetimes as int64 µs)
    and ``count`` (int64, at least 1)."""
    missing: int

    @property
    def rows(self) -> int:
        """All rows, the missing ones too."""
        return int(self.table["count"].sum()) + self.missing


def count_values(series: Series, rows: Rows) -> Counts:
    """The counts of one partition's column."""
    device = rows.device
    codes, values = device.to_codes(series)
    if values.dtype.kind == "f":
        values = values + 0.0  # -0.0 and 0.0 are one value
    found = device.bincount(codes, len(values)).astype("int64")
    table = pd.DataFrame({"value": to_key_column(values), "count": found})
    return Counts(table[found > 0].reset_index(drop=True), int((codes < 0).sum()))


def merge_counts(a: Counts, b: Counts) -> Counts:
    """The counts of both partitions' rows, sorted by value."""
    both = pd.concat([a.table, b.table]).groupby("value", sort=True).sum().reset_index()
    return Counts(both, a.missing + b.missing)


def count_columns(frame: Frame, rows: Rows) -> Summary:
    """An op's summary: the counts of every column of one partition, with the columns' names."""
    names = list(frame.columns)
    return {"names": names, "of": [count_values(frame[name], rows) for name in names]}


def merge_column_counts(a: Summary, b: Summary) -> Summary:
    """The summary of both partitions' rows."""
    return {**a, "of": [merge_counts(x, y) for x, y in zip(a["of"], b["of"], strict=True)]}


def check_cardinality(summary: Summary, op: str, kept: int | None = None) -> None:
    """Refuses a column of more values than are counted, of which ``kept`` are kept at most.

    Raises:
        DataError: names op and column.
    """
    for name, found in zip(summary["names"], summary["of"], strict=True):
        values = len(found.table)
        check_key_count(min(values, kept or values), op, name)


def rank_by_count(found: Counts) -> pd.DataFrame:
    """The table with the most frequent value first; equally frequent ones sorted by value."""
    return found.table.sort_values(["count", "value"], ascending=[False, True], ignore_index=True)


def append_defaults(of_values: np.ndarray, missing: float, unseen: float) -> np.ndarray:
    """Return float64 (k + 2) to index with positions; -1 (unseen), -2 (missing) are at the end."""
    return np.concatenate([of_values.astype("float64"), [missing, unseen]])


def describe_count_table(dtype: Dtype) -> Expected:
    """Describe the table of `Counts` of a column, as a run keeps it."""
    return Expected({"value": key_kind(dtype), "count": "int64"}, ("value",))
