"""Streaming gives what holding gives; what does not fit is said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from test_small import OPS, QUICK, table

from pipeline import Config, run
from pipeline.artifacts.stage_id import train_id
from pipeline.config.cluster import Memory
from pipeline.execution.runner import Listener, RunResult
from pipeline.execution.stages import split
from pipeline.ingest import partitions
from pipeline.memory import planner
from pipeline.memory.estimate import Sizes
from pipeline.tools.plan import describe_plan

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


def prepared(
    tmp_path, monkeypatch, *, hold, name, rate=1.0, staging=True, bins="memory", **changes
):
    """The config of a run over several small blocks, held or streamed."""
    true_plan = planner.plan_memory

    def planned(*arguments, **options):
        found = true_plan(*arguments, **options)
        disk = 0 if hold or not name.endswith("csv") or not staging else 1
        return replace(found, in_memory=hold, train_rate=rate, staging=disk, bins=bins)

    monkeypatch.setattr(planner, "plan_memory", planned)
    monkeypatch.setattr(planner, "choose_block_bytes", lambda *limits: 16_000)
    monkeypatch.setattr(partitions, "SMALL_BLOCK", 1_000)
    tmp_path.mkdir(exist_ok=True)
    path = tmp_path / name
    frame = data()
    if name.endswith(".csv"):
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, row_group_size=300)
    source = {"path": str(path), "target": "y", **changes.pop("data", {})}
    tree = {**QUICK, "data": source, "features": FEATURES, **changes}
    return Config.parse(tree)


def ran(tmp_path, monkeypatch, *, hold, name, **changes):
    config = prepared(tmp_path, monkeypatch, hold=hold, name=name, **changes)
    return run(config, out=tmp_path / f"{'held' if hold else 'streamed'}-{name}")


def notes(outcome):
    lines = (outcome.folder / "ledger.jsonl").read_text().splitlines()
    return {(entry := json.loads(line))["stage"]: entry["notes"] for line in lines[:-1]}


class Made(NamedTuple):
    """A run, what was planned, and how often each stage went over the data."""

    outcome: RunResult
    plan: dict
    passes: dict


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs over the same rows, each made once: several tests look at it."""
    known = {}

    def of(name, *, hold, **options):
        key = (name, hold, *options.items())
        if key not in known:
            with pytest.MonkeyPatch.context() as patch:
                folder = tmp_path_factory.mktemp("made")
                known[key] = counted(folder, patch, hold=hold, name=name, **options)
        return known[key]

    return of


def counted(folder, monkeypatch, **options):
    config = prepared(folder, monkeypatch, **options)
    plan = describe_plan(config)
    reads, passes = [], {}

    def noted(read):
        def noting(*arguments):
            reads.append(None)
            return read(*arguments)

        return noting

    def stage(entry, ended):
        if ended:
            passes[entry.stage] = len(reads) / plan["input"]["partitions"]
        reads.clear()

    monkeypatch.setattr(partitions, "read_block", noted(partitions.read_block))
    monkeypatch.setattr(partitions.pa, "memory_map", noted(partitions.pa.memory_map))
    outcome = run(config, out=folder / "run", listener=Listener(stage=stage))
    return Made(outcome, plan, passes)


@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_streaming_gives_what_holding_gives(made, name):
    held, streamed = made(name, hold=True).outcome, made(name, hold=False).outcome
    assert streamed.metrics == held.metrics
    for file in ("evaluate/predictions.parquet", "golden.parquet"):
        one, other = (pd.read_parquet(o.folder / file) for o in (held, streamed))
        pd.testing.assert_frame_equal(one, other)
    for file in ("features/plan.json", "train/xgboost.ubj", "train/forest.tl"):
        assert (held.folder / file).read_bytes() == (streamed.folder / file).read_bytes(), file
    assert any("streaming" in note for note in notes(streamed)["read"])
    assert any("staged" in note for note in notes(streamed)["read"]) == name.endswith("csv")
    assert not (streamed.folder / "tmp").exists()


