"""Events of finished partitions: workers log them, and the client of the run receives them.

A *pass* is one computation over all partitions. Its name is part of its tasks' keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from distributed import Client

TOPIC = "pipeline-partitions"
_PROCESS = uuid4().hex  # distinguishes this process from other runs at the same scheduler
_numbers = count()


def new_task_name(function: str) -> str:
    """Return a new name for a pass; the key of a partition's task is ``(name, position)``."""
    return f"{function}-{_PROCESS}-{next(_numbers)}"


def log_partition_done() -> None:
    """Log, in a worker, that the partition of the running task is finished."""
    from distributed import get_worker
    from distributed.worker import thread_state

    key = getattr(thread_state, "key", None)
    if isinstance(key, tuple) and len(key) == 2 and isinstance(key[1], int):
        get_worker().log_event(TOPIC, [str(key[0]), key[1]])


@contextmanager
def subscribe(client: Client, on_done: Callable[[str, int], None]) -> Iterator[None]:
    """Call ``on_done(name of the pass, position)`` for each partition that ends in the block.

    The client's own thread calls it, a little later; twice for a partition that is recomputed.
    """

    def receive(event: tuple[float, tuple[str, int]]) -> None:
        name, position = event[1]
        if _PROCESS in name:
            on_done(name, position)

    client.subscribe_topic(TOPIC, receive)
    try:
        yield
    finally:
        client.unsubscribe_topic(TOPIC)
