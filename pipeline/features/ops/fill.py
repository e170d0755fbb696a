"""fill: a value in place of missing ones."""

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
from pipeline.features.column_op import ColumnOp
from pipeline.features.op import Rows, State, Summary, output_name, require_kinds
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.counts import (
    count_values,
    find_missing,
    merge_counts,
    rank_by_count,
)
from pipeline.features.stats.moments import (
    compute_moments,
    compute_quantiles,
    merge_moments,
    sample_values,
)
from pipeline.features.stats.text_parsing import parse_datetime
from pipeline.schema import Column, Dtype, Schema

Scalar = bool | int | float | str
_LEARNT = ("median", "mean", "most_frequent")
_ZERO: Mapping[str, Scalar] = {"text": "", "bool": False, "float64": 0.0, "float32": 0.0}
_SUMMARISE = {
    "median": sample_values,
    "mean": compute_moments,
    "most_frequent": count_values,
}
_MERGE: Mapping[str, Any] = {
    "median": operator.add,
    "mean": merge_moments,
    "most_frequent": merge_counts,
}


class Values(SavedState):
    """State of fill: the value that replaces missing ones, per column."""

    column_lists: ClassVar[tuple[str, ...]] = ("names", "values")

    names: list[str]
    values: list[stored.Scalar]

    def find_mismatch(self, op: Any, schema: Schema) -> str:
        """Check the values' types against the columns'."""
        for name, value in zip(self.names, self.values, strict=True):
            dtype = schema[name].dtype
            wanted = {"text": str, "bool": bool, "datetime": int}.get(dtype, (int, float))
            if not isinstance(value, wanted) or (isinstance(value, bool) and dtype != "bool"):
                return f"{shorten(value)} cannot fill the column {name!r:.80}, which is {dtype}"
        return ""


