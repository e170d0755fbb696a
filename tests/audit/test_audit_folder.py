"""Where `audit` works, what it leaves when it is stopped or killed, and folders that are read-only."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from read_only import read_only

from pipeline import Config, run
from pipeline.__main__ import run_command_line
from pipeline.artifacts.files import lock_folder
from pipeline.audit import runner
from pipeline.tools import runs

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a finished run, ``runs/one``, and its data."""
    folder = tmp_path_factory.mktemp("audited")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=600), "z": rng.normal(size=600)})
    frame.assign(y=frame["x"] + rng.normal(size=600) > 0).to_csv(folder / "d.csv", index=False)
    tree = {
        "data": {"path": str(folder / "d.csv"), "target": "y"}, "refit": "never",
        "models": {"xgboost": {"rounds": 3}}, "cluster": {"kind": "process", "dashboard": False},
    }  # fmt: skip
    run(Config.parse(tree), out=folder / "runs" / "one")
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """A copy of the run's folder."""
    return shutil.copytree(made / "runs" / "one", tmp_path / "runs" / "one")


def test_an_audit_works_in_a_read_only_working_directory(folder, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with read_only(tmp_path / "here"):
        monkeypatch.chdir(tmp_path / "here")  # the mount, not the folder below it
        assert run_command_line(["audit", str(folder), "-q"]) == 0
    names = {path.name for path in folder.iterdir()}
    assert "audit.json" in names and not names & {"tmp", ".lock"}


AUDIT = """
import sys, time
from pipeline.__main__ import main
from pipeline.audit import runner
def look(*_):
    sys.stderr.write("ready\\n"); sys.stderr.flush()
    time.sleep(60)
runner._plan_scan = look
main()
"""


def interrupted(folder, number):
    """(status, seconds until the end, standard error) of an audit that gets a signal on its way."""
    with subprocess.Popen(
        [sys.executable, "-c", AUDIT, "audit", str(folder), "-q"], cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:  # fmt: skip
        for line in process.stderr:
            if line == "ready\n":
                break
        assert {"tmp", ".lock"} <= {path.name for path in folder.iterdir()}
        process.send_signal(number)
        started = time.monotonic()
        _, err = process.communicate(timeout=20)
        # several threads look at once, and each says that it is ready
        return process.returncode, time.monotonic() - started, err.replace("ready\n", "")


def test_an_audit_that_is_stopped_leaves_nothing(folder):
    before = sorted(folder.rglob("*"))
    status, seconds, err = interrupted(folder, signal.SIGINT)
    assert (status, err) == (130, "stopped\n") and seconds < 15  # 0.1 to 3.8 s, quiet
    assert sorted(folder.rglob("*")) == before
    assert list(folder.parent.iterdir()) == [folder]


def test_what_a_killed_audit_leaves_is_seen_and_goes(folder, capsys):
    status, _, _ = interrupted(folder, signal.SIGKILL)
    assert status == -signal.SIGKILL and (folder / "tmp").is_dir()
    assert list(folder.parent.iterdir()) == [folder], "nothing beside the run"
    (folder / "tmp" / "staged.arrow").write_bytes(bytes(100_000))
    (found,) = runs.list_runs(folder.parent)
    assert found.state == "finished" and found.bytes > 100_000
    (spare,) = runs.list_with_stages(folder.parent, keep=None, older=None)
    assert spare.freed >= 100_000
    left = shutil.copytree(folder, folder.parent.parent / "left")
    assert run_command_line(["clean", str(folder), "--stages", "--yes"]) == 0
    assert not (folder / "tmp").exists() and not (folder / "stages").exists()
    assert run_command_line(["audit", str(left), "-q"]) == 0
    assert not (left / "tmp").exists() and not (left / ".lock").exists()
    capsys.readouterr()


def test_a_run_is_audited_by_one_process_at_a_time(folder, capsys):
    with lock_folder(folder):
        assert run_command_line(["audit", str(folder), "-q"]) == 2
    assert "in use by another process" in capsys.readouterr().err


def test_a_command_that_was_killed_before_it_wrote_a_config_is_seen(tmp_path, capsys):
    names = ("flights-parity-20260101-120000", "lock of another program", "no lock")
    for name, text in zip(names, ("process 12", "12", None), strict=True):
        (tmp_path / name / "1-cpu").mkdir(parents=True)
        if text is not None:
            (tmp_path / name / ".lock").write_text(text)
    (found,) = runs.list_runs(tmp_path)
    assert (Path(found.folder).name, found.state) == (names[0], "stopped")
    assert run_command_line(["runs", str(tmp_path)]) == 0
    assert "stopped before it wrote a config" in capsys.readouterr().out
    assert run_command_line(["clean", str(tmp_path), "--stopped", "--yes"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_a_parity_is_seen_while_it_works_and_uses_the_folder_of_its_out(
    made, tmp_path, monkeypatch
):
    from pipeline.parity import compare as parity

    seen = []

    def compare(*_):
        seen.extend(runs.list_runs(tmp_path / "results"))
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(parity, "compare", compare)
    arguments = ["parity", str(made / "runs/one/config.yaml"), "--devices", "cpu,cpu"]
    assert run_command_line([*arguments, "--out", "results/p.json", "-q"]) == 130
    assert [found.state for found in seen] == ["running"]
    assert list((tmp_path / "results").iterdir()) == [] and not (tmp_path / "data").exists()


# -- run folders that are read-only ----------------------------------------------------------------

WRITERS = {
    "report": ["report", "{run}"],
    "audit": ["audit", "{run}", "-q"],
    "resume": ["run", "--resume", "{run}", "-q"],
    "clean": ["clean", "{runs}", "--keep", "0", "--yes"],
    "clean stages": ["clean", "{runs}", "--stages", "--yes"],
}
READERS = {
    "predict": ["predict", "{run}", "{data}", "--out", "{out}", "-q"],
    "compare": ["compare", "{run}", "{other}"],
    "runs": ["runs", "{runs}"],
}


def test_a_read_only_run_is_the_machines_fault_where_it_is_written_to(
    made, folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(
        runner, "run_audit", lambda *_, **__: pytest.fail("it reads the data first")
    )
    places = {"run": folder, "runs": folder.parent, "data": made / "d.csv",
              "other": made / "runs" / "one", "out": tmp_path / "o.csv"}  # fmt: skip
    with read_only(folder.parent), read_only(folder):
        for name, arguments in (READERS | WRITERS).items():
            status = run_command_line([a.format(**places) for a in arguments])
            message = capsys.readouterr().err
            assert status == (0 if name in READERS else 3), (name, message)
            assert "Traceback" not in message and "this is a bug" not in message
            if name in WRITERS:
                assert "Read-only file system" in message or "Permission denied" in message, name
            if name in ("report", "audit", "resume"):
                assert (
                    "Fix: name a folder that you may write to, such as a copy of this one"
                    in message
                )
