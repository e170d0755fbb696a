"""A run whose GPU is lost: goes on with the CPU under `auto`, ends with a command under `gpu`."""

from __future__ import annotations

import os
import sys

import pytest

from pipeline.cli import app, restart
from pipeline.device.choose import GPU_LOST_VARIABLE, choose_device
from pipeline.errors import DeviceLost
from pipeline.execution import runner

ARGUMENTS = [sys.executable, "-m", "pipeline", "run", "--data", "d.csv", "--target", "y"]


@pytest.fixture
def replaced(monkeypatch):
    """What this process would have been replaced by."""
    found = {}

    def execve(path, arguments, environ):
        found.update(path=path, arguments=arguments, lost=environ.get(GPU_LOST_VARIABLE))
        raise SystemExit(0)

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(sys, "orig_argv", ARGUMENTS)
    return found


def lost_in(folder):
    folder.mkdir()
    (folder / "ingest").mkdir()
    (folder / "ingest" / "schema.json").write_text("{}")
    (folder / "ledger.jsonl").write_text("")
    error = DeviceLost("features: the GPU failed: cudaErrorIllegalAddress")
    error.folder = folder
    return error


def test_the_same_command_goes_on_in_the_folder(replaced, tmp_path):
    with pytest.raises(SystemExit):
        restart.restart_on_cpu(lost_in(tmp_path / "run"))
    assert replaced["arguments"] == [*ARGUMENTS, "--resume", str(tmp_path / "run")]
    assert "cudaErrorIllegalAddress" in replaced["lost"]
    assert (tmp_path / "run" / "ingest" / "schema.json").exists()


def test_auto_is_then_the_cpu_and_says_why(monkeypatch):
    monkeypatch.setenv(GPU_LOST_VARIABLE, "features: the GPU failed: cudaErrorIllegalAddress")
    found = choose_device("auto", probe=lambda: pytest.fail("a GPU was looked for"))
    assert (found.requested, found.name, found.gpu_lost) == ("auto", "cpu", True)
    assert "cudaErrorIllegalAddress" in found.reason


@pytest.mark.parametrize("device", ["auto", "gpu"])
def test_only_auto_starts_again(replaced, tmp_path, monkeypatch, device):
    error = lost_in(tmp_path / "run")

    def run(config, **options):
        raise error

    monkeypatch.setattr(runner, "run", run)
    (tmp_path / "d.csv").write_text("x,y\n1,2\n")
    arguments = ["run", "--data", str(tmp_path / "d.csv"), "--target", "y", "--device", device]
    if device == "auto":
        assert app.invoke([*arguments, "-q"]) == 0
        assert replaced["path"] == sys.executable
    else:
        with pytest.raises(DeviceLost):
            app.invoke([*arguments, "-q"])
        assert replaced == {} and (tmp_path / "run" / "ledger.jsonl").exists()