def test_bins_on_disk_give_what_bins_in_memory_give(made):
    held = made("d.parquet", hold=True).outcome
    paged = made("d.parquet", hold=False, bins="disk").outcome
    assert paged.metrics == held.metrics
    one, other = ((o.folder / "train" / "xgboost.ubj").read_bytes() for o in (held, paged))
    assert one == other
    assert any("bins on disk" in note for note in notes(paged)["train xgboost"])
    assert not (paged.folder / "tmp").exists()


def test_csv_is_read_again_where_it_cannot_be_staged(made):
    held = made("d.csv", hold=True).outcome
    streamed = made("d.csv", hold=False, staging=False).outcome
    assert streamed.metrics == held.metrics
    (_, note) = notes(streamed)["read"]
    assert note == "CSV is parsed in each pass: the disk has no room for staging it"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("d.parquet", {}), ("d.parquet", {"bins": "disk"}), ("d.csv", {}),
        ("d.csv", {"staging": False}),
    ],
)  # fmt: skip
def test_the_plan_says_how_often_the_data_are_read(made, name, options):
    _, plan, passes = made(name, hold=False, **options)
    assert passes == {s["stage"]: s["passes"] for s in plan["memory"]["stages"]}


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
    monkeypatch.setattr(split, "LEAST_ROWS", 100)
    outcome = ran(tmp_path, monkeypatch, hold=False, name="d.parquet", rate=0.3, refit="always")
    assert any("trains on a sample of" in w.message for w in outcome.warnings)
    lines = (outcome.folder / "ledger.jsonl").read_text().splitlines()
    rows = {(e := json.loads(line))["stage"]: e["rows"] for line in lines[:-1]}
    assert 0.2 < rows["train xgboost"] / outcome.metrics["rows"]["train"] < 0.4
    assert 0.2 < rows["train forest"] / outcome.metrics["rows"]["train"] < 0.4
    assert rows["evaluate"] == outcome.metrics["rows"]["valid"] + outcome.metrics["rows"]["test"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_workers_stream_what_they_cannot_hold(tmp_path, monkeypatch, name):
    """Two processes make the rows again at each pass, and fit what one process fits."""
    one = ran(tmp_path, monkeypatch, hold=True, name=name)
    cluster = {"kind": "cores", "workers": 2, "dashboard": False}
    several = ran(
        tmp_path / "two", monkeypatch, hold=False, name=name, staging=False, cluster=cluster
    )
    said = notes(several)
    assert any("the workers' limit is" in note for note in said["read"])
    assert any("share no disk" in note for note in said["read"]) == name.endswith("csv")
    assert "2 of 2 workers boost together" in said["train xgboost"]
    assert several.metrics["rows"] == one.metrics["rows"]
    for model in ("xgboost", "forest"):
        ours, theirs = (o.metrics["models"][model]["test"]["roc_auc"] for o in (several, one))
        assert ours == pytest.approx(theirs, abs=0.03)  # 400 test rows, few trees


def sizes(rows=10_000_000, **changes):
    known = {
        "rows": rows, "train": 0.7, "valid": 0.1, "read_row": 136.0, "feature_row": 136.0,
        "packed_row": 136.0, "staged_row": 0.0, "block_rows": 250_000, "block_bytes": 32 << 20, "threads": 2,
        "features": 16, "present": 1.0, "distinct_texts": 0.0, "scores": 1, "models": ("xgboost",),
        "forest_rows": 1_000_000, "forest_nodes": 250_000, "refit": False, "keep_frames": False, "device": "cpu",
    }  # fmt: skip
    return Sizes(**known | changes)


def planned(host, sample="auto", free=0, **changes):
    return planner.plan_memory(Memory(host=host, sample=sample), sizes(**changes), free=free)


def test_the_plan_holds_streams_or_samples_by_the_limit():
    assert planned("20GB").in_memory
    streams = planned("2GB")
    assert not streams.in_memory and streams.train_rate == 1.0
    assert streams.host_peak <= 2e9 < streams.in_memory_peak
    samples = planned("900MB")
    assert not samples.in_memory and 0 < samples.train_rate < 1 and samples.host_peak <= 9.01e8
    never = planned("900MB", sample="never")
    assert not never.has_enough_rows and never.train_rate == 1 and 1e9 < never.host_peak < 2e9


def test_bins_go_to_disk_where_they_do_not_fit_and_it_has_room():
    wide = {"features": 100, "rows": 5_000_000, "block_rows": 20_000}
    assert planned("2GB", free=10**12, **wide).bins == "memory"
    found = planned("1.3GB", free=10**12, **wide)
    assert (found.bins, found.cache) == ("disk", pytest.approx(882_000_000))
    assert found.train_rate == 1.0 and found.host_peak <= 1.3e9
    for options in ({"free": 8 * 10**8}, {"free": 10**12, "device": "gpu"}):
        other = planned("1.3GB", **options, **wide)
        assert (other.bins, other.cache) == ("memory", 0)
        assert other.train_rate < 1 or options.get("device") == "gpu"
    tight = planned("700MB", free=10**12, **wide)
    assert tight.bins == "disk" and 0 < tight.train_rate < 1
    # 220.5 bytes a row: seven tenths train, a tenth stops the boosting and is not sampled
    assert tight.cache == pytest.approx(5e6 * 220.5 * (0.7 * tight.train_rate + 0.1))
    assert tight.train_rate > planned("700MB", **wide).train_rate


def test_csv_is_staged_where_the_disk_has_room():
    assert planned("20GB", free=10**12, staged_row=50.0).staging == 0, "it is held"
    assert planned("2GB", free=10**12, staged_row=50.0).staging == 500_000_000
    assert planned("2GB", free=500_000_000, staged_row=50.0).staging == 0
    assert planned("2GB", free=10**12).staging == 0, "Parquet"


def on_gpu(device, *, rung=planner.PLANNED, sample="auto", **changes):
    changes = {"device": "gpu", "device_memory": device, **changes}
    own = Memory(host="200GB", sample=sample)
    return planner.plan_memory(own, sizes(**changes), free=10**12, device=device, level=rung)


def test_a_gpu_holds_streams_or_keeps_xgboosts_bins_on_the_host_by_its_limit():
    holds = on_gpu(20 * 10**9)
    assert holds.in_memory and holds.bins == "memory" and 0 < holds.device <= 20 * 10**9
    streams = on_gpu(holds.device - 1)
    assert not streams.in_memory and streams.bins == "memory" and streams.device < holds.device
    trained = next(s for s in streams.stages if s.stage == train_id("xgboost"))
    wide = {"models": ("xgboost",), "features": 500}
    paged = on_gpu(on_gpu(10**12, rung=planner.FALLBACK_LEVELS[2], **wide).device - 1, **wide)
    assert not paged.in_memory and paged.bins == "host" and paged.cache > 0
    assert trained.parts.get("bins") is None
    assert paged.find_stage(train_id("xgboost")).parts["bins"] == pytest.approx(paged.cache)
    for own in (on_gpu(10**8, sample="never"), on_gpu(10**8)):
        assert not own.has_enough_rows and own.device > 10**8
    sampled = on_gpu(on_gpu(10**8).device + 10**7)
    assert sampled.has_enough_rows and sampled.train_rate < 1 and sampled.short_of == "memory.gpu"


def test_each_rung_gives_up_more():
    planned_, smaller, streams, external = (
        on_gpu(10**12, rung=rung) for rung in planner.FALLBACK_LEVELS
    )
    assert planned_.in_memory and smaller.in_memory
    assert not streams.in_memory and streams.bins == "memory"
    assert not external.in_memory and external.bins == "host"
    assert planner.choose_block_bytes(10**12, 10**11) == 256 << 20
    assert planner.choose_block_bytes(10**12) == 32 << 20


def test_workers_that_cannot_hold_the_rows_stream_them_or_say_what_they_need():
    assert planner.plan_memory(Memory(host="600MB"), sizes(), free=0, shared=20 * 10**9).in_memory
    streams = planner.plan_memory(Memory(), sizes(), free=0, shared=2 * 10**9)
    assert not streams.in_memory and streams.staging == 0 and streams.limit == 2 * 10**9
    never = planner.plan_memory(Memory(sample="never"), sizes(), free=0, shared=600_000_000)
    assert not never.has_enough_rows and never.host_peak > 600_000_000


def test_memory_is_auto_or_a_size():
    assert Memory(host="auto").host is None
    assert Memory(host="2GB").host == 2_000_000_000
    assert Memory(host=10**9).host == 10**9
