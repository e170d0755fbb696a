"""scale: numbers to a common spread."""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipeline.device import Series
from pipeline.features.column_op import ColumnOp
from pipeline.features.op import Rows, State, Summary
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.moments import (
    Moments,
    Sample,
    compute_moments,
    compute_quantiles,
    merge_moments,
    sample_values,
)
from pipeline.schema import Kind


class Spreads(SavedState):
    """State of scale: centre and spread per column."""

    column_lists: ClassVar[tuple[str, ...]] = ("names", "centres", "spreads")

    names: list[str]
    centres: list[float]
    spreads: list[Annotated[float, Field(gt=0)]]


class Scale(ColumnOp):
    """Subtract a centre from numeric columns and divide them by a spread, as float64.

    A spread of 0 is taken as 1: a constant column becomes 0.0. Missing values stay missing.
    Infinite values do not affect the statistics and stay infinite. New values may lie outside the
    range of training values. With row weights mean, standard deviation, median and quartiles are
    weighted; smallest value and range are not (`pipeline.device.weighted_quantiles` has the formula
    of quantiles).

    Example:
        - scale: {columns: [km], method: min_max}

        >>> from pipeline.features.try_op import try_op
        >>> try_op("scale: {columns: [km], method: min_max}", {"km": [10, 20, 50, None]})
             km
        0  0.00
        1  0.25
        2  1.00
        3   NaN
    """

    name: ClassVar[str] = "scale"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"numeric"})
    requires_fit: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Spreads

    method: Literal["standard", "min_max", "robust"] = "standard"
    """Centre and spread. ``standard``: mean and standard deviation (divided by n). ``min_max``:
    smallest value and range. ``robust``: median and interquartile range of the sample of rows."""

    @property
    def fit_on(self) -> Literal["train", "sample"]:  # type: ignore[override]
        """``sample`` for quantiles, else ``train``."""
        return "sample" if self.method == "robust" else "train"

    def summarise_column(self, column: Series, rows: Rows) -> Moments | Sample:
        """Return the moments, or the sampled values."""
        return (sample_values if self.method == "robust" else compute_moments)(column, rows)

    def merge_column(self, a: Any, b: Any) -> Moments | Sample:
        """Merge the moments, or join the samples."""
        return (operator.add if self.method == "robust" else merge_moments)(a, b)

    def finish(self, summary: Summary, state: State) -> State:
        """Compute centre and spread of each column."""
        centres, spreads = [], []
        for column in summary["of"]:
            if self.method == "robust":
                low, centre, high = compute_quantiles(column, [0.25, 0.5, 0.75])
                spread = high - low
            elif self.method == "standard":
                centre, spread = column.mean, column.std
            else:
                centre, spread = column.low, column.high - column.low
            centres.append(centre)
            # The range of huge numbers may overflow to infinity.
            spreads.append(min(spread, sys.float_info.max) or 1.0)
        return {"names": summary["names"], "centres": centres, "spreads": spreads}

    def transform_column(self, column: Series, fitted: Mapping[str, Any], rows: Rows) -> Series:
        """Scale the values."""
        scaled = (rows.device.to_floats(column) - fitted["centres"]) / fitted["spreads"]
        return rows.device.make_series(scaled, "float64")
