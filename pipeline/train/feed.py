"""The feed of a run: matrices in partitions, and computations on them where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from pipeline.cluster import client as clients
from pipeline.cluster import partitions
from pipeline.cluster.partitions import Partitions
from pipeline.device import Array, transfer
from pipeline.device.choose import frames_of
from pipeline.matrix import Feature, Feed, Matrix, SetName, Target

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
MatrixSets = Mapping[SetName, Matrix]
"""The matrices of one partition by set; a set without rows in it is left out."""


@dataclass
class PersistedMatrices:
    """Persisted partitions of all sets' matrices; sets are released one by one."""

    client: Client
    parts: Partitions
    released: tuple[SetName, ...] = ()

    def __call__(self, *sets: SetName) -> Partitions:
        """Return partitions that have at least these sets."""
        gone = [which for which in sets if which in self.released]
        assert not gone, f"the matrices of {gone} were released"
        return self.parts

    def release(self, which: SetName) -> None:
        """Free a set's matrices; nobody may ask for them afterwards."""
        rest = partitions.map_partitions(self.parts, _without, which)
        self.parts = partitions.persist(self.client, rest, instead_of=self.parts)
        self.released += (which,)


def _without(sets: MatrixSets, which: SetName) -> MatrixSets:
    return {name: matrix for name, matrix in sets.items() if name != which}


@dataclass(frozen=True)
class PartitionedFeed:
    """A `pipeline.matrix.Feed` over partitions of matrices, persisted or computed at each pass."""

    client: Client
    parts: Callable[..., Partitions]
    """Function of set names: returns partitions that have at least these sets' matrices."""
    features: tuple[Feature, ...]
    target: Target
    device: str
    counts: Mapping[str, int]
    """Rows by set."""
    release_after_binning: bool = False
    """True if nothing needs the training rows once they are binned."""

    def blocks(self, which: SetName) -> Iterator[Matrix]:
        """Yield the set's matrices in partition order."""
        for sets in partitions.iter_results(self.client, self.parts(which)):
            if which in sets:
                yield sets[which]

    def count_rows(self, which: SetName) -> int:
        """Count the rows of the set."""
        return self.counts[which]

    def release_binned_rows(self) -> None:
        """Release the training rows' matrices if only their bins are needed from now on."""
        if self.release_after_binning and isinstance(self.parts, PersistedMatrices):
            self.parts.release("train")

    def to_device(self, device: str) -> PartitionedFeed:
        """Return the feed with arrays of that device; they are transferred at each pass."""
        if device == self.device:
            return self
        source_parts, source = self.parts, self.device

        def transfer_parts(*sets: SetName) -> Partitions:
            parts = source_parts(*sets)
            return partitions.map_partitions(parts, transfer.transfer_sets, source, device)

        return replace(self, parts=transfer_parts, device=device)

    @property
    def is_distributed(self) -> bool:
        """True if the matrices live in other processes."""
        return clients.is_distributed(self.client)

    def map_partitions(
        self, sets: Sequence[SetName], function: Callable[..., T], *arguments: object
    ) -> Iterator[T]:
        """Yield ``function({set: Matrix}, *arguments)`` of each partition, in order.

        In a cluster the matrices stay where they are, and only what the function returns is sent.
        """
        parts = self.parts(*sets)
        if not self.is_distributed:
            matrices = partitions.iter_results(self.client, parts)
            return (function(by_set, *arguments) for by_set in matrices)
        # Arguments may be large (models): they are sent once to each worker, not per partition.
        call = partitions.broadcast(self.client, (function, arguments))
        ahead = 2 * sum(clients.worker_threads(self.client).values())
        return partitions.iter_results(
            self.client, partitions.map_partitions(parts, _call, call), ahead
        )


def _call(sets: MatrixSets, call: tuple[Callable[..., T], tuple[object, ...]]) -> T:
    function, arguments = call
    return function(sets, *arguments)


def map_blocks(
    feed: Feed, which: SetName, function: Callable[..., T], *arguments: object
) -> Iterator[T]:
    """Yield ``function(matrix, *arguments)`` of each of the set's matrices, in order."""
    if isinstance(feed, PartitionedFeed):
        for results in feed.map_partitions((which,), _apply_to_set, which, function, arguments):
            yield from results
    else:
        yield from (function(block, *arguments) for block in feed.blocks(which))


def _apply_to_set(
    sets: MatrixSets, which: SetName, function: Callable[..., T], arguments: tuple[object, ...]
) -> list[T]:
    return [function(sets[which], *arguments)] if which in sets else []


