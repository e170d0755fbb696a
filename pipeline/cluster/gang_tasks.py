"""Gang scheduling: tasks that run at the same time, one per worker, and talk to each other.

If a worker dies, Dask would start its task elsewhere, or wait forever for a worker of the same
address. Here the end of one member ends all of them, within seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipeline.cluster import gpu_worker_failure
from pipeline.cluster.client import worker_threads
from pipeline.cluster.partitions import Partitions
from pipeline.errors import MachineError

if TYPE_CHECKING:
    from distributed import Client, Future

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds for the other members to end, and for the scheduler to notice that a worker is gone."""
POLL = 1.0
"""Seconds between two checks of the members."""


class WorkerLost(MachineError):
    """A member whose process ended by itself."""


@dataclass(frozen=True)
class Member:
    """A worker, and the positions of the partitions that it works on."""

    address: str
    positions: tuple[int, ...]


def assign_members(client: Client, parts: Partitions) -> list[Member]:
    """Assign equal shares of the partitions to the workers.

    Each share goes to the free worker that has most of its partitions (`partitions.persist`).
    """
    from distributed import futures_of

    free = list(worker_threads(client))
    count = min(len(free), len(parts))
    # Every so many-th partition, wherever they are: a share is the same in each run with as many
    # workers, so that the members compute the same to the bit.
    shares = [tuple(range(first, len(parts), len(free))) for first in range(count)]
    if parts.calls:
        return [Member(address, share) for address, share in zip(free, shares, strict=False)]
    futures = [futures_of(item)[0] for item in parts.items]
    holders = client.who_has(futures)
    members = []
    for share in shares:
        addresses = [a for i in share for a in holders.get(futures[i].key, ())]
        address = max(free, key=addresses.count)
        free.remove(address)
        members.append(Member(address, share))
    return members


def run_on_all_workers(
    client: Client,
    parts: Partitions,
    members: Sequence[Member],
    function: Callable[..., T],
    *arguments: object,
    what: str,
    meanwhile: Callable[[], None],
) -> list[T]:
    """Run ``function(rank, items, calls, *arguments)`` on every member, all at the same time.

    Args:
        client: of the cluster.
        parts: the partitions. A member gets its ``items``, and as ``calls`` the functions and
            arguments that make partitions of them (`partitions.apply_functions`).
        members: the workers and their shares.
        function: the task.
        arguments: further arguments of the task.
        what: the work, for messages.
        meanwhile: called in this process every `POLL` seconds; its error ends all members.

    Raises:
        PipelineError, or a GPU library's error: the error that caused the others.
        WorkerLost: a worker died; the message names ``what``.
    """
    from distributed import futures_of

    items = [item if parts.calls else futures_of(item)[0] for item in parts.items]
    functions = [function for function, _ in parts.calls]
    calls = (functions, [list(others) for _, others in parts.calls])
    futures = [
        client.submit(
            gpu_worker_failure.run_guarded,
            function,
            rank,
            [items[i] for i in member.positions],
            calls,
            *arguments,
            workers=[member.address],
            allow_other_workers=False,
            pure=False,
        )
        for rank, member in enumerate(members)
    ]
    addresses = {member.address for member in members}
    try:
        while any(f.status == "pending" for f in futures):
            _wait_for_first(futures, POLL)
            if any(f.status not in ("pending", "finished") for f in futures):
                break
            _check_all_alive(client, addresses, what)
            meanwhile()
        if all(f.status == "finished" for f in futures):
            return list(client.gather(futures))
        raise _find_failure(client, futures, addresses, what)
    finally:
        client.cancel(futures, force=True)


def _find_failure(
    client: Client, futures: Sequence[Future], addresses: set[str], what: str
) -> BaseException:
    """Return the error to raise for a failed gang, once the other members had time to end."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and any(f.status == "pending" for f in futures):
        _check_all_alive(client, addresses, what)
        _wait_for_first(futures, 0.5)
    errors: list[BaseException] = [f.exception() for f in futures if f.status == "error"]
    if (cause := gpu_worker_failure.find_root_cause(errors)) is not None:
        return cause
    # no error explains the end: the scheduler may not have noticed yet that a worker is gone
    while time.monotonic() < deadline:
        _check_all_alive(client, addresses, what)
        time.sleep(0.5)
    return errors[0] if errors else MachineError(f"{what}: the workers' tasks were cancelled")


def _wait_for_first(futures: Sequence[Future], seconds: float) -> None:
    from distributed import wait

    waiting = [f for f in futures if f.status == "pending"]
    with suppress(TimeoutError):
        wait(waiting, timeout=seconds, return_when="FIRST_COMPLETED")


def _check_all_alive(client: Client, addresses: set[str], what: str) -> None:
    gone = sorted(addresses - set(worker_threads(client)))
    if gone:
        raise WorkerLost(
            f"worker {', '.join(gone)} ended during {what}, which needs all workers at once",
            fix="run again with fewer rows (--rows N) or more memory per worker. A worker that "
            "ends by itself is most often out of memory: see log.txt, or the worker's own log",
        )
