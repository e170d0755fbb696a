"""Row weights in whole runs that choose their features: rows of weight 0 leave no trace."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline import Config, run

MODELS = {
    "xgboost": {"rounds": 30, "early_stopping": 5, "subsample": 0.7},
    "forest": {"trees": 4, "max_depth": 5, "class_weight": "balanced"},
}
FILES = (
    "features/plan.json", "train/xgboost.ubj", "train/forest.tl", "evaluate/metrics.json",
    "evaluate/predictions.parquet",
)  # fmt: skip


def table(n=420):
    """Rows of which a third weighs 0; a text column that is target-encoded, numbers with gaps."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=n)
    return pd.DataFrame(
        {
            "x": np.where(rng.random(n) < 0.1, np.nan, x),
            "n": rng.integers(0, 5, n),
            "shop": np.char.add("s", rng.integers(0, 40, n).astype(str)),
            "y": np.where(x + rng.normal(size=n) > 0, "yes", "no"),
            "w": np.where(np.arange(n) % 3 == 0, 0.0, 1.0 + np.arange(n) % 4),
        }
    )


def ran(folder, frame, split=None):
    folder.mkdir()
    frame.to_parquet(folder / "d.parquet")
    tree = {
        "data": {"path": str(folder / "d.parquet"), "target": "y", "weight": "w"},
        "models": MODELS,
        "split": split or {},
        "cluster": {"kind": "process", "dashboard": False},
    }
    return run(Config.parse(tree), out=folder / "run").folder


def trained(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = ran(tmp_path_factory.mktemp("weights") / "a", table())
    split = json.loads((folder / "ledger.jsonl").read_text().splitlines()[1])
    assert "140 rows dropped: their weight is 0" in split["notes"]
    assert split["rows"] == 280
    return trained(folder)


def test_values_labels_and_classes_of_rows_of_weight_0_change_nothing(expected, tmp_path):
    frame = table()
    zero = frame["w"] == 0
    frame.loc[zero, "x"] = 1e30
    frame.loc[zero, "n"] = range(1000, 1000 + int(zero.sum()))
    frame.loc[zero, "shop"] = "a shop of its own"
    frame.loc[zero, "y"] = np.where(np.arange(int(zero.sum())) % 2 == 0, "a third class", None)
    assert trained(ran(tmp_path / "b", frame)) == expected


def test_rows_of_weight_0_at_the_end_change_nothing(expected, tmp_path):
    frame = table()
    more = pd.concat([frame, frame.assign(w=0.0, y="no")], ignore_index=True)
    assert trained(ran(tmp_path / "c", more)) == expected
