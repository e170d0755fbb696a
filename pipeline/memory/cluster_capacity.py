"""Capacity of a cluster: the bytes that its workers may use together, on hosts and on GPUs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pipeline.config.cluster import Cluster, Memory
from pipeline.device.choose import frames_of
from pipeline.errors import MachineError
from pipeline.memory.estimate import LEARNERS
from pipeline.memory.planner import AUTO_SHARE, DEVICE_SHARE, available_memory, host_limit

if TYPE_CHECKING:
    from distributed import Client


def check_workers(cluster: Cluster, memory: Memory, cores: int) -> None:
    """Refuse more processes on this host than its memory has room for, before any starts.

    Args:
        cluster: the config's section.
        memory: the config's section.
        cores: cores of this host; a process has one, or ``cluster.threads``.

    Raises:
        MachineError: the processes' libraries alone do not fit; names the bytes and the number of
            processes that fit.
    """
    if cluster.kind != "cores":
        return
    count = cluster.workers or max(1, cores // (cluster.threads or 1))
    need, limit = count * LEARNERS, host_limit(memory)
    if need > limit:
        raise MachineError(
            f"cluster.workers: {count:,} processes need {need / 1e9:.2f} GB for their libraries "
            f"alone, but {limit / 1e9:.2f} GB are allowed",
            fix=f"set cluster.workers to {limit // LEARNERS} or fewer, or a larger memory.host"
            if limit >= LEARNERS
            else f"set memory.host to {LEARNERS / 1e9:.2f}GB or more",
        )


def device_capacity(client: Client, memory: Memory) -> int:
    """Return the bytes that the rows of a run may use on the GPUs of all workers."""
    if memory.gpu is not None:
        return memory.gpu * len(client.nthreads())
    return int(DEVICE_SHARE * sum(client.run(_free_on_device).values()))


def _free_on_device() -> int:
    frames_of("gpu")  # the allocator must be set up before its memory is read
    from pipeline.device.gpu import memory

    return memory.free_memory()[0]


def host_capacity(client: Client, cluster: Cluster, memory: Memory) -> int:
    """Return the bytes that a run may use on all workers, with the libraries of one worker.

    Workers have their own limits, or together the memory of their host. As in one process, a run
    uses ``AUTO_SHARE`` of it, which is below the level at which Dask spills and pauses.
    """
    # not `scheduler_info`: the client's heartbeat overwrites it (2026.7.1)
    workers = client.sync(client.scheduler.identity, n_workers=-1)["workers"]
    limits: dict[str, list[int]] = defaultdict(list)
    for worker in workers.values():
        limits[worker["host"]].append(int(worker["memory_limit"] or 0))
    # a worker may have joined between the two calls: skip it
    free = client.run(available_memory)
    hosts = {workers[a]["host"]: size for a, size in free.items() if a in workers}
    total = sum(
        min(sum(of_host), hosts[host]) if all(of_host) else hosts[host]
        for host, of_host in limits.items()
        if host in hosts
    )
    total = int(AUTO_SHARE * total)
    # memory.host is the limit of this host, so it bounds the processes that the run starts here
    if not cluster.is_address and memory.host is not None:
        total = min(total, memory.host)
    return total - (len(workers) - 1) * LEARNERS
