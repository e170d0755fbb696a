"""Clusters of processes on this host: one per core, or one per GPU."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.files import open_to_append
from pipeline.cluster.logs import log_to_file
from pipeline.config.cluster import LOOPBACK, Cluster
from pipeline.console import signals
from pipeline.errors import MachineError, PipelineError

if TYPE_CHECKING:
    from distributed import LocalCluster, Worker
    from distributed.diagnostics.plugin import WorkerPlugin


def _make_log_plugin(path: Path) -> WorkerPlugin:
    """Return a plugin that sends what workers log and print to the run's log.txt."""
    from distributed.diagnostics.plugin import WorkerPlugin  # imports RMM where it is installed

    class LogToFile(WorkerPlugin):  # type: ignore[misc]  # distributed is not typed
        name = "log-to-file"

        def setup(self, worker: Worker) -> None:
            # Redirect the descriptors: libraries such as XGBoost's tracker print from C++. Dask
            # calls this in each worker, also in one that replaces another.
            with open_to_append(path) as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            logging.captureWarnings(True)
            log_to_file(path)

    return LogToFile()


def start_cpu_cluster(
    cluster: Cluster, threads: int, log: Path, common: Mapping[str, object]
) -> LocalCluster:
    """Start a `LocalCluster` of ``cluster.workers`` processes, or of one per core.

    Raises:
        MachineError: the processes do not start.
    """
    from distributed import LocalCluster

    threads_per_worker = cluster.threads or 1
    return _start(
        LocalCluster,
        log,
        processes=True,
        n_workers=cluster.workers or max(1, threads // threads_per_worker),
        threads_per_worker=threads_per_worker,
        memory_limit=cluster.memory_limit,
        host=LOOPBACK,
        **common,
    )


def start_gpu_cluster(cluster: Cluster, log: Path, common: Mapping[str, object]) -> LocalCluster:
    """Start a `LocalCUDACluster` of one process per GPU.

    Raises:
        MachineError: dask-cuda is not installed, or the processes do not start.
    """
    try:
        from dask_cuda import LocalCUDACluster
    except ImportError as error:
        raise MachineError(
            f"cluster.kind: gpus needs dask-cuda, which is not installed ({error})",
            fix="install the gpu extra: pip install 'pipeline[gpu]'; or use cluster: process",
        ) from None
    return _start(LocalCUDACluster, log, host=LOOPBACK, **gpu_options(cluster), **common)


def gpu_options(cluster: Cluster) -> dict[str, object]:
    """Return the arguments of `LocalCUDACluster` (26.10) for ``cluster.gpus``."""
    gpus = cluster.gpus
    # RMM's asynchronous pool is the default: XGBoost's wheels allocate outside any pool, and this
    # one returns memory to the driver as it empties.
    options: dict[str, object] = {
        "CUDA_VISIBLE_DEVICES": ",".join(gpus.devices) or None,
        "n_workers": cluster.workers,
        "threads_per_worker": cluster.threads or 1,
        "memory_limit": cluster.memory_limit,
        "protocol": gpus.protocol,
        "device_memory_limit": gpus.device_memory_limit,
        "enable_cudf_spill": gpus.cudf_spill,
        "rmm_async": gpus.pool == "async",
        "rmm_managed_memory": gpus.pool == "managed",
        "rmm_pool_size": gpus.pool_size if gpus.pool == "pool" else None,
        "rmm_maximum_pool_size": gpus.maximum_pool_size,
        "rmm_release_threshold": gpus.release_threshold,
    }
    if gpus.protocol == "ucx":
        options |= {
            "enable_nvlink": gpus.ucx.nvlink,
            "enable_infiniband": gpus.ucx.infiniband,
            "enable_rdmacm": gpus.ucx.rdmacm,
            "enable_tcp_over_ucx": gpus.ucx.tcp,
        }
    return options


def _start(kind: Callable[..., LocalCluster], log: Path, **options: object) -> LocalCluster:
    try:
        with signals.block_sigint_in_children():
            cluster = kind(**options)
    except PipelineError:
        raise
    except Exception as error:  # RuntimeError, TimeoutError, NVMLError, OSError, …
        raise MachineError(
            f"the workers did not start: {type(error).__name__}: {error}",
            fix="read log.txt; in a script of your own, call run() under if __name__ == "
            '"__main__":',
        ) from error
    try:
        from distributed import Client

        with Client(cluster, set_as_default=False) as client:
            client.register_plugin(_make_log_plugin(log.absolute()))
    except BaseException:
        cluster.close()
        raise
    return cluster
