"""count_encode: how many training rows have a row's value."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.config.stored import Count
from pipeline.device import Frame
from pipeline.features.op import Op, Rows, State, Summary, output_name
from pipeline.features.saved_state import Expected, SavedState, TableName
from pipeline.features.stats.counts import (
    append_defaults,
    check_cardinality,
    count_columns,
    describe_count_table,
    merge_column_counts,
)
from pipeline.features.stats.key_tables import to_key_values
from pipeline.schema import Column, Columns, Schema


class Tables(SavedState):
    """The counts of each column's values, and of its missing ones, of so many rows."""

    aligned: ClassVar[tuple[str, ...]] = ("names", "tables", "missing", "rows")
    of_columns: ClassVar[bool] = True

    names: list[str]
    tables: list[TableName]
    missing: list[Count]
    rows: list[Count]

    def tables_expected(self, op: Any, schema: Schema) -> list[Expected]:
        """Describe a table of values and counts per column."""
        return [describe_count_table(schema[name].dtype) for name in self.names]


class CountEncode(Op):
    """Replaces values by the number of training rows that have them, as float64.

    With ``normalize``, by their share of all training rows. Missing counts as a value of its own;
    an unseen value is 0. Columns of any kind.

    Example:
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
    columnwise: ClassVar[bool] = True
    requires_fit: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Tables

    columns: Columns
    normalize: bool = False
    as_: str | None = Field(None, alias="as")

    def reads(self, schema: Schema) -> list[str]:
        """The selected columns."""
        return self.columns.resolve(schema)

    def produces(self, schema: Schema) -> list[Column]:
        """A float64 column each."""
        return [Column(output_name(self.as_, n), "float64") for n in self.reads(schema)]

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Counts per value."""
        return count_columns(frame, rows)

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Counts of both partitions' rows.

        Raises:
            DataError: a column has more than 5 million values.
        """
        both = merge_column_counts(a, b)
        check_cardinality(both, self.name)
        return both

    def finish(self, summary: Summary, state: State) -> State:
        """The counts of each column, sorted by value.

        Raises:
            DataError: a column has more than 5 million values.
        """
        check_cardinality(summary, self.name)
        tables = [of.table.sort_values("value", ignore_index=True) for of in summary["of"]]
        return {
            "names": summary["names"],
            "tables": tables,
            "missing": [of.missing for of in summary["of"]],
            "rows": [of.rows for of in summary["of"]],
        }

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Looks each value's count up."""
        device, made = rows.device, {}
        columns = zip(state["names"], state["tables"], state["missing"], state["rows"], strict=True)
        for name, table, missing, total in columns:
            at = device.find_positions(frame[name], to_key_values(table["value"]), (table, "value"))
            encoded = device.cache_array(
                table, "encoded", partial(self._encoded, table, missing, total)
            )
            made[output_name(self.as_, name)] = device.make_series(encoded[at], "float64")
        return device.make_frame(made)

    def _encoded(self, table: pd.DataFrame, missing: int, total: int) -> np.ndarray:
        """float64: the count, or share, of each value; last those of missing and unseen ones."""
        counted = append_defaults(table["count"].to_numpy(), missing, 0)
        return counted / (max(total, 1) if self.normalize else 1)
