"""Runs on a GPU whose memory runs out: rung by rung down to the CPU, with the same metrics."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from small_gpu import small_gpu

from pipeline import Config, Scorer, run
from pipeline.artifacts.stage_id import train_id
from pipeline.device import stamp
from pipeline.device.choose import DeviceChoice
from pipeline.errors import DeviceError, DeviceFull, DeviceLost
from pipeline.execution import executor, fallback, job
from pipeline.execution.run_state import RunState
from pipeline.execution.runner import Listener
from pipeline.ingest import partitions
from pipeline.memory import planner

ROWS = 12_000
MATRIX = 28 * ROWS
"""Bytes of the seven features of all rows as float32; the held frames take twice that and more."""


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config of two large blocks, which may become twenty-four small ones."""
    monkeypatch.setattr(planner, "choose_block_bytes", lambda *limits: 400_000)
    monkeypatch.setattr(partitions, "SMALL_BLOCK", 1000)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=ROWS) for i in range(6)})
    frame["g"] = rng.choice(list("abcdef"), ROWS)
    frame["y"] = (frame.x0 + frame.x1 * frame.x2 + rng.normal(size=ROWS) > 0).astype(int)
    frame.to_parquet(tmp_path / "d.parquet", row_group_size=500)

    def made(**changes):
        tree = {
            "data": {"path": str(tmp_path / "d.parquet"), "target": "y"},
            "features": [{"categorify": {"columns": ["g"]}}],
            "models": {"xgboost": {"rounds": 5}, "forest": {"trees": 3}},
            "refit": "never", "device": "auto",
            "cluster": {"kind": "process", "dashboard": False},
        }  # fmt: skip
        return Config.parse(tree | changes)

    return made


def ran(config, folder, monkeypatch, stages=None, **limits):
    """A run in which the stages have these bytes of the GPU's memory, the others all they want."""
    budget = small_gpu(monkeypatch)
    limits = {name.replace("_", " "): limit for name, limit in limits.items()}

    def stage(entry, ended):
        budget.limit = None if ended else limits.get(entry.stage)

    return run(config, out=folder, listener=Listener(stage=stage))


def lines(folder):
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


def aucs(outcome):
    return {name: sets["test"]["roc_auc"] for name, sets in outcome.metrics["models"].items()}


def fell(outcome):
    return [(f["stage"], f["rung"]) for f in outcome.fallbacks]


def on(folder):
    return {line["stage"]: line["device"] for line in lines(folder) if "seconds" in line}


def test_each_stage_goes_down_as_far_as_it_must_and_the_metrics_stay(config, tmp_path, monkeypatch):
    planned = ran(config(), tmp_path / "planned", monkeypatch)
    assert planned.fallbacks == () and set(on(planned.folder).values()) == {"gpu"}
    outcome = ran(
        config(), tmp_path / "run", monkeypatch,
        features=2.2 * MATRIX, train_forest=MATRIX + MATRIX // 4, train_xgboost=MATRIX // 4,
    )  # fmt: skip
    assert fell(outcome) == [
        ("features", "smaller partitions"),
        ("train forest", "spill and stream"),
        ("train forest", "the CPU"),
        ("train xgboost", "external memory"),
    ]
    assert aucs(outcome) == pytest.approx(aucs(planned), abs=0.002)
    assert on(outcome.folder) == {
        "read": "gpu", "split": "gpu", "features": "gpu", "train forest": "cpu",
        "train xgboost": "gpu", "evaluate": "gpu",
    }  # fmt: skip
    told = [line for line in lines(outcome.folder) if "event" in line]
    assert [line["stage"] for line in told] == [stage for stage, _ in fell(outcome)]
    assert all(
        "RMM" in line["reason"] or "XGB" in line["reason"] or line["reason"] for line in told
    )
    manifest = json.loads((outcome.folder / "manifest.json").read_text())
    assert manifest["fallbacks"] == [dict(f) for f in outcome.fallbacks]
    report = (outcome.folder / "report.html").read_text()
    assert "falls back to: external memory" in report
    assert not (outcome.folder / "tmp").exists()


def test_a_gpu_that_was_asked_for_never_becomes_the_cpu(config, tmp_path, monkeypatch):
    with pytest.raises(DeviceError) as caught:
        ran(config(device="gpu"), tmp_path / "run", monkeypatch, train_forest=MATRIX // 4)
    assert caught.value.status == 3
    assert "train forest: out of GPU memory" in caught.value.message
    assert "tried: smaller partitions, spill and stream" in caught.value.message
    assert f"pipeline run {tmp_path / 'run'}/config.yaml --device cpu" in caught.value.fix
    assert set(on(tmp_path / "run").values()) == {"gpu"}
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "config.yaml", "ingest", "ledger.jsonl", "log.txt", "stages",
    ]  # fmt: skip


def test_what_is_kept_of_fitted_tables_goes_before_anything_is_made_again(monkeypatch):
    done = []
    monkeypatch.setattr(
        executor, "release_tables", lambda client, device: done.append((client, device))
    )
    context = SimpleNamespace(
        client="c", job=SimpleNamespace(choice=DeviceChoice("auto", "gpu", ""))
    )
    rows = SimpleNamespace(parts=SimpleNamespace(release=lambda: done.append("released")))
    split = SimpleNamespace(rebuild=lambda state, device: done.append("rows"))
    executor.Executor(RunState(context, rows=rows), [], [split]).rebuild()
    assert done == ["released", ("c", "gpu"), "rows"]


