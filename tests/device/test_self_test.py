"""The programs that try GPUs, on stand-ins for the libraries: NumPy, pandas, and what they lack."""

import sys

import pytest
from fake_gpus import Fake

from pipeline.device import stamp
from pipeline.device.probe import probe_gpus
from pipeline.device.self_test import _check_once, check_gpu, check_libraries, check_nccl

CUPY = """
from numpy import *
import numpy, os
from types import SimpleNamespace
class Device:
    def __init__(self, at): pass
    def __enter__(self): pass
    def __exit__(self, *_): pass
runtime = SimpleNamespace(getDeviceCount=lambda: len(os.environ["CUDA_VISIBLE_DEVICES"].split(",")))
"""
CUDA = """
from types import SimpleNamespace
from cupy import Device, runtime
from cupy.cuda import nccl
Stream = SimpleNamespace(null=SimpleNamespace(ptr=0))
"""
NCCL = """
import ctypes, os
import numpy
NCCL_FLOAT32, NCCL_SUM = 7, 0
calls = []
def of(pointer, size): return numpy.ctypeslib.as_array((ctypes.c_float * size).from_address(pointer))
class NcclCommunicator:
    @staticmethod
    def initAll(count): return [NcclCommunicator() for _ in range(count)]
    def allReduce(self, sent, received, size, kind, op, stream): calls.append((sent, received, size))
def groupStart(): calls.clear()
def groupEnd():
    if os.environ.get("BROKEN") == "nccl": raise RuntimeError("NCCL_ERROR_UNHANDLED_CUDA_ERROR")
    total = sum(of(sent, size).copy() for sent, _, size in calls)
    for _, received, size in calls: of(received, size)[:] = total
"""
XGBOOST = """
import json, os
build_info = lambda: {"USE_CUDA": os.environ.get("BROKEN") != "xgboost"}
QuantileDMatrix = lambda x, y: (x, y)
class Booster:
    def save_config(self):
        used = "cpu" if os.environ.get("BROKEN") == "device" else "cuda:0"
        return json.dumps({"learner": {"generic_param": {"device": used}}})
def train(params, data, num_boost_round):
    assert params["device"] == "cuda" and len(data[0]) == len(data[1]) and num_boost_round
    return Booster()
"""
CUML = """
import os
from sklearn.ensemble import RandomForestClassifier as Forest
def RandomForestClassifier(n_bins, **more):
    if os.environ.get("BROKEN") == "crashes": os.abort()
    return Forest(**more)
"""


@pytest.fixture
def libraries(tmp_path, monkeypatch):
    """A folder of stand-ins, where only child processes find them."""
    # NumPy's arrays know no `.data.ptr`; the stand-in's do
    pointers = """
class Held(numpy.ndarray):
    @property
    def data(self): return SimpleNamespace(ptr=self.ctypes.data)
def full(*args, **kw): return numpy.full(*args, **kw).view(Held)
"""
    for name, text in {
        "cupy/__init__.py": CUPY + pointers, "cupy/cuda/__init__.py": CUDA, "cupy/cuda/nccl.py": NCCL,
        "cudf.py": "from pandas import *", "xgboost.py": XGBOOST, "cuml/__init__.py": "",
        "cuml/ensemble.py": CUML,
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_what_computes_is_proved(libraries):
    assert check_libraries("GPU-a") is None
    assert check_nccl(["GPU-a", "GPU-b", "GPU-c"]) is None


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("xgboost", "XGBoost: AssertionError: this XGBoost is the CPU build"),
        ("device", "XGBoost: AssertionError: XGBoost trained on cpu"),
        ("crashes", "cuML: "),
    ],
)
def test_what_fails_has_a_name(libraries, monkeypatch, broken, said):
    monkeypatch.setenv("BROKEN", broken)
    assert said in check_libraries("GPU-a")


def test_what_is_not_there_has_a_name(libraries):
    (libraries / "cudf.py").unlink()
    assert check_libraries("GPU-a") == "cuDF: ModuleNotFoundError: No module named 'cudf'"


def test_sums_that_fail_have_a_name(libraries, monkeypatch):
    monkeypatch.setenv("BROKEN", "nccl")
    assert check_nccl(["a", "b"]) == "NCCL: RuntimeError: NCCL_ERROR_UNHANDLED_CUDA_ERROR"


def test_a_library_that_hangs_is_named_and_ended():
    program = "print('turn:cuML', flush=True); import time; time.sleep(600)"
    assert check_libraries("GPU-a", 5.0, program) == "cuML: no answer within 5 s"


# -- the quick test, and its stamp -----------------------------------------------------------------


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pipeline"


def in_new_process(program, seconds=20.0):
    """Check the GPU as another process would, which remembers nothing."""
    _check_once.cache_clear()
    return check_gpu(probe_gpus(Fake(), {}), seconds, program)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("print('\"passed\"')", None),
        ("import no_such_library", "No module named 'no_such_library'"),
        ("import os; os.abort()", "status -6"),
        ("assert False, 'cuDF adds wrongly'", "cuDF adds wrongly"),
        ("pass", "status 0"),
    ],
)
def test_the_proof_runs_in_another_process(cache, program, reason):
    problem = in_new_process(program)
    assert (problem is None) if reason is None else (reason in problem)
    assert len(list(cache.glob("*"))) == (reason is None)  # only what passed is stamped


def test_the_proof_is_ended_when_it_hangs(cache):
    assert "within 0 s" in in_new_process("import time; time.sleep(30)", 0.3)


@pytest.mark.skipif(sys.platform != "linux", reason="a stamp needs the boot id")
def test_a_passed_test_is_not_repeated_until_the_doctor_finds_a_fault(cache):
    assert in_new_process("print('\"passed\"')") is None
    assert in_new_process("assert False, 'tested again'") is None
    assert (
        check_libraries("GPU-a", 20.0, "assert False, 'it smokes'") == "AssertionError: it smokes"
    )
    assert "tested again" in in_new_process("assert False, 'tested again'")


def test_without_a_boot_id_every_process_tests(cache, monkeypatch, tmp_path):
    monkeypatch.setattr(stamp, "BOOT_ID", tmp_path / "none")
    assert in_new_process("print('\"passed\"')") is None
    assert "tested again" in in_new_process("assert False, 'tested again'")
    assert not cache.exists()
