"""GPU memory: one resource for cuDF, CuPy and cuML, set up before their first call.

XGBoost's wheels allocate outside it (`USE_RMM=False`), so it is a pool that gives memory back as it
empties rather than one that keeps a fixed share of the GPU. The workers of a cluster have what
dask-cuda made of its options: those of ``cluster.gpus``, or of somebody's `dask cuda worker`.
"""

from __future__ import annotations

import sys
from functools import cache

import rmm
import rmm.statistics
from rmm.allocators.cupy import rmm_cupy_allocator


@cache
def set_up() -> None:
    """Sets the resource up where dask-cuda has not; counts what it hands out; gives it to CuPy."""
    import cupy

    if not set_up_by_dask_cuda():
        rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource())
    rmm.statistics.enable_statistics()
    rmm.statistics.push_statistics()
    cupy.cuda.set_allocator(rmm_cupy_allocator)


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


def peak() -> int:
    """The most bytes in use at a time since the last call, by all that uses the pool."""
    found = rmm.statistics.pop_statistics()  # counts from the push on
    highest = _in_use[0] + (0 if found is None else int(found.peak_bytes))
    now = rmm.statistics.get_statistics()
    _in_use[0] = 0 if now is None else int(now.current_bytes)
    rmm.statistics.push_statistics()
    return highest


def free() -> tuple[int, int]:
    """(free, all) bytes of the GPU."""
    unused, total = rmm.mr.available_device_memory()
    return int(unused), int(total)
