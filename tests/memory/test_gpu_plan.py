"""`plan --device gpu` on a machine that has one, as far as NVML tells; nothing is computed there."""

from __future__ import annotations

import json
import re

import pytest
from fake_gpus import Fake

from pipeline.cli import app
from pipeline.device.choose import choose_device
from pipeline.device.probe import probe_gpus
from pipeline.execution import job


@pytest.fixture
def arguments(tmp_path, monkeypatch):
    machine = Fake()
    monkeypatch.setattr(
        job,
        "choose_device",
        lambda asked: choose_device(asked, lambda: probe_gpus(machine, {}), lambda _: None),
    )
    lines = "".join(f"{i},{i % 2}\n" for i in range(5000))
    (tmp_path / "d.csv").write_text("x,y\n" + lines)
    return ["plan", "--data", str(tmp_path / "d.csv"), "--target", "y", "--device", "gpu"]


def test_a_gpu_has_a_table_and_a_limit_of_its_own(arguments, capsys):
    assert app.invoke(arguments) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "device gpu (asked for: NVIDIA H200)" in shown
    assert re.search(r"GPU memory \d\.\d\d GB of 134\.33 GB allowed", shown)
    assert " GPU memory, GB " in shown


def test_memory_gpu_is_the_limit(arguments, capsys):
    assert app.invoke([*arguments, "--set", "memory.gpu=140MB", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["memory"]
    assert found["device_limit"] == 140_000_000
    by_stage = {s["stage"]: s for s in found["stages"]}
    assert by_stage["read"]["on_device"] and "frames" not in by_stage["read"]["parts"]
    assert all(s["device"] == sum(s["on_device"].values()) for s in found["stages"])
