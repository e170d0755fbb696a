"""Grows one random forest on the workers of a cluster: each some of the trees, on its own rows.

The rows are dealt out by a hash of their ids, so that every worker has a sample of all the data,
not the rows of its own files (as `cuml.dask` leaves them). Of w workers each gets a share of 1/w,
but at least `ENOUGH` rows: small data are whole on every worker. On GPUs it is the same, with cuML
in each worker. The trees are merged into one Treelite forest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import getitem
from typing import Any

import numpy as np

from pipeline.cluster import gpu_worker_failure, partitions
from pipeline.cluster.client import worker_threads
from pipeline.device import Array
from pipeline.device.choose import frames_of
from pipeline.matrix import Matrix, concatenate_matrices, take_rows
from pipeline.train.feed import PartitionedFeed, WorkerFeed
from pipeline.train.fitted_model import FittedModel, Progress
from pipeline.train.forest import train as forest
from pipeline.train.forest.scoring import ForestScore, fill_missing_in_place
from pipeline.train.params import ForestParams
from pipeline.train.weights import count_classes, with_class_weights

ENOUGH = 200_000
"""Rows that a worker has at least, if there are as many."""


def train(
    params: ForestParams, feed: PartitionedFeed, *, seed: int, progress: Progress
) -> FittedModel:
    """The forest that the workers grow; what `forest.train` does in one process."""
    client, rows = feed.client, feed.count_rows("train")
    known = worker_threads(client)
    members = list(known)[: params.trees]
    params = with_class_weights(params, feed)
    present: list[int] = []
    if feed.target.task != "regression":
        present = [int(c) for c in np.flatnonzero(count_classes(feed))]
    if len(present) == 1:
        fill = [0.0] * len(feed.features)
        notes = [f"only {feed.target.classes[present[0]]!r} occurs: it is always predicted"]
        return forest.make_constant_forest(feed, notes, {"fill": fill, "present": present})
    share = _share(params, rows, len(members))
    dealt_to_each = f"{'about ' if share < 1 else ''}{round(share * rows):,} of {rows:,}"
    notes = [f"{len(members)} workers grow trees, each on {dealt_to_each} training rows"]
    progress(f"{params.trees} trees on {len(members)} workers", 0, params.trees)
    described = (feed.features, feed.target, feed.device)
    sent = partitions.broadcast(client, (params, described, present, share, seed))
    dealt = _dealt(client, feed, len(members), sent)
    fill_of = client.submit(_fill, dealt[0], sent, pure=False)
    trees = [len(part) for part in np.array_split(np.arange(params.trees), len(members))]
    grown = [
        client.submit(
            gpu_worker_failure.run_guarded, _grow, own, fill_of,
            (number, trees[number], known[address]), sent,
            pure=False, workers=[address], allow_other_workers=True,
        )
        for number, (own, address) in enumerate(zip(dealt, members, strict=True))
    ]  # fmt: skip
    fill, *found = client.gather([fill_of, *grown])
    progress(f"{params.trees} trees", params.trees, params.trees)
    details = {"fill": fill, "present": present}
    return _merged(feed, found, trees, details, [*notes, *found[0][2]])


def _share(params: ForestParams, rows: int, members: int) -> float:
    """The share of the training rows that a worker gets."""
    share = max(1 / members, min(1.0, ENOUGH / rows))
    return min(share, forest.MATRIX_ROWS / rows) if params.max_samples == "auto" else share


def _merged(
    feed: PartitionedFeed, found: Sequence[tuple[bytes, np.ndarray, list[str]]],
    trees: Sequence[int],
    details: Mapping[str, Any], notes: Sequence[str],
) -> FittedModel:  # fmt: skip
    import treelite

    models = [treelite.Model.deserialize_bytes(content) for content, _, _ in found]
    content = bytes(treelite.Model.concatenate(models).serialize_bytes())
    gains = np.average([gain for _, gain, _ in found], axis=0, weights=trees)
    return FittedModel(
        forest.NAME, feed.target, tuple(feed.features),
        score=ForestScore(
            feed.target, np.array(details["fill"], dtype="float32"), details["present"],
            frames_of(feed.device), checkpoint=content,
        ),
        content=content, importances=forest.normalize_gains(gains, feed), rounds=sum(trees),
        history={}, notes=tuple(notes), device=feed.device,
        details=details,
    )  # fmt: skip


# -- in a worker -----------------------------------------------------------------------------------


def _dealt(client: Any, feed: PartitionedFeed, members: int, sent: Any) -> list[Any]:
    """A future of each member's rows, a `Matrix`; one pass over the partitions."""
    from dask import delayed

    picked = partitions.map_partitions(feed.parts("train"), _picked, members, sent).tasks()
    own = delayed(getitem, pure=False)
    futures = client.compute([own(task, number) for number in range(members) for task in picked])
    by_member = (futures[n * len(picked) : (n + 1) * len(picked)] for n in range(members))
    return [client.submit(_joined, own, sent, pure=False) for own in by_member]


