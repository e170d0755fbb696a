"""count_encode: the number of training rows with a row's value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from pipeline.config.stored import Count, Positive
from pipeline.device import Series
from pipeline.features.column_op import ColumnOp, CountingOp
from pipeline.features.op import Rows, State, Summary
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.counts import CountTables, append_defaults, check_cardinality
from pipeline.features.stats.key_tables import to_key_values


class CountTablesWithMissing(CountTables):
    """State of count_encode: counts per value, of missing values, and of all rows per column."""

    column_lists: ClassVar[tuple[str, ...]] = ("names", "tables", "missing", "rows")

    missing: list[Count | Positive]
    rows: list[Count | Positive]


class CountEncode(CountingOp, ColumnOp):
    """Replace values by the number of training rows that have them, as float64.

    The op takes columns of any kind. Missing counts as a value of its own; an unseen value is 0.
    With row weights a count is the sum of the weights of the rows, so it has the weights' unit;
    ``normalize`` removes it.

    Example:
        - count_encode: {columns: [city], as: "{column}_n"}

        >>> from pipeline.features.try_op import try_op
        >>> try_op('count_encode: {columns: [city], as: "{column}_n"}',
        ...        {"city": ["Rome", "Oslo", "Rome", None]},
        ...        new={"city": ["Rome", "Bern", None]})
           city_n
        0     2.0
        1     0.0
        2     1.0
    """

    name: ClassVar[str] = "count_encode"
    requires_fit: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = CountTablesWithMissing

    normalize: bool = False
    """Return shares of all training rows instead of counts."""

    def finish(self, summary: Summary, state: State) -> State:
        """Return the counts of each column, sorted by value.

        Raises:
            DataError: a column has more than 5 million values.
        """
        # `merge` checks too, but does not run for a single partition.
        check_cardinality(summary, self.name)
        columns = summary["of"]
        return {
            "names": summary["names"],
            "tables": [c.table.sort_values("value", ignore_index=True) for c in columns],
            "missing": [c.missing for c in columns],
            "rows": [c.rows for c in columns],
        }

    def transform_column(self, column: Series, fitted: Mapping[str, Any], rows: Rows) -> Series:
        """Look up the count of each value."""
        device, table = rows.device, fitted["tables"]

        def encode() -> np.ndarray:
            counts = append_defaults(table["count"].to_numpy(), fitted["missing"], 0)
            return counts / ((fitted["rows"] or 1) if self.normalize else 1)

        at = device.find_positions(column, to_key_values(table["value"]), (table, "value"))
        return device.make_series(device.cache_array(table, "encoded", encode)[at], "float64")
