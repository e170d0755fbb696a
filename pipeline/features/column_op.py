"""Bases of ops that treat each selected column alone; most ops are one of them.

ColumnwiseOp   any outputs per column (dates, one_hot, target_encode)
ColumnOp       one output per column: replaces it, or is named by ``as`` (clip, scale, hash, …)
CountingOp     fitted on the number of training rows per value (categorify, count_encode, …)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from pipeline.device import Frame, Series
from pipeline.features.op import Op, Rows, State, Summary, output_name, require_kinds
from pipeline.features.stats.counts import Counts, check_cardinality, count_values, merge_counts
from pipeline.schema import Column, Columns, Dtype, Kind, Schema

ANY_KIND: frozenset[Kind] = frozenset({"numeric", "category", "bool", "text", "datetime"})


class ColumnwiseOp(Op):
    """Base of ops with independent columns; summaries are lists with an item per column."""

    columnwise: ClassVar[bool] = True
    kinds: ClassVar[frozenset[Kind]] = ANY_KIND
    """Kinds of columns that the op takes."""
    kinds_fix: ClassVar[str] = ""
    """Advice in the message about a column of another kind; empty: a general one."""

    columns: Columns
    """Columns that the op is applied to."""

    def reads(self, schema: Schema) -> list[str]:
        """Return the selected columns.

        Raises:
            ConfigError: one is of a kind that the op does not take.
        """
        names = self.columns.resolve(schema)
        return require_kinds(schema, names, self.kinds, self.name, self.kinds_fix)

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Summarise every column of one partition."""
        names = list(frame.columns)
        return {"names": names, "of": [self.summarise_column(frame[n], rows) for n in names]}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Merge the summaries column by column."""
        # Every partition lists the same columns in the same order.
        pairs = zip(a["of"], b["of"], strict=True)
        return {**a, "of": [self.merge_column(x, y) for x, y in pairs]}

    def summarise_column(self, column: Series, rows: Rows) -> Any:
        """Summarise one column of one partition; `finish` finds the results under ``"of"``."""
        raise NotImplementedError

    def merge_column(self, a: Any, b: Any) -> Any:
        """Merge two summaries of one column."""
        raise NotImplementedError


class ColumnOp(ColumnwiseOp):
    """Base of ops that return one column per selected column."""

    output: ClassVar[Dtype] = "float64"
    """Storage dtype of the results."""
    output_kind: ClassVar[Kind | None] = None
    """Kind of the results; None: the usual one of the dtype."""

    as_: str | None = Field(None, alias="as")
    """Names of the results, with ``{column}`` for the column's name; null: replace the columns."""

    @model_serializer(mode="wrap")
    def _put_as_last(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Plans and records list ``as`` after the op's own parameters, where people write it.
        entry: dict[str, Any] = handler(self)
        return dict(sorted(entry.items(), key=lambda item: item[0] in ("as", "as_")))

    def produces(self, schema: Schema) -> list[Column]:
        """Return one column per selected column."""
        names = (output_name(self.as_, name) for name in self.reads(schema))
        if self.output_kind is None:
            return [Column(name, self.output) for name in names]
        return [Column(name, self.output, self.output_kind) for name in names]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Transform every column."""
        # The state's lists follow the order of `reads`, which is the order of the frame.
        return rows.device.make_frame(
            {
                output_name(self.as_, name): self.transform_column(
                    frame[name],
                    {key: values[i] for key, values in state.items() if key != "names"},
                    rows,
                )
                for i, name in enumerate(frame.columns)
            }
        )

    def transform_column(self, column: Series, fitted: Mapping[str, Any], rows: Rows) -> Series:
        """Transform one column; ``fitted`` holds its item of each list in the state."""
        raise NotImplementedError


class CountingOp(ColumnwiseOp):
    """Base of ops that are fitted on the number of training rows per value."""

    def max_kept(self) -> int | None:
        """Return how many values of a column the state keeps at most; None: all of them."""
        return None

    def summarise_column(self, column: Series, rows: Rows) -> Counts:
        """Count the rows per value."""
        return count_values(column, rows)

    def merge_column(self, a: Counts, b: Counts) -> Counts:
        """Add the counts."""
        return merge_counts(a, b)

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Merge the counts of both partitions.

        Raises:
            DataError: a column has more than 5 million values, and the op keeps all of them.
        """
        merged = super().merge(a, b)
        check_cardinality(merged, self.name, self.max_kept())
        return merged
