"""categorify: values to codes, the most frequent first."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from pipeline.device import MISSING, Frame
from pipeline.features.op import Op, Rows, State, Summary, output_name
from pipeline.features.saved_state import Expected, SavedState, TableName
from pipeline.features.stats.counts import (
    check_cardinality,
    count_columns,
    describe_count_table,
    merge_column_counts,
    rank_by_count,
)
from pipeline.features.stats.key_tables import to_key_values
from pipeline.schema import Column, Columns, Schema


class Tables(SavedState):
    """The values of each column in the order of their codes, with their counts."""

    aligned: ClassVar[tuple[str, ...]] = ("names", "tables")
    of_columns: ClassVar[bool] = True

    names: list[str]
    tables: list[TableName]

    def tables_expected(self, op: Any, schema: Schema) -> list[Expected]:
        """Describe a table of values and counts per column."""
        return [describe_count_table(schema[name].dtype) for name in self.names]


class Categorify(Op):
    """Replaces values by int32 codes: 1…k by frequency, 0 for rare or unseen; missing stays so.

    Columns of any kind. Equally frequent values are ordered by value. A value is rare if fewer than
    ``min_count`` training rows have it, or if it is not among the ``max_size`` most frequent.
    Columns of more than 5 million values are refused unless ``max_size`` bounds what is kept: then
    all of them are counted, in host memory.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> try_op("categorify: {columns: [city], min_count: 2}",
        ...        {"city": ["Rome", "Oslo", "Rome", "Bern", "Oslo", "Rome"]},
        ...        new={"city": ["Rome", "Oslo", "Bern", "Paris", None]})
           city
        0     1
        1     2
        2     0
        3     0
        4  <NA>
    """

    name: ClassVar[str] = "categorify"
    columnwise: ClassVar[bool] = True
    requires_fit: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Tables

    columns: Columns
    min_count: int = Field(1, ge=1)
    max_size: int | None = Field(None, ge=1)
    as_: str | None = Field(None, alias="as")

    def reads(self, schema: Schema) -> list[str]:
        """The selected columns."""
        return self.columns.resolve(schema)

    def produces(self, schema: Schema) -> list[Column]:
        """A category column each."""
        return [Column(output_name(self.as_, n), "int32") for n in self.reads(schema)]

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Counts per value."""
        return count_columns(frame, rows)

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Counts of both partitions' rows.

        Raises:
            DataError: a column has more than 5 million values and no ``max_size``.
        """
        both = merge_column_counts(a, b)
        check_cardinality(both, self.name, self.max_size)
        return both

    def finish(self, summary: Summary, state: State) -> State:
        """The values of each column in the order of their codes, with their counts.

        Raises:
            DataError: a column has more than 5 million values and no ``max_size``.
        """
        check_cardinality(summary, self.name, self.max_size)
        tables = [rank_by_count(found) for found in summary["of"]]
        kept = [t[t["count"] >= self.min_count].head(self.max_size or len(t)) for t in tables]
        return {"names": summary["names"], "tables": [t.reset_index(drop=True) for t in kept]}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Looks each value up."""
        device, made = rows.device, {}
        for name, table in zip(state["names"], state["tables"], strict=True):
            at = device.find_positions(frame[name], to_key_values(table["value"]), (table, "value"))
            codes = device.xp.where(at < 0, 0, at + 1)
            made[output_name(self.as_, name)] = device.make_series(codes, "int32", at == MISSING)
        return device.make_frame(made)
