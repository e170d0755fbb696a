"""The arithmetic of `bench`, on made-up cells."""

from __future__ import annotations

import pytest

from pipeline.bench import roofline, statistics
from pipeline.bench.bandwidth import DeviceThroughput, Throughput
from pipeline.bench.measurements import (
    Measurement,
    StageMeasurement,
    explain_failure,
    plan_measurements,
)
from pipeline.bench.process_meter import CommandFailedError
from pipeline.bench.roofline import Size, WorkItem
from pipeline.train.params import ForestParams, XGBoostParams

RATES = DeviceThroughput(Throughput(1e9, "read"), Throughput(2e9, "copy"), Throughput(1e6, "adds"))


def cell(rows, device, seconds, turn=0, **more):
    stages = {
        "read": StageMeasurement(seconds / 4, 10, 20 if device == "gpu" else 0, device),
        "train xgboost": StageMeasurement(seconds / 2, 30, 40 if device == "gpu" else 0, device),
        "start, report": StageMeasurement(seconds / 4, 0, 0, "cpu"),
    }
    own = {"cpu_seconds": 2 * seconds, "peak_host": int(100 * seconds), "stages": stages, **more}
    return Measurement(rows, device, turn, seconds, **own)


def test_devices_take_turns_and_change_their_order():
    found = [(c.rows, c.device, c.turn) for c in plan_measurements([10, 20], ["cpu", "gpu"], 2)]
    assert found == [
        (10, "cpu", 0), (10, "gpu", 0), (10, "gpu", 1), (10, "cpu", 1),
        (20, "cpu", 0), (20, "gpu", 0), (20, "gpu", 1), (20, "cpu", 1),
    ]  # fmt: skip


def test_medians_are_of_the_runs_that_finished():
    cells = [cell(100, "cpu", s, t) for t, s in enumerate((4.0, 8.0, 100.0))]
    cells += [Measurement(100, "cpu", 3, failed="out of memory")]
    (line,) = statistics.summarize(cells, {}, {"cpu": 0.36})
    assert line["runs"] == 3 and line["failed"] == ["out of memory"]
    assert line["seconds"] == 8.0 and line["seconds_range"] == [4.0, 100.0]
    assert line["cpu_seconds"] == 16.0 and line["rows_per_second"] == 12.5
    assert line["peak_host"] == 10_000
    assert line["stages"]["train xgboost"]["seconds"] == 4.0
    assert line["cost"] == pytest.approx(8 / 3600 * 0.36)


def test_a_size_at_which_all_runs_failed_is_in_the_table_with_the_reasons():
    cells = [
        cell(10, "cpu", 1.0),
        Measurement(10, "gpu", 0, failed="no memory"),
        cell(20, "cpu", 2.0),
    ]
    summary = statistics.summarize(cells, {}, {})
    assert [(e["rows"], e["device"], e["runs"]) for e in summary] == [
        (10, "cpu", 1), (10, "gpu", 0), (20, "cpu", 1)
    ]  # fmt: skip
    assert summary[1]["failed"] == ["no memory"] and "seconds" not in summary[1]
    assert statistics.compute_speedups(summary) == []


def test_speedups_are_of_medians_in_total_and_by_stage():
    cells = [cell(10, "cpu", 8.0), cell(10, "gpu", 2.0)]
    (found,) = statistics.compute_speedups(statistics.summarize(cells, {}, {}))
    assert found["rows"] == 10 and found["total"] == 4.0
    assert found["stages"] == {"read": 4.0, "train xgboost": 4.0, "start, report": 4.0}


def test_a_stage_that_ran_elsewhere_is_named():
    stages = {
        "read": StageMeasurement(1.0, 0, 0, "gpu"),
        "train forest": StageMeasurement(1.0, 0, 0, "cpu"),
    }
    (line,) = statistics.summarize([Measurement(10, "gpu", 0, 2.0, stages=stages)], {}, {})
    assert line["elsewhere"] == ["train forest"]


def test_what_a_run_went_on_with_when_memory_was_short_is_told():
    cells = [cell(10, "gpu", 2.0, t, fallbacks=("train xgboost: external memory",)) for t in (0, 1)]
    (line,) = statistics.summarize(cells, {}, {})
    assert line["fallbacks"] == ["train xgboost: external memory"]


def both(*lines):
    cells = [
        cell(rows, d, s) for rows, *own in lines for d, s in zip(("cpu", "gpu"), own, strict=True)
    ]
    return statistics.summarize(cells, {}, {"cpu": 1.0, "gpu": 10.0})


