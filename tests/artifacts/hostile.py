"""Run folders that somebody changed and sealed again, so that every hash fits."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import Config, run

N = 240


def make_run(folder: Path, *, task: str = "binary") -> Path:
    """A finished run with both models and every kind of fitted state; its data are ``d.csv``."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=N), "z": rng.normal(size=N), "n": rng.integers(0, 9, N),
            "c": rng.choice(["a", "b", "c"], N), "d": rng.choice(["p", "q"], N),
            "g": rng.choice(["u", "v", "w"], N),
            "t": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(N), unit="h"),
        }
    )  # fmt: skip
    frame.loc[::7, "z"] = np.nan
    if task == "regression":
        frame["y"] = frame["x"] + rng.normal(size=N)
    else:
        frame["y"] = np.where(frame["x"] + rng.normal(size=N) > 0, "yes", "no")
    frame.to_csv(folder / "d.csv", index=False)
    pd.DataFrame({"g": ["u", "v"], "size": [1.0, 2.0], "kind": ["k", "l"]}).to_csv(
        folder / "side.csv", index=False
    )
    side = {"path": str(folder / "side.csv"), "keys": ["g"]}
    tree = {
        "data": {"path": str(folder / "d.csv"), "target": "y", "tables": {"side": side}},
        "features": [
            {"filter": "x > -5"},
            {"lag": {"by": "g", "order": "t", "columns": ["x"], "shift": [1], "gap": 1}},
            {"join": {"table": "side"}},
            {"aggregate": {"by": "g", "columns": ["x"], "stats": ["mean"]}},
            {"fill": {"columns": ["z"], "with": "median"}},
            {"scale": {"columns": ["z"]}},
            {"bucket": {"columns": ["n"], "quantiles": 3}},
            {"target_encode": {"columns": ["c"]}},
            {"one_hot": {"columns": ["d"]}},
            {"count_encode": {"columns": ["kind"]}},
            {"categorify": {"columns": ["g"]}},
            {"dates": {"columns": ["t"], "parts": ["hour"]}},
        ],
        "models": {"xgboost": {"rounds": 3}, "forest": {"trees": 3, "max_depth": 3}},
        "evaluate": {"slices": ["d"]}, "golden": 5, "refit": "never",
        "cluster": {"kind": "process", "dashboard": False},
    }  # fmt: skip
    run(Config.parse(tree), out=folder / "run")
    return folder / "run"


def reseal(run: Path, *names: str) -> None:
    """Writes the hashes of these files into the manifest, without reading a file whole."""
    manifest = json.loads((run / "manifest.json").read_text())
    for name in names:
        with (run / name).open("rb") as file:
            manifest["files"][name] = hashlib.file_digest(file, "sha256").hexdigest()
    (run / "manifest.json").write_text(json.dumps(manifest))


def places(tree: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all leaves and branches of a JSON tree, but not of the tree itself."""
    if isinstance(tree, dict):
        pairs = list(tree.items())
    elif isinstance(tree, list):
        few = len(tree) if tree and isinstance(tree[0], dict) else 2
        pairs = list(enumerate(tree[: min(few, 20)]))  # the others are as the first ones
    else:
        return []
    return [p for key, value in pairs for p in ((*at, key), *places(value, (*at, key)))]


GONE = object()
"""Stands for: without the key."""
VALUES: tuple[Any, ...] = (
    None, True, -1, float("inf"), float("nan"), "", [], {}, "x" * 5000, 10**30, GONE,
)  # fmt: skip


def changed(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy of the tree with another value at the place."""
    head, *rest = place
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    if rest:
        copy[head] = changed(tree[head], tuple(rest), value)
    elif value is GONE:
        del copy[head]
    else:
        copy[head] = value
    return copy


def text_of(tree: Any) -> str:
    """JSON in which an infinite number is written as 1e999, as a file may have it."""
    return json.dumps(tree).replace("Infinity", "1e999")
