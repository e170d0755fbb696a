"""Training of one random forest on the workers of a cluster, each with some of the trees.

The rows are dealt out by a hash of their ids, so that every worker trains on a sample of all data,
not on the rows of its own files (as in `cuml.dask`). Each of w workers gets a share of 1/w, but at
least `ENOUGH` rows; small data are whole on every worker. On GPUs, cuML does the same in each
worker. The trees are merged into one Treelite forest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import getitem
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.cluster import gpu_worker_failure, partitions
from pipeline.cluster.client import worker_threads
from pipeline.console.plural import pluralize, quantify
from pipeline.device.choose import frames_of
from pipeline.matrix import Feature, Matrix, Target, concatenate_matrices, take_rows
from pipeline.train.feed import MatrixSets, PartitionedFeed, WorkerFeed
from pipeline.train.fitted_model import FittedModel, TrainingOptions
from pipeline.train.forest import train as forest
from pipeline.train.forest.scoring import ForestScore, fill_missing_in_place
from pipeline.train.params import ForestParams
from pipeline.train.weights import (
    compute_class_weights,
    count_classes,
    multiply_class_weights,
    with_class_weights,
)

if TYPE_CHECKING:
    from distributed import Client, Future

ENOUGH = 200_000
"""Rows that a worker gets at least, if there are as many."""


@dataclass(frozen=True)
class ForestTask:
    """The facts about a forest that every worker needs; sent to each worker once."""

    params: ForestParams
    features: tuple[Feature, ...]
    target: Target
    device: str
    present: list[int]
    """Classes with training rows on any worker; empty for a regression."""
    share: float
    """Share of the training rows that a worker gets."""
    seed: int

    def make_feed(self, matrix: Matrix) -> WorkerFeed:
        """Return a feed of these training rows."""
        counts = {"train": len(matrix.x), "valid": 0, "test": 0}
        return WorkerFeed(
            lambda: iter([{"train": matrix}]), self.features, self.target, self.device, counts
        )


@dataclass(frozen=True)
class GrownTrees:
    """The trees of one worker."""

    checkpoint: bytes
    gains: np.ndarray
    """float64 (k,): the estimator's importances."""
    notes: list[str]


def train(params: ForestParams, feed: PartitionedFeed, options: TrainingOptions) -> FittedModel:
    """Grow the forest on the workers, as `forest.train` does in one process."""
    client, rows = feed.client, feed.count_rows("train")
    threads = worker_threads(client)
    members = list(threads)[: params.trees]
    # a worker sees only its own rows, so what depends on all rows is computed before
    params = with_class_weights(params, feed)
    present: list[int] = []
    if feed.target.task != "regression":
        present = [int(c) for c in np.flatnonzero(count_classes(feed))]
    if len(present) == 1:
        fill = [0.0] * len(feed.features)
        return forest.make_constant_forest(feed, [], {"fill": fill, "present": present})
    share = max(1 / len(members), min(1.0, ENOUGH / rows))
    if params.max_samples == "auto":
        share = min(share, forest.MATRIX_ROWS / rows)
    rows_each = f"{'about ' if share < 1 else ''}{round(share * rows):,} of {rows:,}"
    workers, grow = quantify(len(members), "worker"), pluralize(len(members), "grows", "grow")
    notes = [f"{workers} {grow} trees, each on {rows_each} training rows"]
    options.progress(f"{quantify(params.trees, 'tree')} on {workers}", 0, params.trees)
    task = partitions.broadcast(
        client,
        ForestTask(params, feed.features, feed.target, feed.device, present, share, options.seed),
    )
    dealt = _deal_rows(client, feed, len(members), task)
    # all workers use the fill values of the first, so that the merged forest has one for each
    fill_future = client.submit(_compute_fill, dealt[0], task, pure=False)
    trees = [len(part) for part in np.array_split(np.arange(params.trees), len(members))]
    futures = [
        client.submit(
            gpu_worker_failure.run_guarded,
            _grow,
            matrix,
            fill_future,
            (number, trees[number], threads[address]),
            task,
            pure=False,
            workers=[address],
            allow_other_workers=True,
        )
        for number, (matrix, address) in enumerate(zip(dealt, members, strict=True))
    ]
    fill, *grown = client.gather([fill_future, *futures])
    options.progress(quantify(params.trees, "tree"), params.trees, params.trees)
    notes += grown[0].notes
    return _merge_trees(feed, grown, trees, {"fill": fill, "present": present}, notes)


