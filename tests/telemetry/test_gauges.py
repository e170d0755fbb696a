"""The gauges of a run: which stage, which rows, which rounds."""

from __future__ import annotations

from pipeline.artifacts.ledger import Entry
from pipeline.telemetry.gauges import RunGauges, gpu_metrics
from pipeline.telemetry.nvml_usage import GpuUsage


def told(run):
    return {
        (name, *labels.values()) if labels else name: value
        for name, _, samples in run.collect()
        for labels, value in samples
    }


def stage(run, name):
    entry = Entry(name, "auto", "cpu", "")
    run.on_stage(entry, False)
    return entry


def test_a_stage_is_1_while_it_runs_and_keeps_its_seconds():
    run = RunGauges("r")
    read = stage(run, "read")
    assert told(run)["stage", "read", "cpu"] == 1
    read.seconds = 12.5
    run.on_stage(read, True)
    stage(run, "features")
    found = told(run)
    assert (found["stage", "read", "cpu"], found["stage", "features", "cpu"]) == (0, 1)
    assert found["stage_seconds", "read"] == 12.5
    assert 0 < found["stage_seconds", "features"] < 1000


class Plan:
    limit = 5
    stages = ()


def test_rows_are_those_of_the_partitions_that_the_latest_pass_has_done():
    run = RunGauges("r")
    run.on_plan(Plan(), [10, 20, 30])
    stage(run, "read")
    for position in (0, 2, 2):  # 2 was made again: its worker died
        run.on_partition("a", position)
    found = told(run)
    assert (found["pass_rows_done"], found["rows"], found["stage_passes"]) == (40, 60, 1)
    stage(run, "split")
    assert told(run)["pass_rows_done"] == 0
    run.on_partition("a", 1)  # word of the stage before, late
    assert told(run)["pass_rows_done"] == told(run)["stage_passes"] == 0
    run.on_partition("b", 0)
    run.on_partition("c", 1)
    found = told(run)
    assert (found["pass_rows_done"], found["stage_passes"]) == (20, 2)
    assert found["rows_visited_total"] == 10 + 30 + 30 + 20 + 10 + 20


def test_rounds_belong_to_their_stage():
    run = RunGauges("r")
    stage(run, "train xgboost")
    run.on_training("round 3", 3, 50)
    stage(run, "train forest")
    run.on_training("trees", 0, 7)
    found = told(run)
    assert (found["rounds_done", "train xgboost"], found["rounds", "train xgboost"]) == (3, 50)
    assert (found["rounds_done", "train forest"], found["rounds", "train forest"]) == (0, 7)


def test_gpus_tell_what_is_known_of_them():
    found = [GpuUsage("0", "L4", 7, 24, 0.5, 60.0, 41, 3, 0), GpuUsage("1", "a slice", 5)]
    named = {name: samples for name, _, samples in gpu_metrics(found)}
    first, second = {"gpu": "0", "name": "L4"}, {"gpu": "1", "name": "a slice"}
    assert named.pop("gpu_memory_used_bytes") == [(first, 7), (second, 5)]
    assert named == {
        "gpu_memory_bytes": [(first, 24)],
        "gpu_busy_ratio": [(first, 0.5)],
        "gpu_power_watts": [(first, 60.0)],
        "gpu_temperature_celsius": [(first, 41)],
        "gpu_pcie_received_bytes_per_second": [(first, 3)],
        "gpu_pcie_sent_bytes_per_second": [(first, 0)],
    }
    assert list(gpu_metrics([])) == []
