"""The roofline of each stage: the least it must read, move and add, and the seconds for that.

    read      reads the bytes of the input; writes its values once
    split     reads target and split columns once; writes label, set and id
    features  reads the columns once; writes the float32 matrix
    xgboost   reads the matrix and writes its bins (one byte each); then each tree adds every
              value of a row to a histogram, level by level: all rows at the first level, half of
              them at each further one (the larger child is its parent minus the smaller)
    forest    adds, for each tree and level, the tried columns' values of the tree's rows
    evaluate  passes the held-out rows through all trees of all models: one addition per level

The arithmetic assumes full trees and one pass over the data. A stage well above its bound spends
its time on something else; trees that stop early may stay below the bound.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.artifacts.files import read_json
from pipeline.artifacts.stage_id import (
    EVALUATE,
    FEATURES,
    READ,
    REFIT_FEATURES,
    SPLIT,
    refit_id,
    train_id,
)  # fmt: skip
from pipeline.bench.bandwidth import DeviceThroughput
from pipeline.config.loader import read_yaml
from pipeline.train.forest.train import MATRIX_ROWS, TREE_ROWS
from pipeline.train.model import parse_models
from pipeline.train.params import ForestParams, XGBoostParams

VALUE = 8
"""Bytes per value in a frame."""


@dataclass(frozen=True)
class WorkItem:
    """One piece of a stage's minimal work."""

    what: str
    amount: float
    at: Literal["input", "memory", "updates"]
    """The limiting rate."""


@dataclass(frozen=True)
class Size:
    """Sizes of a run."""

    rows: int
    """Rows with a target."""
    train: int
    held_out: int
    read: int
    """Columns that are read."""
    features: int
    task: str
    outputs: int
    """Trees per round: the classes of a multiclass target, else 1."""


def read_work(run: Path, file_bytes: int) -> dict[str, tuple[WorkItem, ...]]:
    """Return the minimal work of each stage of a finished run."""
    manifest, plan = read_json(run / "manifest.json"), read_json(run / "features" / "plan.json")
    counts = manifest["rows"]
    # Columns that ops, models and target read; the others stay in the file.
    used = {name for step in plan["steps"] for name in step["reads"]}
    used |= {feature["name"] for feature in plan["features"]} | set(plan["source"]["target"])
    read = sum(column["name"] in used for column in plan["source"]["columns"])
    size = Size(
        sum(counts.values()), counts["train"], counts["valid"] + counts["test"],
        read, len(plan["features"]), manifest["task"],
        len(manifest["classes"]) if manifest["task"] == "multiclass" else 1,
    )  # fmt: skip
    models = parse_models(read_yaml(run / "config.yaml").get("models"))
    rounds = {}
    for name in models:
        sidecar = read_json(run / "train" / f"{name}.json")
        # Rounds that early stopping dropped took time as well, and the history has them.
        history = [len(v) for by in sidecar["history"].values() for v in by.values()]
        rounds[name] = max([int(sidecar["rounds"]), *history])
    return stage_work(size, models, rounds, file_bytes, refitted=bool(manifest["refit"]))


