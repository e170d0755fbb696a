"""Command lines that are printed or shown: a shell takes them apart into the words that were meant."""

from __future__ import annotations

import html
import re
import shlex
from pathlib import Path

import pytest
from bad_case import GOOD, config

from pipeline.__main__ import run_command_line
from pipeline.errors import quote_path
from pipeline.execution.resume import resume_command

ODD = (
    "my run",
    "it's",
    'say "hi"',
    "$(touch hit)",
    "`touch hit`",
    "a;touch hit",
    "-rf",
    "a&b",
    "*",
)


def words_of(text: str, beginning: str) -> list[str]:
    """The words of the printed command that begins so."""
    (line,) = [line for line in text.splitlines() if f"python -m pipeline {beginning}" in line]
    return shlex.split(line.partition("python -m pipeline ")[2])


@pytest.mark.parametrize("name", ODD)
def test_a_quoted_path_is_one_word_and_no_option(name):
    (word,) = shlex.split(quote_path(Path(name)))
    assert Path(word) == Path(name) and not word.startswith("-")


@pytest.mark.parametrize("name", ["it's $(touch hit)", "-rf x"])
def test_commands_that_name_a_run_folder_can_be_pasted(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Path("d.csv").write_text(GOOD)
    Path("c.yaml").write_text(config())
    assert run_command_line(["run", "c.yaml", f"--out={name}", "-q"]) == 0
    score = words_of(capsys.readouterr().out, "predict")
    assert Path(score[1]) == Path(name)
    assert run_command_line([word.replace("NEW.csv", "d.csv") for word in score]) == 0
    page = html.unescape(Path(name, "report.html").read_text())
    for beginning in ("predict", "audit"):
        shown = re.search(rf"python -m pipeline {beginning} ([^<]*)<", page)
        assert shown and Path(shlex.split(shown[1])[0]) == Path(name)
    assert Path(shlex.split(resume_command(Path(name)))[-1]) == Path(name)
    capsys.readouterr()
    assert run_command_line(["run", "c.yaml", f"--out={name}", "-q"]) == 2
    shown = capsys.readouterr().err
    assert Path(shlex.split(shown.partition("--resume ")[2])[0]) == Path(name)
    assert not Path("hit").exists()


def test_commands_that_name_a_file_can_be_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("it's d.csv").write_text(GOOD)
    assert run_command_line(["init", "it's d.csv", "--target", "y", "--out", "it's c.yaml"]) == 0
    assert words_of(capsys.readouterr().err, "run") == ["run", "it's c.yaml"]
    assert run_command_line(["run", "it's d.csv"]) == 2
    assert words_of(capsys.readouterr().err, "run")[:3] == ["run", "--data", "it's d.csv"]
