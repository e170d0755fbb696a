"""Streaming gives what holding gives; what does not fit is said."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_small import OPS, QUICK, table

from pipeline import Config, run
from pipeline import job as jobs
from pipeline.cluster import memory
from pipeline.config import Memory
from pipeline.errors import MachineError
from pipeline.ingest import load

FEATURES = [
    *OPS,
    {"target_encode": {"columns": ["when"], "folds": 3}},
    {"scale": {"columns": ["x"], "method": "standard"}},
    {"fill": {"columns": ["gaps"], "with": "median"}},
]


def data():
    frame = table(2000)
    rng = np.random.default_rng(5)
    frame["when"] = rng.choice([f"w{i}" for i in range(30)], 2000)
    frame["gaps"] = np.where(rng.random(2000) < 0.2, np.nan, rng.normal(size=2000))
    return frame


def ran(tmp_path, monkeypatch, *, hold, name, rate=1.0, **changes):
    """A run over several small blocks, held or streamed."""
    true_plan = memory.plan

    def planned(*arguments, **options):
        found = true_plan(*arguments, **options)
        return replace(found, hold=hold, train_rate=rate, block_bytes=8_000)

    monkeypatch.setattr(jobs, "plan", planned)
    monkeypatch.setattr(load, "SMALL_BLOCK", 1_000)
    path = tmp_path / name
    frame = data()
    if name.endswith(".csv"):
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, row_group_size=300)
    source = {"path": str(path), "target": "y", **changes.pop("data", {})}
    tree = {**QUICK, "data": source, "features": FEATURES, **changes}
    return run(Config.parse(tree), out=tmp_path / f"{'held' if hold else 'streamed'}-{name}")


def notes(outcome):
    lines = (outcome.folder / "ledger.jsonl").read_text().splitlines()
    return {(entry := json.loads(line))["stage"]: entry["notes"] for line in lines}


@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_streaming_gives_what_holding_gives(tmp_path, monkeypatch, name):
    held = ran(tmp_path, monkeypatch, hold=True, name=name)
    streamed = ran(tmp_path, monkeypatch, hold=False, name=name)
    assert streamed.metrics == held.metrics
    for file in ("evaluate/predictions.parquet", "golden.parquet"):
        one, other = (pd.read_parquet(o.folder / file) for o in (held, streamed))
        pd.testing.assert_frame_equal(one, other)
    for file in ("features/plan.json", "train/xgboost.ubj", "train/forest.tl"):
        assert (held.folder / file).read_bytes() == (streamed.folder / file).read_bytes(), file
    assert any("streaming" in note for note in notes(streamed)["read"])
    assert any("staged" in note for note in notes(streamed)["read"]) == name.endswith("csv")
    assert not (streamed.folder / "tmp").exists()


def test_streaming_with_lag_a_filter_bad_rows_and_a_refit(tmp_path, monkeypatch):
    changes = {
        "features": [
            {"filter": "x > -1.5"},
            {"lag": {"by": ["my group"], "order": "t", "columns": ["x"], "shift": [1]}},
            *FEATURES,
        ],
        "refit": "always",
    }
    held = ran(tmp_path, monkeypatch, hold=True, name="d.csv", **changes)
    streamed = ran(tmp_path, monkeypatch, hold=False, name="d.csv", **changes)
    assert streamed.metrics == held.metrics


def test_a_sample_that_fits_trains_and_is_said(tmp_path, monkeypatch):
    outcome = ran(tmp_path, monkeypatch, hold=False, name="d.parquet", rate=0.3, refit="always")
    assert any("trains on a sample of" in w for w in outcome.warnings)
    lines = (outcome.folder / "ledger.jsonl").read_text().splitlines()
    rows = {(e := json.loads(line))["stage"]: e["rows"] for line in lines}
    assert 0.2 < rows["train xgboost"] / outcome.metrics["rows"]["train"] < 0.4
    assert 0.2 < rows["train forest"] / outcome.metrics["rows"]["train"] < 0.4
    assert rows["evaluate"] == outcome.metrics["rows"]["valid"] + outcome.metrics["rows"]["test"]


def planned(host, sample="auto", rows=10_000_000):
    from pipeline.columns import Column, Schema

    schema = Schema(tuple(Column(f"c{i}", "float64") for i in range(16)))
    settings = Memory(host=host, sample=sample)
    return memory.plan(settings, rows=rows, read=schema, features=16, train_share=0.7, threads=2)


def test_the_plan_holds_streams_or_samples_by_the_limit():
    assert planned("20GB").hold
    streams = planned("2GB")
    assert not streams.hold and streams.train_rate == 1.0 and streams.total <= 2e9
    samples = planned("600MB")
    assert not samples.hold and 0 < samples.train_rate < 1
    with pytest.raises(MachineError, match=r"memory\.host: XGBoost needs 1\.\d GB"):
        planned("600MB", sample="never")


def test_memory_is_auto_or_a_size():
    assert Memory(host="auto").host is None
    assert Memory(host="2GB").host == 2_000_000_000
    assert Memory(host=10**9).host == 10**9
