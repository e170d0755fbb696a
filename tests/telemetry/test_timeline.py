"""What GPUs did: by stage, over time, in a bounded number of points."""

import json
import threading

import pytest

from pipeline.telemetry.gpu_timeline import FEWEST, Timeline
from pipeline.telemetry.nvml_usage import GpuUsage


@pytest.fixture
def timeline(tmp_path):
    return Timeline(tmp_path / "gpu.json", seconds=1.0, points=200)


def at_work(busy, used=10, gpu="0", **more):
    return GpuUsage(gpu, "H200", used=used, memory=100, busy=busy, **more)


def test_a_stage_is_its_mean_load_and_its_peaks(timeline):
    timeline.add_sample([at_work(0.2, 10, watts=100.0, celsius=40, received=8, sent=2)], 0.1)
    timeline.add_sample([at_work(0.6, 90, watts=300.0, celsius=70, received=4, sent=0)], 0.6)
    assert timeline.take_summary() == {
        "gpu": {
            "mean_busy": 0.4, "peak_memory": 90, "mean_watts": 200.0, "peak_watts": 300.0,
            "peak_celsius": 70, "mean_received": 6, "mean_sent": 1,
        }
    }  # fmt: skip
    assert timeline.take_summary() == {}
    timeline.add_sample([GpuUsage("0", "a MIG slice", used=5, memory=9)], 1.2)
    assert timeline.take_summary() == {"gpu": {"peak_memory": 5}}


def test_points_tell_the_mean_load_and_the_most_memory_of_their_time(timeline):
    timeline.add_sample([at_work(0.2, 10), at_work(1.0, 5, gpu="1")], 0.1)
    timeline.add_sample([at_work(0.6, 90)], 0.6)
    timeline.add_sample([at_work(0.5, 20)], 2.0)
    found = timeline.to_json()
    assert found["seconds"] == 1.0
    first, second = found["gpus"]
    assert (first["busy"], first["used"]) == ([0.4, None, 0.5], [90, None, 20])
    assert second == {"gpu": "1", "name": "H200", "memory": 100, "busy": [1.0], "used": [5]}


@pytest.mark.parametrize("gpus", [1, 5])
def test_a_long_run_has_no_more_points_and_loses_no_peak(timeline, gpus):
    most = max(FEWEST, 200 // gpus)
    for second in range(30 * most):
        load = (second % 10) / 10
        usages = [at_work(load, 999 if second == 777 else second % 7, str(g)) for g in range(gpus)]
        timeline.add_sample(usages, second + 0.5)
    found = timeline.to_json()
    assert found["seconds"] == 32.0
    assert len(found["gpus"]) == gpus
    for course in found["gpus"]:
        assert len(course["busy"]) == 30 * most // 32 + (30 * most % 32 > 0) <= most
        assert course["busy"][1] == pytest.approx(
            sum((s % 10) / 10 for s in range(32, 64)) / 32, abs=1e-3
        )
        assert course["used"][777 // 32] == 999 and max(course["used"]) == 999
    assert timeline.take_summary()["gpu"]["mean_busy"] == 0.45


def test_it_is_written_as_stages_end(timeline):
    timeline.on_stage("read", False)
    timeline.on_stage("read", True)
    assert not timeline.path.exists()  # no sample, no file
    timeline.add_sample([at_work(0.5)], 0.0)
    timeline.on_stage("split", False)
    timeline.on_stage("split", True)
    timeline.on_stage("features", False)
    found = json.loads(timeline.path.read_text())
    assert [s["stage"] for s in found["stages"]] == ["read", "split"]
    assert found["stages"][0]["begun"] <= found["stages"][0]["ended"] <= found["stages"][1]["begun"]
    assert [s["stage"] for s in timeline.to_json()["stages"]] == ["read", "split", "features"]


def test_an_attempt_that_failed_ends_where_the_next_begins(timeline):
    timeline.add_sample([at_work(0.5)], 0.0)
    for name, ended in (("read", False), ("read", False), ("read", True)):
        timeline.on_stage(name, ended)
    first, second = timeline.to_json()["stages"]
    assert first["ended"] == second["begun"] <= second["ended"]


def test_samples_are_taken_in_the_background_until_the_block_ends(timeline):
    enough = threading.Event()
    taken = []

    def sample():
        taken.append(threading.current_thread().name)
        if len(taken) >= 3:
            enough.set()
        return [at_work(0.5, len(taken))]

    with timeline.sample_in_background(sample, 0.01):
        assert enough.wait(120)
    after = len(taken)
    assert set(taken) == {"gpus"}
    assert "gpus" not in {thread.name for thread in threading.enumerate()}
    assert timeline.latest == [at_work(0.5, after)]
    assert timeline.take_summary()["gpu"] == {"mean_busy": 0.5, "peak_memory": after}
    assert json.loads(timeline.path.read_text())["gpus"][0]["used"][-1] == after


def test_a_sample_that_fails_ends_the_samples_and_not_the_run(timeline):
    answers, failed = iter([[at_work(0.5)]]), threading.Event()

    def sample():
        for usages in answers:
            return usages
        failed.set()
        raise OSError("the scheduler has gone")

    with timeline.sample_in_background(sample, 0.01):
        assert failed.wait(120)
    assert timeline.latest == ()
    assert "OSError: the scheduler has gone" in timeline.to_json()["ended"]
    assert timeline.to_json()["gpus"][0]["busy"] == [0.5]
