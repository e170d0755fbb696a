"""Memory, addresses and threads that run out are the machine's fault, however libraries say it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost as xgb

from pipeline.__main__ import run_command_line
from pipeline.cli import app
from pipeline.config.cluster import Memory
from pipeline.errors import ConfigError, InputError, find_memory_error
from pipeline.memory import address_space, planner

ROOT = Path(__file__).parents[2]


def caused(outer, inner, *, hidden=False):
    """The outer error as it is raised while the inner one is handled."""
    try:
        try:
            raise inner
        except type(inner) as error:
            if hidden:
                raise outer from None
            raise outer from error
    except type(outer) as error:
        return error


OUT_OF_MEMORY = {
    "MemoryError": MemoryError(),
    "NumPy": np._core._exceptions._ArrayMemoryError((10**9,), np.dtype("float64")),
    "Arrow": pa.ArrowMemoryError("malloc of size 64 failed"),
    "Arrow's threads": pa.ArrowException(
        "Unknown error: Failed to launch worker thread: Resource temporarily unavailable"
    ),
    "thread": RuntimeError("can't start new thread"),
    "loader": ImportError("libx.so: failed to map segment from shared object"),
    "loader, XGBoost's words": xgb.core.XGBoostError(
        "XGBoost Library (libxgboost.so) could not be loaded.\n['libgomp.so: cannot allocate memory']"
    ),
    "XGBoost": xgb.core.XGBoostError("[12:00:00] /x/y.cc:27: std::bad_alloc"),
    "system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "processes": BrokenProcessPool("A process in the process pool was terminated abruptly"),
    "cause": caused(RuntimeError("it failed"), MemoryError()),
    "hidden context": caused(InputError("damaged"), MemoryError(), hidden=True),
    "group": ExceptionGroup("tasks", [KeyError("x"), caused(ValueError("y"), MemoryError())]),
}
NOT = {
    "a lock that is taken": caused(InputError("in use"), BlockingIOError(errno.EAGAIN, "Resource")),
    "a value": ValueError("could not convert string to float: 'out of memory'"),
    "a column": KeyError("cannot allocate memory"),
    "ours": ConfigError("column 'bad_alloc' is not there"),
    "no such module": ModuleNotFoundError("No module named 'cudf'"),
    "disk": OSError(errno.ENOSPC, "No space left on device"),
}


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_a_memory_error_is_found_along_the_chain(name, monkeypatch, capsys):
    error = OUT_OF_MEMORY[name]
    assert find_memory_error(error) is not None

    def failing(arguments):
        raise error

    monkeypatch.setattr(app, "invoke", failing)
    assert run_command_line([]) == 3
    said = capsys.readouterr().err
    assert said.startswith("error: out of memory") and "bug" not in said
    assert "Fix: use fewer rows" in said


@pytest.mark.parametrize("name", NOT)
def test_other_errors_are_none(name):
    assert find_memory_error(NOT[name]) is None


def test_errors_in_a_circle_end():
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__context__, second.__context__ = second, first
    assert find_memory_error(first) is None


@pytest.mark.parametrize(("most", "status"), [(10**9, 1), (None, 1), (600 * 10**6, 3)])
def test_any_error_of_a_process_without_addresses_is_for_want_of_them(
    most, status, monkeypatch, capsys
):
    def failing(arguments):
        raise SystemError("error return without exception set")

    monkeypatch.setattr(app, "invoke", failing)
    monkeypatch.setattr(address_space, "peak_addresses", lambda: 550 * 10**6)
    monkeypatch.setattr(address_space, "address_limit", lambda: most)
    assert run_command_line([]) == status
    said = capsys.readouterr().err
    assert ("a bug in pipeline" in said) == (status == 1)
    assert ("limit of 0.60 GB on the address space" in said) == (status == 3)


def test_what_was_used_is_read_of_the_kernel(tmp_path):
    (tmp_path / "status").write_text("Name:\tx\nVmPeak:\t  700 kB\nVmSize:\t 600 kB\n")
    assert address_space.peak_addresses(tmp_path / "status") == 700 * 1024
    assert address_space.peak_addresses(tmp_path / "none") == 0
    assert sys.platform != "linux" or address_space.peak_addresses() > 10**8


def test_the_plan_keeps_to_the_addresses(monkeypatch):
    monkeypatch.setattr(address_space, "address_limit", lambda: address_space.MAPPED + 4 * 10**8)
    monkeypatch.setattr(planner, "available_memory", lambda: 10**10)
    assert planner.host_limit(Memory()) == 4 * 10**8
    assert planner.host_limit(Memory(host="1GB")) == 10**9
    monkeypatch.setattr(address_space, "address_limit", lambda: None)
    assert planner.host_limit(Memory()) == 7 * 10**9


# -- in processes of their own ---------------------------------------------------------------------


def limited(megabytes, *arguments, cwd, seconds=300):
    """A command in a process that may have so many MB of addresses."""
    size = megabytes << 20

    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (size, size))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, preexec_fn=limit, timeout=seconds, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder, rng = tmp_path_factory.mktemp("here"), np.random.default_rng(0)
    x = rng.normal(size=(2, 2000)).round(4)
    y = (x[0] + rng.normal(size=2000) > 0).astype(int)
    lines = [f"{a},{b},{c}" for a, b, c in zip(*x, y, strict=True)]
    (folder / "d.csv").write_text("\n".join(["x,z,y", *lines]))
    return folder


DATA = ["--data", "d.csv", "--target", "y"]
QUICK = ["--no-dashboard", "-q", "--set", "models={xgboost: {rounds: 20}, forest: {trees: 20}}"]


@pytest.mark.parametrize(
    ("megabytes", "arguments"),
    [
        (700, ["run", *DATA, "--out", "few"]),
        (1600, ["run", *DATA, "--out", "more"]),
        (600, ["plan", *DATA]),
        (1000, ["predict", "few", "d.csv", "--out", "x.csv"]),
    ],
)
def test_too_few_addresses_are_refused_before_the_libraries_load(megabytes, arguments, here):
    done = limited(megabytes, *arguments, cwd=here)
    limit, command = (megabytes << 20) / 1e9, arguments[0]
    assert (done.returncode, done.stdout) == (3, "")
    start = (
        f"error: the address space is limited to {limit:.2f} GB (ulimit -v), but `{command}` needs"
    )
    assert done.stderr.startswith(start) and "Traceback" not in done.stderr
    assert not (here / "few").exists() and not (here / "more").exists()


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"]])
def test_help_needs_few_addresses(arguments, here):
    assert limited(400, *arguments, cwd=here).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("megabytes", range(400, 2001, 50))
def test_commands_end_well_whatever_the_addresses(megabytes, here):
    """They are enough, or status 3 says that they are not: no bug, no crash, no hang."""
    run = f"run-{megabytes}"
    if not (here / "ok").exists():
        assert limited(8000, "run", *DATA, *QUICK, "--out", "ok", cwd=here).returncode == 0
    for arguments in (
        ["run", *DATA, *QUICK, "--out", run], ["plan", *DATA],
        ["predict", "ok", "d.csv", "--out", f"{run}.csv"],
    ):  # fmt: skip
        done = limited(megabytes, *arguments, cwd=here)
        assert done.returncode in (0, 3), (arguments, done.returncode, done.stderr)
        assert "Traceback" not in done.stderr
        # below what a run needs, `plan` says that the run will not fit
        need = address_space.NEEDED["run" if arguments[0] == "plan" else arguments[0]]
        if abs(megabytes - need) > 64:  # MB; what a run needs is a peak that was measured
            assert done.returncode == (3 if megabytes < need else 0), (arguments, done.stderr)
