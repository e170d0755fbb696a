"""categorify: values to codes, the most frequent value first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from pipeline.device import MISSING, Series
from pipeline.features.column_op import ColumnOp, CountingOp
from pipeline.features.op import Rows, State, Summary
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.counts import CountTables, check_cardinality, rank_by_count
from pipeline.features.stats.key_tables import to_key_values
from pipeline.schema import Dtype


class Categorify(CountingOp, ColumnOp):
    """Replace values by int32 codes: 1…k by falling frequency, and 0 for rare or unseen values.

    The op takes columns of any kind. Equally frequent values are ordered by value. Missing values
    stay missing. Columns with more than 5 million values are refused unless ``max_size`` limits how
    many are stored; even then all of them are counted in host memory.

    With row weights the frequency of a value is the sum of its rows' weights. Frequencies that
    differ by less than 1e-12 of all weights are equal.

    Example:
        - categorify: {columns: [city], min_count: 2}

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
    requires_fit: ClassVar[bool] = True
    output: ClassVar[Dtype] = "int32"
    state_model: ClassVar[type[SavedState]] = CountTables

    min_count: int = Field(1, ge=1)
    """Training rows that a value needs for a code of its own; with row weights, their weight. 1
    asks for nothing."""
    max_size: int | None = Field(None, ge=1)
    """Most values with a code of their own: the most frequent ones; null: all of them."""

    def max_kept(self) -> int | None:
        """Return ``max_size``."""
        return self.max_size

    def finish(self, summary: Summary, state: State) -> State:
        """Return the values of each column in the order of their codes, with their counts.

        Raises:
            DataError: a column has more than 5 million values and no ``max_size``.
        """
        # `merge` checks too, but does not run for a single partition.
        check_cardinality(summary, self.name, self.max_size)
        tables = []
        for counts in summary["of"]:
            table = rank_by_count(counts, self.min_count)
            table = table.head(self.max_size or len(table))
            tables.append(table.reset_index(drop=True))
        return {"names": summary["names"], "tables": tables}

    def transform_column(self, column: Series, fitted: Mapping[str, Any], rows: Rows) -> Series:
        """Look up the code of each value."""
        device, table = rows.device, fitted["tables"]
        at = device.find_positions(column, to_key_values(table["value"]), (table, "value"))
        codes = device.xp.where(at < 0, 0, at + 1)
        return device.make_series(codes, "int32", at == MISSING)
