"""GPU memory: one resource for cuDF, CuPy and cuML, set up before their first call.

XGBoost's wheels allocate outside it (`USE_RMM=False`), so it is a pool that gives memory back as it
empties rather than one that keeps a fixed share of the GPU. The workers of a cluster have what
dask-cuda made of its options: those of ``cluster.gpus``, or of somebody's `dask cuda worker`.

From the driver up: the asynchronous pool, the limit of ``memory.gpu`` if there is one, cuDF's
spilling, and RMM's statistics, which must be on top to be read.
"""

from __future__ import annotations

import gc
import sys
from functools import cache
from typing import Any

import rmm
import rmm.statistics
from rmm.allocators.cupy import rmm_cupy_allocator

POOL_SHARE = 4
"""One in so many bytes of the GPU may stay with the pool while nobody uses them. RMM's default, and
0 likewise, keeps all that it ever had (26.10), which XGBoost could not get."""

_limits: list[int | None] = [None]


def set_limit(limit: int | None) -> None:
    """Says how many bytes the pool may hand out, before `set_up`; None: what there is."""
    _limits[0] = limit


@cache
def set_up() -> None:
    """Sets the resource up where dask-cuda has not; counts what it hands out; gives it to CuPy."""
    import cupy
    from cudf.core.buffer.spill_manager import get_global_manager

    if not set_up_by_dask_cuda():
        rmm.mr.set_current_device_resource(_resource(_limits[0]))
    get_global_manager()  # made with the first column else: on top, where dask-cuda has cuDF spill
    rmm.statistics.enable_statistics()
    rmm.statistics.push_statistics()
    cupy.cuda.set_allocator(rmm_cupy_allocator)


def _resource(limit: int | None) -> Any:
    """The pool, with what comes between it and the statistics."""
    import cudf

    whole = limit if limit is not None else free_memory()[1]
    made = rmm.mr.CudaAsyncMemoryResource(release_threshold=max(whole // POOL_SHARE, 1))
    if limit is not None:
        made = rmm.mr.LimitingResourceAdaptor(made, allocation_limit=limit)
    # cuDF's own "on demand" would come on top of the statistics, and print on standard output
    cudf.set_option("spill", True)
    cudf.set_option("spill_on_demand", False)
    return rmm.mr.FailureCallbackResourceAdaptor(made, _spilled)


def _spilled(size: int) -> bool:
    """Moves idle columns of cuDF to the host when ``size`` bytes cannot be had; True: try again."""
    from cudf.core.buffer.spill_manager import get_global_manager

    manager = get_global_manager()
    if manager is None:
        return False
    if manager.spill_device_memory(nbytes=size) > 0:
        return True
    gc.collect()  # Dask's graphs are cycles, and hold partitions
    return bool(manager.spill_device_memory(nbytes=size) > 0)


def set_up_by_dask_cuda() -> bool:
    """Whether this is a worker process of dask-cuda: each has its `RMMSetup`, also for no pool.

    It ran when the worker started, before any task, and what it set up is in use from then on: to
    replace a resource that has handed out memory is undefined (`rmm.reinitialize`).
    """
    plugins = sys.modules.get("dask_cuda.plugins")
    if plugins is None:
        return False
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # no worker, but the client of a `LocalCUDACluster`
        return False
    return any(isinstance(plugin, plugins.RMMSetup) for plugin in worker.plugins.values())


_in_use = [0]  # bytes when the counters were last pushed


def take_peak() -> int:
    """The most bytes in use at a time since the last call, by all that uses the pool."""
    found = rmm.statistics.pop_statistics()  # counts from the push on
    highest = _in_use[0] + (0 if found is None else int(found.peak_bytes))
    now = rmm.statistics.get_statistics()
    _in_use[0] = 0 if now is None else int(now.current_bytes)
    rmm.statistics.push_statistics()
    return highest


def free_memory() -> tuple[int, int]:
    """(free, all) bytes of the GPU."""
    unused, total = rmm.mr.available_device_memory()
    return int(unused), int(total)
