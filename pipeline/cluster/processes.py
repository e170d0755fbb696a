"""Clusters of processes on this host: one a core, or one a GPU."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.files import open_to_append
from pipeline.cluster.logs import log_to_file
from pipeline.config.model import LOOPBACK, Cluster, Ucx
from pipeline.console import signals
from pipeline.errors import MachineError, PipelineError


def _logging_to(path: Path) -> Any:
    """A plugin: what workers log and print goes to the run's log.txt, not to the terminal."""
    from distributed.diagnostics.plugin import WorkerPlugin  # imports RMM where it is installed

    class LogToFile(WorkerPlugin):  # type: ignore[misc]  # distributed is not typed
        name = "log-to-file"

        def setup(self, worker: Any) -> None:  # in each worker, also in one that replaces another
            with open_to_append(
                path
            ) as file:  # what libraries print too, such as XGBoost's tracker
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            logging.captureWarnings(True)
            log_to_file(path)

    return LogToFile()


def start_cpu_cluster(cluster: Cluster, threads: int, log: Path, common: Mapping[str, Any]) -> Any:
    """A `LocalCluster`: ``cluster.workers`` processes, or one a core.

    Raises:
        MachineError: the processes do not start.
    """
    from distributed import LocalCluster

    own = cluster.threads or 1
    return _started(
        LocalCluster,
        log,
        processes=True,
        n_workers=cluster.workers or max(1, threads // own),
        threads_per_worker=own,
        memory_limit=cluster.memory_limit,
        host=LOOPBACK,
        **common,
    )


def start_gpu_cluster(cluster: Cluster, log: Path, common: Mapping[str, Any]) -> Any:
    """A `LocalCUDACluster`: one process a GPU.

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
    return _started(LocalCUDACluster, log, host=LOOPBACK, **gpu_options(cluster), **common)


def gpu_options(cluster: Cluster) -> dict[str, Any]:
    """What `LocalCUDACluster` (26.10) takes, from ``cluster.gpus``.

    RMM's asynchronous pool is the default: XGBoost's wheels allocate outside any pool, and that
    one gives memory back as it empties.
    """
    asked = cluster.gpus
    options: dict[str, Any] = {
        "CUDA_VISIBLE_DEVICES": ",".join(asked.devices) or None,
        "n_workers": cluster.workers,
        "threads_per_worker": cluster.threads or 1,
        "memory_limit": cluster.memory_limit,
        "protocol": asked.protocol,
        "device_memory_limit": asked.device_memory_limit,
        "enable_cudf_spill": asked.cudf_spill,
        "rmm_async": asked.pool == "async",
        "rmm_managed_memory": asked.pool == "managed",
        "rmm_pool_size": asked.pool_size if asked.pool == "pool" else None,
        "rmm_maximum_pool_size": asked.maximum_pool_size,
        "rmm_release_threshold": asked.release_threshold,
    }
    return options | (_ucx_options(asked.ucx) if asked.protocol == "ucx" else {})


def _ucx_options(asked: Ucx) -> dict[str, bool | None]:
    return {
        "enable_nvlink": asked.nvlink,
        "enable_infiniband": asked.infiniband,
        "enable_rdmacm": asked.rdmacm,
        "enable_tcp_over_ucx": asked.tcp,
    }


def _started(kind: Any, log: Path, **options: Any) -> Any:
    try:
        with signals.block_sigint_in_children():
            cluster = kind(**options)
    except PipelineError:
        raise
    except Exception as error:  # RuntimeError, TimeoutError, NVMLError, OSError, …
        raise MachineError(
            f"the workers do not start: {type(error).__name__}: {error}",
            fix="log.txt says more; a script of your own must call run() under if __name__ == "
            '"__main__":',
        ) from error
    try:
        from distributed import Client

        with Client(cluster, set_as_default=False) as client:
            client.register_plugin(_logging_to(log.absolute()))
    except BaseException:
        cluster.close()
        raise
    return cluster
