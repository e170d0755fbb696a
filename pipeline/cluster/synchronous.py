"""A client that computes everything in the calling thread, for profilers of one thread."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dask.delayed import Delayed


@dataclass(frozen=True)
class CompletedFuture:
    """A future whose value exists already."""

    value: Any

    def result(self) -> Any:
        """Return the value."""
        return self.value


class SynchronousClient:
    """The part of a Dask client that `pipeline.cluster.partitions` needs, without threads."""

    scheduler = SimpleNamespace(address="inproc://serial")

    def nthreads(self) -> dict[str, int]:
        """Return one worker with one thread."""
        return {"serial": 1}

    def scatter(self, values: Sequence[object], **_: object) -> list[Delayed]:
        """Return the values as task arguments that Dask does not traverse."""
        from dask import delayed

        return [delayed(value, traverse=False) for value in values]

    def persist(self, tasks: Sequence[Delayed]) -> list[Delayed]:
        """Compute the tasks now, in order."""
        import dask

        return list(dask.persist(*tasks, scheduler="synchronous"))

    def compute(self, task: Delayed) -> CompletedFuture:
        """Compute the task now."""
        return CompletedFuture(task.compute(scheduler="synchronous"))

    def as_current(self) -> AbstractContextManager[None]:
        """Return an empty block: Dask's own functions are called with a scheduler here."""
        return nullcontext()

    def subscribe_topic(self, *_: object) -> None:
        """Do nothing: there are no workers that log events."""

    def unsubscribe_topic(self, *_: object) -> None:
        """Do nothing, as `subscribe_topic`."""