def stage_work(
    size: Size, models: Mapping[str, Any], rounds: Mapping[str, int], file_bytes: int,
    *, refitted: bool = False,
) -> dict[str, tuple[WorkItem, ...]]:  # fmt: skip
    """Return the minimal work of each stage, by the ledger's names."""
    source, matrix = size.read * VALUE, size.features * 4
    read = WorkItem("input", file_bytes, "input")
    frame = WorkItem("frame", size.rows * source, "memory")
    features = (frame, WorkItem("matrix", size.rows * matrix, "memory"))
    steps = 0.0
    for name, params in models.items():
        if isinstance(params, XGBoostParams | ForestParams):  # other models have no trees
            depth = _depth(params.resolve_auto(size.rows).max_depth, size.train)
            # XGBoost fits a tree per class in each round; a forest's tree holds all classes.
            trees = rounds[name] * (size.outputs if name == "xgboost" else 1)
            steps += size.held_out * trees * depth
    work = {
        str(READ): (read, frame),
        str(SPLIT): (WorkItem("target, split, label, set, id", size.rows * 5 * VALUE, "memory"),),
        str(FEATURES): features,
        str(EVALUATE): (
            WorkItem("steps down the trees", steps, "updates"),
            WorkItem("matrix", size.held_out * matrix, "memory"),
        ),
    }
    for name, params in models.items():
        work[str(train_id(name))] = _training(params, size, size.train, rounds[name])
        if refitted:
            work[str(refit_id(name))] = _training(params, size, size.rows, rounds[name])
    if refitted:
        work[str(REFIT_FEATURES)] = features
    return work


def _training(params: Any, size: Size, rows: int, rounds: int) -> tuple[WorkItem, ...]:
    if isinstance(params, XGBoostParams):
        return boosting_work(params, size, rows, rounds)
    return forest_work(params, size, rows) if isinstance(params, ForestParams) else ()


def boosting_work(
    params: XGBoostParams, size: Size, rows: int, rounds: int
) -> tuple[WorkItem, ...]:
    """Return the minimal work of gradient boosting on ``rows`` rows."""
    resolved = params.resolve_auto(size.rows)
    depth = _depth(resolved.max_depth, rows)
    visits = rows * resolved.subsample * (1 + (depth - 1) / 2)
    per_tree = visits * size.features * resolved.colsample_bytree
    return (
        WorkItem("matrix and bins", rows * size.features * 5, "memory"),
        WorkItem("histograms", per_tree * rounds * size.outputs, "updates"),
    )


def forest_work(params: ForestParams, size: Size, rows: int) -> tuple[WorkItem, ...]:
    """Return the minimal work of a forest with histograms on ``rows`` rows."""
    if params.max_samples == "auto":
        matrix = min(rows, MATRIX_ROWS)
        drawn = float(min(matrix, TREE_ROWS))
    else:
        matrix, drawn = rows, rows * float(params.max_samples)
    # Each split draws some columns anew, and only these are added to its histograms.
    rule = params.max_features
    if isinstance(rule, float):
        tried = rule * size.features
    elif rule == "log2":
        tried = math.log2(size.features)
    elif rule == "auto" and size.task == "regression":
        tried = size.features / 3
    else:
        tried = math.sqrt(size.features)
    updates = params.trees * drawn * _depth(params.max_depth, drawn) * max(1.0, tried)
    return (
        WorkItem("matrix", matrix * size.features * 4, "memory"),
        WorkItem("histograms", updates, "updates"),
    )


def _depth(asked: Any, rows: float) -> int:
    """Return the levels of a tree: at most as often as its rows can be halved; 0: no limit."""
    most = max(1, math.ceil(math.log2(max(rows, 2))))
    return min(int(asked), most) if asked else most


def lower_bound(parts: Sequence[WorkItem], rates: DeviceThroughput) -> float | None:
    """Return the seconds of the items one after the other; None: a rate is unknown."""
    total = 0.0
    for part in parts:
        rate = getattr(rates, part.at)
        if rate is None or not rate.per_second:
            return None
        total += part.amount / rate.per_second
    return total


def describe_work(items: Sequence[WorkItem], rates: DeviceThroughput) -> str:
    """Describe the arithmetic: ``input 12.3 MB at 5.1 GB/s + frame …``."""
    terms = []
    for item in items:
        if (rate := getattr(rates, item.at)) is not None:
            amount, unit = ("M adds", "Gadds") if item.at == "updates" else ("MB", "GB")
            terms.append(
                f"{item.what} {item.amount / 1e6:,.3g} {amount} at "
                f"{rate.per_second / 1e9:,.3g} {unit}/s"
            )
    return " + ".join(terms)
