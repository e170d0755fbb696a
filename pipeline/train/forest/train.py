"""Train the random forest: scikit-learn on the CPU, cuML on the GPU, one parameter table.

Both get one float32 matrix without missing values: a missing quantity becomes the median of the
training rows, by their weights; a missing category has a code of its own
(`pipeline.matrix.zero_missing_codes`). Trees draw rows whatever they weigh; weights count in splits
and leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.console.plural import quantify
from pipeline.device import Array
from pipeline.device.choose import frames_of
from pipeline.device.weighted_quantiles import compute_weighted_quantiles
from pipeline.matrix import Feed
from pipeline.train.fitted_model import FittedModel, TrainingOptions
from pipeline.train.forest.counted_trees import count_trees
from pipeline.train.forest.scoring import ForestScore, fill_missing_in_place
from pipeline.train.params import ForestParams
from pipeline.train.weights import (
    compute_class_weights,
    iter_weighted_blocks,
    multiply_class_weights,
    reject_infinite,
    sample_block,
)

TREE_ROWS = 50_000
"""Most rows that a tree draws (``max_samples: auto``). On flights (229 k rows, 19 columns, 50
trees) 20 k, 50 k and 100 k rows score a test AUC of 0.690, 0.689 and 0.686, in 2.7, 5.7 and 10.1
seconds of one core."""
MATRIX_ROWS = 1_000_000
"""Most rows from which all trees together draw (``max_samples: auto``)."""


def train(params: ForestParams, feed: Feed, options: TrainingOptions) -> FittedModel:
    """Grow the trees on the training rows, or on a sample that the notes describe.

    ``options.max_rows`` limits the rows, whatever ``max_samples`` asks for.
    """
    device = frames_of(feed.device)
    notes: list[str] = []
    x, label, weight = collect_training_rows(params, feed, options.seed, notes, options.max_rows)
    fill = compute_fill_values(x, weight, feed)
    weight = multiply_class_weights(label, weight, compute_class_weights(params.class_weight, feed))
    x = fill_missing_in_place(x, fill, device.xp)
    present = [c for c in range(len(feed.target.classes)) if bool((label == c).any())]
    details = {"fill": fill.tolist(), "present": present}
    if len(present) == 1:
        return make_constant_forest(feed, notes, details)
    library_options = make_library_options(params, feed, options.seed, len(x), notes)
    growing = f"{quantify(params.trees, 'tree')} on {quantify(len(x), 'row')}"
    options.progress(growing, 0, params.trees)
    estimator = make_estimator(params, feed, library_options, options.threads)
    if feed.device == "cpu":
        count_trees(estimator, lambda grown: options.progress(growing, grown, params.trees))
    regression = feed.target.task == "regression"
    estimator.fit(x, label if regression else label.astype("int32"), sample_weight=weight)
    if feed.device == "cpu":
        estimator.set_params(n_jobs=1)  # see `scoring.score_in_threads`
    options.progress(quantify(params.trees, "tree"), params.trees, params.trees)
    gains = np.asarray(device.to_host(estimator.feature_importances_), "float64")
    content = export_checkpoint(estimator, feed.device)
    return make_fitted_forest(
        feed,
        ForestScore(feed.target, fill, present, device, estimator, content),
        importances=normalize_gains(gains, feed),
        trees=params.trees,
        notes=notes,
        details=details,
    )


def make_fitted_forest(
    feed: Feed,
    score: ForestScore,
    *,
    importances: Mapping[str, float],
    trees: int,
    notes: list[str],
    details: Mapping[str, Any],
) -> FittedModel:
    """Describe a forest that has just been trained on the feed."""
    return FittedModel(
        name="forest",
        target=feed.target,
        features=tuple(feed.features),
        score=score,
        content=score.checkpoint,
        importances=importances,
        rounds=trees,
        history={},
        notes=tuple(notes),
        device=feed.device,
        details=details,
    )


def make_constant_forest(feed: Feed, notes: list[str], details: Mapping[str, Any]) -> FittedModel:
    """Make a forest without trees, for the one class that occurs."""
    fill, present = np.array(details["fill"], dtype="float32"), details["present"]
    return make_fitted_forest(
        feed,
        ForestScore(feed.target, fill, present, frames_of(feed.device)),
        importances={feature.name: 0.0 for feature in feed.features},
        trees=0,
        notes=[*notes, f"only {feed.target.classes[present[0]]!r} occurs: it is always predicted"],
        details=details,
    )


# -- the rows --------------------------------------------------------------------------------------


def collect_training_rows(
    params: ForestParams, feed: Feed, seed: int, notes: list[str], max_rows: int | None = None
) -> tuple[Array, Array, Array | None]:
    """Collect (x, label, row weight) of the training rows, or of a sample by their ids' hashes."""
    device = frames_of(feed.device)
    xp = device.xp
    rows, share = feed.count_rows("train"), 1.0
    wanted = min(rows, MATRIX_ROWS) if params.max_samples == "auto" else rows
    taken = min(wanted, max_rows or wanted)
    if taken < rows:
        share = taken / rows
        why = ": memory.host" if taken < wanted else ""
        notes.append(f"trees draw from a sample of about {taken:,} of {rows:,} training rows{why}")
    # The sample's size is binomial: ten standard deviations of room, so nothing is cut in practice.
    room = rows if share == 1.0 else int(taken + 10 * taken**0.5)
    # cuML (26.10) accepts either order, and reads column by column.
    order = "F" if feed.device == "gpu" else "C"
    # Filled block by block: a list of blocks and their concatenation would be twice the memory.
    x = xp.empty((room, len(feed.features)), dtype="float32", order=order)
    labels, weights, end = [], [], 0
    for block in iter_weighted_blocks(feed, "train", None):
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


