"""bucket: numbers to the numbers of intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator, model_validator

from pipeline.device import Array, Frame
from pipeline.features.op import Op, Rows, State, Summary, output_name, require_kinds
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.moments import compute_quantiles, sample_values
from pipeline.schema import Column, Columns, Schema


class Edges(SavedState):
    """The edges of each column's buckets, rising."""

    aligned: ClassVar[tuple[str, ...]] = ("names", "edges")
    of_columns: ClassVar[bool] = True

    names: list[str]
    edges: list[list[float]]

    def mismatch(self, op: Any, schema: Schema) -> str:
        """Check that the edges rise."""
        rise = all((np.diff(np.array(own, dtype="float64")) > 0).all() for own in self.edges)
        return "" if rise else "edges must rise"


class Bucket(Op):
    """Replaces numbers by the interval they lie in: 0, 1, … as int32; missing stays missing.

    Bucket i holds the values with ``edges[i-1] <= x < edges[i]``; the first and the last bucket are
    open. Edges are given, or are ``quantiles`` (4: the quartiles) of the sample of training rows,
    equal ones once, so that there may be fewer buckets. Edges and values are compared as float32.
    The numbers are ordinal, so the column is numeric; infinite values go to the outer buckets.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> try_op("bucket: {columns: [age], edges: [18, 65]}", {"age": [17.9, 18, 70, None]})
            age
        0     0
        1     1
        2     2
        3  <NA>
    """

    name: ClassVar[str] = "bucket"
    columnwise: ClassVar[bool] = True
    fit_on: ClassVar[Literal["train", "sample", "all"]] = "sample"
    state_model: ClassVar[type[SavedState]] = Edges

    columns: Columns
    edges: tuple[float, ...] | None = Field(None, min_length=1)
    quantiles: int | None = Field(None, ge=2, le=10_000)
    as_: str | None = Field(None, alias="as")

    @field_validator("edges")
    @classmethod
    def _rising(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is None:
            return value
        if not all(math.isfinite(e) and abs(e) <= np.finfo("float32").max for e in value):
            raise ValueError("edges must be finite numbers of float32's range")
        if not (np.diff(np.array(value, dtype="float32")) > 0).all():
            raise ValueError("edges must rise, also as float32")
        return value

    @model_validator(mode="after")
    def _one_of(self) -> Bucket:
        if (self.edges is None) == (self.quantiles is None):
            raise ValueError("give edges or quantiles, and not both")
        return self

    @property
    def requires_fit(self) -> bool:  # type: ignore[override]
        """Given edges need no look at the rows."""
        return self.edges is None

    def reads(self, schema: Schema) -> list[str]:
        """The selected numeric columns."""
        return require_kinds(schema, self.columns.resolve(schema), {"numeric"}, self.name)

    def produces(self, schema: Schema) -> list[Column]:
        """An int32 numeric column each."""
        return [Column(output_name(self.as_, n), "int32", "numeric") for n in self.reads(schema)]

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """The given edges."""
        if self.edges is None:
            return {}
        names = self.reads(schema)
        return {"names": names, "edges": [_distinct(list(self.edges)) for _ in names]}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Sampled values of each column."""
        names = list(frame.columns)
        return {"names": names, "of": [sample_values(frame[n], rows) for n in names]}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Samples of both partitions."""
        return {**a, "of": [x + y for x, y in zip(a["of"], b["of"], strict=True)]}

    def finish(self, summary: Summary, state: State) -> State:
        """The edges of each column; none where no row has a value."""
        parts = self.quantiles or 1
        shares = [i / parts for i in range(1, parts)]
        found = [
            _distinct(compute_quantiles(of, shares)) if any(map(len, of)) else []
            for of in summary["of"]
        ]
        return {"names": summary["names"], "edges": found}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Finds each value's bucket."""
        device, xp, made = rows.device, rows.device.xp, {}
        for name, edges in zip(state["names"], state["edges"], strict=True):
            values = device.to_floats(frame[name])
            missing = xp.isnan(values)
            found = xp.searchsorted(
                device.to_device(np.array(edges, dtype="float32")),
                _float32(xp.where(missing, 0.0, values)),
                side="right",
            )
            made[output_name(self.as_, name)] = device.make_series(
                found.astype("int32"), "int32", missing
            )
        return device.make_frame(made)


def _float32(values: Array) -> Array:
    with np.errstate(over="ignore"):  # beyond float32 is infinite: an outer bucket
        return values.astype("float32")


def _distinct(edges: list[float]) -> list[float]:
    """The edges as float32, equal ones once, in JSON's floats."""
    limit = float(np.finfo("float32").max)
    rounded = np.clip(np.array(edges, dtype="float64"), -limit, limit).astype("float32")
    return [float(e) for e in np.unique(rounded)]
