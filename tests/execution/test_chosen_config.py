"""``chosen.yaml``: the choice of a run as a config that repeats it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.config.model import Config
from pipeline.execution.runner import run

MODELS = {"xgboost": {"rounds": 15}, "forest": {"trees": 5}}


def write_dates_and_prices(path: Path) -> str:
    rows = np.arange(400)
    days = pd.to_datetime("2020-01-01") + pd.to_timedelta(rows % 300, "D")
    frame = pd.DataFrame(
        {
            "when": days.strftime("%d.%m.%Y"),
            "price": [f"1.{i % 900 + 100},50 €" for i in rows],
            "shop": [f"shop {i % 37}" for i in rows],
            "id": rows,
            "y": (rows * 7 % 11 > 5) | (rows % 37 > 30),
        }
    )
    frame.to_csv(path, sep=";", index=False, encoding="cp1252")
    return "y"


def write_numbers(path: Path) -> str:
    values = np.random.default_rng(0).normal(size=(300, 3)).round(3)
    frame = pd.DataFrame(values, columns=["a b", "c", "d"]).assign(y=lambda f: f["c"] * 2)
    frame.iloc[::9, 0] = None
    frame.to_csv(path, index=False)
    return "y"


def write_classes(path: Path) -> str:
    rows = np.arange(300)
    frame = pd.DataFrame({"a": rows % 17, "t": [f"v{i % 5}" for i in rows], "y": rows % 3})
    frame.to_csv(path, index=False)
    return "y"


@pytest.mark.parametrize("write", [write_dates_and_prices, write_numbers, write_classes])
def test_chosen_config_repeats_the_run(tmp_path: Path, write) -> None:
    target = write(tmp_path / "a.csv")
    tree = {
        "data": {"path": str(tmp_path / "a.csv"), "target": target},
        "models": MODELS,
        "device": "cpu",
        "cluster": {"kind": "process", "dashboard": False},
    }
    first = run(Config.parse(tree), out=tmp_path / "first")
    chosen = Config.load(tmp_path / "first" / "chosen.yaml")
    assert chosen.features is not None
    assert chosen.data.task == first.metrics["task"]
    assert set(chosen.data.types) == {column.column for column in first.columns}
    if "when" in chosen.data.types:
        assert chosen.data.types["when"] == "%d.%m.%Y"
    second = run(chosen, out=tmp_path / "second")
    assert second.metrics == first.metrics
    for name in ("evaluate/predictions.parquet", "columns.json"):
        made = [(tmp_path / which / name) for which in ("first", "second")]
        if name.endswith("parquet"):
            assert made[0].read_bytes() == made[1].read_bytes()
        else:
            a, b = (json.loads(path.read_text())["columns"] for path in made)
            assert [c["used"] for c in a] == [c["used"] for c in b]
