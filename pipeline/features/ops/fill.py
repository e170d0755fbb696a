"""fill: a value for what is missing."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field, field_validator

from pipeline.config import stored
from pipeline.device import Frame, Frames, Series, dtype_of
from pipeline.errors import ConfigError, shorten
from pipeline.features.op import Op, Rows, State, Summary, output_name, require_kinds
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.counts import Counts, count_values, rank_by_count
from pipeline.features.stats.counts import merge_counts as merged_counts
from pipeline.features.stats.missing import missing_rows
from pipeline.features.stats.moments import compute_moments, compute_quantiles, sample_values
from pipeline.features.stats.moments import merge_moments as merged_moments
from pipeline.features.stats.text_parsing import parse_datetime
from pipeline.schema import Column, Columns, Dtype, Schema

Scalar = bool | int | float | str
_LEARNT = ("median", "mean", "most_frequent")
_ZERO: Mapping[str, Scalar] = {"text": "", "bool": False, "float64": 0.0, "float32": 0.0}


class Values(SavedState):
    """What fills each column."""

    aligned: ClassVar[tuple[str, ...]] = ("names", "values")
    of_columns: ClassVar[bool] = True

    names: list[str]
    values: list[stored.Scalar]

    def mismatch(self, op: Any, schema: Schema) -> str:
        """Check the values' types against the columns'."""
        for name, value in zip(self.names, self.values, strict=True):
            dtype = schema[name].dtype
            wanted = {"text": str, "bool": bool, "datetime": int}.get(dtype, (int, float))
            if not isinstance(value, wanted) or (isinstance(value, bool) and dtype != "bool"):
                return f"{shorten(value)} cannot fill the column {name!r:.80}, which is {dtype}"
        return ""


class Fill(Op):
    """Replaces what is missing by the column's median, mean or most frequent value, or a constant.

    ``median`` (of the sample of rows that also gives quantiles: of all rows while they fit) and
    ``mean`` take numeric columns, look at finite values only and make float64 columns.
    ``most_frequent`` takes columns of any kind and keeps their type; the smallest of equally
    frequent values wins. Any other ``with`` is a constant of the column's type (an ISO date or
    time for datetimes); an integer column stays one if the constant is an integer, else it becomes
    float64. Infinite values are not missing and stay. A column without any training value
    is filled with 0, "", False or 1970-01-01.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> try_op("fill: {columns: [age], with: median, indicator: true}", {"age": [1, None, 4]})
           age  age__missing
        0  1.0         False
        1  2.5          True
        2  4.0         False
    """

    name: ClassVar[str] = "fill"
    columnwise: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Values

    columns: Columns
    with_: Annotated[
        Scalar, BeforeValidator(lambda v: v.isoformat() if isinstance(v, date) else v)
    ] = Field(alias="with")
    """``median``, ``mean``, ``most_frequent`` or a constant."""
    indicator: bool = False
    """Appends ``<column>__missing`` (bool): True where the value was missing."""
    as_: str | None = Field(None, alias="as")

    @field_validator("with_")
    @classmethod
    def _finite(cls, value: Scalar) -> Scalar:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("the constant must be a finite number")
        return value

    @property
    def requires_fit(self) -> bool:  # type: ignore[override]
        """A constant needs no look at the rows."""
        return self.with_ in _LEARNT

    @property
    def fit_on(self) -> Literal["train", "sample"]:  # type: ignore[override]
        """Medians are those of the sample."""
        return "sample" if self.with_ == "median" else "train"

    def reads(self, schema: Schema) -> list[str]:
        """The selected columns.

        Raises:
            ConfigError: the median or mean of other columns than numeric ones, or a constant of
                another type than a column.
        """
        names = self.columns.resolve(schema)
        if self.with_ in ("median", "mean"):
            fix = "fill these with most_frequent or a constant"
            return require_kinds(schema, names, {"numeric"}, f"fill with {self.with_}", fix)
        for name in names:
            if not self.requires_fit:
                self._constant(name, schema[name].dtype)
        return names

    def _constant(self, name: str, dtype: Dtype) -> Scalar:
        """The constant as it is stored in a column of this dtype; datetimes as µs."""
        value = self.with_
        found: Scalar | None = None
        if dtype == "datetime":
            found = parse_datetime(value) if isinstance(value, str) else None
        elif dtype == "text":
            found = value if isinstance(value, str) else None
        elif dtype == "bool":
            found = value if isinstance(value, bool) else None
        elif not isinstance(value, bool | str):
            found = value
        if found is None:
            raise ConfigError(
                f"fill: {shorten(value)} is no value for column {name!r}, which is {dtype}",
                fix="give a constant of the column's type, or one of: " + ", ".join(_LEARNT),
            )
        return found

    def _dtype(self, dtype: Dtype) -> Dtype:
        """The dtype of a filled column."""
        if self.with_ in ("median", "mean"):
            return "float64"
        if self.requires_fit or dtype not in ("int64", "int32"):
            return dtype
        bits = 63 if dtype == "int64" else 31
        whole = isinstance(self.with_, int) and -(2**bits) <= self.with_ < 2**bits
        return dtype if whole else "float64"

    def produces(self, schema: Schema) -> list[Column]:
        """A column each, and its indicator."""
        made = []
        for name in self.reads(schema):
            column, dtype = schema[name], self._dtype(schema[name].dtype)
            kind = column.kind if dtype == column.dtype else "numeric"
            made.append(Column(output_name(self.as_, name), dtype, kind))
            if self.indicator:
                made.append(Column(f"{name}__missing", "bool"))
        return made

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """The constants, where these are what fills."""
        if self.requires_fit:
            return {}
        names = self.reads(schema)
        return {"names": names, "values": [self._constant(n, schema[n].dtype) for n in names]}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Sampled values, moments or counts of each column."""
        step = {"median": sample_values, "mean": compute_moments, "most_frequent": count_values}[
            str(self.with_)
        ]
        names = list(frame.columns)
        dtypes = [dtype_of(frame[n]) for n in names]
        return {"names": names, "dtypes": dtypes, "of": [step(frame[n], rows) for n in names]}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Column by column."""
        step: Any = {
            "median": operator.add,
            "mean": merged_moments,
            "most_frequent": merged_counts,
        }[str(self.with_)]
        return {**a, "of": [step(x, y) for x, y in zip(a["of"], b["of"], strict=True)]}

    def finish(self, summary: Summary, state: State) -> State:
        """The value of each column."""
        if self.with_ == "median":
            values: list[Scalar] = [compute_quantiles(found, [0.5])[0] for found in summary["of"]]
        elif self.with_ == "mean":
            values = [found.mean for found in summary["of"]]
        else:
            pairs = zip(summary["of"], summary["dtypes"], strict=True)
            values = [_most_frequent(found, dtype) for found, dtype in pairs]
        return {"names": summary["names"], "values": values}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Fills each column."""
        device, made = rows.device, {}
        for name, value in zip(state["names"], state["values"], strict=True):
            dtype = self._dtype(dtype_of(frame[name]))
            made[output_name(self.as_, name)] = _filled(frame[name], value, dtype, device)
            if self.indicator:
                made[f"{name}__missing"] = device.make_series(
                    missing_rows(frame[name], device), "bool"
                )
        return device.make_frame(made)


def _most_frequent(found: Counts, dtype: Dtype) -> Scalar:
    table = rank_by_count(found)
    if table["value"].dtype.kind == "f":
        table = table[np.isfinite(table["value"].to_numpy())]
    values: list[Scalar] = table["value"].head(1).tolist()
    return values[0] if values else _ZERO.get(dtype, 0)


def _filled(series: Series, value: Scalar, dtype: Dtype, device: Frames) -> Series:
    xp = device.xp
    if dtype == "text":
        codes, words = device.to_codes(series)
        at = np.flatnonzero(words == value)
        if len(at) == 0:
            words, at = np.append(words, np.array([value], dtype=object)), np.array([len(words)])
        return device.make_text(xp.where(codes < 0, int(at[0]), codes).astype("int32"), words)
    if dtype == "float64":
        values = device.to_floats(series)
        missing = xp.isnan(values)
        filled = xp.where(missing, float(value), values) if bool(missing.any()) else values
        return device.make_series(filled, dtype)
    values, missing = device.to_arrays(series)
    return device.make_series(xp.where(missing, xp.asarray(value, values.dtype), values), dtype)