@dataclass(frozen=True)
class WorkerFeed:
    """A worker's part of a feed: its own blocks, but the counts of all workers' rows."""

    partitions: Callable[[], Iterator[MatrixSets]]
    """Starts a pass over the worker's partitions."""
    features: Sequence[Feature]
    target: Target
    device: str
    counts: Mapping[str, int]

    def blocks(self, which: SetName) -> Iterator[Matrix]:
        """Yield the set's matrices on this worker, or one without rows if there are none."""
        empty = True
        for sets in self.partitions():
            if which in sets:
                empty = False
                yield sets[which]
        if empty:
            # every worker must take part in the training, and XGBoost needs the columns
            xp = frames_of(self.device).xp
            label = xp.empty(0, dtype="float64")
            x = xp.empty((0, len(self.features)), dtype="float32")
            yield Matrix(x, label, None, xp.empty(0, dtype="int64"))

    def count_rows(self, which: SetName) -> int:
        """Count the rows of the set on all workers."""
        return self.counts[which]


@dataclass(frozen=True)
class SetScores:
    """A set's rows and their scores by every model, on the host, by ascending row id."""

    ids: np.ndarray
    """int64 (n,)."""
    label: np.ndarray
    """(n,): uint8 or int32 class positions, float64 of a regression."""
    weight: np.ndarray | None
    score: Mapping[str, np.ndarray]
    """Scores by model: float (n,), or (n, k) for multiclass."""


Predict = Callable[[Array], Array]
Columns = tuple[np.ndarray | None, ...]
"""Ids, labels, weights and the scores of each model."""


def score_sets(
    feed: PartitionedFeed, sets: Sequence[SetName], predict: Mapping[str, Predict]
) -> dict[SetName, SetScores]:
    """Score the rows of sets with models, in one pass over the data.

    Rows are in the order of their ids, so that the layout of partitions does not show. 128 million
    rows take 13 bytes each, and 4 or 8 for each binary model.
    """
    gathered = {which: _GatheredColumns(feed.count_rows(which)) for which in sets}
    for columns_by_set in feed.map_partitions(
        sets, _score_partition, tuple(sets), predict, feed.target, feed.device
    ):
        for which, columns in columns_by_set.items():
            gathered[which].append(columns)
    return {which: _sort_by_id(gathered[which], feed.target, list(predict)) for which in sets}


@dataclass
class _GatheredColumns:
    """Columns of a set's rows, filled block by block."""

    rows: int
    end: int = 0
    columns: Columns = ()

    def append(self, block: Columns) -> None:
        """Copy the next block's columns, (m,) or (m, k) or None, behind those so far."""
        if not self.columns:
            # Full length at once: blocks that stay would lie scattered among what each pass
            # frees, which the allocator then cannot return. 127 million rows in blocks took
            # 9.3 GB until they were concatenated, of the 7.0 planned.
            self.columns = tuple(
                None if c is None else np.empty((self.rows, *c.shape[1:]), c.dtype) for c in block
            )
        assert block[0] is not None
        start, self.end = self.end, self.end + len(block[0])
        for column, part in zip(self.columns, block, strict=True):
            if column is not None:
                column[start : self.end] = part


def _score_partition(
    matrices: MatrixSets,
    sets: Sequence[SetName],
    predict: Mapping[str, Predict],
    target: Target,
    device_name: str,
) -> dict[SetName, Columns]:
    """Return each set's columns on the host."""
    device = frames_of(device_name)
    by_set: dict[SetName, Columns] = {}
    for which in sets:
        if which in matrices:
            x, label, weight, ids = matrices[which]
            compact = None if label is None else label.astype(_label_dtype(target))
            columns = (ids, compact, weight, *(score(x) for score in predict.values()))
            by_set[which] = tuple(None if c is None else device.to_host(c) for c in columns)
    return by_set


def _label_dtype(target: Target) -> np.dtype[Any]:
    if target.task == "regression":
        return np.dtype("float64")
    return np.min_scalar_type(max(len(target.classes) - 1, 1))


def _sort_by_id(gathered: _GatheredColumns, target: Target, models: list[str]) -> SetScores:
    assert gathered.end == gathered.rows, f"{gathered.end} rows of {gathered.rows} were scored"
    if not gathered.columns:
        shape = (0, len(target.classes)) if target.task == "multiclass" else (0,)
        label = np.empty(0, _label_dtype(target))
        return SetScores(np.empty(0, "int64"), label, None, {m: np.empty(shape) for m in models})
    columns: tuple[Any, ...] = gathered.columns
    ids = columns[0]
    # One partition after the other is sorted already, if the data came in one piece.
    if (ids[1:] < ids[:-1]).any():
        order = np.argsort(ids, kind="stable")
        columns = tuple(None if c is None else c[order] for c in columns)
    ids, label, weight, *scores = columns
    return SetScores(ids, label, weight, dict(zip(models, scores, strict=True)))
