"""Tasks that run at the same time, one a worker, and talk to each other: all of them, or none.

Dask would start a task again elsewhere when its worker dies, and wait for ever for a worker of the
same address. Here the end of one is the end of all, within seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pipeline.cluster import gpu_worker_failure
from pipeline.cluster.client import worker_threads
from pipeline.cluster.partitions import Partitions
from pipeline.errors import MachineError

PATIENCE = 30.0
"""Seconds in which the others end too, and in which the scheduler learns that a worker is gone."""
POLL = 1.0
"""Seconds between looks at the members."""


class WorkerLost(MachineError):
    """A member ended by itself."""


@dataclass(frozen=True)
class Member:
    """A worker, and the partitions (by position) that are worked on there."""

    address: str
    positions: tuple[int, ...]


def assign_members(client: Any, parts: Partitions) -> list[Member]:
    """Workers with equal shares of the partitions: every so many-th, however they came to lie.

    A share is the same in each run with as many workers, so that together they do the same to the
    bit; it goes to the worker that holds most of it (`partitions.persist` sees to that).
    """
    from distributed import futures_of

    free = list(worker_threads(client))
    count = min(len(free), len(parts))
    shares = [tuple(range(first, len(parts), len(free))) for first in range(count)]
    if parts.calls:
        return [Member(address, share) for address, share in zip(free, shares, strict=False)]
    futures = [futures_of(item)[0] for item in parts.items]
    holders = client.who_has(futures)
    found = []
    for share in shares:
        held = [a for i in share for a in holders.get(futures[i].key, ())]
        address = max(free, key=held.count)
        free.remove(address)
        found.append(Member(address, share))
    return found


def run_on_all_workers(
    client: Any, parts: Partitions, gang: Sequence[Member], function: Callable[..., Any],
    *arguments: Any, what: str, meanwhile: Callable[[], None],
) -> list[Any]:  # fmt: skip
    """``function(rank, items, calls, *arguments)`` on every member, all at the same time.

    ``items`` are those of the member's partitions, ``calls`` the functions and arguments that make
    partitions of them (`partitions.apply_functions`). This process calls ``meanwhile`` every `POLL`
    seconds; its error ends all members.

    Raises:
        PipelineError, or what a library says of a GPU: what one of them raised, before what the
            others made of its end.
        WorkerLost: a worker died; ``what`` says what it did.
    """
    from distributed import futures_of

    held = not parts.calls
    items = [futures_of(item)[0] if held else item for item in parts.items]
    calls = ([own for own, _ in parts.calls], [list(others) for _, others in parts.calls])
    futures = [
        client.submit(
            gpu_worker_failure.run_guarded, function, rank,
            [items[i] for i in member.positions], calls, *arguments,
            workers=[member.address], allow_other_workers=False, pure=False,
        )
        for rank, member in enumerate(gang)
    ]  # fmt: skip
    try:
        return _gathered(client, futures, {m.address for m in gang}, what, meanwhile)
    finally:
        client.cancel(futures, force=True)


def _gathered(
    client: Any, futures: list[Any], addresses: set[str], what: str, meanwhile: Callable[[], None]
) -> list[Any]:
    while any(f.status == "pending" for f in futures):
        _pause(futures, POLL)
        if any(f.status not in ("pending", "finished") for f in futures):
            break
        _refuse_gone(client, addresses, what)
        meanwhile()
    if all(f.status == "finished" for f in futures):
        return list(client.gather(futures))
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and any(f.status == "pending" for f in futures):
        _refuse_gone(client, addresses, what)
        _pause(futures, 0.5)
    errors = [f.exception() for f in futures if f.status == "error"]
    if (cause := gpu_worker_failure.find_root_cause(errors)) is not None:
        raise cause
    while time.monotonic() < deadline:
        _refuse_gone(client, addresses, what)
        time.sleep(0.5)
    raise errors[0] if errors else MachineError(f"{what}: the workers' tasks were cancelled")


def _pause(futures: list[Any], seconds: float) -> None:
    from distributed import wait

    waiting = [f for f in futures if f.status == "pending"]
    with suppress(TimeoutError):
        wait(waiting, timeout=seconds, return_when="FIRST_COMPLETED")


def _refuse_gone(client: Any, addresses: set[str], what: str) -> None:
    gone = sorted(addresses - set(worker_threads(client)))
    if gone:
        raise WorkerLost(
            f"worker {', '.join(gone)} ended during {what}, which all workers do together",
            fix="a worker that ends by itself is most often out of memory (log.txt, or the "
            "worker's own log). Run again, with fewer rows (--rows N) or more memory a worker",
        )
