"""GPU memory: one asynchronous pool for cuDF, CuPy and cuML, set up before their first call.

XGBoost's wheels allocate outside it (`USE_RMM=False`), so the pool gives memory back as it empties
rather than keeping a fixed share of the GPU.
"""

from __future__ import annotations

from functools import cache

import rmm
import rmm.statistics
from rmm.allocators.cupy import rmm_cupy_allocator


@cache
def set_up() -> None:
    """Makes the pool the current resource, counts what it hands out, and gives it to CuPy too."""
    import cupy

    rmm.mr.set_current_device_resource(rmm.mr.CudaAsyncMemoryResource())
    rmm.statistics.enable_statistics()
    rmm.statistics.push_statistics()
    cupy.cuda.set_allocator(rmm_cupy_allocator)


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
