"""`bench` from the command line to its files; runs are made up except in one test."""

from __future__ import annotations

import json
import sys

import numpy as np
import pandas as pd
import pytest

from pipeline.__main__ import run_command_line
from pipeline.bench import measurements, runner
from pipeline.bench.bandwidth import DeviceThroughput, Throughput
from pipeline.bench.measurements import StageMeasurement
from pipeline.bench.request import find_devices, parse_request
from pipeline.config.model import Config
from pipeline.device.choose import DeviceChoice
from pipeline.device.probe import Gpu, Probe
from pipeline.errors import DeviceError, InputError

H200 = Gpu(0, "GPU-0", "NVIDIA H200", 150 << 30, 140 << 30, (9, 0))
RATES = DeviceThroughput(
    Throughput(6e10, "bus"), Throughput(4.8e12, "memory"), Throughput(2e12, "adds")
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A config of a small table, in the working directory."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((300, 4)), columns=list("abcd"))
    frame["y"] = (frame["a"] + rng.random(300) > 1).astype(int)
    frame.to_parquet(tmp_path / "d.parquet")
    models = "{xgboost: {rounds: 2}, forest: null}"
    (tmp_path / "c.yaml").write_text(
        f"name: small\ndata: {{path: d.parquet, target: y}}\nfeatures: []\nmodels: {models}\n"
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made_up(cell, *_, **__):
    """A run that takes 4 s on the CPU and 10 ms a row, on the GPU 20 s and nothing."""
    seconds = 4 + cell.rows / 100 if cell.device == "cpu" else 20.0
    stages = {
        "read": StageMeasurement(seconds / 2, 10, 20, cell.device),
        measurements.REST: StageMeasurement(1, 0, 0, "cpu"),
    }
    return measurements.replace(
        cell, seconds=seconds, peak_host=10**9, peak_device=3 * 10**9, stages=stages
    )


@pytest.fixture
def with_gpu(monkeypatch):
    """A machine that has a GPU, and runs that are made up."""
    choice = DeviceChoice("gpu", "gpu", "it works")
    monkeypatch.setattr(runner, "find_devices", lambda d: find_devices(d, lambda name: choice))
    monkeypatch.setattr(runner, "probe_gpus", lambda: Probe((H200,), None, driver="580.1"))
    monkeypatch.setattr(runner.bandwidth, "read_gpu_limits", lambda gpus: RATES)
    monkeypatch.setattr(measurements, "measure", made_up)


def test_both_devices_side_by_side(data, with_gpu, capsys):
    options = ["--rows", "100,1e4", "--repeat", "2", "--price", "cpu=0.5,gpu=5", "--out", "o"]
    assert run_command_line(["bench", "c.yaml", *options]) == 0
    shown = capsys.readouterr()
    assert "the GPU is faster from about" in shown.out and "speed-up" in shown.out
    assert "5.2 ×" in shown.out  # 104 s over 20 s
    assert "10,000 rows, gpu, run 2 of 2: 20.0 s, 1.00 GB, 3.00 GB on the GPU" in shown.err
    found = json.loads((data / "o" / "bench.json").read_text())
    assert [line["total"] for line in found["speedup"]] == [0.25, 5.2]
    assert 100 < found["pays"]["rows"] < 10_000
    assert "the GPU is not cheaper at the largest size measured" in found["cheaper"]["says"]
    assert len(found["cells"]) == 8 and found["gpus"][0]["name"] == "NVIDIA H200"
    html = (data / "o" / "bench.html").read_text()
    assert html.count("<script") == 3 and "http-equiv" in html and "Speed-up by stage" in html
    assert "Stages at 10,000 rows" in html and "NVIDIA H200, 161 GB; driver 580.1" in html
    assert not (data / "o" / "tmp").exists()


def test_json_is_one_object(data, with_gpu, capsys):
    assert (
        run_command_line(["bench", "c.yaml", "--rows", "100", "--repeat", "1", "--json", "-q"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["folder"].startswith("data/cache/bench/small-")
    assert {line["device"] for line in found["summary"]} == {"cpu", "gpu"}


def test_without_a_gpu_the_cpu_is_measured_and_the_reason_told(data, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(measurements, "measure", made_up)
    assert (
        run_command_line(["bench", "c.yaml", "--rows", "100", "--repeat", "1", "--out", "o"]) == 0
    )
    shown = capsys.readouterr()
    assert "gpu: not measured: CUDA_VISIBLE_DEVICES is empty" in shown.err + shown.out
    found = json.loads((data / "o" / "bench.json").read_text())
    assert [line["device"] for line in found["summary"]] == ["cpu"]
    assert "hidden" in found["missing"]["gpu"]


def test_the_gpu_alone_without_one_ends_with_3(data, capsys, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert run_command_line(["bench", "c.yaml", "--devices", "gpu", "--out", "o"]) == 3
    assert "device: gpu, but" in capsys.readouterr().err
    assert not (data / "o").exists()


def test_a_failed_cell_is_told_not_repeated_and_the_others_go_on(
    data, with_gpu, capsys, monkeypatch
):
    def run(cell, *_, **__):
        if cell.device == "gpu" and cell.rows == 100:
            return measurements.replace(cell, failed="out of GPU memory: 3 GB asked for")
        return made_up(cell)

    monkeypatch.setattr(measurements, "measure", run)
    assert (
        run_command_line(["bench", "c.yaml", "--rows", "100,200", "--repeat", "3", "--out", "o"])
        == 0
    )
    shown = capsys.readouterr().out
    assert "failed: 100 rows, gpu: out of GPU memory: 3 GB asked for" in shown
    found = json.loads((data / "o" / "bench.json").read_text())
    tried = [(c["rows"], c["device"], c["failed"] is not None) for c in found["cells"]]
    assert tried.count((100, "gpu", True)) == 1
    assert tried.count((100, "cpu", False)) == tried.count((200, "gpu", False)) == 3


def test_an_interruption_leaves_what_was_measured(data, with_gpu, capsys, monkeypatch):
    done = []

    def run(cell, *_, **__):
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(cell)
        return made_up(cell)

    monkeypatch.setattr(measurements, "measure", run)
    assert (
        run_command_line(["bench", "c.yaml", "--rows", "100,200", "--repeat", "1", "--out", "o"])
        == 130
    )
    found = json.loads((data / "o" / "bench.json").read_text())
    assert len(found["cells"]) == 3
    assert (data / "o" / "bench.html").exists()  # of the first size
    assert not (data / "o" / "tmp").exists()
    assert "200" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "clusters"),
    [("gpus", {"cpu": "process", "gpu": "gpus"}), ("cores", {"cpu": "cores", "gpu": "process"})],
)
@pytest.mark.usefixtures("with_gpu")
def test_each_device_has_the_cluster_that_it_can_use(data, capsys, monkeypatch, kind, clusters):
    kinds = []

    def run(cell, path, *_, **__):
        kinds.append(Config.load(path).cluster.kind)
        return made_up(cell)

    monkeypatch.setattr(measurements, "measure", run)
    options = ["--rows", "100", "--repeat", "1", "--out", "o", "--set", f"cluster={kind}"]
    assert run_command_line(["bench", "c.yaml", *options]) == 0
    assert f": cluster process in place of {kind}" in " ".join(capsys.readouterr().err.split())
    assert json.loads((data / "o" / "bench.json").read_text())["clusters"] == clusters
    assert kinds == [kind] * 2  # the cell's run settles it by its --device


def test_a_run_is_measured_in_a_process_of_its_own(data, capsys):
    options = ["--rows", "500", "--devices", "cpu", "--repeat", "1", "--out", "o", "-q"]
    assert run_command_line(["bench", "c.yaml", *options, "--set", "cluster=gpus"]) == 0
    found = json.loads((data / "o" / "bench.json").read_text())
    (line,) = found["summary"]
    assert line["runs"] == 1, line["failed"]
    assert set(line["stages"]) == {
        "read", "split", "features", "train xgboost", "evaluate", "start, report"
    }  # fmt: skip
    assert line["seconds"] > sum(s["seconds"] for s in line["stages"].values()) * 0.99
    assert line["peak_host"] > 100e6 and 0 < line["scores"]["xgboost"] <= 1
    assert all(line["stages"][n]["bound"] > 0 for n in ("read", "features", "train xgboost"))


def test_a_run_that_fails_is_a_cell_with_its_message(data, tmp_path, monkeypatch):
    code = (
        "import sys; sys.stderr.write('error: no memory\\n  Fix: use fewer rows\\n'); sys.exit(3)"
    )
    monkeypatch.setattr(measurements, "build_command", lambda *_: [sys.executable, "-c", code])
    found = measurements.measure(
        measurements.Measurement(10, "gpu", 0), tmp_path, tmp_path, tmp_path, seed=0
    )
    assert found.failed == "no memory. Fix: use fewer rows"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "1e5,x"}, "--rows 'x' is not a number of rows"),
        ({"rows": "0.5"}, "--rows '0.5'"),
        ({"rows": "nan"}, "--rows 'nan'"),
        ({"rows": "inf"}, "--rows 'inf'"),
        ({"rows": "1,"}, "empty entry"),
        ({"devices": "cpu,gpus"}, "did you mean 'gpu'"),
        ({"price": "gpu"}, "--price 'gpu' is not device=dollars"),
        ({"price": "tpu=3"}, "--price 'tpu=3'"),
        ({"price": "cpu=-1"}, "--price 'cpu=-1'"),
    ],
)
def test_mistakes_in_the_options_are_named(options, message):
    given = {"rows": "10", "devices": "cpu", "repeat": 1, "price": None} | options
    with pytest.raises(InputError, match=message):
        parse_request(**given)


def test_sizes_are_ascending_and_single():
    found = parse_request("1e5,1e3,100000", "gpu,cpu,gpu", 2, " cpu=0.34, gpu=4.10")
    assert found.sizes == (1_000, 100_000) and found.devices == ("gpu", "cpu")
    assert found.prices == {"cpu": 0.34, "gpu": 4.1}


def test_what_is_not_there_is_left_out_with_the_reason():
    def look(name):
        if name == "gpu":
            raise DeviceError("device: gpu, but the driver is too old", fix="update it")
        return DeviceChoice(name, name, "asked for")

    assert find_devices(("cpu", "gpu"), look) == (("cpu",), {"gpu": "the driver is too old"})
    with pytest.raises(DeviceError, match="too old"):
        find_devices(("gpu",), look)