def compute_fill_values(x: Array, weight: Array | None, feed: Feed) -> np.ndarray:
    """Compute what stands for a missing value, by feature: the median, or 0 without values.

    Args:
        x: float32 (n, features).
        weight: float64 (n,): row weights, without those of classes; or None.
        feed: names the features.
    """
    device = frames_of(feed.device)
    xp = device.xp
    fill = []
    for j, feature in enumerate(feed.features):
        present = ~xp.isnan(x[:, j])
        values = x[:, j][present]
        if feature.kind == "c" or not len(values):  # codes are never missing
            fill.append(0.0)
        elif weight is None:
            fill.append(float(device.to_host(xp.median(values))))
        else:
            fill += compute_weighted_quantiles(values, weight[present], [0.5], xp)
    return np.array(fill, dtype="float32")


# -- the estimator ---------------------------------------------------------------------------------


def make_library_options(
    params: ForestParams, feed: Feed, seed: int, rows: int, notes: list[str]
) -> dict[str, Any]:
    """Return the options that have one name in both libraries."""
    share = min(1.0, TREE_ROWS / rows) if params.max_samples == "auto" else params.max_samples
    if share < 1.0:
        notes.append(f"each tree draws {max(1, int(share * rows)):,} of {rows:,} rows")
    max_features: Any = params.max_features
    if max_features == "auto":
        max_features = 1 / 3 if feed.target.task == "regression" else "sqrt"
    return {
        "n_estimators": params.trees,
        "max_depth": params.max_depth,
        "min_samples_leaf": params.min_samples_leaf,
        "max_features": max_features,
        "max_samples": share,
        "random_state": seed % 2**31,
    }


def estimate_nodes(params: ForestParams, rows: int) -> int:
    """Estimate the nodes of all trees together; ``rows`` are those of all sets."""
    resolved = params.resolve_auto(rows)
    drawn = min(rows, TREE_ROWS) if resolved.max_samples == "auto" else resolved.max_samples * rows
    assert resolved.min_samples_leaf != "auto"
    # 100 trees of depth 16 on 50,000 rows have 1.5 to 3 times `min_samples_leaf` rows per leaf.
    leaves = min(drawn / (2 * resolved.min_samples_leaf), 2.0**resolved.max_depth)
    return int(resolved.trees * max(2 * leaves - 1, 1))


def make_estimator(params: ForestParams, feed: Feed, options: dict[str, Any], threads: int) -> Any:
    """Make the library's forest, not yet trained."""
    if feed.device == "gpu":
        from pipeline.device.gpu import models

        return models.make_forest(feed.target.task, n_bins=params.n_bins, **options)
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if feed.target.task == "regression" else RandomForestClassifier
    # None is scikit-learn's default: as many draws as there are rows
    options["max_samples"] = None if options["max_samples"] == 1.0 else options["max_samples"]
    return kind(n_jobs=threads, **options)


def export_checkpoint(estimator: Any, device: str) -> bytes:
    """Serialize the trained forest as a Treelite checkpoint."""
    if device == "gpu":
        return bytes(estimator.as_treelite().serialize_bytes())
    import treelite

    return bytes(treelite.sklearn.import_model(estimator).serialize_bytes())


def normalize_gains(gains: np.ndarray, feed: Feed) -> dict[str, float]:
    """Scale importances so that they sum to 1, by feature."""
    total = float(gains.sum())
    return {
        f.name: float(g) / total if total else 0.0
        for f, g in zip(feed.features, gains, strict=True)
    }
