"""Warnings of whole runs: from the data to the summary, --json, the report and a resumed run."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline import Config, run
from pipeline.__main__ import run_command_line

QUICK = {
    "models": {"xgboost": {"rounds": 10}, "forest": {"trees": 4, "max_depth": 4}},
    "refit": "never",
    "cluster": {"kind": "process", "dashboard": False},
    "device": "cpu",
}
WORDS = [
    "the",
    "ship",
    "came",
    "late",
    "and",
    "its",
    "box",
    "was",
    "open",
    "so",
    "we",
    "sent",
    "all",
    "of",
    "them",
    "home",
]


def table(n=600, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    label = np.where(x + 0.5 * rng.normal(size=n) > 0, "high", "low").astype(object)
    return pd.DataFrame({
        "x": x,
        "z": rng.normal(size=n),
        "day": pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d"),
        "y": label,
    })  # fmt: skip


def config(tmp_path, frame, **changes):
    path = tmp_path / "d.csv"
    frame.to_csv(path, index=False)
    return {**QUICK, "data": {"path": str(path), "target": "y"}, **changes}


def ran(tmp_path, frame, **changes):
    return run(Config.parse(config(tmp_path, frame, **changes)), out=tmp_path / "run", serial=True)


def kinds(result):
    return [warning.kind for warning in result.warnings]


def test_a_run_without_a_fault_has_no_warnings(tmp_path):
    result = ran(tmp_path, table())
    assert result.warnings == () and result.to_json()["warnings"] == []
    assert json.loads((result.folder / "evaluate" / "warnings.json").read_text()) == {
        "warnings": []
    }
    assert '<div class="warnings">' not in (result.folder / "report.html").read_text()


def test_classes_only_of_the_test_period_missing_targets_and_free_text(tmp_path, capsys):
    frame = table()
    frame.loc[frame.index[-40:], "y"] = "late"
    frame.loc[3, "y"] = None
    rng = np.random.default_rng(1)
    frame["note"] = [" ".join(rng.choice(WORDS, 6)) for _ in range(len(frame))]
    tree = config(tmp_path, frame, split={"by": "time", "column": "day"})
    (tmp_path / "c.yaml").write_text(json.dumps(tree))
    out = tmp_path / "run"
    assert run_command_line(["run", str(tmp_path / "c.yaml"), "--out", str(out), "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("warning: 1 class of y has no training rows"), "before the metrics"
    first = json.loads((out / "evaluate" / "warnings.json").read_text())["warnings"]
    assert [w["kind"] for w in first] == ["classes", "text", "dropped"]
    assert "'late' (40 test rows)" in first[0]["message"]
    assert first[1]["column"] == "note" and "left out" in first[1]["message"]
    assert first[2]["message"] == "1 of 600 rows was dropped: y is missing there"
    page = (out / "report.html").read_text()
    assert page.index("no training rows") < page.index("<h2>Metrics</h2>")
    # a resumed run, whose stages are all reused, has the same
    assert run_command_line(["run", "--resume", str(out), "--quiet", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told)[:2] == ["run", "warnings"], "on top"
    assert [w["message"] for w in told["warnings"]] == [w["message"] for w in first]
    assert json.loads((out / "evaluate" / "warnings.json").read_text())["warnings"] == first
    # one by a version that wrote no such file
    (out / "evaluate" / "warnings.json").unlink()
    record = json.loads((out / "stages" / "evaluate.json").read_text())
    del record["files"]["evaluate/warnings.json"]
    (out / "stages" / "evaluate.json").write_text(json.dumps(record))
    assert run_command_line(["run", "--resume", str(out), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []


@pytest.mark.parametrize("valid", [0.1, 0.0])
def test_a_copy_of_the_target_is_named_by_its_column(tmp_path, valid):
    frame = table(400)
    frame["outcome"] = np.where(frame["y"] == "high", "paid", "owed")
    models = {"xgboost": {"rounds": 80}}
    result = ran(tmp_path, frame, split={"valid": valid}, models=models)
    found = {w.kind: w for w in result.warnings}
    assert found["perfect"].column == "outcome"
    (fix,) = [w["fix"] for w in result.to_json()["warnings"] if w["kind"] == "perfect"]
    assert fix == f"python -m pipeline audit {result.folder}"


def test_noise_does_not_beat_the_baseline_and_few_rows_are_few(tmp_path):
    frame = table(300)
    frame["y"] = np.random.default_rng(5).choice(["high", "low"], 300)
    assert kinds(ran(tmp_path, frame)) == ["baseline", "test_rows"]


def test_rows_are_counted_not_their_weight_and_those_of_weight_0_not_at_all(tmp_path):
    frame = table(700)
    place = np.arange(700) % 10
    frame["which"] = np.select([place < 3, place == 9], ["test", "valid"], "train")
    rare = frame.index >= 695
    frame.loc[rare, ["y", "which"]] = "rare", "train"
    frame["w"] = np.select([rare, place < 2], [100.0, 0.0], 2.0)
    data = {"path": str(tmp_path / "d.csv"), "target": "y", "weight": "w"}
    split = {"by": "column", "column": "which"}
    found = {w.kind: w.message for w in ran(tmp_path, frame, data=data, split=split).warnings}
    assert found["classes"] == "1 class of y has fewer than 10 training rows: 'rare' (5 rows)"
    assert found["test_rows"].startswith("the test set has only 70 rows")
