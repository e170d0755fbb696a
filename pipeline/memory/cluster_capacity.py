"""How many bytes the workers of a cluster may hold together, on their hosts and on their GPUs."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pipeline.config.model import Cluster, Memory
from pipeline.device.choose import frames_of
from pipeline.errors import MachineError
from pipeline.memory.estimate import LEARNERS
from pipeline.memory.planner import AUTO_SHARE, DEVICE_SHARE, available_memory, host_limit


def check_workers(cluster: Cluster, memory: Memory, cores: int) -> None:
    """Refuse more processes on this host than its memory has room for, before any starts.

    Args:
        cores: of this host; a process has one, or ``cluster.threads``.

    Raises:
        MachineError: their libraries alone do not fit; names the bytes and how many do.
    """
    if cluster.kind != "cores":
        return
    count = cluster.workers or max(1, cores // (cluster.threads or 1))
    need, limit = count * LEARNERS, host_limit(memory)
    if need > limit:
        raise MachineError(
            f"cluster.workers: {count:,} processes need {need / 1e9:.2f} GB for their libraries "
            f"alone, {limit / 1e9:.2f} GB are allowed",
            fix=f"cluster.workers: {limit // LEARNERS} or fewer, or a larger memory.host"
            if limit >= LEARNERS
            else f"memory.host: {LEARNERS / 1e9:.2f}GB or more",
        )


def device_capacity(client: Any, memory: Memory) -> int:
    """What the rows of a run may take on the GPUs of all workers."""
    if memory.gpu is not None:
        return memory.gpu * len(client.nthreads())
    return int(DEVICE_SHARE * sum(client.run(_free_on_device).values()))


def _free_on_device() -> int:
    frames_of("gpu")  # sets its memory up
    from pipeline.device.gpu import memory

    return memory.free_memory()[0]


def host_capacity(client: Any, cluster: Cluster, memory: Memory) -> int:
    """What the rows of a run may take on all workers, one worker's libraries included.

    A worker has its own limit, or its share of what its host has; as in one process, ``AUTO_SHARE``
    of that is used, below where Dask begins to spill and pause. ``memory.host`` is this host's, so
    that it also bounds processes that the run itself starts here.
    """
    # not `scheduler_info`: the client's heartbeat overwrites it (2026.7.1)
    known = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
    limits: dict[str, list[int]] = defaultdict(list)
    for worker in known.values():
        limits[worker["host"]].append(int(worker["memory_limit"] or 0))
    hosts = {known[a]["host"]: n for a, n in client.run(available_memory).items() if a in known}
    total = sum(
        min(sum(own), hosts[host]) if all(own) else hosts[host]
        for host, own in limits.items()
        if host in hosts
    )
    total = int(AUTO_SHARE * total)
    if not cluster.is_address and memory.host is not None:
        total = min(total, memory.host)
    return total - (len(known) - 1) * LEARNERS
