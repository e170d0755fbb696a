"""Terminals that cannot show every letter: nothing fails, and JSON stays JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from pipeline.matrix import Target
from pipeline.runner import Outcome
from pipeline.summary import print_outcome

ROOT = Path(__file__).parents[1]


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
    print_outcome(Outcome(Path("run"), metrics, "xgboost", 1.0, target, (), memory))
    everything = capsys.readouterr().out
    assert "memory: peak 1.00 GB, planned 0.90 of 2.0 GB allowed\n" in everything
    shown = everything.split("* best")[0]
    assert max(map(len, shown.splitlines())) <= 60
    assert "…" not in shown and shown.count("0.1235") == 15
    for word in ("baseline", "xgboost *", "precision", "accuracy", "threshold"):
        assert word in shown
