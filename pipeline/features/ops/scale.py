"""scale: numbers to a common spread."""

from __future__ import annotations

import operator
import sys
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipeline.device import Frame
from pipeline.features.op import Op, Rows, State, Summary, output_name, require_kinds
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.moments import (
    Moments,
    Sample,
    compute_moments,
    compute_quantiles,
    merge_moments,
    sample_values,
)
from pipeline.schema import Column, Columns, Schema


class Spreads(SavedState):
    """Centre and spread of each column."""

    aligned: ClassVar[tuple[str, ...]] = ("names", "centres", "spreads")
    of_columns: ClassVar[bool] = True

    names: list[str]
    centres: list[float]
    spreads: list[Annotated[float, Field(gt=0)]]


class Scale(Op):
    """Subtracts a centre from numeric columns and divides by a spread, as float64.

    ``standard``: the mean and the standard deviation (divided by n). ``min_max``: the smallest
    value and the range, so that training values lie in [0, 1]; new ones may lie outside.
    ``robust``: the median and the distance of the quartiles, of the sample of rows (of all rows
    while they fit).
    Where the spread is 0 it is taken as 1: a constant column becomes 0.0. Missing stays missing.
    Infinite values enter no statistic and stay infinite.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> try_op("scale: {columns: [km], method: min_max}", {"km": [10, 20, 50, None]})
             km
        0  0.00
        1  0.25
        2  1.00
        3   NaN
    """

    name: ClassVar[str] = "scale"
    columnwise: ClassVar[bool] = True
    requires_fit: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Spreads

    columns: Columns
    method: Literal["standard", "min_max", "robust"] = "standard"
    as_: str | None = Field(None, alias="as")

    @property
    def fit_on(self) -> Literal["train", "sample"]:  # type: ignore[override]
        """Quantiles are those of the sample."""
        return "sample" if self.method == "robust" else "train"

    def reads(self, schema: Schema) -> list[str]:
        """The selected numeric columns."""
        return require_kinds(schema, self.columns.resolve(schema), {"numeric"}, self.name)

    def produces(self, schema: Schema) -> list[Column]:
        """A float64 column each."""
        return [Column(output_name(self.as_, n), "float64") for n in self.reads(schema)]

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Moments, or sampled values, of each column."""
        step: Any = sample_values if self.method == "robust" else compute_moments
        names = list(frame.columns)
        return {"names": names, "of": [step(frame[n], rows) for n in names]}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Column by column."""
        step: Any = operator.add if self.method == "robust" else merge_moments
        return {**a, "of": [step(x, y) for x, y in zip(a["of"], b["of"], strict=True)]}

    def finish(self, summary: Summary, state: State) -> State:
        """Centre and spread of each column."""
        found = [self._centre_and_spread(of) for of in summary["of"]]
        return {
            "names": summary["names"],
            "centres": [centre for centre, _ in found],
            "spreads": [min(spread, sys.float_info.max) or 1.0 for _, spread in found],
        }

    def _centre_and_spread(self, of: Moments | Sample) -> tuple[float, float]:
        if isinstance(of, Moments):
            return (of.mean, of.std) if self.method == "standard" else (of.low, of.high - of.low)
        low, middle, high = compute_quantiles(of, [0.25, 0.5, 0.75])
        return middle, high - low

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Scales each column."""
        device, made = rows.device, {}
        numbers = zip(state["names"], state["centres"], state["spreads"], strict=True)
        for name, centre, spread in numbers:
            values = (device.to_floats(frame[name]) - centre) / spread
            made[output_name(self.as_, name)] = device.make_series(values, "float64")
        return device.make_frame(made)
