"""The proof's machinery: steps that resume, targets, tables; nothing here needs a GPU."""

from __future__ import annotations

import json
import sys

import pyarrow.parquet as pq
import pytest

from benchmarks.gpu_proof import __main__ as proof
from benchmarks.gpu_proof import page, steps, wide
from benchmarks.gpu_proof.steps import NotApplicable, Proof, Step
from pipeline.bench.measurements import Measurement, StageMeasurement
from pipeline.bench.process_meter import CommandFailedError
from pipeline.bench.roofline import WorkItem
from pipeline.config.model import Config


def test_steps_have_names_of_their_own_and_end_within_ten_minutes():
    for devices in (("gpu", "cpu"), ("gpu",), ("cpu",)):
        found = steps.plan_steps(devices)
        assert len({step.name for step in found}) == len(found)
        assert all(step.seconds < 600 for step in found)
    names = [step.name for step in steps.plan_steps(("gpu", "cpu"))]
    assert names[:2] == ["doctor", "flights"]
    assert names.index("wide 1e+08 gpu 0") < names.index("peer cudf 0") < names.index("memory 0.5")
    assert not [n for n in names if "1e+08 cpu" in n]  # half an hour on 16 cores


def _run(monkeypatch, tmp_path, planned, *more):
    monkeypatch.setattr(proof, "plan_steps", lambda devices: planned)
    folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["proof", "--devices", "cpu", *folders, *more])
    status = proof.main()
    (path,) = (tmp_path / "out").glob("*.json")
    return status, json.loads(path.read_text()), path.with_suffix(".md").read_text()


def test_steps_that_are_done_or_failed_are_not_done_again(monkeypatch, tmp_path):
    seen = []

    def step(name, seconds=10):
        def run(given, limit):
            seen.append(name)
            assert limit == seconds and given.lead == "cpu"
            if name == "bad":
                raise CommandFailedError("", -9, "out of memory")
            if name == "absent":
                raise NotApplicable("needs a GPU")
            return {"seconds": 1.5}

        return Step(name, seconds, run)

    planned = [step("a"), step("bad"), step("absent"), step("long", 500)]
    status, state, text = _run(monkeypatch, tmp_path, planned, "--seconds", "100")
    assert status == 1 and seen == ["a", "bad", "absent"] and not state["finished"]
    assert state["steps"]["bad"]["failed"] == "status -9: out of memory"
    assert "**Unfinished.**" in text and "**failed**" in text and "not run: needs a GPU" in text
    status, state, _ = _run(monkeypatch, tmp_path, planned)
    assert seen == ["a", "bad", "absent", "long"] and state["finished"]
    _run(monkeypatch, tmp_path, planned, "--again", "failed")
    assert seen[4:] == ["bad"]
    _run(monkeypatch, tmp_path, planned, "--again", "a")
    assert seen[5:] == ["a"]


