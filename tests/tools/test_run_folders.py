"""runs, compare and clean, over folders of finished, stopped, damaged and running runs."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

from pipeline import Config, Scorer, run
from pipeline.__main__ import run_command_line
from pipeline.artifacts.files import is_in_use, lock_folder, write_manifest
from pipeline.errors import InputError, MachineError
from pipeline.execution.runner import Listener
from pipeline.execution.stage_cache import CLEANED, REUSED, UNFINISHED
from pipeline.report import text
from pipeline.tools import compare, runs

TREE = {
    "models": {"xgboost": {"rounds": 5}},
    "refit": "never",
    "cluster": {"kind": "process", "dashboard": False},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with two finished runs, of 5 and 9 rounds."""
    folder = tmp_path_factory.mktemp("made")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=300), "z": rng.normal(size=300)})
    frame.assign(y=frame["x"] + frame["z"] > 0).to_parquet(folder / "d.parquet")
    data = {"path": str(folder / "d.parquet"), "target": "y"}
    for name, rounds in (("five", 5), ("nine", 9)):
        tree = {**TREE, "data": data, "models": {"xgboost": {"rounds": rounds}}}
        run(Config.parse(tree), out=folder / "runs" / name)
    return folder / "runs"


@pytest.fixture
def folder(made, tmp_path):
    """A copy of them: five is 40 days old, nine 3; beside them a stopped and a damaged one."""
    found = tmp_path / "runs"
    shutil.copytree(made, found)
    for name in ("stopped", "damaged"):
        shutil.copytree(made / "five", found / name)
    (found / "stopped" / "manifest.json").unlink()
    ledger = found / "stopped" / "ledger.jsonl"
    ledger.write_text("".join(ledger.read_text().splitlines(keepends=True)[:2]))
    (found / "damaged" / "evaluate" / "metrics.json").write_text('{"task": ')
    (found / "notes").mkdir()
    (found / "link").symlink_to(found / "five")
    for name, days in (("five", 40), ("stopped", 20), ("damaged", 10), ("nine", 3)):
        then = (datetime.now() - timedelta(days=days)).timestamp()
        os.utime(found / name / "config.yaml", (then, then))
    return found


def names(found):
    return [run.folder.rsplit("/", 1)[-1] for run in found]


def test_runs_are_listed_oldest_first_with_what_they_are(folder, capsys):
    found = runs.list_runs(folder)
    assert names(found) == ["five", "stopped", "damaged", "nine"]
    assert [run.state for run in found] == ["finished", "stopped", "damaged", "finished"]
    metrics = json.loads((folder / "five" / "evaluate" / "metrics.json").read_text())
    five, stopped, damaged, _ = found
    assert five.test == metrics["models"]["xgboost"]["test"]["roc_auc"]
    assert (five.rows, five.best, five.device, five.target) == (300, "xgboost", "cpu", "y")
    assert stopped.reason == "after split" and "metrics.json was altered" in damaged.reason
    assert run_command_line(["runs", str(folder), "--json"]) == 0
    assert [r["state"] for r in json.loads(capsys.readouterr().out)] == [r.state for r in found]
    assert run_command_line(["runs", str(folder)]) == 0
    assert "stopped: stopped after split" in capsys.readouterr().out


def test_all_commands_show_the_total_that_the_run_printed(folder, capsys):
    lines = (folder / "five" / "ledger.jsonl").read_text().splitlines()
    total = json.loads(lines[-1])["total_seconds"]
    assert total > sum(json.loads(line).get("seconds", 0) for line in lines)
    five, stopped, *_ = runs.list_runs(folder)
    assert five.seconds == round(total, 1) and 0 < stopped.seconds <= five.seconds
    assert f"{text.format_seconds(total)} in all" in (folder / "five" / "report.html").read_text()
    compared = compare.compare([folder / "five", folder / "nine"])
    assert compared["seconds"]["in all"][0] == round(total, 2)


def test_files_that_do_not_fit_together_make_a_damaged_run_not_a_bug(folder):
    (folder / "five" / "evaluate" / "metrics.json").write_text('{"task": "binary", "models": {}}')
    (folder / "nine" / "config.yaml").write_text("data: [1]\n")
    assert {run.state for run in runs.list_runs(folder)} == {"stopped", "damaged"}


def test_a_run_that_goes_on_is_neither_stopped_nor_removed(folder, capsys):
    with lock_folder(folder / "stopped"):
        assert {r.state for r in runs.list_runs(folder) if r.folder.endswith("stopped")} == {
            "running"
        }
        assert run_command_line(["clean", str(folder), "--stopped", "--yes"]) == 0
    assert (folder / "stopped").is_dir() and not (folder / "damaged").exists()
    capsys.readouterr()


