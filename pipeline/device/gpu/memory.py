"""GPU memory: one resource for cuDF, CuPy and cuML, set up before their first call.

XGBoost's wheels allocate outside it (`USE_RMM=False`). So it is a pool that returns memory to the
driver as it empties, not one that keeps a fixed share of the GPU. In a cluster, dask-cuda sets the
resource up from its options: those of ``cluster.gpus``, or of a `dask cuda worker`.

The layers from the driver up: the asynchronous pool, the limit of ``memory.gpu`` if there is one,
cuDF's spilling, and RMM's statistics, which can be read only on top.
"""

from __future__ import annotations

import gc
import sys
from functools import cache
from typing import Any

import rmm
import rmm.statistics
from rmm.allocators.cupy import rmm_cupy_allocator

POOL_DIVISOR = 4
"""The pool may keep the GPU's memory divided by this while nobody uses it.

RMM's default, and also 0, keeps all memory that the pool ever had (26.10), out of XGBoost's reach.
"""

_limits: list[int | None] = [None]


def set_limit(limit: int | None) -> None:
    """Limit the bytes that the pool may allocate, before `set_up`; None: no limit."""
    _limits[0] = limit


@cache
def set_up() -> None:
    """Set the resource up unless dask-cuda did; count its bytes, and make it CuPy's allocator."""
    import cupy
    from cudf.core.buffer.spill_manager import get_global_manager

    if not set_up_by_dask_cuda():
        rmm.mr.set_current_device_resource(_resource(_limits[0]))
    # Create the spill manager now. Where dask-cuda lets cuDF spill, the first column would create
    # it later, on top of the statistics.
    get_global_manager()
    rmm.statistics.enable_statistics()
    rmm.statistics.push_statistics()
    cupy.cuda.set_allocator(rmm_cupy_allocator)


def _resource(limit: int | None) -> Any:
    """Return the pool, with the layers between it and the statistics."""
    import cudf

    whole = limit if limit is not None else free_memory()[1]
    resource = rmm.mr.CudaAsyncMemoryResource(release_threshold=max(whole // POOL_DIVISOR, 1))
    if limit is not None:
        resource = rmm.mr.LimitingResourceAdaptor(resource, allocation_limit=limit)
    # cuDF's own "on demand" would be on top of the statistics, and print on standard output
    cudf.set_option("spill", True)
    cudf.set_option("spill_on_demand", False)
    return rmm.mr.FailureCallbackResourceAdaptor(resource, _spill)


def _spill(size: int) -> bool:
    """Spill ``size`` bytes of idle cuDF columns to the host; return whether to try again."""
    from cudf.core.buffer.spill_manager import get_global_manager

    manager = get_global_manager()
    if manager is None:
        return False
    if manager.spill_device_memory(nbytes=size) > 0:
        return True
    gc.collect()  # Dask's graphs are cycles, and refer to partitions
    return bool(manager.spill_device_memory(nbytes=size) > 0)


def set_up_by_dask_cuda() -> bool:
    """Return whether dask-cuda has set up this process, a worker with its `RMMSetup`.

    Each of its workers has this plugin, also without a pool. It ran before any task, and its
    resource is in use: to replace a resource that has allocated memory is undefined
    (`rmm.reinitialize`).
    """
    plugins = sys.modules.get("dask_cuda.plugins")
    if plugins is None:
        return False
    from distributed import get_worker

    try:
        worker = get_worker()
    except ValueError:  # not a worker, but the client of a `LocalCUDACluster`
        return False
    return any(isinstance(plugin, plugins.RMMSetup) for plugin in worker.plugins.values())


_in_use = [0]  # bytes in use when the counters were last pushed


def take_peak() -> int:
    """Return the peak bytes of the pool since the last call."""
    counts = rmm.statistics.pop_statistics()  # since the last push
    highest = _in_use[0] + (0 if counts is None else int(counts.peak_bytes))
    now = rmm.statistics.get_statistics()
    _in_use[0] = 0 if now is None else int(now.current_bytes)
    rmm.statistics.push_statistics()
    return highest


def free_memory() -> tuple[int, int]:
    """Return (free, total) bytes of the GPU."""
    unused, total = rmm.mr.available_device_memory()
    return int(unused), int(total)
