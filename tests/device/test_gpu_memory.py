"""Who sets GPU memory up, with stand-ins for RMM and dask-cuda: no GPU has seen this.

The stand-ins behave as the sources of rmm, cuDF and dask-cuda 26.10 read: the current resource is
whatever was set last, statistics are an adaptor on top of it, and a worker of dask-cuda has the
plugin `RMMSetup` whatever its options are.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace

import pytest
from distributed import LocalCluster
from distributed.diagnostics.plugin import WorkerPlugin


class Resource:
    """What allocates; ``upstream`` is below it."""

    def __init__(self, upstream=None):
        self.upstream = upstream


class CudaMemoryResource(Resource):
    """RMM's own default: no pool."""


class CudaAsyncMemoryResource(Resource):
    def __init__(self, initial_pool_size=None, release_threshold=None):
        super().__init__()
        self.release_threshold = release_threshold


class LimitingResourceAdaptor(Resource):
    def __init__(self, upstream, allocation_limit):
        super().__init__(upstream)
        self.allocation_limit = allocation_limit


class FailureCallbackResourceAdaptor(Resource):
    def __init__(self, upstream, callback):
        super().__init__(upstream)
        self.callback = callback


class PoolMemoryResource(Resource):
    pass


class StatisticsResourceAdaptor(Resource):
    """Counters (now, peak) in a stack: the topmost counts, and is added to the next when popped."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.stack = [[0, 0]]

    def allocate(self, size):
        top = self.stack[-1]
        top[0] += size
        top[1] = max(top)

    def pop(self):
        top, below = self.stack.pop(), self.stack[-1]
        below[1] = max(below[1], below[0] + top[1])
        below[0] += top[0]
        return top


def rmm():
    """A new RMM, as in a process that has just started."""
    current = [CudaMemoryResource()]

    def enable_statistics():
        if not isinstance(current[0], StatisticsResourceAdaptor):
            current[0] = StatisticsResourceAdaptor(current[0])

    def statistics_of(counters):
        return SimpleNamespace(current_bytes=counters[0], peak_bytes=counters[1])

    module, statistics = ModuleType("rmm"), ModuleType("rmm.statistics")
    module.mr = SimpleNamespace(
        CudaAsyncMemoryResource=CudaAsyncMemoryResource,
        LimitingResourceAdaptor=LimitingResourceAdaptor,
        FailureCallbackResourceAdaptor=FailureCallbackResourceAdaptor,
        get_current_device_resource=lambda: current[0],
        set_current_device_resource=lambda resource: current.__setitem__(0, resource),
        available_device_memory=lambda: (3, 4),
    )
    statistics.enable_statistics = enable_statistics
    statistics.push_statistics = lambda: current[0].stack.append([0, 0])
    statistics.pop_statistics = lambda: statistics_of(current[0].pop())
    statistics.get_statistics = lambda: statistics_of(current[0].stack[-1])
    module.statistics = statistics
    return module


class RMMSetup(WorkerPlugin):
    """dask-cuda's: a pool, or nothing at all."""

    def __init__(self, pool):
        self.pool = pool

    def setup(self, worker):
        if self.pool:
            sys.modules["rmm"].mr.set_current_device_resource(PoolMemoryResource())


@pytest.fixture
def memory(monkeypatch):
    """`pipeline.device.gpu.memory`, imported on the stand-ins."""
    found = rmm()
    allocators, cupy = ModuleType("rmm.allocators.cupy"), ModuleType("cupy")
    allocators.rmm_cupy_allocator = "RMM's"
    cupy.cuda = SimpleNamespace(set_allocator=lambda one: setattr(cupy, "allocator", one))
    cudf, spilling = ModuleType("cudf"), ModuleType("cudf.core.buffer.spill_manager")
    cudf.options = {}
    cudf.set_option = cudf.options.__setitem__
    spilling.idle, managers = [], []

    def get_global_manager():
        """Made when first asked for, also by the first column; "on demand" is cuDF's default."""
        if not managers:
            manager = SimpleNamespace(
                spill_device_memory=lambda nbytes: spilling.idle.pop() if spilling.idle else 0
            )
            managers.append(manager if cudf.options.get("spill") else None)
            if managers[0] is not None and cudf.options.get("spill_on_demand", True):
                current = found.mr.get_current_device_resource()
                found.mr.set_current_device_resource(
                    FailureCallbackResourceAdaptor(current, manager.spill_device_memory)
                )
        return managers[0]

    spilling.get_global_manager = get_global_manager
    for name, module in {
        "cudf": cudf, "cudf.core": ModuleType("cudf.core"),
        "cudf.core.buffer": ModuleType("cudf.core.buffer"), spilling.__name__: spilling,
        "rmm": found, "rmm.statistics": found.statistics, "cupy": cupy,
        "rmm.allocators": ModuleType("rmm.allocators"), "rmm.allocators.cupy": allocators,
    }.items():  # fmt: skip
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "pipeline.device.gpu.memory", raising=False)
    yield importlib.import_module("pipeline.device.gpu.memory")
    sys.modules.pop("pipeline.device.gpu.memory", None)


