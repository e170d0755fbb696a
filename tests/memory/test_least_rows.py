"""A sample of too few training rows is refused, with the memory that enough rows need."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import Config, run
from pipeline.__main__ import run_command_line
from pipeline.config.cluster import Memory
from pipeline.errors import MachineError
from pipeline.execution.job import prepare_job
from pipeline.execution.memory_inputs import plan_parts
from pipeline.memory import planner
from pipeline.memory.estimate import Sizes
from pipeline.memory.planner import LEAST_ROWS

ROOT = Path(__file__).parents[2]
FLIGHTS = [str(ROOT / "conf" / "flights.yaml"), "--rows", "20000"]
QUICK = [
    "--set", "models={xgboost: {rounds: 3}, forest: {trees: 3}}", "--set", "refit=never",
    "--no-dashboard", "-q",
]  # fmt: skip


def needed(text):
    """The GB that a message says the floor and all rows need."""
    least, full = re.search(r"([\d.]+) GB are needed .* rows, ([\d.]+) GB on all", text).groups()
    return float(least), float(full)


@pytest.fixture
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("command", [["plan"], ["run", "--dry-run"], ["run", "--no-dashboard"]])
def test_a_limit_that_leaves_few_rows_is_refused_before_any_is_read(
    command, at_root, tmp_path, capsys
):
    out = ["--out", str(tmp_path / "run")] if command[-1] == "--no-dashboard" else []
    status = run_command_line([*command, *FLIGHTS, *out, "--set", "memory.host=250MB"])
    said = capsys.readouterr()
    assert status == 3 and said.out == ""
    assert "memory.host: 0.25 GB are allowed" in said.err
    assert "needed to train on 10,000 of 14,000 training rows" in said.err
    least, full = needed(said.err)
    assert 0.3 < least <= full < 1
    assert f"memory.host: {least:.2f}GB" in said.err, "the fix"
    assert not (tmp_path / "run" / "ingest").exists()


def test_the_memory_that_is_named_is_enough(at_root, tmp_path, capsys):
    options = [*QUICK, "--out", str(tmp_path / "run")]
    assert run_command_line(["run", *FLIGHTS, *options, "--set", "memory.host=250MB"]) == 3
    least, _ = needed(capsys.readouterr().err)
    options[-1] += "2"
    assert run_command_line(["run", *FLIGHTS, *options, "--set", f"memory.host={least:.2f}GB"]) == 0
    lines = (tmp_path / "run2" / "ledger.jsonl").read_text().splitlines()
    rows = {(entry := json.loads(line))["stage"]: entry["rows"] for line in lines[:-1]}
    assert rows["train xgboost"] >= LEAST_ROWS and rows["train forest"] >= LEAST_ROWS


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A table of 200,000 rows; its ``x1 > 1.3`` is true for a tenth of them."""
    rng, rows = np.random.default_rng(0), 200_000
    x = rng.normal(size=(8, rows)).round(4)
    table = {f"x{i}": x[i] for i in range(8)} | {
        "y": (x[0] + rng.normal(size=rows) > 0).astype(int)
    }
    path = tmp_path_factory.mktemp("numbers") / "d.parquet"
    pd.DataFrame(table).to_parquet(path, row_group_size=20_000)
    return path


def config(path, host, condition="x1 < 100"):
    return Config.parse({
        "data": {"path": str(path), "target": "y"}, "memory": {"host": host}, "refit": "never",
        "models": {"xgboost": {"rounds": 3}}, "features": [{"filter": condition}],
        "cluster": {"kind": "process", "dashboard": False},
    })  # fmt: skip


def test_a_filter_that_leaves_few_rows_of_the_sample_ends_the_run(numbers, tmp_path):
    """No plan knows how many rows a filter drops: here the sample is of 13,600, not of 140,000."""
    assert plan_parts(prepare_job(config(numbers, "340MB")), 2, tmp_path)[1].train_rate < 0.7
    with pytest.raises(MachineError) as refused:
        run(config(numbers, "340MB", "x1 > 1.3"), out=tmp_path / "few")
    text = str(refused.value)
    assert re.search(
        r"0\.34 GB are allowed, .* to train on 10,000 of 13,\d\d\d training rows", text
    )
    least, _ = needed(text)
    outcome = run(config(numbers, f"{least:.2f}GB", "x1 > 1.3"), out=tmp_path / "enough")
    lines = (outcome.folder / "ledger.jsonl").read_text().splitlines()
    (trained,) = (e for e in map(json.loads, lines) if e.get("stage") == "train xgboost")
    assert trained["rows"] >= LEAST_ROWS


