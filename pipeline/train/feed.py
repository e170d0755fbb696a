"""The feed of a run: matrices of partitions, and what is computed of them where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.cluster import client as clients
from pipeline.cluster import partitions
from pipeline.cluster.partitions import Partitions
from pipeline.device import transfer
from pipeline.device.choose import frames_of
from pipeline.matrix import Feature, Feed, Matrix, SetName, Target


@dataclass
class PersistedMatrices:
    """Persisted partitions of all sets' matrices; sets are released one by one."""

    client: Any
    parts: Partitions
    released: tuple[str, ...] = ()

    def __call__(self, *sets: SetName) -> Partitions:
        """Partitions that have at least these sets."""
        lost = [which for which in sets if which in self.released]
        assert not lost, f"the matrices of {lost} were let go"
        return self.parts

    def release(self, which: SetName) -> None:
        """Frees a set's matrices, which nobody may ask for afterwards."""
        rest = partitions.map_partitions(self.parts, _without, which)
        self.parts = partitions.persist(self.client, rest, instead_of=self.parts)
        self.released += (which,)


def _without(found: Mapping[str, Matrix], which: str) -> dict[str, Matrix]:
    return {name: matrix for name, matrix in found.items() if name != which}


@dataclass(frozen=True)
class PartitionedFeed:
    """`pipeline.matrix.Feed` over partitions of ``{set: Matrix}``, held or made at each pass."""

    client: Any
    parts: Callable[..., Partitions]
    """Of set names: partitions that have at least these sets' matrices."""
    features: tuple[Feature, ...]
    target: Target
    device: str
    counts: Mapping[str, int]
    release_after_binning: bool = False
    """The training rows are not needed again once they are binned."""

    def blocks(self, which: SetName) -> Iterator[Matrix]:
        """The set's matrices in partition order."""
        for found in partitions.iter_results(self.client, self.parts(which)):
            if which in found:
                yield found[which]

    def count_rows(self, which: SetName) -> int:
        """How many rows the set has."""
        return self.counts[which]

    def release_binned_rows(self) -> None:
        """Lets the training rows' matrices go if they were held for the bins alone."""
        if self.release_after_binning and isinstance(self.parts, PersistedMatrices):
            self.parts.release("train")

    def to_device(self, device: str) -> PartitionedFeed:
        """The feed with arrays of that device: its own, or as they cross over at each pass."""
        if device == self.device:
            return self
        made, own = self.parts, self.device

        def crossed(*sets: SetName) -> Partitions:
            return partitions.map_partitions(made(*sets), transfer.transfer_sets, own, device)

        return replace(self, parts=crossed, device=device)

    @property
    def is_distributed(self) -> bool:
        """Whether the matrices live in other processes."""
        return clients.is_distributed(self.client)

    def map_partitions(
        self, sets: Sequence[SetName], function: Callable[..., Any], *arguments: Any
    ) -> Iterator[Any]:
        """``function({set: Matrix}, *arguments)`` of each partition, where it lives, in order.

        In a cluster the matrices stay where they are, and only what the function returns is sent.
        """
        parts = self.parts(*sets)
        if not self.is_distributed:
            made = partitions.iter_results(self.client, parts)
            return (function(found, *arguments) for found in made)
        sent = partitions.broadcast(self.client, (function, arguments))
        ahead = 2 * sum(clients.worker_threads(self.client).values())
        return partitions.iter_results(
            self.client, partitions.map_partitions(parts, _called, sent), ahead
        )


def _called(found: Mapping[SetName, Matrix], sent: tuple[Any, Any]) -> Any:
    function, arguments = sent
    return function(found, *arguments)


def map_blocks(
    feed: Feed, which: SetName, function: Callable[..., Any], *arguments: Any
) -> Iterator[Any]:
    """``function(matrix, *arguments)`` of each of the set's matrices, in order."""
    if isinstance(feed, PartitionedFeed):
        for found in feed.map_partitions((which,), _of_set, which, function, arguments):
            yield from found
    else:
        yield from (function(block, *arguments) for block in feed.blocks(which))


def _of_set(
    found: Mapping[SetName, Matrix], which: SetName, function: Callable[..., Any], arguments: Any
) -> list[Any]:
    return [function(found[which], *arguments)] if which in found else []


