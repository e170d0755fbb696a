"""Standard output that takes nothing ends a command with status 3; standard error changes nothing."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from pipeline.__main__ import run_command_line
from pipeline.cli.streams import Stream

ROOT = Path(__file__).parents[2]
FULL = "error: standard output cannot be written to: No space left on device\n"
QUICK = ["--no-dashboard", "-q", "--set", "models={xgboost: {rounds: 2}}", "--set", "refit=never"]
DATA = ["--data", "d.csv", "--target", "y"]

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    folder = tmp_path_factory.mktemp("here")
    (folder / "d.csv").write_text("x,y\n" + "".join(f"{i * 7 % 101},{i % 2}\n" for i in range(200)))
    run = ["run", "--data", str(folder / "d.csv"), "--target", "y", *QUICK]
    for name in ("one", "two"):
        assert run_command_line([*run, "--out", str(folder / name)]) == 0
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"], ["--help"], ["run", "--help"], ["plan", *DATA], ["plan", *DATA, "--json"],
        ["run", *DATA, *QUICK, "--out", "three"], ["run", *DATA, "--dry-run"],
        ["run", *DATA, *QUICK, "--out", "four", "--json"],
        ["runs", "."], ["runs", ".", "--json"], ["compare", "one", "two"],
        ["compare", "one", "two", "--json"], ["schema"], ["init", *DATA[1:]], ["doctor", "--json"],
        ["predict", "one", "d.csv", "--out", "-"],
        ["predict", "one", "d.csv", "--out", "p.csv", "--json"],
        ["report", "one"], ["clean", ".", "--stopped"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_output_that_is_full_ends_the_command(arguments, here, monkeypatch, capsys):
    monkeypatch.chdir(here)
    with Path("/dev/full").open("wb") as full:
        raw = io.BufferedWriter(Stream(full.fileno(), may_fail=True))
        with io.TextIOWrapper(raw, "utf-8") as output, redirect_stdout(output):
            assert run_command_line(arguments) == 3
    assert FULL in capsys.readouterr().err


def started(here, *arguments, **streams):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], cwd=here, check=False, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, **streams,
    )  # fmt: skip


@pytest.mark.parametrize("arguments", [["--version"], ["predict", "one", "d.csv", "--out", "-"]])  # fmt: skip
def test_a_process_ends_with_3_too_and_says_it_once(arguments, here):
    with Path("/dev/full").open("w") as full:
        done = started(here, *arguments, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 3
    assert done.stderr == f"{FULL}  Fix: free some space there, or redirect it elsewhere\n"


@pytest.mark.parametrize(("arguments", "status"), [(["compare", "one", "two"], 0), (["report", "none"], 2)])  # fmt: skip
def test_messages_that_are_lost_change_no_status(arguments, status, here):
    with Path("/dev/full").open("w") as full:
        done = started(here, *arguments, stdout=subprocess.PIPE, stderr=full)
    assert done.returncode == status and bool(done.stdout) == (status == 0)
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-m", "pipeline", *arguments]
    done = subprocess.run(
        closed, cwd=here, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == status


@pytest.mark.slow
def test_a_run_whose_messages_are_lost_ends_well(here):
    with Path("/dev/full").open("w") as full:
        quick = [word for word in QUICK if word != "-q"]
        done = started(here, "run", *DATA, *quick, "--out", "lost", "-v", stderr=full)
    assert done.returncode == 0 and (here / "lost" / "manifest.json").is_file()


@pytest.mark.parametrize("arguments", [["--help"], ["schema"]])
def test_a_reader_that_has_gone_ends_the_command_quietly(arguments, here):
    read, write = os.pipe()
    os.close(read)
    done = started(here, *arguments, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
