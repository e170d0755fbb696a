"""The command line: help, usage errors, exit statuses; without running anything long."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer

from pipeline.__main__ import run_command_line
from pipeline.artifacts.run_dirs import make_run_folder, open_resumed_folder
from pipeline.cli.app import app
from pipeline.cli.options import collect_overrides, expand_home, load_tree
from pipeline.config.loader import derive_name
from pipeline.config.model import Config

COMMANDS = tuple(typer.main.get_command(app).commands)


def pipeline(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )


def test_help_names_every_command_and_how_to_start():
    done = pipeline("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert "python -m pipeline run" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_an_example(command, capsys):
    assert run_command_line([command, "--help"]) == 0
    assert f"python -m pipeline {command}" in capsys.readouterr().out


def test_version(capsys):
    assert run_command_line(["--version"]) == 0
    assert capsys.readouterr().out == "pipeline 0.1.0\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rum"], "No such command"),
        (["run", "--rows", "0"], "--rows"),
        (["run", "--nope"], "No such option"),
        (["predict", "x"], "Missing"),
        (["run", "none.yaml"], "there is no config 'none.yaml'"),
        (["run", "--data", "x.csv"], "--data needs --target"),
        (["run", "--data", "none.csv", "--target", "y"], "none.csv"),
        (["run", "--set", "x"], "is not key=value"),
        (["run", "--set", "devcie=cpu"], "did you mean 'device'"),
        (["report", "none"], "none"),
        (["predict", "none", "x.csv", "--out", "o.csv"], "not a finished run"),
        (["predict", "none", "x.csv", "--out", "o.txt"], "neither .csv nor .parquet"),
        (["init", "none.csv", "--target", "y"], "none.csv"),
        (["runs", "none"], "there is no folder 'none'"),
        (["clean"], "removes nothing unless an option selects it"),
        (["compare", "none", "none"], "needs two runs"),
    ],
)
def test_mistakes_end_with_2_and_one_message(arguments, message, capsys):
    assert run_command_line(arguments) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_device_gpu_without_one_ends_with_3(capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert run_command_line(["run", "--device", "gpu"]) == 3
    assert "GPU" in capsys.readouterr().err


def test_control_characters_of_data_do_not_reach_the_terminal(capsys):
    assert run_command_line(["run", "--data", "\x1b[31mx.csv", "--target", "y"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_only_data_and_target_make_a_config():
    assert load_tree(None, ["d/my file.csv"], "y") == {
        "name": "my-file",
        "data": {"path": ["d/my file.csv"], "target": "y"},
    }
    assert derive_name("s3://bucket/päth/") == "p-th"
    assert collect_overrides(["a=1"], rows=5, device=None) == ["a=1", "data.rows=5"]


def test_schema_is_json_and_knows_every_op(capsys):
    from pipeline.features.registry import REGISTRY

    assert run_command_line(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    known = {next(iter(o["properties"])) for o in _ops(schema)}
    assert known == set(REGISTRY)


def _ops(schema):
    return schema["properties"]["features"]["anyOf"][0]["items"]["oneOf"]


def test_plan_tells_what_would_run_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    (tmp_path / "d.csv").write_text("a,b,y\n" + "1,2,0\n3,4,1\n" * 50)
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["plan", "--data", "d.csv", "--target", "y", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["input"]["rows"] == 100
    assert plan["device"]["chosen"] in ("cpu", "gpu")
    assert plan["memory"]["total"] > 0
    assert [p.name for p in tmp_path.iterdir()] == ["d.csv"]


def test_the_home_folder_may_stand_anywhere(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    found = [
        expand_home(a) for a in ("~/x", "--out=~/x", "--out", "a~/x", "~x", "--set=a=~/x", "x=~/y")
    ]
    home = str(tmp_path)
    assert found == [f"{home}/x", f"--out={home}/x", "--out", "a~/x", "~x", "--set=a=~/x", "x=~/y"]
    (tmp_path / "c.yaml").write_text("data: {path: none.csv, target: y}\n")
    assert Config.load("~/c.yaml").data.target == "y"
    assert make_run_folder("c", "~/run") == open_resumed_folder("~/run") == tmp_path / "run"
    assert run_command_line(["report", "--", "~/none"]) == 2
    assert f"{home}/none" in capsys.readouterr().err
