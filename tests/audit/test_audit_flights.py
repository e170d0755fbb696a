"""`audit` on the command line, over real flights: clean as configured, and with what is known only
after departure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from audited import fitted_run, found, mended

from pipeline import Config, run
from pipeline.__main__ import run_command_line
from pipeline.artifacts import manifest
from pipeline.audit import runner
from pipeline.execution import executor

ROOT = Path(__file__).parents[2]
QUICK = [
    "models.xgboost.rounds=5", "models.forest=null", "refit=never", "cluster.dashboard=false",
]  # fmt: skip


@pytest.fixture(autouse=True)
def at_home(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(executor, "release_memory", lambda: None)  # the collector's time


def configured(rows, *overrides):
    tree = yaml.safe_load((ROOT / "conf" / "flights.yaml").read_text())
    if rows:
        tree["data"]["rows"] = rows
    config = Config.parse(tree, [*QUICK, *overrides])
    return yaml.safe_load(config.to_yaml())


def manifest_of(folder):
    return json.loads((folder / "manifest.json").read_text())


def test_the_default_config_passes_and_its_folder_is_as_it_was(tmp_path, capsys):
    folder = run(Config.parse(configured(6_000)), out=tmp_path / "run").folder
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert run_command_line(["audit", str(folder), "--json", "-q"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["passed"] and not [f for f in told["findings"] if f["severity"] == "fail"]
    assert told == json.loads((folder / "audit.json").read_text())
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    changed = {p.name for p in after if after[p] != before.get(p)}
    assert changed == {"audit.json", "report.html"} and set(before) <= set(after)
    seal = manifest.open_run(folder)
    assert all(seal.read(folder / name) for name in manifest_of(folder)["files"])
    assert "Leaks and drift" in (folder / "report.html").read_text(encoding="utf-8")


def test_a_delay_that_is_known_only_afterwards_fails(tmp_path):
    tree = configured(6_000)
    tree["features"] = [
        {"target_encode": {"columns": ["carrier", "dest", "tailnum"]}},
        {"categorify": {"columns": ["origin"]}},
        {"drop": ["dep_time", "air_time", "month", "day", "time_hour"]},
    ]  # the side tables take most of the time
    folder = fitted_run(tree, tmp_path / "leaky")
    report = runner.run_audit(folder, tmp_path / "meanwhile", serial=True)
    (delay,) = found(report, "names", "fail", "dep_delay")
    assert "shares 'delay' with the target's 'arr_delay'" in delay.what
    assert delay.config == "- drop: [dep_delay]"
    assert found(report, "names", column="arr_time")
    after = runner.run_audit(
        fitted_run(mended(tree, delay), tmp_path / "mended"),
        tmp_path / "meanwhile again",
        serial=True,
    )
    assert not found(after, "names", column="dep_delay") and not found(after, "names", "fail")


@pytest.mark.slow
def test_a_random_split_of_flights_is_told(tmp_path):
    tree = configured(12_000)
    tree["split"] = {"by": "random"}
    report = runner.run_audit(fitted_run(tree, tmp_path), tmp_path / "meanwhile", serial=True)
    (order,) = found(report, "times", "warn", "time_hour")
    assert order.config == "split: {by: time, column: time_hour, valid: 0.1, test: 0.2}"
    assert found(report, "entities", "warn", "tailnum")


@pytest.mark.slow
def test_all_flights_pass(tmp_path):
    report = runner.run_audit(
        fitted_run(configured(None), tmp_path), tmp_path / "meanwhile", serial=True
    )
    assert not found(report, "fitted") and not report.find_unresolved(strict=False)
    assert report.sampled == sum(report.rows.values()) == 327_346