def sizes(**changes):
    known = {
        "rows": 10_000_000, "train": 0.7, "valid": 0.1, "read_row": 136.0, "feature_row": 136.0,
        "packed_row": 136.0, "staged_row": 0.0, "block_rows": 50_000, "block_bytes": 4 << 20,
        "threads": 2, "features": 16, "present": 1.0, "distinct_texts": 0.0, "scores": 1,
        "models": ("xgboost", "forest"), "forest_rows": 1_000_000, "forest_nodes": 250_000,
        "refit": False, "keep_frames": False, "device": "cpu",
    }  # fmt: skip
    return Sizes(**known | changes)


@pytest.mark.parametrize("changes", [
    {}, {"models": ("forest",)}, {"models": ("xgboost",)}, {"refit": True}, {"rows": 30_000, "refit": True},
    {"rows": 12_000}, {"features": 500}, {"forest_rows": 10_000_000}, {"histograms": 10**8},
], ids=str)  # fmt: skip
@pytest.mark.parametrize("free", [0, 10**12])
def test_what_a_refusal_needs_is_enough_and_a_little_less_is_not(changes, free):
    own = sizes(**changes)
    refused = planner.plan_memory(Memory(host="64MB"), own, free=free)
    assert not refused.has_enough_rows
    training = max(s.host for s in refused.stages if s.stage.model in own.models)
    for limit, enough in ((training, True), (training - 1, False)):
        found = planner.plan_memory(Memory(host=limit), own, free=free)
        assert (
            found.has_enough_rows == enough or found.in_memory
        )  # few rows need less where they are held
    found = planner.plan_memory(Memory(host=training + 1), own, free=free)
    if "xgboost" in own.models:
        assert found.train_rows >= min(LEAST_ROWS, own.train_rows)
    if "forest" in own.models:
        assert found.forest_rows >= min(LEAST_ROWS, own.train_rows)
    assert found.scored_share * own.held_out >= min(LEAST_ROWS, own.held_out) - 1


def test_workers_are_told_what_they_need(numbers, tmp_path):
    job = prepare_job(config(numbers, "340MB"))
    local = job.config.cluster.model_copy(update={"kind": "cores", "workers": 2})
    remote = local.model_copy(update={"kind": "tcp://127.0.0.1:8786"})
    for cluster, fix in ((local, "memory.host: 0.6"), (remote, "more workers")):
        own = prepare_job(job.config.model_copy(update={"cluster": cluster}))
        with pytest.raises(
            MachineError, match="the workers' memory: 0.02 GB are allowed, 0.3"
        ) as e:
            plan_parts(own, 2, None, 25_000_000)
        assert fix in e.value.fix


@pytest.mark.parametrize(
    ("setting", "status", "message"),
    [
        ("models.xgboost.num_parallel_tree=100000000", 2, r"num_parallel_tree.*100000000"),
        ("models.xgboost={num_parallel_tree: 10000, early_stopping: 0}", 3, r"[\d.]+ GB are needed"),
        ("models.xgboost={rounds: 2147483647, early_stopping: 0}", 3, r"[\d.]+ GB are needed"),
        ("models.xgboost={max_bin: 65536, max_depth: 20}", 3, r"[\d.]+ GB are needed"),
        ("models.forest.trees=100000", 3, r"[\d.]+ GB are needed"),
        ("cluster={kind: cores, workers: 10000}", 3, r"10,000 processes need 3150\.00 GB"),
        ("cluster={kind: cores, threads: 10000}", 2, r"cluster\.threads.*10000"),
        ("golden=100000000", 2, "golden.*100000000"),
        ("features=[{hash: {columns: [origin], size: 16000000}}, {keep: [origin]}]", 3, r"[\d.]+ GB are needed"),
        ("features=[{hash: {columns: [origin], size: 2000000000}}]", 2, "2000000000"),
        ("features=[{target_encode: {columns: [origin], folds: 10000000}}]", 2, "10000000"),
    ],
)  # fmt: skip
def test_what_multiplies_work_is_bounded_before_the_training(
    setting, status, message, at_root, capsys
):
    options = ["--rows", "20000", "--set", setting, "--set", "memory.host=8GB"]
    assert run_command_line(["plan", FLIGHTS[0], *options]) == status
    assert re.search(message, capsys.readouterr().err)


def test_a_plan_for_a_schedulers_workers_does_not_know_their_memory(at_root, capsys):
    options = ["--set", "cluster=tcp://127.0.0.1:9", "--set", "memory.host=250MB", "--json"]
    assert run_command_line(["plan", *FLIGHTS, *options]) == 0
    assert json.loads(capsys.readouterr().out)["memory"]["limit"] == 250_000_000
