"""Runs one op on a small table in this process: for docstrings, tests and curious users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import yaml

from pipeline.device import Frame, Frames, cpu
from pipeline.device.factorize import factorize
from pipeline.features.op import Op, Rows, State
from pipeline.features.ops.join import Join
from pipeline.features.registry import parse_op
from pipeline.matrix import Task
from pipeline.schema import Column, Dtype, Schema


def make_column(values: Sequence[Any] | pd.Series, name: str) -> tuple[Column, pd.Series]:
    """A column in storage form from plain Python values or a pandas Series."""
    series = pd.Series(list(values) if not isinstance(values, pd.Series) else values)
    missing = series.isna().to_numpy()
    dtype: Dtype
    if series.dtype.kind == "M":
        stamps = series.astype("datetime64[us]").to_numpy().astype("int64")
        return Column(name, "datetime"), cpu.make_series(
            np.where(missing, 0, stamps), "datetime", missing
        )
    objects = series.dtype == object and not missing.all()
    if series.dtype.kind == "b" or (objects and all(type(v) is bool for v in series.dropna())):
        return Column(name, "bool"), cpu.make_series(
            series.astype("boolean").fillna(False).to_numpy(bool), "bool", missing
        )
    if series.dtype.kind in "iu":
        dtype = "int32" if series.dtype.name.lower() == "int32" else "int64"
        return Column(name, dtype), cpu.make_series(
            series.fillna(0).to_numpy(dtype), dtype, missing
        )
    if series.dtype.kind == "f":
        return Column(name, "float64"), cpu.make_series(
            series.to_numpy("float64", na_value=np.nan), "float64"
        )
    return Column(name, "text"), cpu.make_text(*factorize(series.to_numpy(dtype=object)))


def make_frame(data: Mapping[str, Any] | pd.DataFrame) -> tuple[Schema, pd.DataFrame]:
    """Schema and storage frame (host) from plain columns."""
    pairs = [make_column(values, str(name)) for name, values in data.items()]
    frame = pd.DataFrame({c.name: s for c, s in pairs}, copy=False)
    return Schema(tuple(c for c, _ in pairs)), frame


def make_side_table(data: Mapping[str, Any] | pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """A side table as the runner gives it to `Op.prepare`: storage dtypes, ``attrs["keys"]``."""
    _, frame = make_frame(data)
    frame.attrs["keys"] = tuple(keys)
    return frame


def bind_side_table(op: Op, tables: Mapping[str, pd.DataFrame] | None) -> Op:
    """A join that knows its table's keys and dtypes; other ops as they are."""
    if not isinstance(op, Join):
        return op
    table = (tables or {})[op.table]
    types = {str(name): make_column(values, str(name))[0].dtype for name, values in table.items()}
    return op.bind_table(table.attrs["keys"], types)


def fit_op(
    op: Op,
    schema: Schema,
    parts: Sequence[tuple[Frame, Rows]],
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> State:
    """The fitted state over partitions (frames of all columns; the op is given what it reads)."""
    state = op.prepare(schema, tables or {})
    parts = [(f.reset_index(drop=True), r) for f, r in parts]
    for _ in range(op.n_passes if op.requires_fit else 0):
        summaries = [op.summarise(f[op.reads(schema)], r, state) for f, r in parts]
        merged = summaries[0]
        for other in summaries[1:]:
            merged = op.merge(merged, other)
        state = op.finish(merged, state)
    return state


def try_op(
    entry: str | Mapping[str, Any],
    data: Mapping[str, Any] | pd.DataFrame,
    *,
    label: Sequence[float] | None = None,
    task: Task = "regression",
    n_classes: int = 0,
    tables: Mapping[str, pd.DataFrame] | None = None,
    new: Mapping[str, Any] | pd.DataFrame | None = None,
    train: bool = False,
    seed: int = 0,
    device: Frames = cpu,
) -> pd.DataFrame:
    """The columns that an op produces: fitted on ``data``, shown for ``new`` (or ``data``).

    Args:
        entry: the op as in YAML, text or parsed.
        label: float label per row of ``data``, where the op needs one.
        train: show what training rows get (`Op.transform_train`).
    """
    op = parse_op(yaml.safe_load(entry) if isinstance(entry, str) else entry)
    op = bind_side_table(op, tables)
    schema, host = make_frame(data)
    frame = device.to_device(host)
    ids = device.xp.arange(len(host))
    labels = None if label is None else device.to_device(np.asarray(label, "float64"))
    rows = Rows(device, ids, labels, None, task, n_classes, seed)
    state = fit_op(op, schema, [(frame, rows)], tables)
    if new is not None:
        new_schema, host = make_frame(new)
        missing_text = {c.name for c in schema if c.dtype == "text"} & set(new_schema.names)
        assert missing_text >= {c.name for c in new_schema if c.dtype == "text"}
        frame = device.to_device(host)
        ids = device.xp.arange(len(host)) + len(rows.ids)
        rows = Rows(device, ids, None, None, task, n_classes, seed, predicting=True)
    step = op.transform_train if train else op.transform
    made: pd.DataFrame = device.to_host(step(frame[op.reads(schema)], state, rows))
    return made
