"""bucket: numbers to the numbers of intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from pipeline.device import Series
from pipeline.features.column_op import ColumnOp
from pipeline.features.op import Rows, State, Summary
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.moments import Sample, compute_quantiles, sample_values
from pipeline.schema import Dtype, Kind, Schema


class Edges(SavedState):
    """State of bucket: rising edges per column."""

    column_lists: ClassVar[tuple[str, ...]] = ("names", "edges")

    names: list[str]
    edges: list[list[float]]

    def find_mismatch(self, op: Any, schema: Schema) -> str:
        """Check that the edges rise."""
        rise = all((np.diff(np.array(edges, dtype="float64")) > 0).all() for edges in self.edges)
        return "" if rise else "edges must rise"


class Bucket(ColumnOp):
    """Replace numbers by the number of the interval that they lie in: 0, 1, … as int32.

    Bucket i holds the values with ``edges[i-1] <= x < edges[i]``; the first and the last bucket are
    open. Edges and values are compared as float32. The result is ordinal, so the column is numeric.
    Infinite values go to the outer buckets, and missing values stay missing.

    Example:
        - bucket: {columns: [age], edges: [18, 65]}

        >>> from pipeline.features.try_op import try_op
        >>> try_op("bucket: {columns: [age], edges: [18, 65]}", {"age": [17.9, 18, 70, None]})
            age
        0     0
        1     1
        2     2
        3  <NA>
    """

    name: ClassVar[str] = "bucket"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"numeric"})
    output: ClassVar[Dtype] = "int32"
    output_kind: ClassVar[Kind | None] = "numeric"
    fit_on: ClassVar[Literal["train", "sample", "all"]] = "sample"
    state_model: ClassVar[type[SavedState]] = Edges

    edges: tuple[float, ...] | None = Field(None, min_length=1)
    """Rising edges between the buckets; give these or ``quantiles``."""
    quantiles: int | None = Field(None, ge=2, le=10_000)
    """Number of buckets with edges at quantiles of the sample of training rows (4: quartiles).
    Equal edges count once, so there may be fewer buckets. With row weights the buckets hold about
    equal weights."""

    @field_validator("edges")
    @classmethod
    def _check_edges(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is None:
            return value
        if not all(math.isfinite(e) and abs(e) <= np.finfo("float32").max for e in value):
            raise ValueError("edges must be finite numbers of float32's range")
        if not (np.diff(np.array(value, dtype="float32")) > 0).all():
            raise ValueError("edges must rise, also as float32")
        return value

    @model_validator(mode="after")
    def _check_source(self) -> Bucket:
        if (self.edges is None) == (self.quantiles is None):
            raise ValueError("give edges or quantiles, and not both")
        return self

    @property
    def requires_fit(self) -> bool:  # type: ignore[override]  # a constant of most ops
        """False if the edges are given."""
        return self.edges is None

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Return the given edges."""
        if self.edges is None:
            return {}
        names = self.reads(schema)
        return {"names": names, "edges": [_round_edges(list(self.edges)) for _ in names]}

    def summarise_column(self, column: Series, rows: Rows) -> Sample:
        """Return the sampled values."""
        return sample_values(column, rows)

    def merge_column(self, a: Sample, b: Sample) -> Sample:
        """Join the samples."""
        return a + b

    def finish(self, summary: Summary, state: State) -> State:
        """Compute the edges of each column; none if no row has a value."""
        n = self.quantiles or 1
        shares = [i / n for i in range(1, n)]
        edges = [
            _round_edges(compute_quantiles(sample, shares)) if sum(map(np.size, sample)) else []
            for sample in summary["of"]
        ]
        return {"names": summary["names"], "edges": edges}

    def transform_column(self, column: Series, fitted: Mapping[str, Any], rows: Rows) -> Series:
        """Find the bucket of each value."""
        device, xp = rows.device, rows.device.xp
        values = device.to_floats(column)
        missing = xp.isnan(values)
        with np.errstate(over="ignore"):  # values beyond float32 become infinite: outer buckets
            values = xp.where(missing, 0.0, values).astype("float32")
        edges = device.to_device(np.array(fitted["edges"], dtype="float32"))
        buckets = xp.searchsorted(edges, values, side="right")
        return device.make_series(buckets.astype("int32"), "int32", missing)


def _round_edges(edges: list[float]) -> list[float]:
    """Return the edges as float32, equal ones once, as JSON's floats."""
    limit = float(np.finfo("float32").max)
    rounded = np.clip(np.array(edges, dtype="float64"), -limit, limit).astype("float32")
    return [float(e) for e in np.unique(rounded)]
