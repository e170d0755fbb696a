"""What a run appends to or locks changes in its own folder only, and nothing there makes it wait."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import Config, run
from pipeline.__main__ import run_command_line
from pipeline.artifacts.files import is_in_use, lock_folder, open_to_append
from pipeline.artifacts.ledger import Ledger
from pipeline.cluster.logs import log_to_file
from pipeline.errors import InputError, MachineError
from pipeline.execution.resume import remove_leftovers

APPENDED = (".lock", "ledger.jsonl", "log.txt")
TREE = {
    "models": {"xgboost": {"rounds": 3}}, "refit": "never",
    "cluster": {"kind": "process", "dashboard": False},
}  # fmt: skip


def contents(folder):
    """The bytes of each file below the folder."""
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def linked_copy(folder, copy):
    """A copy of hard links, as ``cp -al`` makes it."""
    return shutil.copytree(folder, copy, copy_function=os.link)


def write_entry(folder, ledger=None):
    with (ledger or Ledger(folder / "ledger.jsonl", "cpu", "cpu", "asked")).stage("read"):
        pass


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run whose manifest is gone, with a lock that a killed process left; beside it its data."""
    folder = tmp_path_factory.mktemp("stopped")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "z": rng.normal(size=300)})
    frame.assign(y=frame["x"] + frame["z"] > 0).to_csv(folder / "d.csv", index=False)
    tree = {**TREE, "data": {"path": str(folder / "d.csv"), "target": "y"}}
    run(Config.parse(tree), out=folder / "run")
    (folder / "run" / "manifest.json").unlink()
    (folder / "run" / ".lock").write_text("process 1")
    return folder / "run"


def test_a_resumed_copy_of_hard_links_leaves_the_original_as_it_is(stopped, tmp_path):
    copy = linked_copy(stopped, tmp_path / "copy")
    before = contents(stopped)
    done = run(Config.load(copy / "config.yaml"), resume=copy)
    assert set(done.resumed.values()) == {"reused: nothing that it depends on has changed"}
    assert contents(stopped) == before
    ledger = (copy / "ledger.jsonl").read_bytes()
    assert ledger.startswith(before[Path("ledger.jsonl")]) and b"the run is resumed" in ledger
    assert not (copy / ".lock").exists() and (copy / "manifest.json").exists()


@pytest.mark.slow
def test_workers_that_append_leave_a_copy_of_hard_links_as_it_is(stopped, tmp_path):
    before = contents(stopped)
    copy = linked_copy(stopped, tmp_path / "copy")
    command = [
        sys.executable, "-m", "pipeline", "run", "--resume", str(copy), "--cluster", "cores",
        "--set", "models.xgboost.rounds=4", "--no-dashboard", "-q",
    ]  # fmt: skip
    subprocess.run(command, cwd=Path(__file__).parents[2], check=True, capture_output=True)
    assert contents(stopped) == before
    assert (copy / "log.txt").read_bytes() != before[Path("log.txt")]


@pytest.mark.parametrize("name", APPENDED)
def test_a_planted_hard_link_is_not_written_to(tmp_path, name):
    precious = tmp_path / "precious"
    precious.write_text("mine\n")
    folder = tmp_path / "run"
    folder.mkdir()
    os.link(precious, folder / name)
    with lock_folder(folder):
        assert is_in_use(folder)
        log_to_file(folder / "log.txt")
        logging.getLogger("distributed").warning("said")
        write_entry(folder)
    assert precious.read_text() == "mine\n" and precious.stat().st_nlink <= 2
    assert "said" in (folder / "log.txt").read_text()


def test_a_folder_that_is_copied_by_links_while_it_is_written_is_not_shared(tmp_path):
    (tmp_path / "run").mkdir()
    ledger = Ledger(tmp_path / "run" / "ledger.jsonl", "cpu", "cpu", "asked")
    log_to_file(tmp_path / "run" / "log.txt")
    logging.getLogger("distributed").warning("before")
    write_entry(tmp_path / "run", ledger)
    copy = linked_copy(tmp_path / "run", tmp_path / "copy")
    before = contents(copy)
    logging.getLogger("distributed").warning("after")
    write_entry(tmp_path / "run", ledger)
    assert contents(copy) == before
    assert len((tmp_path / "run" / "ledger.jsonl").read_text().splitlines()) == 2
    assert "before" in (log := (tmp_path / "run" / "log.txt").read_text()) and "after" in log


def test_a_lock_that_two_folders_share_still_locks_both(tmp_path):
    (tmp_path / "run").mkdir()
    with lock_folder(tmp_path / "run"):
        copy = linked_copy(tmp_path / "run", tmp_path / "copy")
        with pytest.raises(InputError, match="in use by another process"), lock_folder(copy):
            pass
    with lock_folder(copy):
        assert not is_in_use(tmp_path / "run")


SPECIAL = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "link": lambda path: path.symlink_to("/dev/null"),
    "socket": lambda path: socket.socket(socket.AF_UNIX).bind(str(path)),
}


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("name", APPENDED)
def test_what_is_not_a_file_is_refused_by_its_name_at_once(
    tmp_path, monkeypatch, capsys, name, kind
):
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    Path("d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))
    Path("c.yaml").write_text(json.dumps({**TREE, "data": {"path": "d.csv", "target": "y"}}))
    Path("run").mkdir()
    SPECIAL[kind](Path("run", name))
    Path("run", "config.yaml").write_text(Path("c.yaml").read_text())
    assert run_command_line(["run", "--resume", "run", "-q"]) == 2
    message = capsys.readouterr().err
    assert f"run/{name} is " in message and "Traceback" not in message
    with pytest.raises(InputError, match=f"{name} is not a regular file"):
        open_to_append(Path("run", name))


def test_a_device_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "open", lambda *_: pytest.fail("opened"))
    with pytest.raises(InputError, match="/dev/null is not a regular file"):
        open_to_append(Path("/dev/null"))


def test_a_folder_that_is_gone_is_the_machines_fault(tmp_path):
    with pytest.raises(MachineError, match="cannot be written: No such file"):
        open_to_append(tmp_path / "gone" / "log.txt")


def test_a_half_line_of_a_killed_process_is_ended(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", "cpu", "cpu", "asked")
    ledger.mark_resumed()
    ledger.path.write_bytes(ledger.path.read_bytes() + b'{"stage": "re')
    ledger.mark_resumed()
    lines = ledger.path.read_text().splitlines()
    assert [line[:9] for line in lines] == ['{"event":', '{"stage":', '{"event":']


@pytest.mark.parametrize("name", ["manifest.json", ".a.json.7.tmp", "tmp"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_process_left_goes_whatever_it_is(tmp_path, name, kind):
    path = tmp_path / name
    path.mkdir() if kind == "folder" else path.write_text("")
    remove_leftovers(tmp_path)
    assert not list(tmp_path.iterdir())