def test_the_gpu_pays_where_the_lines_cross_on_logarithmic_scales():
    # the ratio goes from 1/10 to 10 over two decades of rows: 1 in the middle
    found = statistics.find_break_even(both((1_000, 1.0, 10.0), (100_000, 100.0, 10.0)))
    assert found["rows"] == 10_000
    assert "from about 10,000 rows (" in found["says"] and "interpolated" in found["says"]
    assert (
        statistics.interpolate_break_even(1_000, 0.5, 10_000, 4.0) == 2_200
    )  # 10^(3 + 1/3) = 2,154


def test_the_gpu_pays_everywhere_or_not_at_all():
    found = statistics.find_break_even(both((1_000, 10.0, 1.0), (10_000, 100.0, 2.0)))
    assert found["rows"] is None and "at every size measured, from 1,000 rows" in found["says"]
    found = statistics.find_break_even(both((1_000, 1.0, 2.0), (10_000, 3.0, 3.1)))
    assert (
        found["rows"] is None
        and "is not faster at the largest size measured, 10,000 rows" in found["says"]
    )


def test_the_last_crossing_counts_and_one_that_does_not_last_is_told():
    lines = (100, 2.0, 1.0), (1_000, 1.0, 2.0), (10_000, 4.0, 1.0)
    assert 1_000 < statistics.find_break_even(both(*lines))["rows"] < 10_000
    found = statistics.find_break_even(both((100, 2.0, 1.0), (1_000, 1.0, 2.0)))
    assert "at the largest size measured" in found["says"]
    assert found["says"].endswith("; it is faster only at 100")


def test_the_gpu_may_be_faster_and_not_cheaper():
    summary = both((1_000, 4.0, 1.0), (10_000, 40.0, 1.0))
    assert "every size" in statistics.find_break_even(summary)["says"]
    assert 1_000 < statistics.find_break_even(summary, "cost")["rows"] < 10_000


def test_without_both_devices_nothing_is_claimed():
    summary = statistics.summarize([cell(10, "cpu", 1.0)], {}, {})
    assert statistics.find_break_even(summary)["says"].startswith("unknown")


def test_a_bound_is_amounts_over_rates():
    parts = (
        WorkItem("input", 2e9, "input"),
        WorkItem("frame", 1e9, "memory"),
        WorkItem("h", 3e6, "updates"),
    )
    assert roofline.lower_bound(parts, RATES) == pytest.approx(2 + 0.5 + 3)
    assert roofline.lower_bound(parts, DeviceThroughput(RATES.input, None, RATES.updates)) is None
    assert "input 2e+03 MB at 1 GB/s" in roofline.describe_work(parts, RATES)
    work = {"read": (WorkItem("input", 1e9, "input"),)}
    (line,) = statistics.summarize([cell(10, "cpu", 8.0, work=work)], {"cpu": RATES}, {})
    assert line["stages"]["read"]["bound"] == 1.0
    assert line["stages"]["read"]["times_bound"] == 2.0  # two seconds of reading
    assert "bound" not in line["stages"]["start, report"]


def test_boosting_adds_every_value_at_the_first_level_and_half_of_them_at_each_further_one():
    # reference arithmetic: 100 M rows, depth 8: 100 M + 7 x 50 M = 450 M visits, times 30 columns
    size = Size(100_000_000, 100_000_000, 0, 30, 30, "binary", 1)
    params = XGBoostParams(max_depth=8, subsample=1.0, colsample_bytree=1.0)
    matrix, adds = roofline.boosting_work(params, size, size.train, rounds=200)
    assert adds.amount == pytest.approx(450e6 * 30 * 200)
    assert matrix.amount == 100e6 * 30 * 5
    many = Size(100_000_000, 100_000_000, 0, 30, 30, "multiclass", 3)
    assert roofline.boosting_work(params, many, size.train, 200)[1].amount == pytest.approx(
        3 * adds.amount
    )


def test_a_forest_adds_the_tried_columns_of_the_drawn_rows():
    size = Size(1_000, 800, 200, 16, 16, "binary", 1)
    _, adds = roofline.forest_work(ForestParams(trees=10, max_depth=4, max_samples=0.5), size, 800)
    assert adds.amount == 10 * 400 * 4 * 4  # trees, rows, levels, sqrt(16)
    _, adds = roofline.forest_work(ForestParams(trees=10, max_depth=4), size, 800)
    assert adds.amount == 10 * 800 * 4 * 4


def test_a_failed_run_tells_its_reason_in_a_line():
    own = "read 10 rows\nerror: out of memory: 3 GB\n  Fix: use fewer rows (--rows N)\n"
    assert (
        explain_failure(CommandFailedError("", 3, own))
        == "out of memory: 3 GB. Fix: use fewer rows (--rows N)"
    )
    assert "out of memory, most likely" in explain_failure(CommandFailedError("", -9, ""))
    assert explain_failure(CommandFailedError("", -11, "x")) == "ended by signal 11 (SIGSEGV): x"
    assert explain_failure(CommandFailedError("", 1, "")) == "ended with status 1"
