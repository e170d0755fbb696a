"""The executor: stages restored, computed, retried on a lower level, rebuilt, and their records."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.artifacts.ledger import Ledger
from pipeline.artifacts.stage_id import StageId
from pipeline.cluster.synchronous import SynchronousClient
from pipeline.device.choose import DeviceChoice, frames_of
from pipeline.errors import DataError, DeviceFull
from pipeline.execution import executor as executors
from pipeline.execution import fallback
from pipeline.execution.context import Listener, RunContext
from pipeline.execution.executor import Executor
from pipeline.execution.fingerprints import StageInputs
from pipeline.execution.run_state import RunState
from pipeline.execution.stage import Stage
from pipeline.execution.stage_cache import REUSED, StageCache

FIRST, SECOND = StageId("first"), StageId("second", "forest")


class Counting(Stage):
    """A stage whose result is a number in a file and one in its record."""

    def __init__(self, stage_id, value=1, after=(), fails=()):
        self.stage_id, self.value, self.after = stage_id, value, after
        self.fails = list(fails)
        self.calls = []

    @property
    def id(self):
        return self.stage_id

    def inputs(self, job, plan):
        return StageInputs({"config": {"value": self.value}}, self.after)

    def run(self, run):
        self.calls.append(f"run on the {run.context.device}")
        run.process_notes.append("of this process")
        run.entry.notes.append("of the stage")
        run.context.warn("beware")
        if self.fails:
            raise self.fails.pop(0)
        run.folder.mkdir(parents=True, exist_ok=True)
        (run.folder / "value").write_text(str(self.value))
        run.files, run.results, run.entry.rows = (
            [run.folder / "value"],
            {"twice": 2 * self.value},
            7,
        )
        run.scratch = run.context.folder / "scratch"
        run.scratch.mkdir()
        run.state.rounds[str(self.id)] = self.value

    def restore(self, run, results: Mapping[str, Any]):
        self.calls.append("restore")
        assert results == {"twice": 2 * int((run.folder / "value").read_text())}
        run.state.rounds[str(self.id)] = results["twice"] // 2

    def rebuild(self, state, device):
        self.calls.append(f"rebuild on {device}")

    def release(self, state):
        self.calls.append("release")


def stages(**changes):
    first, second = Counting(FIRST), Counting(SECOND, after=(FIRST,))
    for name, values in changes.items():
        vars({"first": first, "second": second}[name]).update(values)
    return first, second


def open_executor(folder, run_stages, *, resumed=False, records=True, device="cpu", asked="auto"):
    """An executor of a run on a device, whose cache has been searched."""
    choice = DeviceChoice(asked, device, "a test")
    job = SimpleNamespace(choice=choice, models={}, config=None)
    ledger = Ledger(folder / "ledger.jsonl", asked, device, "a test")
    cache = StageCache(folder, resumed=resumed, records=records)
    said = []
    context = RunContext(
        job, folder, ledger, SynchronousClient(), 1, Listener(say=said.append), cache, run_stages
    )
    context.search_cache(plan=None)
    executor = Executor(RunState(context), list(run_stages))
    executor.said = said
    return executor


def lines(folder):
    return [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]


def test_a_stage_that_is_computed_leaves_a_record_and_a_line(tmp_path):
    first, second = stages()
    open_executor(tmp_path, (first, second)).run_all()
    assert first.calls == second.calls == ["run on the cpu", "release"]
    assert not (tmp_path / "scratch").exists()
    assert [(e["stage"], e["rows"]) for e in lines(tmp_path)] == [
        ("first", 7), ("second forest", 7),
    ]  # fmt: skip
    assert lines(tmp_path)[0]["notes"] == ["of this process", "of the stage"]
    record = json.loads((tmp_path / "stages" / "second-forest.json").read_text())
    assert list(record) == [
        "key", "device", "facts", "files", "found", "rows", "notes", "warnings", "fallbacks",
    ]  # fmt: skip
    assert record["found"] == {"twice": 2} and list(record["files"]) == [
        "stages/second-forest/value"
    ]
    assert record["notes"] == ["of the stage"] and record["warnings"] == ["beware"]


def test_a_stage_in_the_cache_is_restored_and_reports_what_it_had_reported(tmp_path):
    open_executor(tmp_path, stages()).run_all()
    first, second = stages()
    executor = open_executor(tmp_path, (first, second), resumed=True)
    executor.run_all()
    assert first.calls == second.calls == ["restore", "release"]
    assert executor.state.rounds == {"first": 1, "second forest": 1}
    assert executor.said == ["warning: beware"] * 2
    restored = lines(tmp_path)[2]
    assert restored["resume"] == REUSED and restored["rows"] == 7
    assert restored["notes"] == ["of the stage"]  # those of another process are not its own


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        (
            {"first": {"value": 2}},
            ["recomputed: value was 1, is 2", "recomputed: upstream stage `first` changed"],
        ),
        ({"second": {"value": 2}}, [REUSED, "recomputed: value was 1, is 2"]),
    ],
)
def test_a_change_recomputes_the_stage_and_those_downstream(tmp_path, changes, reasons):
    open_executor(tmp_path, stages()).run_all()
    open_executor(tmp_path, stages(**changes), resumed=True).run_all()
    assert [line["resume"] for line in lines(tmp_path)[2:]] == reasons


def test_a_stage_that_fails_leaves_no_record_and_no_line(tmp_path):
    first, second = stages(second={"fails": [DataError("bad rows")]})
    executor = open_executor(tmp_path, (first, second))
    with pytest.raises(DataError, match="bad rows"):
        executor.run_all()
    assert [line["stage"] for line in lines(tmp_path)] == ["first"]
    assert not (tmp_path / "stages" / "second-forest.json").exists()
    assert executor.completed == [first] and "release" not in second.calls
    again = stages()
    open_executor(tmp_path, again, resumed=True).run_all()
    assert again[0].calls[0] == "restore"
    assert lines(tmp_path)[-1]["resume"] == "recomputed: it had not finished"


def test_an_unrecorded_run_computes_everything_and_records_nothing(tmp_path):
    open_executor(tmp_path, stages()).run_all()
    first, second = stages()
    open_executor(tmp_path / "stages", (first, second), records=False).run_all()
    assert first.calls[0] == second.calls[0] == "run on the cpu"
    assert not (tmp_path / "stages" / "stages" / "first.json").exists()


@pytest.fixture
def gpu(monkeypatch):
    """The CPU under another name; it has no fallback level that helps but the CPU itself."""
    cpu = frames_of("cpu")

    class Gpu:
        @staticmethod
        def translate_error(error):
            return error if isinstance(error, DeviceFull) else None

        def __getattr__(self, name):
            return getattr(cpu, name)

    monkeypatch.setattr(fallback, "frames_of", lambda name: Gpu() if name == "gpu" else cpu)
    monkeypatch.setattr(executors, "release_tables", lambda client, device: None)
    monkeypatch.setattr(fallback, "level_helps", lambda level, *of: level.name == helps[0])
    helps = [""]
    return helps


def test_a_stage_falls_back_to_a_level_that_helps_with_rebuilt_data(tmp_path, gpu):
    gpu[0] = "smaller partitions"
    first, second = stages(second={"fails": [DeviceFull("out of memory")]})
    executor = open_executor(tmp_path, (first, second), device="gpu")
    executor.run_all()
    assert first.calls == ["run on the gpu", "release", "rebuild on None"]
    assert second.calls == ["run on the gpu", "run on the gpu", "release"]
    assert executor.state.context.level.name == "smaller partitions"
    record = json.loads((tmp_path / "stages" / "second-forest.json").read_text())
    (fallback_,) = record["fallbacks"]
    assert (fallback_["stage"], fallback_["rung"]) == ("second forest", "smaller partitions")
    assert "second forest: out of memory; falls back to: smaller partitions" in executor.said[2]
    # a later process that restores the stage reports the fallback as well
    restored = stages()
    resumed = open_executor(tmp_path, restored, resumed=True, device="gpu")
    resumed.run_all()
    assert resumed.state.context.ledger.fallbacks == [fallback_]


def test_the_cpu_takes_over_one_stage_alone(tmp_path, gpu):
    first, second = stages(first={"fails": [DeviceFull("out of memory")]})
    executor = open_executor(tmp_path, (first, second), device="gpu")
    executor.run_all()
    assert first.calls == ["run on the gpu", "run on the cpu", "release"]
    assert second.calls == ["run on the gpu", "release"]
    assert [e["device"] for e in lines(tmp_path) if "seconds" in e] == ["cpu", "gpu"]


def test_without_a_level_that_helps_the_run_ends_with_what_to_do(tmp_path, gpu):
    first, second = stages(first={"fails": [DeviceFull("out of memory")]})
    executor = open_executor(tmp_path, (first, second), device="gpu", asked="gpu")
    with pytest.raises(DeviceFull, match="first: out of memory") as caught:
        executor.run_all()
    assert "--device cpu" in caught.value.fix
    assert not (tmp_path / "stages").exists()


def test_run_through_stops_after_the_stage_it_names(tmp_path):
    first, second = stages()
    executor = open_executor(tmp_path, (first, second))
    executor.run_through(FIRST)
    assert second.calls == [] and executor.pending == [second]
    executor.run_through(SECOND)
    assert executor.pending == []


def test_a_stage_that_does_not_apply_to_the_rows_is_skipped(tmp_path, monkeypatch):
    first, second = stages()
    executor = open_executor(tmp_path, (first, second))
    executor.state.rows = SimpleNamespace(total=10, parts=None)
    monkeypatch.setattr(second, "applies", lambda job, rows: rows > 10, raising=False)
    executor.run_all()
    assert first.calls and not second.calls


def test_data_are_needed_by_computed_stages_and_those_that_they_build_on(tmp_path):
    third = Counting(StageId("third"), after=(SECOND,))
    first, second = stages(second={"uses": (FIRST,)})
    third.uses = (SECOND,)
    open_executor(tmp_path, (first, second, third)).run_all()

    def needs(**changes):
        first, second = stages(second={"uses": (FIRST,)})
        third = Counting(StageId("third"), after=(SECOND,), **changes)
        third.uses = (SECOND,)
        context = open_executor(tmp_path, (first, second, third), resumed=True).state.context
        return [context.needs_data_of(stage) for stage in (FIRST, SECOND)]

    assert needs() == [False, False]
    assert needs(value=2) == [True, True]


def test_the_names_of_stages_are_those_of_the_ledger():
    assert str(StageId("refit features")) == "refit features"
    assert str(SECOND) == "second forest" and SECOND.slug == "second-forest"
