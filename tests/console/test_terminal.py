"""Terminals that cannot show every letter, and letters that no terminal should obey."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from rich.table import Table

from pipeline.__main__ import run_command_line
from pipeline.artifacts.ledger import Ledger
from pipeline.cli.options import print_json
from pipeline.cli.summary import print_result
from pipeline.cluster.logs import log_to_file
from pipeline.console import terminal
from pipeline.execution.runner import RunResult
from pipeline.matrix import Target

ROOT = Path(__file__).parents[2]


def said(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True, text=True, encoding="ascii", cwd=cwd, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "COLUMNS": "60"},
    )  # fmt: skip


def test_an_ascii_terminal_gets_plans_and_json(tmp_path):
    name = "größe"
    rows = "".join(f"{i},{i % 2}\n" for i in range(50))
    (tmp_path / "d.csv").write_text(f"{name},y\n{rows}", encoding="utf-8")
    (tmp_path / "c.yaml").write_text(
        f"data: {{path: d.csv, target: {name} > 3}}\nsplit: {{by: random}}\n", encoding="utf-8"
    )
    plan = said("plan", "c.yaml", cwd=tmp_path)
    assert (plan.returncode, plan.stderr) == (0, "") and "gr\\xf6\\xdfe > 3" in plan.stdout
    as_json = said("plan", "c.yaml", "--json", cwd=tmp_path)
    assert json.loads(as_json.stdout)["target"]["expression"] == f"{name} > 3"
    wrong = said("plan", "c.yaml", "--set", "data.path=nö.csv", cwd=tmp_path)
    assert wrong.returncode == 2 and "n\\xf6.csv" in wrong.stderr


def test_metrics_fit_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    names = ("roc_auc", "average_precision", "log_loss", "accuracy", "f1_at_threshold")
    found = {"test": dict.fromkeys(names, 0.12345)}
    metrics = {
        "task": "binary", "rows": {"test": 1_000_000}, "baseline": found,
        "models": {"xgboost": found, "forest": found},
    }  # fmt: skip
    memory = {"limit": 2 * 10**9, "planned": 9 * 10**8, "measured": 10**9, "device": None}
    target = Target("binary", (0, 1))
    print_result(RunResult(Path("run"), metrics, "xgboost", 1.0, target, (), memory))
    everything = capsys.readouterr().out
    assert "memory: peak 1.00 GB, planned 0.90 of 2.0 GB allowed\n" in everything
    shown = everything.split("* best")[0]
    assert max(map(len, shown.splitlines())) <= 60
    assert "…" not in shown and shown.count("0.1235") == 15
    for word in ("baseline", "xgboost *", "precision", "accuracy", "threshold"):
        assert word in shown


EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\u202egnp.exe\u2028"
"""A title, a cleared screen, a C1 sequence, a line rewritten, and a name that reads backwards."""


def harmless(text):
    return all(c.isprintable() or c in "\n\t" for c in text)


def test_nothing_that_a_terminal_obeys_is_told(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal.print_stderr(EVIL)
    terminal.print_stdout(EVIL)
    table = Table(EVIL, title=EVIL)
    table.add_row(f"[red]{EVIL}[/red] [link=http://x]y[/link] :smile:")
    terminal.make_console(width=200).print(table, EVIL)
    print_json({EVIL: [EVIL]})
    shown = capsys.readouterr()
    assert harmless(shown.out) and harmless(shown.err)
    assert "[red]" in shown.out and "[link=http://x]" in shown.out and ":smile:" in shown.out
    as_json = shown.out[shown.out.index("\n{") :]
    assert json.loads(as_json) == {EVIL: [EVIL]}


def test_nor_warned(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(
            "pipeline.cli.app.invoke", lambda arguments: warnings.warn(EVIL, stacklevel=1)
        )
        run_command_line([])
        shown = capsys.readouterr().err
    assert shown.startswith("UserWarning: ") and harmless(shown)


def test_nor_logged_nor_in_the_ledger(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", "cpu", "cpu", EVIL)
    with ledger.stage("read") as entry:
        entry.notes.append(EVIL)
    told = (tmp_path / "ledger.jsonl").read_text()
    assert harmless(told) and json.loads(told)["notes"] == [EVIL]
    log_to_file(tmp_path / "log.txt")
    logger = logging.getLogger("distributed.test")
    try:
        raise ValueError(EVIL)
    except ValueError:
        logger.exception("it is %s", EVIL)
    finally:
        for handler in list(logging.getLogger("distributed").handlers):
            handler.close()
            logging.getLogger("distributed").removeHandler(handler)
    logged = (tmp_path / "log.txt").read_text()
    assert "ValueError" in logged and harmless(logged)


def test_the_log_of_the_run_before_is_closed(tmp_path):
    log_to_file(tmp_path / "first" / "log.txt")
    (first,) = logging.getLogger("distributed").handlers
    log_to_file(tmp_path / "second" / "log.txt")
    assert first.stream is None and first not in logging.getLogger("tornado").handlers


def test_a_run_on_hostile_names_says_nothing_that_is_obeyed(tmp_path, capfd):
    names = {"x": EVIL.replace("\r", ""), "y": "y"}
    rows = "".join(f"{i % 7},v{i % 2}\x1b[31m\n" for i in range(80))
    (tmp_path / "d.csv").write_text(f"{names['x']},y\n{rows}", encoding="utf-8")
    options = ["--set", "models={xgboost: {rounds: 2}}", "--set", "refit=never", "--no-dashboard"]
    run = ["run", "--data", str(tmp_path / "d.csv"), "--target", "y", "--out", str(tmp_path / "r")]
    assert run_command_line([*run, *options, "-v"]) == 0
    for command in (["plan", *run[1:5]], ["runs", str(tmp_path)],
                    ["predict", str(tmp_path / "r"), str(tmp_path / "d.csv"), "--out",
                     str(tmp_path / "s.csv"), "--keep", "no\x1b[5m"]):  # fmt: skip
        assert run_command_line(command) in (0, 2)
    shown = capfd.readouterr()
    assert harmless(shown.out) and harmless(shown.err)
    for name in ("log.txt", "ledger.jsonl"):
        assert harmless((tmp_path / "r" / name).read_text())
    page = (tmp_path / "r" / "report.html").read_text()
    assert "\x1b" not in page


def test_a_reader_that_has_gone_is_no_interruption():
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with pytest.raises(BrokenPipeError):
        terminal.make_console(file=Gone()).print("x")


@pytest.mark.parametrize("write", [terminal.print_stderr, lambda text: terminal.make_console(stderr=True).print(text)])  # fmt: skip
def test_work_goes_on_where_nobody_reads_its_messages(write, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        monkeypatch.setattr(sys, "stderr", gone)
        write("first")
        write("second")
