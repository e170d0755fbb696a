"""One op on a small table, in this process: for docstrings, tests and notebooks."""

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
    """Return a column in storage form from plain Python values or a pandas Series."""
    series = pd.Series(list(values) if not isinstance(values, pd.Series) else values)
    missing = series.isna().to_numpy()
    dtype: Dtype
    if series.dtype.kind == "M":
        stamps = np.where(missing, 0, series.astype("datetime64[us]").to_numpy().astype("int64"))
        return Column(name, "datetime"), cpu.make_series(stamps, "datetime", missing)
    # A list of True, False and None is an object column: bools, unless every value is missing.
    objects = series.dtype == object and not missing.all()
    if series.dtype.kind == "b" or (objects and all(type(v) is bool for v in series.dropna())):
        bools = series.astype("boolean").fillna(False).to_numpy(bool)
        return Column(name, "bool"), cpu.make_series(bools, "bool", missing)
    if series.dtype.kind in "iu":
        dtype = "int32" if series.dtype.name.lower() == "int32" else "int64"
        integers = series.fillna(0).to_numpy(dtype)
        return Column(name, dtype), cpu.make_series(integers, dtype, missing)
    if series.dtype.kind == "f":
        floats = series.to_numpy("float64", na_value=np.nan)
        return Column(name, "float64"), cpu.make_series(floats, "float64")
    return Column(name, "text"), cpu.make_text(*factorize(series.to_numpy(dtype=object)))


def make_frame(data: Mapping[str, Any] | pd.DataFrame) -> tuple[Schema, pd.DataFrame]:
    """Return the schema and the storage frame (host) of plain columns."""
    pairs = [make_column(values, str(name)) for name, values in data.items()]
    frame = pd.DataFrame({c.name: s for c, s in pairs}, copy=False)
    return Schema(tuple(c for c, _ in pairs)), frame


def make_side_table(data: Mapping[str, Any] | pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return a side table as `Op.prepare` gets it: storage dtypes, ``attrs["keys"]``."""
    _, frame = make_frame(data)
    frame.attrs["keys"] = tuple(keys)
    return frame


def bind_side_table(op: Op, tables: Mapping[str, pd.DataFrame] | None) -> Op:
    """Return a join with its table's keys and dtypes filled in; return other ops unchanged."""
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
    """Fit an op over partitions (frames of all columns; the op gets those that it reads)."""
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
    """Fit an op on ``data`` and return the columns that it produces for ``new`` (or ``data``).

    Args:
        entry: the op as in YAML, text or parsed.
        label: label per row of ``data``, if the op needs one.
        train: return what training rows get (`Op.transform_train`).
    """
    op = parse_op(yaml.safe_load(entry) if isinstance(entry, str) else entry)
    op = bind_side_table(op, tables)  # a run fills in the table's keys before it plans
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
        # New rows have other ids than training rows, as in a run.
        ids = device.xp.arange(len(host)) + len(rows.ids)
        rows = Rows(device, ids, None, None, task, n_classes, seed, predicting=True)
    step = op.transform_train if train else op.transform
    columns: pd.DataFrame = device.to_host(step(frame[op.reads(schema)], state, rows))
    return columns