@dataclass(frozen=True)
class WorkerFeed:
    """A worker's part of a feed: its own blocks, but the counts of all workers' rows."""

    made: Callable[[], Iterator[Mapping[str, Matrix]]]
    features: Sequence[Feature]
    target: Target
    device: str
    counts: Mapping[str, int]

    def blocks(self, which: SetName) -> Iterator[Matrix]:
        """The set's matrices that are here; one without rows if there are none."""
        empty = True
        for found in self.made():
            if which in found:
                empty = False
                yield found[which]
        if empty:
            xp = frames_of(self.device).xp
            none = xp.empty(0, dtype="float64")
            x = xp.empty((0, len(self.features)), dtype="float32")
            yield Matrix(x, none, None, xp.empty(0, dtype="int64"))

    def count_rows(self, which: SetName) -> int:
        """How many rows the set has, on all workers."""
        return self.counts[which]


@dataclass(frozen=True)
class SetScores:
    """A set's rows and what the models say of them, on the host, by ascending row id."""

    ids: np.ndarray
    """int64 (n,)."""
    label: np.ndarray
    """(n,): uint8 or int32 class positions, float64 of a regression."""
    weight: np.ndarray | None
    score: Mapping[str, np.ndarray]
    """By model: float (n,), or (n, k) for multiclass."""


def score_sets(
    feed: PartitionedFeed, sets: Sequence[SetName], predict: Mapping[str, Callable[[Any], Any]]
) -> dict[SetName, SetScores]:
    """What models say of sets' rows, in one pass over the data.

    Rows are in the order of their ids, so that the layout of partitions does not show. 128 million
    rows take 13 bytes each, and 4 or 8 for each binary model.
    """
    gathered: dict[SetName, _Gathered] = {
        which: _Gathered(feed.count_rows(which)) for which in sets
    }
    for found in feed.map_partitions(sets, _scores, tuple(sets), predict, feed.target, feed.device):
        for which, made in found.items():
            gathered[which].add(made)
    return {which: _scores_of(gathered[which], feed.target, list(predict)) for which in sets}


@dataclass
class _Gathered:
    """Columns of a set's rows, filled block by block.

    They are made in their full length at the first block: blocks that are kept lie scattered among
    what each pass frees again, which the allocator then cannot give back. 127 million rows kept in
    blocks took 9.3 GB until they were one, of the 7.0 planned.
    """

    rows: int
    end: int = 0
    columns: tuple[Any, ...] = ()

    def add(self, made: tuple[Any, ...]) -> None:
        """The next block's columns: (m,) or (m, k), or None."""
        if not self.columns:
            self.columns = tuple(
                None if c is None else np.empty((self.rows, *c.shape[1:]), c.dtype) for c in made
            )
        start, self.end = self.end, self.end + len(made[0])
        for column, block in zip(self.columns, made, strict=True):
            if column is not None:
                column[start : self.end] = block


def _scores(
    found: Mapping[SetName, Matrix], sets: Sequence[SetName],
    predict: Mapping[str, Callable[[Any], Any]], target: Target, device_name: str,
) -> dict[SetName, tuple[Any, ...]]:  # fmt: skip
    device = frames_of(device_name)
    columns = {}
    for which in sets:
        if which in found:
            x, label, weight, ids = found[which]
            compact = None if label is None else label.astype(_label_dtype(target))
            made = (ids, compact, weight, *(own(x) for own in predict.values()))
            columns[which] = tuple(None if c is None else device.to_host(c) for c in made)
    return columns


def _label_dtype(target: Target) -> Any:
    if target.task == "regression":
        return np.dtype("float64")
    return np.min_scalar_type(max(len(target.classes) - 1, 1))


def _scores_of(gathered: _Gathered, target: Target, names: list[str]) -> SetScores:
    assert gathered.end == gathered.rows, f"{gathered.end} rows of {gathered.rows} were scored"
    if not gathered.columns:
        shape = (0, len(target.classes)) if target.task == "multiclass" else (0,)
        none = np.empty(0, _label_dtype(target))
        return SetScores(np.empty(0, "int64"), none, None, {n: np.empty(shape) for n in names})
    ids, label, weight, *scores = gathered.columns
    if (ids[1:] < ids[:-1]).any():
        order = np.argsort(ids, kind="stable")
        ids, label, weight, *scores = (
            None if c is None else c[order] for c in (ids, label, weight, *scores)
        )
    return SetScores(ids, label, weight, dict(zip(names, scores, strict=True)))
