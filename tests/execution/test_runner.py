"""Run folders: new ones, never shared; given ones only when absent or empty."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pandas as pd
import pytest

from pipeline import Config
from pipeline.device.choose import frames_of
from pipeline.errors import DeviceError, InputError, MachineError
from pipeline.execution import runner
from pipeline.telemetry.nvml_usage import GpuUsage


def test_runs_of_the_same_second_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = [runner.make_run_folder("x", None) for _ in range(20)]
    assert len(set(folders)) == 20
    assert all(folder.is_dir() for folder in folders)


def test_a_given_folder_must_be_absent_or_empty(tmp_path):
    assert runner.make_run_folder("x", tmp_path / "a" / "b").is_dir()
    assert runner.make_run_folder("x", tmp_path / "a" / "b").is_dir()
    with pytest.raises(InputError, match="is not empty"):
        runner.make_run_folder("x", tmp_path / "a")


def test_a_folder_below_a_file_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot be created.*file"):
        runner.make_run_folder("x", tmp_path / "file" / "run")


def test_the_device_is_not_touched_before_the_cluster_is_there(tmp_path, monkeypatch):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))

    def connected(*_, **__):
        assert frames_of.cache_info().currsize == 0  # on a GPU it makes a CUDA context
        raise MachineError("so far")

    monkeypatch.setattr(runner, "connect", connected)
    frames_of.cache_clear()
    config = Config.parse({"data": {"path": str(tmp_path / "d.csv"), "target": "y"}})
    with pytest.raises(MachineError, match="so far"):
        runner.run(config, out=tmp_path / "run")


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_a_config_for_gpus_runs_without_one_and_says_so(tmp_path, monkeypatch, device):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))
    tree = {
        "data": {"path": str(tmp_path / "d.csv"), "target": "y"}, "device": device,
        "models": {"xgboost": {"rounds": 2}}, "refit": "never",
        "cluster": {"kind": "gpus", "dashboard": False, "workers": 4},
    }  # fmt: skip
    heard, why = [], "in place of gpus: the run's device is the cpu"
    listener = runner.Listener(say=heard.append)
    found = runner.run(Config.parse(tree), out=tmp_path / "run", listener=listener)
    assert f"cluster process {why}" in heard
    told = found.to_json()
    assert told["cluster"] == {"asked": "gpus", "chosen": "process", "reason": why}
    assert told["device"]["asked"] == device and told["device"]["chosen"] == "cpu"
    first = json.loads((found.folder / "ledger.jsonl").read_text().splitlines()[0])
    assert f"cluster process {why}" in first["notes"]
    # what was asked for stays, for a host that has them
    assert Config.load(found.folder / "config.yaml").cluster.kind == "gpus"


def test_the_gpu_that_is_asked_for_and_not_there_leaves_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(50)))
    tree = {"data": {"path": str(tmp_path / "d.csv"), "target": "y"}, "device": "gpu"}
    for kind in ("process", "cores", "gpus"):
        with pytest.raises(DeviceError, match="device: gpu, but"):
            runner.run(Config.parse({**tree, "cluster": kind}), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sampled", [False, True])
def test_what_the_gpus_did_is_in_the_ledger_the_folder_and_the_report(
    tmp_path, monkeypatch, sampled
):
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{i},{i % 2}\n" for i in range(300)))

    @contextmanager
    def recorded(client, cluster, device, timeline):
        assert (client.status, cluster.kind, device) == ("running", "process", "cpu")
        with timeline.sample_in_background(lambda: [GpuUsage("0", "H200", 5, 9, 0.5)], 0.005):
            yield

    if sampled:
        monkeypatch.setattr(runner, "record_gpus", recorded)
    tree = {
        "data": {"path": str(tmp_path / "d.csv"), "target": "y"}, "device": "cpu",
        "models": {"xgboost": {"rounds": 3}}, "refit": "never", "cluster": {"dashboard": False},
    }  # fmt: skip
    run = runner.run(Config.parse(tree), out=tmp_path / "run").folder
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    told = [line["gpu"] for line in lines if "gpu" in line]
    assert ({"mean_busy": 0.5, "peak_memory": 5} in told) == sampled
    assert (run / "gpu.json").exists() == sampled
    assert ("GPUs over time" in (run / "report.html").read_text(encoding="utf-8")) == sampled
    assert "gpu.json" not in json.loads((run / "manifest.json").read_text())["files"]
    if sampled:
        stages = json.loads((run / "gpu.json").read_text())["stages"]
        names = [line["stage"] for line in lines if "stage" in line]
        assert [s["stage"] for s in stages][: len(names)] == names


def test_columns_that_are_left_out_have_their_reason(tmp_path):
    heard = []
    n = range(60)
    table = {"x": [i % 7 for i in n], "id": [f"k{i}" for i in n], "tags": [[i] for i in n]}
    frame = pd.DataFrame({**table, "y": [("no", "yes")[i % 2] for i in n]})
    frame["day"] = pd.date_range("2026-01-01", periods=60)
    frame.to_parquet(tmp_path / "d.parquet")
    tree = {
        "data": {"path": str(tmp_path / "d.parquet"), "target": "y"},
        "models": {"xgboost": {"rounds": 2}}, "refit": "never", "golden": 0,
        "cluster": {"kind": "process", "dashboard": False},
    }  # fmt: skip
    listener = runner.Listener(say=heard.append)
    runner.run(Config.parse(tree), out=tmp_path / "run", listener=listener)
    assert "task binary (no, yes): the target has two distinct values" in heard
    lines = list(map(json.loads, (tmp_path / "run/ledger.jsonl").read_text().splitlines()))
    (notes,) = (line["notes"] for line in lines if line.get("stage") == "split")
    assert 'split={by: time, column: "day"}' in notes[0]
    stored = json.loads((tmp_path / "run/columns.json").read_text())
    becomes = {column["column"]: column["becomes"] for column in stored["columns"]}
    assert becomes["id"].startswith("left out: almost every row has its own value")
    assert becomes["tags"].startswith("left out: its Parquet type is list<")
    assert "left out: its Parquet type is list" in (tmp_path / "run/report.html").read_text()
