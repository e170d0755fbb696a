"""The Dask client of a run: this process, this host's cores or GPUs, or a scheduler that runs."""

from __future__ import annotations

import errno
import logging
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.cluster import processes
from pipeline.cluster.logs import log_to_file
from pipeline.cluster.synchronous import SynchronousClient
from pipeline.config.model import LOOPBACK, Cluster
from pipeline.errors import MachineError


@contextmanager
def connect(
    cluster: Cluster, device: str, threads: int, folder: Path, *, serial: bool = False
) -> Iterator[Any]:
    """A `distributed.Client`; what it started ends with the block.

    Args:
        threads: partitions worked on at a time on this host's CPU (1 on a GPU).
        folder: where Dask keeps its files (``<run>/tmp``).
        serial: no threads and no client of Dask's, but `Serial`.

    Raises:
        MachineError: no scheduler answers at the address, its workers are not like this process,
            workers do not start, or what the block needed of them is lost.
    """
    import dask
    from distributed import Client, KilledWorker
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    log_to_file(folder.parent / "log.txt")
    dask.config.set({
        "dataframe.convert-string": False,
        "distributed.comm.timeouts.connect": f"{cluster.timeout}s",
        "distributed.admin.large-graph-warning-threshold": "1GB",  # `partitions.broadcast`
    })  # fmt: skip
    if serial:
        yield SynchronousClient()
        return
    if cluster.is_address:
        from pipeline.cluster import remote

        backend = remote.connect_to_scheduler(cluster)
    else:
        backend = _local(cluster, device, threads, folder)
    try:
        with Client(backend) if not isinstance(backend, Client) else backend as client:
            yield client
    except (KilledWorker, FutureCancelledError, CommClosedError) as error:
        raise MachineError(
            f"the cluster lost what the run needed: {_plain(error)}",
            fix="a worker that ends by itself is most often out of memory: log.txt and the "
            "worker's own log say more. Fewer rows (--rows N), or more memory a worker",
        ) from error
    finally:
        if not isinstance(backend, Client):
            backend.close()


def _plain(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def adapt_to_device(cluster: Cluster, device: str) -> tuple[Cluster, str]:
    """(the cluster that the device can use, why it is not the one asked for).

    The device is settled first. A kind that is not for it gives way to ``process``, so that one
    config serves a laptop, CI and a host with GPUs; the reason is "" where none does.
    """
    reasons = {
        ("gpus", "cpu"): "in place of gpus: the run's device is the cpu",
        ("cores", "gpu"): "in place of cores, whose processes would share one GPU; "
        "--device cpu uses the cores",
    }
    why = reasons.get((cluster.kind, device), "")
    return (cluster.model_copy(update={"kind": "process"}) if why else cluster), why


def _local(cluster: Cluster, device: str, threads: int, folder: Path) -> Any:
    """A `LocalCluster`, or for ``gpus`` a `LocalCUDACluster`."""
    common = {
        # Both addresses always: without one, its server listens on every interface.
        "dashboard_address": choose_dashboard_address(cluster),
        "worker_dashboard_address": f"{LOOPBACK}:0",
        "scheduler_kwargs": {"dashboard": cluster.dashboard},
        "local_directory": str(folder),
        "silence_logs": logging.ERROR,
    }
    if cluster.kind == "process":
        from distributed import LocalCluster

        one = 1 if device == "gpu" else threads
        return LocalCluster(
            processes=False, n_workers=1, threads_per_worker=one, memory_limit=0, **common
        )
    log = folder.parent / "log.txt"
    if cluster.kind == "gpus":
        return processes.start_gpu_cluster(cluster, log, common)
    return processes.start_cpu_cluster(cluster, threads, log, common)


def is_distributed(client: Any) -> bool:
    """Whether partitions live in other processes than this one."""
    return not str(client.scheduler.address).startswith("inproc://")


def worker_threads(client: Any) -> dict[str, int]:
    """The workers' addresses with their threads, sorted."""
    # not `scheduler_info`: the client's own heartbeat overwrites it with a list of none (2026.7.1)
    return dict(sorted(client.nthreads().items()))


def choose_dashboard_address(cluster: Cluster) -> str:
    """Where the dashboard will listen: `find_free_address` of the configured one."""
    if not cluster.dashboard:
        return f"{LOOPBACK}:0"
    return find_free_address(cluster.dashboard_address, "dashboard")


def find_free_address(address: str, what: str) -> str:
    """The configured address, or the same host with any free port when it is taken.

    Args:
        what: the key is ``cluster.<what>_address``.

    Raises:
        MachineError: the host of the address is not this machine's.
    """
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except (OSError, ValueError, OverflowError) as error:
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                return f"{host}:0"
            raise MachineError(
                f"the {what} cannot listen on {address!r}: {error}",
                fix=f"set cluster.{what}_address, or run with --no-dashboard",
            ) from None
    return address


def monitoring_urls(client: Any, cluster: Cluster) -> Mapping[str, str]:
    """Addresses to look at while it runs: ``dashboard`` and, for Prometheus, ``metrics``."""
    found = {}
    if (dashboard := dashboard_url(client, cluster)) is not None:
        found["dashboard"] = dashboard
        found["metrics"] = re.sub(r"/status$", "/metrics", dashboard)
    return found


def dashboard_url(client: Any, cluster: Cluster) -> str | None:
    """Where the dashboard is to be seen; None without one."""
    if not cluster.dashboard:
        return None
    if cluster.is_address:
        port = client.scheduler_info(n_workers=0)["services"].get("dashboard")
        host = re.sub(r"^\w+://|:\d+$", "", client.scheduler.address)
        return f"http://{host}:{port}/status" if port else None
    server = client.cluster.scheduler.http_server
    host = cluster.dashboard_address.rpartition(":")[0]
    return f"http://{host}:{server.port}/status" if server is not None else None