class Fill(ColumnOp):
    """Replace missing values by the column's median, mean or most frequent value, or a constant.

    ``median`` and ``mean`` take numeric columns, use finite values only and return float64.
    ``most_frequent`` takes columns of any kind and keeps their type; the smallest of equally
    frequent values wins. A constant must have the column's type (an ISO date or time for
    datetimes). An integer column stays integer if the constant is an integer, else it becomes
    float64.

    With row weights the median and the mean are weighted (`pipeline.device.weighted_quantiles` has
    the formula), and a value is as frequent as its rows weigh.

    Infinite values are not missing and stay. A column without any training value is filled with 0,
    "", False or 1970-01-01.

    Example:
        - fill: {columns: [age], with: median, indicator: true}

        >>> from pipeline.features.try_op import try_op
        >>> try_op("fill: {columns: [age], with: median, indicator: true}", {"age": [1, None, 4]})
           age  age__missing
        0  1.0         False
        1  2.5          True
        2  4.0         False
    """

    name: ClassVar[str] = "fill"
    state_model: ClassVar[type[SavedState]] = Values

    with_: Annotated[
        Scalar, BeforeValidator(lambda v: v.isoformat() if isinstance(v, date) else v)
    ] = Field(alias="with")
    """``median`` (of the sample of rows), ``mean``, ``most_frequent`` or a constant."""
    indicator: bool = False
    """Append ``<column>__missing`` (bool): True where the value was missing."""

    @field_validator("with_")
    @classmethod
    def _check_finite(cls, value: Scalar) -> Scalar:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("the constant must be a finite number")
        return value

    @property
    def requires_fit(self) -> bool:  # type: ignore[override]  # a constant of most ops
        """False for a constant."""
        return self.with_ in _LEARNT

    @property
    def fit_on(self) -> Literal["train", "sample"]:  # type: ignore[override]
        """``sample`` for medians, else ``train``."""
        return "sample" if self.with_ == "median" else "train"

    def reads(self, schema: Schema) -> list[str]:
        """Return the selected columns.

        Raises:
            ConfigError: a column without median or mean, or a constant of another type than a
                column.
        """
        names = self.columns.resolve(schema)
        if self.with_ in ("median", "mean"):
            fix = "fill these with most_frequent or a constant"
            return require_kinds(schema, names, {"numeric"}, f"fill with {self.with_}", fix)
        if not self.requires_fit:
            for name in names:
                self._constant(name, schema[name].dtype)
        return names

    def _constant(self, name: str, dtype: Dtype) -> Scalar:
        """Return the constant as it is stored in a column of this dtype; datetimes as µs."""
        value = self.with_
        constant: Scalar | None = None
        if dtype == "datetime":
            constant = parse_datetime(value) if isinstance(value, str) else None
        elif dtype == "text":
            constant = value if isinstance(value, str) else None
        elif dtype == "bool":
            constant = value if isinstance(value, bool) else None
        elif not isinstance(value, bool | str):
            constant = value
        if constant is None:
            raise ConfigError(
                f"fill: {shorten(value)} does not fit column {name!r}, which is {dtype}",
                fix="give a constant of the column's type, or one of: " + ", ".join(_LEARNT),
            )
        return constant

    def _output_dtype(self, dtype: Dtype) -> Dtype:
        if self.with_ in ("median", "mean"):
            return "float64"
        if self.requires_fit or dtype not in ("int64", "int32"):
            return dtype
        bits = 63 if dtype == "int64" else 31
        fits = isinstance(self.with_, int) and -(2**bits) <= self.with_ < 2**bits
        return dtype if fits else "float64"

    def produces(self, schema: Schema) -> list[Column]:
        """Return a filled column each, and its indicator."""
        columns = []
        for name in self.reads(schema):
            column, dtype = schema[name], self._output_dtype(schema[name].dtype)
            kind = column.kind if dtype == column.dtype else "numeric"
            columns.append(Column(output_name(self.as_, name), dtype, kind))
            if self.indicator:
                columns.append(Column(f"{name}__missing", "bool"))
        return columns

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Return the constants, if these fill the columns."""
        if self.requires_fit:
            return {}
        names = self.reads(schema)
        return {"names": names, "values": [self._constant(n, schema[n].dtype) for n in names]}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Summarise every column, and add their dtypes for `finish`."""
        dtypes = [dtype_of(frame[n]) for n in frame.columns]
        return {**super().summarise(frame, rows, state), "dtypes": dtypes}

    def summarise_column(self, column: Series, rows: Rows) -> Any:
        """Return sampled values, moments or counts."""
        return _SUMMARISE[str(self.with_)](column, rows)

    def merge_column(self, a: Any, b: Any) -> Any:
        """Merge samples, moments or counts."""
        return _MERGE[str(self.with_)](a, b)

    def finish(self, summary: Summary, state: State) -> State:
        """Return the value that fills each column."""
        columns = summary["of"]
        if self.with_ == "median":
            values: list[Scalar] = [compute_quantiles(sample, [0.5])[0] for sample in columns]
        elif self.with_ == "mean":
            values = [moments.mean for moments in columns]
        else:
            values = []
            for counts, dtype in zip(columns, summary["dtypes"], strict=True):
                table = rank_by_count(counts)
                if table["value"].dtype.kind == "f":  # infinity cannot be stored as JSON
                    table = table[np.isfinite(table["value"].to_numpy())]
                values += table["value"].head(1).tolist() or [_ZERO.get(dtype, 0)]
        return {"names": summary["names"], "values": values}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Fill each column."""
        device, columns = rows.device, {}
        for name, value in zip(state["names"], state["values"], strict=True):
            series = frame[name]
            dtype = self._output_dtype(dtype_of(series))
            columns[output_name(self.as_, name)] = _fill_series(series, value, dtype, device)
            if self.indicator:
                missing = find_missing(series, device)
                columns[f"{name}__missing"] = device.make_series(missing, "bool")
        return device.make_frame(columns)


def _fill_series(series: Series, value: Scalar, dtype: Dtype, device: Frames) -> Series:
    xp = device.xp
    if dtype == "text":
        codes, texts = device.to_codes(series)
        at = np.flatnonzero(texts == value)
        if len(at) == 0:  # the partition's dictionary lacks the value
            texts, at = np.append(texts, np.array([value], dtype=object)), np.array([len(texts)])
        return device.make_text(xp.where(codes < 0, int(at[0]), codes).astype("int32"), texts)
    if dtype == "float64":
        values = device.to_floats(series)
        missing = xp.isnan(values)
        filled = xp.where(missing, float(value), values) if bool(missing.any()) else values
        return device.make_series(filled, dtype)
    values, missing = device.to_arrays(series)
    filled = xp.where(missing, xp.asarray(value, values.dtype), values)
    return device.make_series(filled, dtype)
