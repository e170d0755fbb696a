"""Rows per value of a column, and its missing rows: counted per partition, then added up.

Counts are exact and keyed by value, so that partitions may hold different values. Row weights do
not affect them.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
import pandas as pd

from pipeline.device import Array, Frames, Series, dtype_of
from pipeline.features.op import Rows, Summary
from pipeline.features.saved_state import ExpectedTable, SavedState, TableName, key_content
from pipeline.features.stats.key_tables import check_key_count, to_key_column
from pipeline.schema import Schema


class Counts(NamedTuple):
    """Rows per value, and missing rows."""

    table: pd.DataFrame
    """Host frame with a row per value: ``value`` (str, int64, float64, bool; datetimes as int64 µs)
    and ``count`` (int64, at least 1)."""
    missing: int

    @property
    def rows(self) -> int:
        """Number of all rows, including missing ones."""
        return int(self.table["count"].sum()) + self.missing


class CountTables(SavedState):
    """State of an op with a table of values and counts per column."""

    column_lists: ClassVar[tuple[str, ...]] = ("names", "tables")

    names: list[str]
    tables: list[TableName]

    def describe_tables(self, op: Any, schema: Schema) -> list[ExpectedTable]:
        """Describe a table of values and counts per column."""
        return [
            ExpectedTable({"value": key_content(schema[n].dtype), "count": "int64"}, ("value",))
            for n in self.names
        ]


def count_values(series: Series, rows: Rows) -> Counts:
    """Count the rows per value of one partition's column."""
    device = rows.device
    codes, values = device.to_codes(series)
    if values.dtype.kind == "f":
        values = values + 0.0  # -0.0 and 0.0 are one value
    counts = device.bincount(codes, len(values)).astype("int64")
    table = pd.DataFrame({"value": to_key_column(values), "count": counts})
    # The dictionary of a text column may list values that no row has.
    return Counts(table[counts > 0].reset_index(drop=True), int((codes < 0).sum()))


def merge_counts(a: Counts, b: Counts) -> Counts:
    """Add the counts of two partitions; the result is sorted by value."""
    both = pd.concat([a.table, b.table]).groupby("value", sort=True).sum().reset_index()
    return Counts(both, a.missing + b.missing)


def check_cardinality(summary: Summary, op: str, max_kept: int | None = None) -> None:
    """Refuse a column with more distinct values than an op may keep.

    Args:
        summary: names of columns, and their `Counts` under ``"of"``.
        max_kept: how many values the op keeps at most; None: all of them.

    Raises:
        DataError: names op and column.
    """
    for name, counts in zip(summary["names"], summary["of"], strict=True):
        distinct = len(counts.table)
        check_key_count(min(distinct, max_kept or distinct), op, name)


def rank_by_count(counts: Counts) -> pd.DataFrame:
    """Return the table with the most frequent value first; ties are sorted by value."""
    return counts.table.sort_values(["count", "value"], ascending=[False, True], ignore_index=True)


def append_defaults(per_value: np.ndarray, missing: float, unseen: float) -> np.ndarray:
    """Return float64 (k + 2): an array to index with the result of `Frames.find_positions`.

    Missing (-2) and unseen (-1) values are negative positions, which count from the end.
    """
    return np.concatenate([per_value.astype("float64"), [missing, unseen]])


def find_missing(series: Series, device: Frames) -> Array:
    """Return bool (n,): True where the column is missing, whatever its dtype."""
    if dtype_of(series) == "text":
        return device.to_codes(series)[0] < 0
    return device.to_arrays(series)[1]