def test_files_that_vanish_while_they_are_counted_are_no_bug(folder, monkeypatch):
    """A run that goes on renames its files, and `clean` elsewhere removes whole folders."""
    real = os.lstat

    def lstat(path):
        if os.path.basename(path) == "metrics.json":
            raise FileNotFoundError(path)
        return real(path)

    size = runs.list_runs(folder)[0].bytes
    monkeypatch.setattr(runs.os, "lstat", lstat)
    assert 0 < runs.list_runs(folder)[0].bytes < size


def test_clean_lists_and_with_yes_removes_what_it_was_told(folder, capsys):
    def told(*options):
        assert run_command_line(["clean", str(folder), *options, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        return [r["folder"].rsplit("/", 1)[-1] for r in found["runs"]]

    assert told("--keep", "1") == ["five"]
    assert told("--keep", "0") == ["five", "nine"]
    assert told("--keep", "2") == told("--keep", "3") == []
    assert told("--older", "30") == ["five"]
    assert told("--older", "1", "--keep", "1") == ["five"]
    assert told("--older", "50") == []
    assert told("--stopped") == ["stopped", "damaged"]
    assert len(runs.list_runs(folder)) == 4
    assert told("--stopped", "--keep", "1", "--yes") == ["five", "stopped", "damaged"]
    assert names(runs.list_runs(folder)) == ["nine"]
    assert (folder / "notes").is_dir(), "no run folder"


def test_clean_removes_no_folder_that_is_no_run_and_nothing_behind_a_link(folder, capsys):
    project, outside = folder / "project", folder.parent / "outside"
    project.mkdir()
    (project / "config.yaml").write_text("mine: 1\n")
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    for name in ("stopped", "damaged"):
        (folder / name / "train" / "link").symlink_to(outside)
        (folder / name / "kept.txt").symlink_to(outside / "kept.txt")
    (folder / "whole").symlink_to(outside)
    assert run_command_line(["clean", str(folder), "--stopped", "--keep", "0", "--yes"]) == 0
    capsys.readouterr()
    assert {p.name for p in folder.iterdir()} == {"notes", "project", "link", "whole"}
    assert (outside / "kept.txt").read_text() == "kept" and (project / "config.yaml").exists()


def used(folder):
    """Bytes on the disk, as files and not as names."""
    files = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum({info.st_ino: info.st_size for info in files}.values())


def test_clean_removes_the_stages_of_finished_runs_alone_and_says_what_that_frees(folder, capsys):
    shutil.rmtree(folder / "five")
    run(Config.load(folder / "nine" / "config.yaml"), out=folder / "five")  # with its hard links
    capsys.readouterr()
    before = {name: used(folder / name) for name in ("five", "nine")}
    assert {r.folder.rsplit("/", 1)[-1]: r.bytes for r in runs.list_runs(folder)}["five"] == before[
        "five"
    ]
    for options in ([], ["--yes"]):
        assert run_command_line(["clean", str(folder), "--stages", *options, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["removed"] == bool(options)
        freed = {r["folder"].rsplit("/", 1)[-1]: r["freed"] for r in found["runs"]}
        assert set(freed) == {"five", "nine"}
        left = {name: (folder / name / "stages").exists() for name in ("five", "nine", "stopped")}
        assert left == {"five": not options, "nine": not options, "stopped": True}
    for name, size in freed.items():
        assert before[name] - used(folder / name) == size > 0
    # they are whole all the same: what is read is checked against the manifest
    assert [r.state for r in runs.list_runs(folder) if r.folder.endswith(("five", "nine"))] == [
        "finished", "finished",
    ]  # fmt: skip
    Scorer.load(folder / "nine")
    assert run_command_line(["clean", str(folder / "nine"), "--stages", "--yes"]) == 0
    assert "stages of 0 finished runs" in capsys.readouterr().out
    assert run_command_line(["clean", str(folder), "--stages", "--stopped", "--yes"]) == 2
    assert (folder / "stopped" / "stages").exists()


def test_a_run_without_its_stages_says_so_and_does_them_again(folder):
    shutil.rmtree(folder / "nine" / "stages")
    before = (folder / "nine" / "train" / "xgboost.ubj").read_bytes()
    config, heard = Config.load(folder / "nine" / "config.yaml"), []
    done = run(config, resume=folder / "nine", listener=Listener(say=heard.append))
    assert [text for text in heard if CLEANED in text] == [f"{CLEANED}: every stage is recomputed"]
    assert set(done.resumed.values()) == {f"recomputed: {CLEANED}"}
    assert (folder / "nine" / "train" / "xgboost.ubj").read_bytes() == before
    heard.clear()
    done = run(config, resume=folder / "nine", listener=Listener(say=heard.append))
    assert set(done.resumed.values()) == {REUSED} and not any(CLEANED in text for text in heard)


def test_a_run_that_stopped_before_its_first_stage_ended_was_not_cleaned(folder):
    shutil.rmtree(folder / "stopped" / "stages")
    config = Config.load(folder / "stopped" / "config.yaml")
    done = run(config, resume=folder / "stopped")
    assert set(done.resumed.values()) == {f"recomputed: {UNFINISHED}"}


def test_a_stopped_run_of_a_cluster_goes_on_where_it_is_told_to(folder):
    config = folder / "stopped" / "config.yaml"
    config.write_text(config.read_text().replace("kind: process", "kind: tcp://10.0.0.7:8786"))
    (stopped,) = (run for run in runs.list_runs(folder) if run.state == "stopped")
    assert stopped.resume.endswith("/stopped --cluster tcp://10.0.0.7:8786")
    assert run_command_line(["run", "--resume", str(folder / "stopped")]) == 2


def test_nothing_is_resumed_in_a_folder_with_links(folder, capsys):
    victim = folder.parent / "victim.txt"
    victim.write_text("mine")
    (folder / "stopped" / "log.txt").unlink()
    (folder / "stopped" / "log.txt").symlink_to(victim)
    assert run_command_line(["run", "--resume", str(folder / "stopped")]) == 2
    assert "is a link: a run writes only to files of its own folder" in capsys.readouterr().err
    assert victim.read_text() == "mine"


def test_compare_shows_what_differs(made, capsys):
    assert run_command_line(["compare", str(made / "five"), str(made / "nine"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["config"] == {"models.xgboost.rounds": [5, 9]}
    assert found["data"] == found["versions"] == {}
    five, nine = found["metrics"]["xgboost log_loss"]
    assert five > nine
    assert found["files"]["ingest/schema.json"] and not found["files"]["train/xgboost.ubj"]
    assert run_command_line(["compare", str(made / "five"), str(made / "nine")]) == 0
    shown = capsys.readouterr().out
    assert "models.xgboost.rounds" in shown and f"({nine - five:+.4f})" in shown


def test_compare_wants_two_finished_runs(folder, capsys):
    assert run_command_line(["compare", str(folder / "five"), str(folder / "link")]) == 2
    assert "needs two runs" in capsys.readouterr().err
    assert run_command_line(["compare", str(folder / "five"), str(folder / "stopped")]) == 2
    assert "is not a finished run" in capsys.readouterr().err


def test_a_run_owns_its_folder_until_it_ends(made, tmp_path):
    seen = []
    tree = {**TREE, "data": {"path": str(made.parent / "d.parquet"), "target": "y"}}

    def stage(entry, ended):
        seen.append(runs.list_runs(tmp_path)[0].state)

    folder = run(Config.parse(tree), out=tmp_path / "run", listener=Listener(stage=stage)).folder
    assert set(seen) == {"running"}
    assert runs.list_runs(tmp_path)[0].state == "finished" and not (folder / ".lock").exists()


def test_names_from_files_are_not_obeyed_by_the_terminal(folder, capsys):
    config = folder / "nine" / "config.yaml"
    config.write_text(config.read_text().replace("seed: 0", 'seed: 0\n"\\e[31mred": 1'))
    write_manifest(folder / "nine", json.loads((folder / "nine" / "manifest.json").read_text()))
    assert run_command_line(["compare", str(folder / "five"), str(folder / "nine")]) == 0
    shown = capsys.readouterr().out
    assert "\\x1b[31mred" in shown and "\x1b[31mred" not in shown


def test_a_folder_has_one_owner_at_a_time(tmp_path):
    with lock_folder(tmp_path):
        assert is_in_use(tmp_path)
        with pytest.raises(InputError, match=rf"in use by another process \(process {os.getpid()}"):
            lock_folder(tmp_path).__enter__()
    assert not is_in_use(tmp_path) and not list(tmp_path.iterdir())


def test_a_lock_that_its_owner_removes_just_now_is_still_told(tmp_path, monkeypatch):
    def leaves(file, _):
        (tmp_path / ".lock").unlink()
        raise BlockingIOError

    monkeypatch.setattr(fcntl, "flock", leaves)
    with pytest.raises(InputError, match="in use by another process"):
        lock_folder(tmp_path).__enter__()


def test_a_file_system_without_locks_is_a_machine_error(tmp_path, monkeypatch):
    def refuses(file, _):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuses)
    with pytest.raises(MachineError, match="cannot be locked: No locks available"):
        lock_folder(tmp_path).__enter__()
