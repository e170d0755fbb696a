"""Passes over partitions: their tasks' names, and word from the workers of each partition done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any
from uuid import uuid4

TOPIC = "pipeline-partitions"
_OWN = uuid4().hex  # of this process: other runs may use the same scheduler
_numbers = count()


def new_task_name(function: str) -> str:
    """A name that no pass had before: a partition's task is called ``(name, position)``."""
    return f"{function}-{_OWN}-{next(_numbers)}"


def log_partition_done() -> None:
    """Says, in a worker, that the partition of the running task is done."""
    from distributed import get_worker
    from distributed.worker import thread_state

    key = getattr(thread_state, "key", None)
    if isinstance(key, tuple) and len(key) == 2 and isinstance(key[1], int):
        get_worker().log_event(TOPIC, [str(key[0]), key[1]])


@contextmanager
def subscribe(client: Any, done: Callable[[str, int], None]) -> Iterator[None]:
    """Calls ``done(name of the pass, position)`` for each partition that is done in the block.

    It is called on the client's own thread, soon after; of a partition that is made again, twice.
    """

    def told(event: tuple[float, Any]) -> None:
        name, position = event[1]
        if _OWN in name:
            done(name, position)

    client.subscribe_topic(TOPIC, told)
    try:
        yield
    finally:
        client.unsubscribe_topic(TOPIC)
