"""A small run that is killed, and what it must leave: for the tests of `--resume`.

Processes are forked from one that has imported everything, so that a run takes a second and a kill at a
random moment meets a stage, not an import.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
PRELOADED = [
    "pipeline.execution.runner", "pipeline.execution.fallback", "distributed", "dask.dataframe", "xgboost", "treelite.sklearn",
    "sklearn.ensemble", "pipeline.report.page", "pipeline.train.xgboost.train", "pipeline.train.forest.train",
]  # fmt: skip
GROWING = {"ledger.jsonl", "log.txt", "report.html", "manifest.json", "gpu.json"}
"""Files that hold times; the manifest is compared without the hashes of the others."""


def small_config(folder: Path, rows: int = 600, **changes):
    """A config's tree, and its data: three phases of features, both models, three segments, a refit."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=rows)
    frame = pd.DataFrame(
        {"x": x, "z": rng.normal(size=rows), "g": rng.choice(list("abcdefgh"), rows)}
    )
    frame.loc[::7, "z"] = np.nan
    # of three classes: scores of a forest as it was trained and as it is loaded differ in their last bits
    frame["y"] = np.digitize(x + rng.normal(size=rows), [-0.7, 0.7])
    path = folder / "d.csv"
    if not path.exists():
        frame.to_csv(path, index=False)
    return {
        "data": {"path": str(path), "target": "y"},
        "features": [
            {"fill": {"columns": ["z"], "with": "median"}},
            {"scale": {"columns": ["x", "z"]}},
            {"target_encode": {"columns": ["g"], "folds": 3}},
        ],
        "models": {
            "xgboost": {"rounds": 60, "max_depth": 3, "early_stopping": 0, "subsample": 0.7},
            "forest": {"trees": 30, "max_depth": 7, "min_samples_leaf": 3},
        },
        "refit": "always", "device": "cpu", "cluster": {"kind": "process", "dashboard": False},
    } | changes  # fmt: skip


def run_here(tree: dict, folder: str, resume: bool) -> None:
    """The whole of a child process."""
    from pipeline import Config, run

    run(Config.parse(tree), **{"resume" if resume else "out": folder})


def files_below(folder: Path) -> list[Path]:
    """Files under their final names, as far as they stay while one looks."""
    try:
        return [p for p in folder.rglob("*") if not p.name.startswith(".") and p.is_file()]
    except OSError:  # a folder went meanwhile
        return []


def forked(
    tree: dict, folder: Path, *, resume: bool = False, kill_when: Callable[[], bool] | None = None,
    then: float = 0.0,
):  # fmt: skip
    """The exit code of a process that runs the config; killed when, and so many seconds later."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(
        target=run_here, args=(json.loads(json.dumps(tree)), str(folder), resume)
    )
    with mock.patch.dict(os.environ, PYTHONPATH=str(ROOT)):  # the checkout, not what is installed
        process.start()
    if kill_when is None:
        process.join(600)
    else:
        while process.is_alive() and not kill_when():
            process.join(0.005)
        process.join(then)
    process.kill()
    process.join()
    return process.exitcode


def left_of(folder: Path) -> dict[str, bytes]:
    """All that a run leaves and that must be the same whenever it is run, by name."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in GROWING and not path.name.startswith(".")
    }
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["ledger.jsonl"]
    return found | {"manifest.json": json.dumps(manifest, indent=1).encode()}


def half_written(folder: Path, whole: dict[str, bytes]) -> list[str]:
    """Files under their final names that are not what an uninterrupted run leaves there.

    Its segments are gone by then: of these the state must name what is there, and by its hash.
    """
    import hashlib

    wrong = []
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if not path.is_file() or path.name.startswith(".") or name.startswith("tmp/"):
            continue
        if name.startswith("train/segments/"):
            if path.name == "state.json":
                state = json.loads(path.read_text())
                model = path.with_name(state["model"]).read_bytes()
                if hashlib.sha256(model).hexdigest() != state["sha256"]:
                    wrong.append(name)
        elif path.name == "ledger.jsonl":
            wrong += [name] if not path.read_text().endswith("\n") else []
            _ = [json.loads(line) for line in path.read_text().splitlines()]
        elif path.name not in GROWING and path.read_bytes() != whole[name]:
            wrong.append(name)
    return wrong
