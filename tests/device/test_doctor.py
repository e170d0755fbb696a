"""The examination: of fake machines, and that it never fails on this one."""

import json
import socket
from pathlib import Path

import pytest
from fake_gpus import Fake

from pipeline.device import doctor
from pipeline.device.probe import probe

CPU_ONLY = {"pandas": "3.0.6", "scikit-learn": "1.9.1", "xgboost-cpu": "3.2.0", "dask": "2026.7.1",
            "distributed": "2026.7.1", "bokeh": "3.9.2", "treelite": "4.8.1"}  # fmt: skip
ON_GPU = {**CPU_ONLY, "xgboost-cu13": "3.2.0", "cudf-cu13": "26.10.2", "cuml-cu13": "26.10.0"}
del ON_GPU["xgboost-cpu"]


def found_on(hardware):
    return probe(hardware, {})


def examined(hardware, installed, tmp_path, proof=None):
    findings = doctor.examine(tmp_path, lambda: found_on(hardware), lambda: proof, installed.get)
    return {f.check: f for f in findings}


def test_a_machine_without_a_gpu_says_so_and_what_would_run(tmp_path):
    hardware = Fake(broken="no NVIDIA driver: NVML library not found")
    found = examined(hardware, CPU_ONLY, tmp_path)
    assert found["runs"].detail == (
        "auto → CPU: pandas 3.0.6, scikit-learn 1.9.1, XGBoost 3.2.0 "
        "(no GPU: no NVIDIA driver: NVML library not found)"
    )
    assert list(found)[-1] == "runs"
    assert found["GPU"].status == "warn"
    assert found["GPU"].fix
    assert found["XGBoost"].detail == "xgboost-cpu 3.2.0"
    assert found["RAPIDS"].status == "ok"


def test_a_machine_with_a_gpu(tmp_path):
    found = examined(Fake(), ON_GPU, tmp_path)
    assert found["driver"].detail == "580.65.06, up to CUDA 13.0"
    assert "NVIDIA H200, 139.0 GiB of 140.0 GiB free" in found["GPU 0"].detail
    assert found["runs"].detail.startswith("auto → GPU: cuDF 26.10.2, cuML 26.10.0, XGBoost 3.2.0")
    broken = examined(Fake(), ON_GPU, tmp_path, proof="it smokes")
    assert broken["runs"].detail.endswith("(no GPU: it smokes)")


@pytest.mark.parametrize(
    ("installed", "hardware", "status", "fix"),
    [
        ({}, Fake(), "fail", ".[cpu]"),
        ({"xgboost": "3.2.0", "xgboost-cpu": "3.2.0"}, Fake(()), "fail", "pip uninstall -y xgboost xgboost-cpu && pip install xgboost-cpu"),
        ({"xgboost-cu13": "3.2.0", "xgboost": "3.2.0"}, Fake(), "fail", "pip install xgboost-cu13"),
        ({"xgboost-cpu": "3.2.0"}, Fake(), "fail", "pip install xgboost-cu13"),
        ({"xgboost-cpu": "3.2.0"}, Fake(()), "ok", ""),
        ({"xgboost-cu13": "3.2.0"}, Fake(()), "ok", ""),
        ({"xgboost": "3.2.0"}, Fake(), "ok", ""),
    ],
)  # fmt: skip
def test_exactly_one_xgboost(installed, hardware, status, fix):
    finding = doctor.xgboost(found_on(hardware), installed.get)
    assert finding.status == status
    assert fix in finding.fix


def test_rapids_of_two_cuda_versions_is_an_error():
    both = {"cudf-cu12": "26.10.2", "cuml-cu13": "26.10.0"}
    assert doctor.rapids(found_on(Fake()), both.get).status == "fail"
    assert doctor.rapids(found_on(Fake()), {}.get).fix


def test_versions_that_do_not_fit(monkeypatch):
    monkeypatch.setattr(doctor, "_wanted", lambda: {"pandas": ">=3.0,<3.1", "dask": "==2026.7.1"})
    have = {**CPU_ONLY, "pandas": "2.2.3", "bokeh": None}
    found = {f.check: f for f in doctor.pins(have.get)}
    assert (found["pandas"].status, found["bokeh"].status, found["dask"].status) == (
        "fail",
        "fail",
        "ok",
    )
    assert found["pandas"].fix == 'pip install "pandas>=3.0,<3.1"'


def test_a_taken_port_and_an_unwritable_folder(tmp_path, monkeypatch):
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        assert doctor.port(busy.getsockname()[1]).status == "warn"
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert doctor.disk(tmp_path / "a" / "b").status == "fail"
    assert doctor.shared_memory(Path("/no/such/folder")).status == "ok"


def test_this_machine_is_examined(tmp_path):
    findings = doctor.examine(tmp_path)
    text = json.dumps(doctor.to_json(findings))
    assert json.loads(text)["ok"] == all(f.status != "fail" for f in findings)
    assert all(f.fix for f in findings if f.status != "ok")
    assert findings[-1].detail.startswith("auto → ")