def _picked(found: Any, members: int, sent: Any) -> list[Matrix | None]:
    """Each member's rows: those whose hash lies on its arc of a circle; arcs overlap if needed."""
    if "train" not in found:
        return [None] * members
    _, (_, _, device_name), _, share, seed = sent
    matrix, device = found["train"], frames_of(device_name)
    hashes = device.hash_ints(matrix.ids, seed + 5)
    starts = (number * 2**32 // members for number in range(members))
    rows = (device.xp.flatnonzero((hashes - s) % 2**32 < int(share * 2**32)) for s in starts)
    return [take_rows(matrix, own) for own in rows]


def _joined(parts: list[Matrix | None], sent: Any) -> Matrix:
    _, (_, _, device_name), *_ = sent
    return concatenate_matrices(
        (part for part in parts if part is not None), frames_of(device_name).xp
    )


def _feed_of(matrix: Matrix, sent: Any) -> WorkerFeed:
    _, (features, target, device), *_ = sent
    counts = {"train": len(matrix.x), "valid": 0, "test": 0}
    return WorkerFeed(lambda: iter([{"train": matrix}]), features, target, device, counts)


def _fill(matrix: Matrix, sent: Any) -> list[float]:
    """What stands for a missing value, by feature."""
    found: list[float] = forest.compute_fill_values(matrix.x, _feed_of(matrix, sent)).tolist()
    return found


def _grow(
    matrix: Matrix, fill: list[float], part: tuple[int, int, int], sent: Any
) -> tuple[bytes, np.ndarray, list[str]]:
    """A member's trees: Treelite checkpoint, importances, and what the ledger says."""
    params, (_, target, device_name), present, share, seed = sent
    number, trees, threads = part
    device, feed, notes = frames_of(device_name), _feed_of(matrix, sent), list[str]()
    x, label, weight = forest.collect_training_rows(params, feed, seed, notes)
    x = fill_missing_in_place(x, np.array(fill, dtype="float32"), device.xp)
    x, label, weight = _with_all_classes(x, label, weight, present, device.xp)
    if params.max_samples != "auto":  # it is a share of all rows
        params = params.model_copy(update={"max_samples": min(1.0, params.max_samples / share)})
    params = params.model_copy(update={"trees": trees})
    options = forest.resolve_options(params, feed, seed + 7919 * number, len(x), notes)
    estimator = forest.make_estimator(params, feed, options, threads)
    estimator.fit(
        x, label if target.task == "regression" else label.astype("int32"), sample_weight=weight
    )
    gains = np.asarray(device.to_host(estimator.feature_importances_), "float64")
    return forest.export_checkpoint(estimator, device_name), gains, notes


def _with_all_classes(
    x: Array, label: Array, weight: Array | None, present: list[int], xp: Any
) -> tuple[Array, Array, Array | None]:
    """A row of no weight for each class that others have rows of, so that all trees have it."""
    absent = [c for c in present if not bool((label == c).any())]
    if not absent:
        return x, label, weight
    weight = xp.ones(len(x)) if weight is None else weight
    none = xp.zeros(len(absent))
    rows = xp.repeat(x[:1], len(absent), axis=0)
    return (
        xp.concatenate([x, rows]),
        xp.concatenate([label, xp.asarray(absent, dtype="float64")]),
        xp.concatenate([weight, none]),
    )