def test_without_the_gpu_that_is_asked_for_it_ends_with_3(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(sys, "argv", ["proof", "--work", str(tmp_path / "w")])
    assert proof.main() == 3
    assert "hidden" in capsys.readouterr().err and not (tmp_path / "w").exists()


def _wide(device, seconds, auc=0.8, rows=10_000_000):
    work = {"read": (WorkItem("input", 1e9, "input"),)}
    stages = {"read": StageMeasurement(seconds / 2, 1, 2, device, 0.75)}
    cell = Measurement(
        rows, device, 0, seconds, 1.0, 10**9, 9 * 10**9, stages, {"xgboost": auc}, work
    )
    return {"at": "", "seconds": seconds, "result": {"cell": steps.asdict(cell)}}


@pytest.fixture
def state():
    """A proof whose targets are met, one apart."""
    rate = {"per_second": 1e9, "source": "told"}
    peers = {f"peer {who} 0": {"seconds": s, "result": {"seconds": s, "auc": 0.7}} for who, s in
             (("ours", 10.0), ("cudf", 8.0), ("cudf.pandas", 20.0))}  # fmt: skip
    counts = {"collected": 9, "passed": 8, "skipped": 0, "failures": 1, "failed": ["t::x: no"]}
    return {
        "started": "2026-11-21 10:00:00 UTC", "finished": True, "commit": "abc", "scale": 1,
        "devices": ["gpu", "cpu"], "gpus": [{"name": "NVIDIA H200"}], "driver": "580",
        "machine": {"processor": "Xeon", "cores": 16, "memory_gb": 128.0, "system": "Linux",
                    "libraries": {"numpy": "2"}},
        "rates": {d: dict.fromkeys(("input", "memory", "updates"), rate) for d in ("cpu", "gpu")},
        "steps": {
            "wide 1e+07 gpu 0": _wide("gpu", 10.0), "wide 1e+07 gpu 1": _wide("gpu", 12.0),
            "wide 1e+07 cpu 0": _wide("cpu", 242.0), "wide 1e+08 gpu 0": _wide("gpu", 80.0, rows=10**8),
            "memory 0.5": _wide("gpu", 30.0, 0.8011), **peers,
            "parity": {"seconds": 9.0, "result": {"compared": {}, "differs": False}},
            "tests contract": {"seconds": 1.0, "result": counts},
            "flights": {"seconds": 9.0, "result": {"seconds": 8.0, "stages": [
                {"stage": "read", "seconds": 2.0, "h2d": 30_000_000, "d2h": 1_000,
                 "gpu": {"mean_received": 16e6}},
                {"stage": "split", "seconds": 0.1, "h2d": 0, "d2h": 0},
                {"event": "fallback", "stage": "evaluate", "rung": "the CPU"},
            ]}},
        },
    }  # fmt: skip


def test_targets_are_judged_by_what_was_measured(state):
    found = [(line["measured"], line["met"]) for line in page.check_targets(state)]
    assert found == [
        (80.0, True), (22.0, True), (1.25, False), (0.5, True), (0.0011, True), (1, False),
        (0.0, True),
    ]  # fmt: skip
    small = page.check_targets({**state, "scale": 0.1})
    assert {line["met"] for line in small} == {None}


@pytest.mark.parametrize(("status", "differs"), [(0, False), (4, True)])
def test_parity_is_kept_also_where_something_differs(monkeypatch, tmp_path, status, differs):
    code = f"print('{{}}'); raise SystemExit({status})"
    run = steps._run
    monkeypatch.setattr(steps, "_run", lambda p, _, s: run(p, [sys.executable, "-c", code], s))
    found = steps.parity(Proof(("gpu", "cpu"), 1, tmp_path, {}), 100)
    assert found == {"compared": {}, "differs": differs}


def test_parity_that_breaks_is_a_failed_step(monkeypatch, tmp_path):
    code = "raise SystemExit(3)"
    run = steps._run
    monkeypatch.setattr(steps, "_run", lambda p, _, s: run(p, [sys.executable, "-c", code], s))
    with pytest.raises(CommandFailedError):
        steps.parity(Proof(("gpu", "cpu"), 1, tmp_path, {}), 100)


def test_the_page_has_machine_targets_stages_and_steps(state):
    text = page.render_page(state)
    assert "# NVIDIA H200: 2026-11-21" in text and "16 cores, 128.0 GB" in text
    assert "| flights, ours over cuDF + XGBoost | at most 1.05 × | 1.25 | **no** |" in text
    assert "10,000,000 rows × 30, gpu, runs: 2" in text
    assert "| read | 5.50 s | 75% | 1.00 s | 5.5 × |" in text  # a GB at a GB/s
    assert "9 collected, 8 passed, 1 failed; t::x: no" in text
    assert "| read | 2.0 | 30 MB | 32 MB | 1 kB | – |" in text and "| split |" not in text


def test_a_junit_report_is_counted(tmp_path):
    path = tmp_path / "r.xml"
    path.write_text(
        "<testsuites><testsuite><testcase classname='a' name='ok'/>"
        "<testcase classname='a' name='bad'><failure message='1 != 2'/></testcase>"
        "<testcase classname='a' name='gone'><skipped/></testcase></testsuite></testsuites>"
    )
    found = steps.count_tests(path)
    assert (found["collected"], found["passed"], found["failures"], found["skipped"]) == (
        3,
        1,
        1,
        1,
    )
    assert found["failed"] == ["a::bad: 1 != 2"]


def test_the_wide_table_has_30_columns_and_its_config_prepares(tmp_path, monkeypatch):
    from pipeline.execution.job import prepare_job

    monkeypatch.setattr(wide, "GROUP", 300)
    table = wide.make_row_group(0, 0, 500)
    assert table.num_columns == 30 and 0.3 < table["y"].to_numpy().mean() < 0.7
    assert wide.make_row_group(0, 0, 500).equals(table) and not wide.make_row_group(
        0, 1, 500
    ).equals(table)
    size = wide._write_file((tmp_path, 0, 500))
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == size and pq.read_metadata(path).num_row_groups == 2
    job = prepare_job(Config.parse(wide.make_config(tmp_path) | {"device": "cpu"}))
    assert set(job.models) == {"xgboost"} and len(job.features) == 29


def test_contestants_get_the_same_rows(tmp_path):
    known = Proof(("gpu", "cpu"), 0.001, tmp_path, {})
    lines = {
        w: steps.build_peer_command(w, known, tmp_path / "o", 2)
        for w in ("ours", "cudf", "cudf.pandas")
    }
    assert all(str(tmp_path / "flights-10000.parquet") in line for line in lines.values())
    assert lines["cudf.pandas"][1:5] == ["-m", "cudf.pandas", "-m", "cuml.accel"]
    assert lines["cudf.pandas"][-2:] == ["--device", "cuda"] and "gpu" in lines["ours"]
