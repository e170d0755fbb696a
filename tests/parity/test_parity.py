"""`parity` on the CPU: against itself, and against devices that are wrong in one place each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.__main__ import run_command_line
from pipeline.config.model import Config
from pipeline.device import cpu
from pipeline.ingest import partitions
from pipeline.parity.compare import compare, require_device

N = 1500


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({
        "e": rng.choice(["a", "b", "ü"], N, p=[0.5, 0.3, 0.2]), "t": rng.permutation(N),
        "x": rng.lognormal(size=N).round(3), "n": pd.array(rng.integers(0, 9, N), dtype="Int64"),
    })  # fmt: skip
    frame.loc[::7, "n"] = pd.NA
    frame.loc[::11, "e"] = None
    signal = np.log(frame["x"]) + (frame["e"] == "b") + rng.normal(size=N) * 0.3
    frame["binary"] = np.where(signal > 0.3, "yes", "no")
    frame["multiclass"] = np.digitize(signal, [-0.5, 0.8]) + 10
    frame["regression"] = signal * 3
    path = tmp_path_factory.mktemp("data") / "d.parquet"
    frame.to_parquet(path, row_group_size=400)
    return path


def tree(data, target="binary", **more):
    targets = {"binary", "multiclass", "regression"} - {target}
    return {
        "data": {"path": str(data), "target": target},
        "features": [
            {"categorify": {"columns": ["e"]}},
            {"log": {"columns": ["x"]}},
            {"drop": [*sorted(targets), "t"]},
        ],
        "models": {"xgboost": {"rounds": 8}, "forest": {"trees": 4, "max_depth": 5}},
        "memory": {"host": "2GB"},
        **more,
    }


def compared(tree, folder, *devices):
    return compare(Config.parse(tree), tuple(require_device(d) for d in devices), folder / "work")


def lines(found):
    return {(c.stage, c.what) for c in found.failed}


LAG = {
    "cluster": "gpus",  # each side runs in this process, whatever the config says
    "features": [
        {"lag": {"by": ["e"], "order": "t", "columns": ["x"], "shift": [1]}},
        {"target_encode": {"columns": ["e"], "folds": 3}},
        {"drop": ["binary", "multiclass", "t"]},
    ],
}


@pytest.mark.parametrize(
    ("target", "more"), [("binary", {}), ("multiclass", {"features": None}), ("regression", LAG)]
)
def test_a_device_equals_itself(data, tmp_path, monkeypatch, target, more):
    monkeypatch.setattr(partitions, "SMALL_BLOCK", 1)  # a partition for each row group
    config = tree(data, target, **more)
    if config["features"] is None:
        config["split"] = {"by": "random", "valid": 0}
    found = compared(config, tmp_path, "cpu", "cpu")
    assert not found.failed
    by_stage = {
        s: [c for c in found.checks if c.stage == s]
        for s in ("rows", "columns", "features", "metrics", "models")
    }
    assert all(by_stage.values())
    assert {c.what for c in by_stage["rows"]} == {
        "row ids",
        "label",
        "set",
        "fold hash",
        "sample hash",
    }
    assert all(c.compared == N for c in (*by_stage["rows"], *by_stage["columns"]))
    assert len(by_stage["metrics"]) == 2 and len(by_stage["models"]) == 8
    written = found.to_json()
    json.dumps(written, allow_nan=False)
    assert written["passed"] and sum(written["rows"].values()) == N
    assert [s["stage"] for s in written["stages"][1]][:2] == ["read", "split"]


def one_higher(series, keys, of=None):
    found = cpu.find_positions(series, keys, of)
    return np.where((found >= 0) & ("b" in keys), found + 1, found)  # no label has a b


def a_little_more(series):
    return cpu.to_floats(series) * (1 + 1e-5 if series.name == "x" else 1)


def other_sets(values, seed):
    return cpu.hash_ints(values, 99 if seed == 0 else seed)


def other_rows(value):
    moved = isinstance(value, np.ndarray) and value.ndim == 2
    return value + np.float32(0.5) if moved else value


def fewer_bits(value):
    """Scores that lose their last digits on the way."""
    short = isinstance(value, np.ndarray) and value.dtype == "float32" and value.ndim == 1
    return np.round(value, 3) if short else value


WRONG = {
    "a shifted code": ({"find_positions": one_higher}, ("features", "e"), {"features", "metrics"}),
    "a float": ({"to_floats": a_little_more}, ("features", "x"), {"features"}),
    "another split": ({"hash_ints": other_sets}, ("rows", "set"), {"rows", "metrics"}),
    "other rows scored": (
        {"to_device": other_rows}, ("models", "forest of the cpu: test rows"), {"models"},
    ),
    "scores cut short": (
        {"to_host": fewer_bits}, ("models", "xgboost of the cpu: test rows"), {"models"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_device_that_is_wrong_in_one_place_is_found_there(data, tmp_path, device_of_tests, name):
    functions, expected, stages = WRONG[name]
    found = compared(tree(data), tmp_path, "cpu", device_of_tests("wrong", **functions))
    assert expected in lines(found)
    assert {stage for stage, _ in lines(found)} <= stages
    if "features" in stages:
        assert {what for stage, what in lines(found) if stage == "features"} == {expected[1]}
    check = next(c for c in found.checks if (c.stage, c.what) == expected)
    assert 0 < check.different <= check.compared
    assert 1 <= len(check.examples) <= 5
    for example in check.examples:
        assert example["row"] in range(N)
        assert example["values"][0] != example["values"][1]


def test_the_command_prints_writes_and_ends_with_4(
    data, tmp_path, device_of_tests, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(tree(data, models={"xgboost": {"rounds": 3}, "forest": None})))
    device_of_tests("wrong", to_floats=a_little_more)
    arguments = ["parity", str(config), "--devices", "cpu,wrong", "-q"]
    assert run_command_line(arguments) == 4
    said = capsys.readouterr()
    (path,) = Path("data/runs").iterdir()  # the JSON; the work folder is gone
    written = json.loads(path.read_text())
    assert [s["device"] for s in written["sides"]] == ["cpu", "wrong"]
    failed = [c["what"] for c in written["checks"] if not c["passed"]]
    assert failed == ["x"] and not written["passed"]
    assert "differs" in said.out and "features: x" in said.out and "wrong 0." in said.out
    assert "1 of " in said.err and path.name in said.err
    assert run_command_line([*arguments, "--json", "--out", "p.json", "--rows", "900"]) == 4
    assert json.loads(capsys.readouterr().out) == json.loads(Path("p.json").read_text())
    assert [p.name for p in Path("data/runs").iterdir()] == [path.name]


def test_without_a_gpu_nothing_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump(tree(tmp_path / "absent.parquet")))
    assert run_command_line(["parity", str(config)]) == 3
    assert "device: gpu, but" in capsys.readouterr().err
    assert run_command_line(["parity", str(config), "--devices", "cpu"]) == 2
    assert run_command_line(["parity", str(config), "--devices", "cpu,tpu"]) == 2
    assert "'tpu'" in capsys.readouterr().err
    assert run_command_line(["parity", str(config), "--devices", "cpu,cpu"]) == 2
    assert not list(Path("data/runs").glob("*"))


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("target", "more"), [("binary", {}), ("multiclass", {"features": None}), ("regression", LAG)]
)
def test_the_gpu_equals_the_cpu(data, tmp_path, target, more):
    found = compared(tree(data, target, **more), tmp_path, "cpu", "gpu")
    # of so few test rows the metrics say little: docs/parity.md
    assert not [c for c in found.failed if c.stage != "metrics"], found.failed
    assert {s["device"] for s in found.stages[1]} == {"gpu"}
