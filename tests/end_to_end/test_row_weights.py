"""Row weights in whole runs that choose their features: rows of weight 0 leave no trace."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline import Config, run
from pipeline.execution.stages import split

MODELS = {
    "xgboost": {"rounds": 30, "early_stopping": 5, "subsample": 0.7},
    "forest": {"trees": 4, "max_depth": 5, "class_weight": "balanced"},
}
QUICK = {"xgboost": {"rounds": 2}}
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


def ran(folder, frame, **changes):
    folder.mkdir()
    frame.to_parquet(folder / "d.parquet")
    tree = {
        "data": {"path": str(folder / "d.parquet"), "target": "y", "weight": "w"},
        "models": MODELS,
        "cluster": {"kind": "process", "dashboard": False},
        **changes,
    }
    return run(Config.parse(tree), out=folder / "run").folder


def trained(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = ran(tmp_path_factory.mktemp("weights") / "a", table())
    entry = json.loads((folder / "ledger.jsonl").read_text().splitlines()[1])
    assert "140 rows dropped: their weight is 0" in entry["notes"]
    assert entry["rows"] == 280
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


def test_rows_of_weight_0_do_not_thin_the_sample_of_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(split, "SAMPLE_ROWS", 150)
    features = [
        {"fill": {"columns": ["x"], "with": "median"}},
        {"bucket": {"columns": ["n", "x"], "quantiles": 4}},
        {"drop": ["shop"]},
    ]
    more = pd.concat([table(), table().assign(w=0.0)], ignore_index=True)
    plans = [
        (ran(tmp_path / name, frame, features=features, models=QUICK) / FILES[0]).read_bytes()
        for name, frame in (("a", table()), ("b", more))
    ]
    assert plans[0] == plans[1]
    monkeypatch.setattr(split, "SAMPLE_ROWS", 60)
    other = ran(tmp_path / "c", table(), features=features, models=QUICK) / FILES[0]
    assert other.read_bytes() != plans[0]  # the sample matters
