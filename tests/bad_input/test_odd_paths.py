"""Paths that are not UTF-8 are refused in one message, wherever they come from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from bad_case import GOOD, config

from pipeline import Config, run
from pipeline.__main__ import run_command_line
from pipeline.errors import InputError

ODD = os.fsdecode(b"d\xff")
COMMANDS = {
    "run, config": f"run {ODD}.yaml --out run",
    "run, --out": f"run c.yaml --out {ODD}",
    "run, --data": f"run c.yaml --data {ODD}.csv --out run",
    "run, --set": f"run c.yaml --set data.path={ODD}.csv --out run",
    "run, --resume": f"run --resume {ODD}",
    "plan": f"plan {ODD}.yaml",
    "predict, run": f"predict {ODD} d.csv --out o.csv",
    "predict, data": f"predict done {ODD}.csv --out o.csv",
    "predict, --out": f"predict done d.csv --out {ODD}.csv",
    "predict, --table": f"predict done d.csv --out o.csv --table s={ODD}.csv",
    "report": f"report {ODD}",
    "runs": f"runs {ODD}",
    "compare": f"compare done {ODD}",
    "clean": f"clean {ODD} --stages",
    "init": f"init {ODD}.csv --target y",
    "init, --out": f"init d.csv --target y --out {ODD}.yaml",
    "audit": f"audit {ODD}",
    "audit, --data": f"audit done --data {ODD}.csv",
    "parity, --out": f"parity c.yaml --out {ODD}.json",
    "bench, --out": f"bench c.yaml --out {ODD}",
    "a command": ODD,
    "an option": f"run --{ODD}",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    for name in ("d.csv", f"{ODD}.csv"):
        Path(name).write_text(GOOD)
    for name in ("c.yaml", f"{ODD}.yaml"):
        Path(name).write_text(config())
    return tmp_path


def check_refused(status, shown):
    assert status == 2, shown.err
    assert shown.err.startswith("error: ") and shown.err.count("error: ") == 1
    assert r"\udc" in shown.err and "is not UTF-8 text" in shown.err and "mv OLD NEW" in shown.err
    assert shown.out == ""


@pytest.mark.parametrize("case", COMMANDS)
def test_arguments_are_refused(case, here, capsys):
    before = sorted(os.listdir("."))
    check_refused(run_command_line(COMMANDS[case].split(" ")), capsys.readouterr())
    assert sorted(os.listdir(".")) == before


@pytest.mark.parametrize("path", ["f", "f/*.csv", "p", "~/d.csv"])
def test_files_that_a_config_finds_are_refused(path, here, capsys, monkeypatch):
    for folder in ("f", f"p/k={ODD}", f"{ODD}home"):
        Path(folder).mkdir(parents=True)
    for file in (f"f/{ODD}.csv", f"p/k={ODD}/1.csv", f"{ODD}home/d.csv"):
        Path(file).write_text(GOOD)
    monkeypatch.setenv("HOME", str(here / f"{ODD}home"))
    Path("c.yaml").write_text(config(data__path=path))
    check_refused(run_command_line(["run", "c.yaml", "--out", "run", "-q"]), capsys.readouterr())


def test_folders_named_from_python_are_refused(here):
    checked = Config.load("c.yaml")
    for how in ("out", "resume"):
        with pytest.raises(InputError, match="is not UTF-8 text"):
            run(checked, **{how: here / ODD})
    assert not (here / ODD).exists()


def test_a_run_works_in_a_working_directory_that_is_not_utf8(here, monkeypatch):
    odd = here / ODD
    odd.mkdir()
    monkeypatch.chdir(odd)
    Path("d.csv").write_text(GOOD)
    Path("c.yaml").write_text(config())
    assert run_command_line(["run", "c.yaml", "--out", "run", "-q", "--json"]) == 0
    assert run_command_line(["report", "run"]) == 0
    for file in Path("run").rglob("*"):
        if file.suffix in (".yaml", ".json", ".jsonl", ".txt", ".html"):
            file.read_bytes().decode()
