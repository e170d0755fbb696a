"""Trains the random forest: scikit-learn on the CPU, cuML on the GPU, one parameter table.

Both get one float32 matrix without missing values: a missing quantity is the median of the
training rows; a missing category has a code of its own (`pipeline.matrix.zero_missing_codes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.device import Array
from pipeline.device.choose import frames_of
from pipeline.matrix import Feature, Feed, Target
from pipeline.train.fitted_model import FittedModel, Progress
from pipeline.train.forest.scoring import FEW, ForestScore, fill_missing_in_place
from pipeline.train.params import ForestParams
from pipeline.train.weights import (
    compute_class_weights,
    iter_weighted_blocks,
    reject_infinite,
    sample_block,
)

NAME = "forest"
TREE_ROWS = 50_000
"""Rows that a tree draws at most (``max_samples: auto``). On flights (229 k rows, 19 columns, 50
trees) 20 k, 50 k and 100 k rows score a test AUC of 0.690, 0.689 and 0.686, in 2.7, 5.7 and 10.1
seconds of one core."""
MATRIX_ROWS = 1_000_000
"""Rows that all trees together draw from, at most (``max_samples: auto``)."""

# Names in the libraries, where they are not ours. cuML takes `n_bins`, scikit-learn `n_jobs`.
SHARED: Mapping[str, str] = {
    "trees": "n_estimators",
    "max_depth": "max_depth",
    "min_samples_leaf": "min_samples_leaf",
}


def train(
    params: ForestParams, feed: Feed, *, seed: int, threads: int, progress: Progress,
    most: int | None = None,
) -> FittedModel:  # fmt: skip
    """Grows the trees on the training rows, or on a sample of them that the notes tell.

    ``most``: so many rows fit into memory, whatever ``max_samples`` asks for; None: all.
    """
    device = frames_of(feed.device)
    notes: list[str] = []
    x, label, weight = collect_training_rows(params, feed, seed, notes, most)
    fill = compute_fill_values(x, feed)
    x = fill_missing_in_place(x, fill, device.xp)
    present = _present(label, feed.target)
    details = {"fill": fill.tolist(), "present": present}
    if len(present) == 1:
        notes.append(f"only {feed.target.classes[present[0]]!r} occurs: it is always predicted")
        return make_constant_forest(feed, notes, details)
    options = resolve_options(params, feed, seed, len(x), notes)
    progress(f"{params.trees} trees on {len(x):,} rows", 0, params.trees)
    estimator = make_estimator(params, feed, options, threads)
    target = label if feed.target.task == "regression" else label.astype("int32")
    estimator.fit(x, target, sample_weight=weight)
    if feed.device == "cpu":
        estimator.set_params(n_jobs=1)  # `scores.in_threads` says why
    progress(f"{params.trees} trees", params.trees, params.trees)
    gains = np.asarray(device.to_host(estimator.feature_importances_), "float64")
    content = export_checkpoint(estimator, feed.device)
    return FittedModel(
        NAME, feed.target, tuple(feed.features),
        score=ForestScore(feed.target, fill, present, device, estimator, content),
        content=content, importances=normalize_gains(gains, feed), rounds=params.trees,
        history={}, notes=tuple(notes), device=feed.device, details=details,
    )  # fmt: skip


def load_forest(
    content: bytes, target: Target, features: tuple[Feature, ...], *,
    on: str, facts: Mapping[str, Any], common: Mapping[str, Any], bulk: bool = False,
) -> FittedModel:  # fmt: skip
    """The forest of a Treelite checkpoint and its sidecar, scoring on the device ``on``."""
    fill = np.array(facts["fill"], dtype="float32")
    present = list(facts["present"])
    return FittedModel(
        NAME, target, features,
        score=ForestScore(
            target, fill, present, frames_of(on), checkpoint=content, few=0 if bulk else FEW
        ),
        content=content, importances=facts["importances"],
        details={"fill": facts["fill"], "present": facts["present"]}, **common,
    )  # fmt: skip


def make_constant_forest(feed: Feed, notes: list[str], details: Mapping[str, Any]) -> FittedModel:
    """A forest of no trees, for the one class that occurs."""
    fill, present = np.array(details["fill"], dtype="float32"), details["present"]
    return FittedModel(
        NAME, feed.target, tuple(feed.features),
        score=ForestScore(feed.target, fill, present, frames_of(feed.device)),
        content=b"", importances={f.name: 0.0 for f in feed.features}, rounds=0, history={},
        notes=tuple(notes), device=feed.device, details=details,
    )  # fmt: skip


# -- the rows --------------------------------------------------------------------------------------


def collect_training_rows(
    params: ForestParams, feed: Feed, seed: int, notes: list[str], most: int | None = None
) -> tuple[Array, Array, Array | None]:
    """(x, label, weight) of the training rows, or of those whose hash lies under the bound."""
    device = frames_of(feed.device)
    xp = device.xp
    rows, share = feed.count_rows("train"), 1.0
    wanted = min(rows, MATRIX_ROWS) if params.max_samples == "auto" else rows
    taken = min(wanted, most or wanted)
    if taken < rows:
        share = taken / rows
        why = ": memory.host" if taken < wanted else ""
        notes.append(f"trees draw from a sample of about {taken:,} of {rows:,} training rows{why}")
    # The sample's size is binomial: ten standard deviations of room, so nothing is cut in practice.
    room = rows if share == 1.0 else int(taken + 10 * taken**0.5)
    # cuML (26.10) takes either order, and reads column by column
    order = "F" if feed.device == "gpu" else "C"
    x = xp.empty((room, len(feed.features)), dtype="float32", order=order)
    labels, weights, end = [], [], 0
    for block in iter_weighted_blocks(
        feed, "train", compute_class_weights(params.class_weight, feed)
    ):
        part = block
        if share < 1.0:
            part = sample_block(block, share, seed, device, at_most=room - end)
        x[end : end + len(part.x)] = part.x
        labels.append(part.label)
        weights.append(part.weight)
        end += len(part.x)
    weight = None if weights[0] is None else xp.concatenate(weights)
    if any(bool(xp.isinf(x[:end, j]).any()) for j in range(x.shape[1])):
        reject_infinite(feed)
    return x[:end], xp.concatenate(labels), weight


def compute_fill_values(x: Array, feed: Feed) -> np.ndarray:
    """What stands for a missing value, by feature: the median; 0 if there is none to find."""
    device = frames_of(feed.device)
    xp = device.xp
    found = []
    for j, feature in enumerate(feed.features):
        known = x[:, j][~xp.isnan(x[:, j])]
        use = feature.kind != "c" and len(known)  # codes are never missing
        found.append(float(device.to_host(xp.median(known))) if use else 0.0)
    return np.array(found, dtype="float32")


def _present(label: Array, target: Target) -> list[int]:
    """The classes that have rows, in label order; empty for a regression."""
    return [c for c in range(len(target.classes)) if bool((label == c).any())]


# -- the estimator ---------------------------------------------------------------------------------


def resolve_options(
    params: ForestParams, feed: Feed, seed: int, rows: int, notes: list[str]
) -> dict[str, Any]:
    """The options that both libraries call the same."""
    options: dict[str, Any] = {theirs: getattr(params, ours) for ours, theirs in SHARED.items()}
    asked = params.max_samples
    share = min(1.0, TREE_ROWS / rows) if asked == "auto" else asked
    if share < 1.0:
        notes.append(f"each tree draws {max(1, int(share * rows)):,} of {rows:,} rows")
    tried: Any = params.max_features
    if tried == "auto":
        tried = 1 / 3 if feed.target.task == "regression" else "sqrt"
    return {**options, "max_features": tried, "max_samples": share, "random_state": seed % 2**31}


def estimate_nodes(params: ForestParams, rows: int) -> int:
    """About how many nodes all trees have together; ``rows`` are those of all sets.

    A leaf holds twice ``min_samples_leaf`` (100 trees of depth 16 on 50,000 rows: 1.5 to 3 times).
    """
    own = params.resolve_auto(rows)
    drawn = min(rows, TREE_ROWS) if own.max_samples == "auto" else own.max_samples * rows
    assert own.min_samples_leaf != "auto"
    leaves = min(drawn / (2 * own.min_samples_leaf), 2.0**own.max_depth)
    return int(own.trees * max(2 * leaves - 1, 1))


def make_estimator(params: ForestParams, feed: Feed, options: dict[str, Any], threads: int) -> Any:
    """The library's forest, not yet trained."""
    if feed.device == "gpu":
        from pipeline.device.gpu import models

        return models.make_forest(feed.target.task, n_bins=params.n_bins, **options)
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if feed.target.task == "regression" else RandomForestClassifier
    options["max_samples"] = None if options["max_samples"] == 1.0 else options["max_samples"]
    return kind(n_jobs=threads, **options)


def export_checkpoint(estimator: Any, device: str) -> bytes:
    """The trained forest as Treelite's bytes."""
    if device == "gpu":
        return bytes(estimator.as_treelite().serialize_bytes())
    import treelite

    return bytes(treelite.sklearn.import_model(estimator).serialize_bytes())


def normalize_gains(gains: np.ndarray, feed: Feed) -> dict[str, float]:
    """Importances that sum to 1, by feature."""
    total = float(gains.sum())
    return {
        f.name: float(g) / total if total else 0.0
        for f, g in zip(feed.features, gains, strict=True)
    }
