"""The flights config, whole or small, and the comparison of two runs of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import Config

ROOT = Path(__file__).parents[2]
DATA = ROOT / "data" / "flights"


def config(path=DATA / "flights.parquet", **changes):
    """conf/flights.yaml with absolute paths, so that it runs from any folder."""
    tables = {f"data.tables.{n}.path": DATA / f"{n}.csv" for n in ("weather", "planes")}
    known = {"data.path": path, "cluster.dashboard": "false", "refit": "never", **tables}
    overrides = [f"{key}={value}" for key, value in (known | changes).items()]
    return Config.load(ROOT / "conf" / "flights.yaml", overrides)


def small(folder):
    """A file of 24,000 flights over the whole year, in six row groups."""
    frame = pd.read_parquet(DATA / "flights.parquet").iloc[::14].head(24_000)
    path = Path(folder) / "flights.parquet"
    frame.to_parquet(path, row_group_size=4000)
    return path


def check_same(ours, reference):
    """Sets, labels and codes to the bit; fitted numbers to 1e-12: sums of other partitions."""
    assert ours.metrics["rows"] == reference.metrics["rows"]
    one, other = (
        pd.read_parquet(o.folder / "evaluate/predictions.parquet") for o in (ours, reference)
    )
    pd.testing.assert_frame_equal(one[["row", "set", "label"]], other[["row", "set", "label"]])
    one, other = (
        json.loads((o.folder / "features/plan.json").read_text()) for o in (ours, reference)
    )
    check_tree(one, other, "plan.json")
    tables = [
        sorted(p.name for p in (o.folder / "features/tables").iterdir()) for o in (ours, reference)
    ]
    assert tables[0] == tables[1] and tables[0]
    for name in tables[0]:
        one, other = (
            pd.read_parquet(o.folder / "features/tables" / name) for o in (ours, reference)
        )
        pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-12, atol=0)
    features = [
        f["name"] for f in json.loads((ours.folder / "features/plan.json").read_text())["features"]
    ]
    one, other = (pd.read_parquet(o.folder / "golden.parquet")[features] for o in (ours, reference))
    pd.testing.assert_frame_equal(one, other, check_exact=False, rtol=1e-6, atol=0)  # float32


def check_tree(one, other, where):
    """Equal JSON, but floats to 1e-12."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            check_tree(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            check_tree(a, b, f"{where}[{i}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-12, abs=0), where
    else:
        assert one == other, where


def aucs(outcome):
    """The test set's ROC AUC of each model."""
    return {name: sets["test"]["roc_auc"] for name, sets in outcome.metrics["models"].items()}


def difference(ours, reference):
    """How far each model's AUC lies from the reference's."""
    one, other = aucs(ours), aucs(reference)
    return {name: float(np.abs(one[name] - other[name])) for name in other}