@pytest.mark.parametrize(
    ("kind", "asked", "said"),
    [
        ("gpus", "auto", ["more workers", "only if there is one process", "--device cpu"]),
        ("tcp://h:1", "gpu", ["more workers", "--device cpu"]),
        ("process", "gpu", ["a smaller memory.gpu", "--device cpu"]),
    ],
)
def test_what_to_do_where_no_rung_is_left_fits_the_cluster(kind, asked, said, monkeypatch):
    monkeypatch.setattr(fallback, "is_distributed", lambda client: kind != "process")
    monkeypatch.setattr(fallback, "level_helps", lambda *of: False)
    cluster = SimpleNamespace(kind=kind)
    job_ = SimpleNamespace(
        choice=DeviceChoice(asked, "gpu", ""), config=SimpleNamespace(cluster=cluster)
    )
    context = SimpleNamespace(
        job=job_, client=None, folder=Path("runs/a"), device="gpu", level=planner.PLANNED,
        ledger=SimpleNamespace(fallbacks=[]),
    )  # fmt: skip
    state, full = SimpleNamespace(context=context), DeviceFull("full")
    with pytest.raises(DeviceFull, match="train forest: full") as caught:
        fallback._choose_level(state, train_id("forest"), full, MemoryError(), rebuild=None)
    for words in said:
        assert words in caught.value.fix
    assert ("memory.gpu" in caught.value.fix) == (kind == "process")


def failing_in(monkeypatch, stage, error):
    """The fake GPU's device, which cannot make floats while that stage runs on it."""
    from pipeline.device.choose import frames_of

    device, now = frames_of("gpu"), [""]
    floats = device.to_floats

    def made(series):
        if now[0] == stage:
            raise error
        return floats(series)

    monkeypatch.setattr(device, "to_floats", made)
    return lambda entry, ended: now.__setitem__(0, "" if ended else entry.stage)


def test_a_stage_that_the_gpu_lacks_a_function_for_is_the_cpus_alone(config, tmp_path, monkeypatch):
    small_gpu(monkeypatch)
    stage = failing_in(monkeypatch, "features", NotImplementedError("floats"))
    outcome = run(config(), out=tmp_path / "run", listener=Listener(stage=stage))
    assert fell(outcome) == [("features", "the CPU")]
    found = on(outcome.folder)
    assert found.pop("features") == "cpu" and set(found.values()) == {"gpu"}
    assert lines(outcome.folder)[2]["reason"] == "not on the GPU: floats"


def test_a_lost_context_ends_the_run_with_what_to_do(config, tmp_path, monkeypatch):
    small_gpu(monkeypatch)
    error = RuntimeError("CUDA error encountered at: x.cu:42: 700 cudaErrorIllegalAddress")
    stage = failing_in(monkeypatch, "features", error)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stamp.write_stamp("a machine")
    with pytest.raises(DeviceLost, match="features: the GPU failed: CUDA error") as caught:
        run(config(), out=tmp_path / "run", listener=Listener(stage=stage))
    assert not stamp.is_stamped("a machine")
    assert caught.value.folder == tmp_path / "run"
    assert caught.value.status == 3 and "--device cpu" in caught.value.fix
    assert lines(tmp_path / "run")[-1]["rung"] == "nothing, the run ends"
    # what `pipeline.cli.restart` does, in a process of its own
    monkeypatch.setattr(
        job, "choose_device", lambda asked: DeviceChoice(asked, "cpu", "lost", gpu_lost=True)
    )
    done = run(config(), resume=tmp_path / "run")
    assert done.resumed["split"] == "reused: nothing that it depends on has changed"
    assert done.resumed["features"] == "recomputed: it had not finished"
    assert {own["device"] for own in lines(tmp_path / "run")[-6:-1]} == {"cpu"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_lag_csv_and_a_refit_go_down_too(config, tmp_path, monkeypatch, name):
    frame = pd.read_parquet(tmp_path / "d.parquet")
    frame["t"] = np.arange(ROWS)
    if name == "d.csv":
        frame.to_csv(tmp_path / name, index=False)
    else:
        frame.to_parquet(tmp_path / name, row_group_size=500)
    lagged = {"lag": {"by": "g", "order": "t", "columns": "x0", "shift": 1}}
    changes = {
        "data": {"path": str(tmp_path / name), "target": "y"}, "refit": "always",
        "features": [lagged, {"categorify": {"columns": ["g"]}}],
    }  # fmt: skip
    planned = ran(config(**changes), tmp_path / "planned", monkeypatch)
    outcome = ran(
        config(**changes), tmp_path / "run", monkeypatch,
        train_xgboost=MATRIX, refit_forest=MATRIX, evaluate=1000,
    )  # fmt: skip
    assert {"train xgboost", "evaluate", "refit forest"} <= {stage for stage, _ in fell(outcome)}
    assert ("evaluate", "the CPU, with the rows and features that it works on") in fell(outcome)
    assert ("refit forest", "the CPU") in fell(outcome)
    assert aucs(outcome) == pytest.approx(aucs(planned), abs=0.002)
    assert len(Scorer.load(outcome.folder).predict(frame.head(10))) == 10
    assert not (outcome.folder / "tmp").exists()
