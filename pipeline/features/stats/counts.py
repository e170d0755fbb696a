"""Rows per value of a column, and its missing rows: counted per partition, then added up.

Counts are exact and keyed by value, so that partitions may hold different values. With row weights
a count is the sum of the weights of the rows: a weight of 2 counts as two rows, one of 0 as none.
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

RESOLUTION = 2.0**-40
"""Smallest difference of two weights that ranks them, as a share of all weights of a column.

Sums of weights have rounding errors, which depend on the partitions. They are far smaller, so the
same values are equally frequent on every layout.
"""


class Counts(NamedTuple):
    """Rows per value, and missing rows; or their weights."""

    table: pd.DataFrame
    """Host frame with a row per value: ``value`` (str, int64, float64, bool; datetimes as int64 µs)
    and ``count`` (int64, at least 1; with weights float64, above 0)."""
    missing: float
    """Missing rows (int), or their weight."""

    @property
    def rows(self) -> float:
        """Number of all rows (int), or their weight, including missing ones."""
        present: float = self.table["count"].to_numpy().sum().item()
        return present + self.missing


class CountTables(SavedState):
    """State of an op with a table of values and counts per column."""

    column_lists: ClassVar[tuple[str, ...]] = ("names", "tables")

    names: list[str]
    tables: list[TableName]

    def describe_tables(self, op: Any, schema: Schema) -> list[ExpectedTable]:
        """Describe a table of values and counts per column."""
        return [
            ExpectedTable({"value": key_content(schema[n].dtype), "count": "number"}, ("value",))
            for n in self.names
        ]


def count_values(series: Series, rows: Rows) -> Counts:
    """Count the rows per value of one partition's column, or add up their weights."""
    device, weight = rows.device, rows.weight
    codes, values = device.to_codes(series)
    if values.dtype.kind == "f":
        values = values + 0.0  # -0.0 and 0.0 are one value
    counts = device.bincount(codes, len(values), weight)
    counts = counts.astype("int64" if weight is None else "float64")
    missing = int((codes < 0).sum()) if weight is None else float(weight[codes < 0].sum())
    table = pd.DataFrame({"value": to_key_column(values), "count": counts})
    # The dictionary of a text column may list values that no row has.
    return Counts(table[counts > 0].reset_index(drop=True), missing)


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


def rank_by_count(counts: Counts, at_least: int = 1) -> pd.DataFrame:
    """Return the values with a count of ``at_least``, the most frequent first; ties by value.

    The default of 1 keeps all values, even if they weigh less.
    """
    table, unit = counts.table, 1.0
    rank = table["count"]
    if rank.dtype.kind == "f":
        unit = counts.rows * RESOLUTION or 1.0
        rank = (rank / unit).round()
    keys = pd.DataFrame({"rank": rank, "value": table["value"]})
    if at_least > 1:
        keys = keys[keys["rank"] >= round(at_least / unit)]
    order = keys.sort_values(["rank", "value"], ascending=[False, True]).index
    return table.loc[order].reset_index(drop=True)


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