@pytest.fixture
def dask_cuda(monkeypatch):
    """dask-cuda is imported here."""
    plugins = ModuleType("dask_cuda.plugins")
    plugins.RMMSetup = RMMSetup
    monkeypatch.setitem(sys.modules, "dask_cuda.plugins", plugins)


def below_the_statistics():
    """The resources under RMM's statistics, which must stay on top, down to the driver's."""
    top = sys.modules["rmm"].mr.get_current_device_resource()
    assert type(top) is StatisticsResourceAdaptor
    assert sys.modules["cupy"].allocator == "RMM's"
    found = [top.upstream]
    while found[-1].upstream is not None:
        found.append(found[-1].upstream)
    return found


def kinds():
    return [type(one) for one in below_the_statistics()]


OWN = [FailureCallbackResourceAdaptor, CudaAsyncMemoryResource]


def in_a_worker(function, *plugins):
    """The function run by a worker that started with the plugins."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, memory_limit=0,
            dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
            plugins=plugins,
        ) as cluster,
        cluster.get_client() as client,
    ):  # fmt: skip
        client.submit(function, pure=False).result()


def test_a_process_of_its_own_gets_the_asynchronous_pool(memory):
    memory.set_up()
    assert kinds() == OWN
    assert below_the_statistics()[-1].release_threshold == 1  # a quarter of the 4 bytes there are
    assert sys.modules["cudf"].options == {"spill": True, "spill_on_demand": False}


def test_memory_gpu_bounds_the_pool(memory):
    memory.set_limit(1000)
    memory.set_up()
    assert kinds() == [OWN[0], LimitingResourceAdaptor, OWN[1]]
    assert below_the_statistics()[1].allocation_limit == 1000
    assert below_the_statistics()[2].release_threshold == 250


def test_a_full_pool_moves_idle_columns_to_the_host_as_long_as_there_are_any(memory):
    memory.set_up()
    callback = below_the_statistics()[0].callback
    sys.modules["cudf.core.buffer.spill_manager"].idle += [30, 50]
    assert [callback(64), callback(64), callback(64)] == [True, True, False]


def test_so_does_the_worker_inside_this_process_and_the_client_of_dask_cuda(memory, dask_cuda):
    in_a_worker(memory.set_up)
    assert kinds() == OWN


@pytest.mark.parametrize(
    ("pool", "kept"), [(True, PoolMemoryResource), (False, CudaMemoryResource)]
)
def test_a_worker_of_dask_cuda_keeps_what_its_options_made(memory, dask_cuda, pool, kept):
    in_a_worker(memory.set_up, RMMSetup(pool))
    assert kinds() == [kept]


def test_so_does_cudfs_spilling_there_below_the_statistics(memory, dask_cuda):
    sys.modules["cudf"].set_option("spill", True)  # dask-cuda's `CUDFSetup`
    in_a_worker(memory.set_up, RMMSetup(True))
    sys.modules["cudf.core.buffer.spill_manager"].get_global_manager()  # cuDF, for its first column
    assert kinds() == [FailureCallbackResourceAdaptor, PoolMemoryResource]


def test_the_peak_is_the_most_in_use_since_it_was_last_asked(memory):
    memory.set_up()
    resource = sys.modules["rmm"].mr.get_current_device_resource()
    resource.allocate(70)
    resource.allocate(-30)
    assert memory.take_peak() == 70
    resource.allocate(10)
    assert memory.take_peak() == 50
    assert memory.take_peak() == 50
    assert memory.free_memory() == (3, 4)
