"""The feed of a run: matrices of partitions, and what is computed of them where they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.cluster import client as clients
from pipeline.cluster import partitions
from pipeline.cluster.partitions import Partitions
from pipeline.device.choose import frames_of
from pipeline.matrix import Feature, Feed, Matrix, SetName, Target


@dataclass(frozen=True)
class HeldFeed:
    """`pipeline.matrix.Feed` over partitions of ``{set: Matrix}``, held or made at each pass."""

    client: Any
    parts: Callable[[SetName], Partitions]
    """Partitions that have at least this set's matrices."""
    features: tuple[Feature, ...]
    target: Target
    device: str
    counts: Mapping[str, int]

    def blocks(self, which: SetName) -> Iterator[Matrix]:
        """The set's matrices in partition order."""
        for found in partitions.results(self.client, self.parts(which)):
            if which in found:
                yield found[which]

    def rows(self, which: SetName) -> int:
        """How many rows the set has."""
        return self.counts[which]

    @property
    def spread(self) -> bool:
        """Whether the matrices live in other processes."""
        return clients.spread(self.client)

    def mapped(
        self, which: SetName, function: Callable[..., Any], *arguments: Any
    ) -> Iterator[Any]:
        """``function(matrix, *arguments)`` of each of the set's matrices, where it lives."""
        sent = partitions.shared(self.client, (function, arguments))
        made = partitions.each(self.parts(which), _of_set, which, sent)
        ahead = 2 * sum(clients.workers(self.client).values())
        for found in partitions.results(self.client, made, ahead):
            if found:
                yield found[0]


def _of_set(found: Mapping[str, Matrix], which: str, sent: tuple[Any, Any]) -> list[Any]:
    function, arguments = sent
    return [function(found[which], *arguments)] if which in found else []


def mapped(
    feed: Feed, which: SetName, function: Callable[..., Any], *arguments: Any
) -> Iterator[Any]:
    """``function(matrix, *arguments)`` of each of the set's matrices, in order.

    In a cluster the matrices stay where they are, and only what the function returns is sent.
    """
    if isinstance(feed, HeldFeed) and feed.spread:
        return feed.mapped(which, function, *arguments)
    return (function(block, *arguments) for block in feed.blocks(which))


@dataclass(frozen=True)
class LocalFeed:
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

    def rows(self, which: SetName) -> int:
        """How many rows the set has, on all workers."""
        return self.counts[which]


@dataclass(frozen=True)
class Scores:
    """A set's labels and a model's scores, on the host, by row id."""

    ids: np.ndarray
    label: np.ndarray
    weight: np.ndarray | None
    score: np.ndarray
    """float (n,), or (n, k) for multiclass."""


def scored(feed: HeldFeed, which: SetName, predict: Callable[[Any], Any]) -> Scores:
    """Scores of a set, sorted by row id so that the layout of partitions does not show."""
    blocks = list(mapped(feed, which, _scores, predict, feed.device))
    if not blocks:
        width = len(feed.target.classes)
        shape = (0, width) if feed.target.task == "multiclass" else (0,)
        return Scores(np.empty(0, "int64"), np.empty(0), None, np.empty(shape))
    ids, label, weight, score = (
        None if column[0] is None else np.concatenate(column)
        for column in zip(*blocks, strict=True)
    )
    assert ids is not None and label is not None and score is not None
    order = np.argsort(ids, kind="stable")
    return Scores(ids[order], label[order], None if weight is None else weight[order], score[order])


def _scores(matrix: Matrix, predict: Callable[[Any], Any], device_name: str) -> tuple[Any, ...]:
    device = frames_of(device_name)
    columns = (matrix.ids, matrix.label, matrix.weight, predict(matrix.x))
    return tuple(None if column is None else device.to_host(column) for column in columns)
