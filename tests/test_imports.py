"""Nothing touches a GPU library before a GPU is chosen, and ``--help`` imports little."""

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline

FAKES = (
    "cudf",
    "cupy",
    "cuml",
    "rmm",
    "nvforest",
    "dask_cuda",
    "dask_cudf",
    "pylibcudf",
    "raft_dask",
)
HEAVY = (
    "pandas",
    "dask",
    "distributed",
    "xgboost",
    "sklearn",
    "bokeh",
    "pyarrow",
    "scipy",
    "treelite",
)
MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages(pipeline.__path__, "pipeline.")
    if m.name != "pipeline.__main__" and not m.name.startswith("pipeline.device.gpu.")
)


@pytest.fixture
def booby_trapped(tmp_path):
    """An environment in which importing a GPU library, though it is found, raises."""
    for name in FAKES:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text(f"raise SystemExit('touched {name}')\n")
    path = os.pathsep.join([str(tmp_path), str(Path(pipeline.__file__).parents[1])])
    return {**os.environ, "PYTHONPATH": path}


def ran(program, environment, *arguments):
    return subprocess.run(
        [sys.executable, *(["-c", program] if program else []), *arguments],
        capture_output=True, text=True, timeout=120, check=False, env=environment,
    )  # fmt: skip


def test_the_trap_works(booby_trapped):
    assert "touched cudf" in ran("import cudf", booby_trapped).stderr


def test_no_module_imports_a_gpu_library_or_makes_a_context(booby_trapped):
    # `import dask.dataframe` imports CuPy where it is installed: it is no module of ours that does.
    program = f"""
import importlib, sys
for name in {MODULES!r}:
    importlib.import_module(name)
assert not set({FAKES!r}) & set(sys.modules), set({FAKES!r}) & set(sys.modules)
assert not any("libcuda.so" in line for line in open("/proc/self/maps")), "libcuda is loaded"
"""
    if not Path("/proc/self/maps").exists():
        pytest.skip("needs Linux")
    done = ran(program, booby_trapped)
    assert done.returncode == 0, done.stderr


def test_help_imports_little(booby_trapped):
    done = ran("", booby_trapped, "-X", "importtime", "-m", "pipeline", "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout
    assert "touched" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    imported = {line.split("|")[-1].strip().split(".")[0] for line in lines}
    assert imported & {"typer", "pipeline"} == {"typer", "pipeline"}
    assert imported & {*HEAVY, *FAKES} == set()


@pytest.mark.parametrize("asked", ["cpu", "auto"])
def test_choosing_the_cpu_touches_nothing(booby_trapped, asked):
    program = f"""
import sys
from pipeline.device.choose import choose_device, frames_of
choice = choose_device({asked!r})
assert choice.name == "cpu", choice
frames_of(choice.name)
assert not set({FAKES!r}) & set(sys.modules)
"""
    done = ran(program, {**booby_trapped, "CUDA_VISIBLE_DEVICES": ""})
    assert done.returncode == 0, done.stderr


def test_the_first_block_does_not_wait_for_what_trains(tmp_path):
    program = f"""
import sys
from pathlib import Path
from pipeline import Config, run
from pipeline.execution.context import Listener

def list_loaded(entry, ended):
    if entry.stage == "read" and ended:
        loaded = {{"xgboost", "sklearn", "scipy", "treelite", "cuml"}} & set(sys.modules)
        print("read with", loaded or "nothing")

folder = Path({str(tmp_path)!r})
(folder / "d.csv").write_text("x,y\\n" + "".join(f"{{i}},{{i % 2}}\\n" for i in range(200)))
config = {{
    "data": {{"path": str(folder / "d.csv"), "target": "y"}},
    "cluster": {{"kind": "process", "dashboard": False}},
    "models": {{"xgboost": {{"rounds": 1}}}},
    "refit": "never",
    "device": "cpu",
}}
run(Config.parse(config), out=folder / "run", listener=Listener(stage=list_loaded))
"""
    done = ran(program, {})
    assert done.returncode == 0, done.stderr
    assert "read with nothing" in done.stdout
