"""Folders of runs that go on: which may, and what the command line says of those that may not."""

from __future__ import annotations

import json

import pytest

from pipeline.artifacts import run_dirs
from pipeline.artifacts.files import lock_folder
from pipeline.cli import app
from pipeline.errors import InputError
from pipeline.execution.resume import remove_leftovers, resume_command
from pipeline.tools.runs import list_runs


@pytest.fixture
def stopped(tmp_path):
    """What a killed run leaves."""
    run = tmp_path / "a run"
    (run / "tmp" / "staged").mkdir(parents=True)
    (run / "ingest").mkdir()
    (run / "config.yaml").write_text("data: {path: none.csv, target: y}\n")
    (run / "ingest" / ".schema.json.7.tmp").write_text("{")
    (run / "manifest.json").write_text("{}")
    line = {"stage": "read", "seconds": 1.5, "rows": 7, "device": "cpu"}
    (run / "ledger.jsonl").write_text(json.dumps(line) + "\n")
    return run


def test_what_a_killed_process_left_behind_goes(stopped):
    remove_leftovers(stopped)
    names = sorted(p.relative_to(stopped).as_posix() for p in stopped.rglob("*"))
    assert names == ["config.yaml", "ingest", "ledger.jsonl"]


def test_a_folder_to_go_on_in_is_made_where_it_is_absent(tmp_path, stopped):
    assert run_dirs.open_resumed_folder(stopped) == stopped
    assert run_dirs.open_resumed_folder(tmp_path / "new" / "run").is_dir()
    (tmp_path / "early").mkdir()
    for name in (".lock", "log.txt", ".config.yaml.7.tmp"):
        (tmp_path / "early" / name).write_text("")
    assert run_dirs.open_resumed_folder(tmp_path / "early")


@pytest.mark.parametrize("name", ["file", "folder"])
def test_what_is_no_run_folder_is_left_alone(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a run folder"):
        run_dirs.open_resumed_folder(tmp_path / name)
    assert (tmp_path / "folder" / "thesis.tex").exists()


@pytest.mark.parametrize("name", [".lock", "ledger.jsonl", "stages", "ingest/x"])
def test_a_folder_with_links_is_refused_before_anything_is_written(stopped, tmp_path, name):
    (tmp_path / "mine").write_text("precious")
    (stopped / name).unlink(missing_ok=True)
    (stopped / name).symlink_to(tmp_path / "mine")
    with pytest.raises(InputError, match=f"{name} is a link"), lock_folder(stopped):
        pass
    assert (tmp_path / "mine").read_text() == "precious"


def test_a_folder_with_a_run_is_not_for_another_but_to_go_on_in(stopped):
    with pytest.raises(InputError, match="is not empty.*(?s:.*)--resume"):
        run_dirs.make_run_folder("x", stopped)


def test_runs_shows_the_command_that_goes_on(stopped, capsys):
    (stopped / "manifest.json").unlink()
    (found,) = list_runs(stopped.parent)
    assert (found.state, found.reason, found.resume) == (
        "stopped",
        "after read",
        resume_command(stopped),
    )
    assert resume_command(stopped) == f"python -m pipeline run --resume '{stopped}'"
    assert app.invoke(["runs", str(stopped.parent)]) == 0
    assert "resume with: python -m pipeline run --resume" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume", "{}/absent"], "no run has started there"),
        (["--resume", "{}/a run", "--out", "{}/b"], "are two run folders"),
        (["--resume", "{}/a run", "--profile", "cprofile"], "cannot be measured"),
        (["--resume", "{}/a run"], "there is no file or folder 'none.csv'"),
        (["--resume", "{}/a run", "--set", "data.sort=1"], "sort"),
    ],
)
def test_what_does_not_go_with_resume(stopped, arguments, message):
    given = [a.format(stopped.parent) for a in arguments]
    with pytest.raises(InputError, match=message):
        app.invoke(["run", *given])
    assert (stopped / "manifest.json").exists()
    assert not (stopped.parent / "absent").exists()
