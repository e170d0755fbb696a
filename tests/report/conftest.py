"""A run folder as a finished run leaves it, without running anything."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from manifest_facts import manifest_facts

from pipeline.artifacts.files import write_manifest
from pipeline.evaluate import curves, metrics
from pipeline.evaluate.metrics import ScoredRows
from pipeline.matrix import Target

FEATURES = ["sched_dep_time", "carrier_te", "dest_te", "temp", "humid", "wind_speed", "hour_sin"]


def scores(task, classes, n, seed, models):
    rng = np.random.default_rng(seed)
    if task == "regression":
        label = rng.gamma(2, 20, n)
        return label, {m: label * 0.6 + rng.normal(15, 12 + 6 * i, n) for i, m in enumerate(models)}
    if task == "binary":
        label = (rng.random(n) < 0.25).astype(float)
        made = {}
        for i, m in enumerate(models):
            logit = -1.3 + 1.1 * (label - 0.25) + rng.normal(0, 0.8 + 0.2 * i, n)
            made[m] = 1 / (1 + np.exp(-logit))
        return label, made
    k = len(classes)
    label = np.minimum(rng.integers(0, k, n), rng.integers(0, k, n))
    made = {}
    for i, m in enumerate(models):
        raw = rng.gamma(1, 1, (n, k)) + (2 - 0.5 * i) * (np.arange(k) == label[:, None])
        made[m] = raw / raw.sum(1, keepdims=True)
    return label.astype(float), made


def write_run(
    folder: Path,
    task="binary",
    classes=("False", "True"),
    *,
    names=FEATURES,
    slice_values=("EWR", "JFK", "LGA", None),
    title="flights",
    target="arr_delay > 15",
    rows=2000,
    models=("xgboost", "forest"),
    note="12 rows dropped: their target is missing",
):
    """Writes every file of a run folder that the report reads; returns the folder."""
    names = list(names)
    held = Target(task, classes if task != "regression" else ())
    sets = {}
    for seed, which in enumerate(("valid", "test")):
        label, made = scores(task, classes, rows, seed, models)
        where = np.array(slice_values, dtype=object)[np.arange(rows) % 7 % len(slice_values)]
        sets[which] = ScoredRows(label, made, slices={names[0]: where})
    prior = 48.0 if task == "regression" else np.arange(len(classes), 0, -1).tolist()
    counts = {"train": rows * 7, "valid": rows, "test": rows}
    measured = metrics.collect(held, sets, rows=counts, prior=prior)
    rounds = np.arange(1, 120)
    history = {
        "train": {"logloss": (0.45 + 0.2 * np.exp(-rounds / 30)).tolist()},
        "valid": {"logloss": (0.5 + 0.15 * np.exp(-rounds / 25)).tolist()},
    }
    trained = {
        m: SimpleNamespace(
            importances={n: 100.0 / (i + 1) for i, n in enumerate(names)},
            history=history if m == models[0] else {},
        )
        for m in models
    }
    stages = [
        ("read", 1.9), ("split", 0.4), ("features", 6.3), ("train xgboost", 14.2),
        ("train forest", 11.0), ("evaluate", 1.1),
    ]  # fmt: skip
    ledger = [
        {
            "stage": stage, "asked": "auto", "device": "cpu", "reason": "no NVIDIA driver was found",
            "rows": rows * 9, "seconds": seconds, "peak_host": 412_000_000 + 9_000_000 * i,
            "peak_device": 0, "h2d": 0, "d2h": 0, "notes": [note] if i == 1 else [],
        }
        for i, (stage, seconds) in enumerate(stages)
    ]  # fmt: skip
    plan = {
        "steps": [
            {"op": {"target_encode": {"columns": names[1:3], "folds": 5, "smooth": 20.0}}, "phase": 0, "reads": names[1:3], "produces": names[1:3]},
            {"op": {"fill": {"columns": "numeric", "with": "median"}}, "phase": 1, "reads": names, "produces": names},
            {"op": {"drop": {"columns": {"all": ["month", "day"], "but": []}}}, "phase": 0, "reads": [], "produces": []},
        ],
        "features": [{"name": n, "kind": "q"} for n in names],
        "dropped": [{"column": names[-1] + "_raw", "reason": "constant"}],
        "filters": ["temp > -50"],
    }  # fmt: skip
    config = {
        "name": title, "seed": 0,
        "data": {"path": ["data/flights/flights.parquet"], "target": target, "tables": {"weather": {"path": "w.csv"}}},
        "split": {"by": "time", "column": "time_hour", "valid": 0.1, "test": 0.2},
    }  # fmt: skip
    manifest = manifest_facts(
        best=metrics.choose_best_model(measured), warnings=[f"{names[-1]} has 3 missing values"], refit=True,
        classes=list(classes), task=task, versions={"python": "3.11.9", "xgboost": "3.2.0"},
        models=list(models),
    )  # fmt: skip
    columns = [{"name": n, "dtype": "float64", "kind": "numeric"} for n in names]
    source = {"columns": columns, "target": [], "classes": []}
    plan = {**plan, "source": source}
    for step in plan["steps"]:
        step |= {"schema": source, "state": {}}
    sidecar = {
        "format": 2, "task": task, "classes": list(classes),
        "features": [{"name": n, "kind": "q", "size": None} for n in names],
        "importances": dict.fromkeys(names, 0.0), "rounds": 119, "history": {}, "notes": [],
        "device": "cpu", "versions": {}, "fill": [0.0] * len(names),
        "present": list(range(len(classes))),
    }  # fmt: skip
    schema = {
        "format": "parquet", "files": [], "dialect": None, "rows": 3, "row_bytes": None,
        "columns": [{"name": n, "type": "float", "pattern": None, "partition": False} for n in names],
        "unreadable": {}, "extra": [], "storage_options": {}, "where": "data", "schema": source,
    }  # fmt: skip
    found = curves.collect(held, sets, trained, measured)
    for name, value in {
        "manifest.json": manifest,
        "ingest/schema.json": schema,
        "features/plan.json": plan,
        "evaluate/metrics.json": measured,
        "evaluate/curves.json": found,
        "evaluate/warnings.json": {
            "warnings": [
                {
                    "kind": "perfect",
                    "message": "<b>too</b> good",
                    "column": "temp",
                    "fix": "python -m pipeline audit RUN",
                },
            ]
        },
        **{f"train/{m}.json": {**sidecar, "model": m} for m in models},
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(value, allow_nan=False), encoding="utf-8")
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    lines = "".join(json.dumps(line) + "\n" for line in ledger)
    (folder / "ledger.jsonl").write_text(lines, encoding="utf-8")
    seal(folder)
    return folder


def seal(folder: Path) -> None:
    """Makes the manifest vouch for the files as they are now."""
    facts = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    write_manifest(folder, facts)


@pytest.fixture
def fake_run(tmp_path):
    """``fake_run(task, classes, **changes)`` writes a run folder and returns it."""

    def make(*args, **changes):
        folder = tmp_path / "run"
        folder.mkdir()
        return write_run(folder, *args, **changes)

    make.seal = seal
    return make