def _merge_trees(
    feed: PartitionedFeed,
    grown: Sequence[GrownTrees],
    trees: Sequence[int],
    details: Mapping[str, Any],
    notes: list[str],
) -> FittedModel:
    import treelite

    models = [treelite.Model.deserialize_bytes(part.checkpoint) for part in grown]
    content = bytes(treelite.Model.concatenate(models).serialize_bytes())
    gains = np.average([part.gains for part in grown], axis=0, weights=trees)
    fill = np.array(details["fill"], dtype="float32")
    return forest.make_fitted_forest(
        feed,
        ForestScore(
            feed.target, fill, details["present"], frames_of(feed.device), checkpoint=content
        ),
        importances=forest.normalize_gains(gains, feed),
        trees=sum(trees),
        notes=notes,
        details=details,
    )


def _deal_rows(client: Client, feed: PartitionedFeed, members: int, task: Future) -> list[Future]:
    """Return a future of each member's rows, a `Matrix`, after one pass over the partitions."""
    from dask import delayed

    picked = partitions.map_partitions(feed.parts("train"), _pick_rows, members, task).make_tasks()
    get = delayed(getitem, pure=False)
    futures = client.compute([get(part, number) for number in range(members) for part in picked])
    by_member = (futures[n * len(picked) : (n + 1) * len(picked)] for n in range(members))
    return [client.submit(_join_rows, parts, task, pure=False) for parts in by_member]


# -- in a worker -----------------------------------------------------------------------------------


def _pick_rows(sets: MatrixSets, members: int, task: ForestTask) -> list[Matrix | None]:
    """Pick each member's rows: those whose hash lies on its arc of a circle."""
    if "train" not in sets:
        return [None] * members
    matrix, device = sets["train"], frames_of(task.device)
    hashes = device.hash_ints(matrix.ids, task.seed + 5)
    # Arcs begin at even distances and overlap if shares are larger than 1 / members.
    starts = (number * 2**32 // members for number in range(members))
    length = int(task.share * 2**32)
    positions = (device.xp.flatnonzero((hashes - s) % 2**32 < length) for s in starts)
    return [take_rows(matrix, chosen) for chosen in positions]


def _join_rows(parts: list[Matrix | None], task: ForestTask) -> Matrix:
    xp = frames_of(task.device).xp
    return concatenate_matrices((part for part in parts if part is not None), xp)


def _compute_fill(matrix: Matrix, task: ForestTask) -> list[float]:
    fill: list[float] = forest.compute_fill_values(
        matrix.x, matrix.weight, task.make_feed(matrix)
    ).tolist()
    return fill


def _grow(
    matrix: Matrix, fill: list[float], part: tuple[int, int, int], task: ForestTask
) -> GrownTrees:
    """Grow a member's trees; ``part`` is its number, its trees and its threads."""
    (number, trees, threads), params = part, task.params
    device, feed, notes = frames_of(task.device), task.make_feed(matrix), list[str]()
    x, label, weight = forest.collect_training_rows(params, feed, task.seed, notes)
    weight = multiply_class_weights(label, weight, compute_class_weights(params.class_weight, feed))
    x = fill_missing_in_place(x, np.array(fill, dtype="float32"), device.xp)
    if absent := [c for c in task.present if not bool((label == c).any())]:
        # The leaves of all trees need the same classes to be merged into one forest: each class
        # that only other workers have gets a row of weight 0.
        xp = device.xp
        weight = xp.ones(len(x)) if weight is None else weight
        x = xp.concatenate([x, xp.repeat(x[:1], len(absent), axis=0)])
        label = xp.concatenate([label, xp.asarray(absent, dtype="float64")])
        weight = xp.concatenate([weight, xp.zeros(len(absent))])
    if params.max_samples != "auto":  # a share of all rows becomes one of this member's rows
        params = params.model_copy(
            update={"max_samples": min(1.0, params.max_samples / task.share)}
        )
    params = params.model_copy(update={"trees": trees})
    # a prime between the members' seeds, so that their trees differ
    seed = task.seed + 7919 * number
    library_options = forest.make_library_options(params, feed, seed, len(x), notes)
    estimator = forest.make_estimator(params, feed, library_options, threads)
    regression = task.target.task == "regression"
    estimator.fit(x, label if regression else label.astype("int32"), sample_weight=weight)
    gains = np.asarray(device.to_host(estimator.feature_importances_), "float64")
    return GrownTrees(forest.export_checkpoint(estimator, task.device), gains, notes)
