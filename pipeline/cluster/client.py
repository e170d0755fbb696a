"""The Dask client of a run: of this process, this host's cores or GPUs, or a running scheduler."""

from __future__ import annotations

import errno
import logging
import re
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cluster import processes
from pipeline.cluster.logs import log_to_file
from pipeline.cluster.synchronous import SynchronousClient
from pipeline.config.cluster import LOOPBACK, Cluster
from pipeline.errors import MachineError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster


@contextmanager
def connect(
    cluster: Cluster, device: str, threads: int, folder: Path, *, serial: bool = False
) -> Iterator[Client]:
    """Open the client of a run; the processes that it starts end with the block.

    Args:
        cluster: the config's section.
        device: "cpu" or "gpu".
        threads: partitions to compute at a time on this host's CPU (1 on a GPU).
        folder: Dask's files (``<run>/tmp``).
        serial: compute in the calling thread, with a `SynchronousClient` instead of Dask's.

    Raises:
        MachineError: no scheduler answers at the address, its workers differ from this process,
            workers do not start, or the cluster lost a result that the block needs.
    """
    import dask
    from distributed import Client, KilledWorker
    from distributed.client import FutureCancelledError
    from distributed.comm import CommClosedError

    log_to_file(folder.parent / "log.txt")
    dask.config.set({
        "dataframe.convert-string": False,
        "distributed.comm.timeouts.connect": f"{cluster.timeout}s",
        "distributed.admin.large-graph-warning-threshold": "1GB",  # `broadcast` sends data in tasks
    })  # fmt: skip
    if serial:
        yield SynchronousClient()
        return
    if cluster.is_address:
        from pipeline.cluster import remote

        backend = remote.connect_to_scheduler(cluster)
    else:
        backend = _start_local_cluster(cluster, device, threads, folder)
    try:
        with Client(backend) if not isinstance(backend, Client) else backend as client:
            yield client
    except (KilledWorker, FutureCancelledError, CommClosedError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        raise MachineError(
            f"the cluster lost a result that the run needs: {cause}",
            fix="run with fewer rows (--rows N) or more memory per worker. A worker that ends by "
            "itself is most often out of memory: see log.txt, or the worker's own log",
        ) from error
    finally:
        if not isinstance(backend, Client):
            backend.close()


def adapt_to_device(cluster: Cluster, device: str) -> tuple[Cluster, str]:
    """Return (a cluster that the device can use, the reason if it is not the configured one).

    The device is chosen first. If the kind of cluster does not suit it, ``process`` replaces it, so
    that one config serves a laptop, CI and a host with GPUs. Otherwise the reason is "".
    """
    reasons = {
        ("gpus", "cpu"): "in place of gpus: the run's device is the cpu",
        ("cores", "gpu"): "in place of cores, whose processes would share one GPU; "
        "--device cpu uses the cores",
    }
    why = reasons.get((cluster.kind, device), "")
    return (cluster.model_copy(update={"kind": "process"}) if why else cluster), why


def _start_local_cluster(cluster: Cluster, device: str, threads: int, folder: Path) -> LocalCluster:
    """Start a `LocalCluster`, or for ``gpus`` a `LocalCUDACluster`."""
    common = {
        # Always give both addresses: without one, its server listens on every interface.
        "dashboard_address": choose_dashboard_address(cluster),
        "worker_dashboard_address": f"{LOOPBACK}:0",
        "scheduler_kwargs": {"dashboard": cluster.dashboard},
        "local_directory": str(folder),
        "silence_logs": logging.ERROR,
    }
    if cluster.kind == "process":
        from distributed import LocalCluster

        return LocalCluster(
            processes=False,
            n_workers=1,
            threads_per_worker=1 if device == "gpu" else threads,
            memory_limit=0,
            **common,
        )
    log = folder.parent / "log.txt"
    if cluster.kind == "gpus":
        return processes.start_gpu_cluster(cluster, log, common)
    return processes.start_cpu_cluster(cluster, threads, log, common)


def is_distributed(client: Client) -> bool:
    """Return whether other processes than this one have the partitions."""
    return not str(client.scheduler.address).startswith("inproc://")


def worker_threads(client: Client) -> dict[str, int]:
    """Return the number of threads by worker address, sorted by address."""
    # not `scheduler_info`: the client's heartbeat overwrites it without workers (2026.7.1)
    return dict(sorted(client.nthreads().items()))


def choose_dashboard_address(cluster: Cluster) -> str:
    """Return the address on which the dashboard will listen (see `find_free_address`)."""
    if not cluster.dashboard:
        return f"{LOOPBACK}:0"
    return find_free_address(cluster.dashboard_address, "dashboard")


def find_free_address(address: str, what: str) -> str:
    """Return the address, or the same host with any free port if the port is taken.

    Args:
        address: ``host:port``, from the config.
        what: the config key is ``cluster.<what>_address``.

    Raises:
        MachineError: this machine cannot listen on the address.
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


def monitoring_urls(client: Client, cluster: Cluster) -> Mapping[str, str]:
    """Return the URLs of a running run: ``dashboard`` and, for Prometheus, ``metrics``."""
    dashboard = dashboard_url(client, cluster)
    if dashboard is None:
        return {}
    return {"dashboard": dashboard, "metrics": re.sub(r"/status$", "/metrics", dashboard)}


def dashboard_url(client: Client, cluster: Cluster) -> str | None:
    """Return the URL of the dashboard; None without one."""
    if not cluster.dashboard:
        return None
    if cluster.is_address:
        # the scheduler may be in another network: use the host that the client reached
        port = client.scheduler_info(n_workers=0)["services"].get("dashboard")
        host = re.sub(r"^\w+://|:\d+$", "", client.scheduler.address)
        return f"http://{host}:{port}/status" if port else None
    server = client.cluster.scheduler.http_server
    host = cluster.dashboard_address.rpartition(":")[0]
    return f"http://{host}:{server.port}/status" if server is not None else None
