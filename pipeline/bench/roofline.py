"""The least that each stage must read, move and add, and how long that takes at a machine's rates.

    read      the input's bytes arrive; its values are written once
    split     target and split columns are read once; label, set and id are written
    features  the columns are read once; the float32 matrix is written
    xgboost   the matrix is read and its bins (a byte each) are written; then each tree adds every
              value of a row to a histogram, level by level: all rows at the first level, half of
              them at each further one (the larger child is its parent less the smaller)
    forest    each tree adds the tried columns' values of its rows at every level
    evaluate  the held-out rows go down all trees of all models: one addition a level

It is arithmetic for full trees and one pass, not a simulation: a stage well above its bound spends
its time on something else; trees that end early may even stay below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.artifacts.files import read_json
from pipeline.bench.bandwidth import DeviceThroughput
from pipeline.config.loader import read_yaml
from pipeline.train.forest.train import MATRIX_ROWS, TREE_ROWS
from pipeline.train.params import ForestParams, XGBoostParams, parse_models

VALUE = 8
"""Bytes of a value in a frame."""


@dataclass(frozen=True)
class WorkItem:
    """Something that a stage cannot do without."""

    what: str
    amount: float
    at: Literal["input", "memory", "updates"]
    """The rate that limits it."""


@dataclass(frozen=True)
class Size:
    """What a run worked on."""

    rows: int
    """That have a target."""
    train: int
    held_out: int
    read: int
    """Columns read."""
    features: int
    task: str
    outputs: int
    """Trees a round: the classes of a multiclass target, else 1."""


def read_work(run: Path, file_bytes: int) -> dict[str, tuple[WorkItem, ...]]:
    """The parts of each stage of a finished run."""
    facts, plan = read_json(run / "manifest.json"), read_json(run / "features" / "plan.json")
    counts = facts["rows"]
    size = Size(
        sum(counts.values()), counts["train"], counts["valid"] + counts["test"],
        _columns_read(plan), len(plan["features"]), facts["task"],
        len(facts["classes"]) if facts["task"] == "multiclass" else 1,
    )  # fmt: skip
    models = parse_models(read_yaml(run / "config.yaml").get("models"))
    rounds = {name: _grown(read_json(run / "train" / f"{name}.json")) for name in models}
    return stage_work(size, models, rounds, file_bytes, refitted=bool(facts["refit"]))


def _columns_read(plan: Mapping[str, Any]) -> int:
    """Of the data: by ops, by the models, and for the target."""
    used = {name for step in plan["steps"] for name in step["reads"]}
    used |= {feature["name"] for feature in plan["features"]} | set(plan["source"]["target"])
    return sum(column["name"] in used for column in plan["source"]["columns"])


def _grown(sidecar: Mapping[str, Any]) -> int:
    """Rounds that were boosted, those that early stopping dropped among them; or trees."""
    history = [len(v) for by in sidecar["history"].values() for v in by.values()]
    return max([int(sidecar["rounds"]), *history])


def stage_work(
    size: Size, models: Mapping[str, Any], rounds: Mapping[str, int], file_bytes: int,
    *, refitted: bool = False,
) -> dict[str, tuple[WorkItem, ...]]:  # fmt: skip
    """The parts of each stage, by the ledger's names."""
    source, matrix = size.read * VALUE, size.features * 4
    read = WorkItem("input", file_bytes, "input")
    frame = WorkItem("frame", size.rows * source, "memory")
    features = (frame, WorkItem("matrix", size.rows * matrix, "memory"))
    found = {
        "read": (read, frame),
        "split": (WorkItem("target, split, label, set, id", size.rows * 5 * VALUE, "memory"),),
        "features": features,
        "evaluate": (
            WorkItem("steps down the trees", _steps(size, models, rounds), "updates"),
            WorkItem("matrix", size.held_out * matrix, "memory"),
        ),
    }
    for name, params in models.items():
        found[f"train {name}"] = _training(params, size, size.train, rounds[name])
        if refitted:
            found[f"refit {name}"] = _training(params, size, size.rows, rounds[name])
    if refitted:
        found["refit features"] = features
    return found


def _training(params: Any, size: Size, rows: int, rounds: int) -> tuple[WorkItem, ...]:
    if isinstance(params, XGBoostParams):
        return boosting_work(params, size, rows, rounds)
    return forest_work(params, size, rows)


def boosting_work(
    params: XGBoostParams, size: Size, rows: int, rounds: int
) -> tuple[WorkItem, ...]:
    """Of gradient boosting on so many rows."""
    settled = params.resolve_auto(size.rows)
    depth = _depth(settled.max_depth, rows)
    visits = rows * settled.subsample * (1 + (depth - 1) / 2)
    per_tree = visits * size.features * settled.colsample_bytree
    return (
        WorkItem("matrix and bins", rows * size.features * 5, "memory"),
        WorkItem("histograms", per_tree * rounds * size.outputs, "updates"),
    )


def forest_work(params: ForestParams, size: Size, rows: int) -> tuple[WorkItem, ...]:
    """Of a forest on so many rows, with histograms."""
    if params.max_samples == "auto":
        matrix = min(rows, MATRIX_ROWS)
        drawn = float(min(matrix, TREE_ROWS))
    else:
        matrix, drawn = rows, rows * float(params.max_samples)
    tried = _tried(params.max_features, size)
    updates = params.trees * drawn * _depth(params.max_depth, drawn) * tried
    return (
        WorkItem("matrix", matrix * size.features * 4, "memory"),
        WorkItem("histograms", updates, "updates"),
    )


def _tried(rule: str | float, size: Size) -> float:
    """Columns tried at a split."""
    if isinstance(rule, float):
        return max(1.0, rule * size.features)
    if rule == "log2":
        return max(1.0, math.log2(size.features))
    if rule == "auto" and size.task == "regression":
        return max(1.0, size.features / 3)
    return max(1.0, math.sqrt(size.features))


def _depth(asked: Any, rows: float) -> int:
    """Levels of a tree: no more than its rows can be halved; 0 is no limit."""
    most = max(1, math.ceil(math.log2(max(rows, 2))))
    return min(int(asked), most) if asked else most


def _steps(size: Size, models: Mapping[str, Any], rounds: Mapping[str, int]) -> float:
    found = 0.0
    for name, params in models.items():
        deep = _depth(params.resolve_auto(size.rows).max_depth, size.train)
        trees = rounds[name] * (size.outputs if name == "xgboost" else 1)
        found += size.held_out * trees * deep
    return found


def lower_bound(parts: Sequence[WorkItem], rates: DeviceThroughput) -> float | None:
    """How long the parts take one after the other; None where a rate is not known."""
    total = 0.0
    for part in parts:
        rate = getattr(rates, part.at)
        if rate is None or not rate.per_second:
            return None
        total += part.amount / rate.per_second
    return total


def describe_work(parts: Sequence[WorkItem], rates: DeviceThroughput) -> str:
    """The arithmetic in words: ``input 12.3 MB at 5.1 GB/s + frame …``."""
    return " + ".join(
        f"{part.what} {_amount(part)} at {rate.per_second / 1e9:,.3g} G"
        f"{'adds' if part.at == 'updates' else 'B'}/s"
        for part in parts
        if (rate := getattr(rates, part.at)) is not None
    )


def _amount(part: WorkItem) -> str:
    if part.at == "updates":
        return f"{part.amount / 1e6:,.3g} M adds"
    return f"{part.amount / 1e6:,.3g} MB"
