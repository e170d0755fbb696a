"""Fixtures shared by all tests: the device every shared test runs on."""

from __future__ import annotations

import os
import sys
import types

# Read when libgomp is loaded: on two cores with two test processes, threads that spin while they
# wait keep the others from working.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
from hypothesis import settings

# The same examples on every machine and at every time; more of them are what `-m slow` is for.
settings.register_profile("same", deadline=None, derandomize=True, database=None)
settings.load_profile("same")


class OnTheGpu(np.ndarray):
    """A host array that passes for one of the GPU's."""

    __cuda_array_interface__ = None


@pytest.fixture
def device_of_tests(monkeypatch):
    """Registers a device: the CPU's functions but for those given. Returns its name."""
    from pipeline.device import choose, cpu

    def registered(called, **functions):
        module = types.ModuleType(f"device_of_tests_{called}")
        vars(module).update({k: v for k, v in vars(cpu).items() if not k.startswith("__")})
        vars(module).update(functions)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(choose.MODULES, called, module.__name__)
        choose.frames_of.cache_clear()
        return called

    yield registered
    choose.frames_of.cache_clear()


@pytest.fixture
def pretended_gpu(device_of_tests, monkeypatch):
    """The device ``gpu`` on a machine without one: arrays are `OnTheGpu`, the work is the CPU's."""
    from pipeline.device import cpu
    from pipeline.device.gpu.errors import translate_error

    memory = types.SimpleNamespace(set_up=lambda: None)
    monkeypatch.setitem(sys.modules, "pipeline.device.gpu.memory", memory)

    def to_device(value):
        return value.view(OnTheGpu) if isinstance(value, np.ndarray) else value

    def to_host(value):
        return value.view(np.ndarray) if isinstance(value, OnTheGpu) else value

    def matrix(frame, names, rows=None):
        return cpu.to_matrix(frame, names, rows).view(OnTheGpu)

    functions = {"to_device": to_device, "to_host": to_host, "to_matrix": matrix}
    functions["translate_error"] = translate_error
    return device_of_tests("gpu", name="gpu", **functions)


NVFOREST = """
import treelite

LOADED = []


class Forest:
    def __init__(self, model):
        self.model = model

    def predict_proba(self, x):
        return treelite.gtil.predict(self.model, x, nthread=1).reshape(len(x), -1).view(type(x))

    predict = predict_proba


def load_from_treelite_model(tl_model, *, device="auto", precision=None):
    assert (device, precision) == ("gpu", None)
    LOADED.append(tl_model)
    return Forest(tl_model)
"""


@pytest.fixture
def pretended_nvforest(tmp_path_factory, monkeypatch):
    """An nvForest that computes with Treelite on the host; ``LOADED`` is what it loaded."""
    folder = tmp_path_factory.mktemp("nvforest")
    (folder / "nvforest.py").write_text(NVFOREST)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "nvforest", raising=False)
    import nvforest

    yield nvforest
    sys.modules.pop("nvforest", None)


@pytest.fixture(params=["cpu", pytest.param("gpu", marks=pytest.mark.gpu)])
def device(request):
    """The `Frames` module under test: pandas/NumPy, and cuDF/CuPy where marked tests run."""
    if request.param == "cpu":
        from pipeline.device import cpu

        return cpu
    from pipeline.device.gpu import frames

    return frames


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    """The in-process Dask client of a default run, without a dashboard."""
    from pipeline.cluster.client import connect
    from pipeline.config.cluster import Cluster

    folder = tmp_path_factory.mktemp("dask") / "tmp"
    with connect(Cluster(dashboard=False), "cpu", 2, folder) as found:
        yield found


@pytest.fixture(scope="session")
def two(tmp_path_factory):
    """A client of ``cluster: cores`` with two processes, for tests that do not kill its workers."""
    from pipeline.cluster.client import connect
    from pipeline.config.cluster import Cluster

    folder = tmp_path_factory.mktemp("two") / "tmp"
    cluster = Cluster(kind="cores", workers=2, dashboard_address="127.0.0.1:0")
    with connect(cluster, "cpu", 2, folder) as client:
        yield client
