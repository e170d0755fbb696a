"""Odd environments: what does not matter does no harm, what matters is named."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bad_case import GOOD, config

ROOT = Path(__file__).parents[2]
ODD = {
    "HOME": "/nonexistent", "TMPDIR": "/nonexistent", "TZ": "No/Where", "LANG": "C", "LC_ALL": "C",
    "OMP_NUM_THREADS": "abc", "CUDA_VISIBLE_DEVICES": "banana", "COLUMNS": "x", "TERM": "none",
    "PYTHONIOENCODING": "ascii", "XDG_CONFIG_HOME": "/nonexistent", "PYTHONHASHSEED": "1",
}  # fmt: skip


@pytest.fixture
def here(tmp_path):
    (tmp_path / "d.csv").write_text(GOOD)
    (tmp_path / "c.yaml").write_text(config())
    return tmp_path


def started(folder, *arguments, environment=None, without=(), before="", **more):
    """A command line in a process of its own; ``before`` is shell that goes before it."""
    kept = {k: v for k, v in os.environ.items() if k not in without}
    environment = {**kept, "PYTHONPATH": str(ROOT), **(environment or {})}
    words = [sys.executable, "-m", "pipeline", *arguments]
    if before:
        words = ["sh", "-c", f'{before}; exec "$@"', "sh", *words]
    return subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300,
        check=False, **more,
    )  # fmt: skip


@pytest.mark.slow
def test_a_message_fits_a_terminal_that_knows_only_ascii(here):
    done = started(here, "run", "--data", "Café.csv", "--target", "y", environment=ODD)
    assert done.returncode == 2
    assert r"error: there is no file or folder 'Caf\xe9.csv'" in done.stderr
    assert done.stderr.isascii() and "Traceback" not in done.stderr


def test_without_standard_error_the_status_still_tells(here):
    done = started(here, "run", "none.yaml", before="exec 2>&- <&-")
    assert (done.returncode, done.stdout) == (2, "")


def test_a_working_directory_that_is_gone_is_named(here):
    done = started(
        here, "run", "--data", "d.csv", "--target", "y", before="mkdir x; cd x; rmdir ../x"
    )
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "the working directory does not exist any more" in done.stderr


@pytest.mark.slow
def test_a_damaged_file_of_dasks_is_named(here):
    (here / "x.yaml").write_text("a: [")
    done = started(here, "plan", "c.yaml", environment={"DASK_CONFIG": str(here)})
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert str(here / "x.yaml") in done.stderr and "is malformed" in done.stderr


@pytest.mark.parametrize(("name", "value"), [("CUDA_VISIBLE_DEVICES", "banana")])
def test_a_gpu_that_was_asked_for_is_not_found_under_a_wrong_name(
    here, monkeypatch, capsys, name, value
):
    from pipeline.__main__ import run_command_line

    monkeypatch.chdir(here)
    monkeypatch.setenv(name, value)
    assert run_command_line(["run", "c.yaml", "--device", "gpu", "--out", "run"]) == 3
    assert capsys.readouterr().err.startswith("error: device: gpu, but ")
    assert not (here / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", [*ODD, "all", "none"])
def test_a_run_ends_well_in_an_odd_environment(here, name):
    odd = {"all": ODD, "none": {}}.get(name) if name in ("all", "none") else {name: ODD[name]}
    without = ("HOME", "USER", "LOGNAME", "LANG", "TERM", "SHELL") if name == "none" else ()
    done = started(here, "run", "c.yaml", "--out", "run", "-q", environment=odd, without=without)
    assert done.returncode == 0, done.stderr
    assert (here / "run" / "manifest.json").is_file()
