"""A client that computes everything in the calling thread: what a profiler of one thread sees."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any


@dataclass(frozen=True)
class CompletedFuture:
    """Stands in for a future: its value is there."""

    value: Any

    def result(self) -> Any:
        """The value."""
        return self.value


class SynchronousClient:
    """What `pipeline.cluster.partitions` asks of a client of this process, without threads."""

    scheduler = SimpleNamespace(address="inproc://serial")

    def nthreads(self) -> dict[str, int]:
        """One worker of one thread."""
        return {"serial": 1}

    def scatter(self, values: Sequence[Any], **_: Any) -> list[Any]:
        """The values as they are, each an argument that nothing looks into."""
        from dask import delayed

        return [delayed(value, traverse=False) for value in values]

    def persist(self, tasks: Sequence[Any]) -> list[Any]:
        """The tasks' values, computed now, in order."""
        import dask

        return list(dask.persist(*tasks, scheduler="synchronous"))

    def compute(self, task: Any) -> CompletedFuture:
        """The task's value, computed now."""
        return CompletedFuture(task.compute(scheduler="synchronous"))

    def as_current(self) -> AbstractContextManager[None]:
        """Nothing: Dask's own functions are told what computes them."""
        return nullcontext()

    def subscribe_topic(self, *_: Any) -> None:
        """Nobody tells anything: there are no workers."""

    def unsubscribe_topic(self, *_: Any) -> None:
        """As `subscribe_topic`."""
