"""The Grafana dashboard asks for metrics, and labels, that Dask and a run really serve."""

from __future__ import annotations

import json
import re
import time
import urllib.request

import pytest
from image_files import DASHBOARD, expressions
from prometheus_client.parser import text_string_to_metric_families

from pipeline.artifacts.ledger import Entry
from pipeline.artifacts.stage_id import train_id
from pipeline.memory.estimate import StageEstimate
from pipeline.memory.planner import MemoryPlan
from pipeline.telemetry.gauges import RunGauges
from pipeline.telemetry.nvml_usage import GpuUsage
from pipeline.telemetry.prometheus import RunCollector

NAMES = re.compile(r"\b(?:dask|process|pipeline)_\w+")


@pytest.fixture(scope="module")
def served():
    """Metric name → label names, of a scheduler, a worker and a run that have worked."""
    from distributed import Client, LocalCluster

    local = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, memory_limit="1GB",  # with a limit there is a spill buffer
        dashboard_address="127.0.0.1:0", worker_dashboard_address="127.0.0.1:0",
    )  # fmt: skip
    found: dict[str, set[str]] = {}
    run, gpus = worked()
    with local, Client(local) as client, RunCollector().register(run, lambda: gpus):
        assert client.submit(sum, [1, 2]).result() == 3
        future = client.submit(time.sleep, 1)
        time.sleep(0.3)
        (worker,) = local.workers.values()
        ports = (local.scheduler.http_server.port, worker.http_server.port)
        for port in ports:
            url = f"http://127.0.0.1:{port}/metrics"
            text = urllib.request.urlopen(url, timeout=5).read().decode()
            for family in text_string_to_metric_families(text):
                name = family.name + ("_total" if family.type == "counter" else "")
                labels = {label for sample in family.samples for label in sample.labels}
                found.setdefault(name, set()).update(labels)
        future.result()
    return found


def worked():
    """A run that has trained a model, and a GPU."""
    run = RunGauges("r")
    stages = (StageEstimate(train_id("xgboost"), {"imports": 3}),)
    plan = MemoryPlan(
        limit=5, stages=stages, in_memory_peak=3, in_memory=True, train_rate=1.0, train_rows=8, forest_rows=8,
        scored_share=1.0, staging=0, block_bytes=1,
    )  # fmt: skip
    run.on_plan(plan, [10, 20])
    run.on_stage(Entry("train xgboost", "auto", "cpu", ""), False)
    run.on_training("round 1", 1, 2)
    return run, [GpuUsage("0", "H200", 1, 2, 0.5, 400.0, 60, 7, 8)]


def unknown(expression, legend, served):
    """Metrics and labels of a query that are not served; Prometheus itself adds job and instance."""
    found = [name for name in NAMES.findall(expression) if name not in served]
    if found:
        return found
    has = {"job", "instance"}.union(*(served[name] for name in NAMES.findall(expression)))
    asked = re.findall(r"{{(\w+)}}", legend) + re.findall(r"(\w+)\s*(?:=~|!=|=)", expression)
    asked += [w for group in re.findall(r"by \(([^)]*)\)", expression) for w in group.split(", ")]
    return [label for label in asked if label not in has]


def test_every_metric_and_label_is_served(served):
    wrong = {e: found for e, legend in expressions() if (found := unknown(e, legend, served))}
    assert wrong == {}


def test_what_is_not_served_is_found(served):
    assert unknown("rate(dask_worker_tasks_done[1m])", "", served) == ["dask_worker_tasks_done"]
    assert unknown("sum by (state, host) (dask_worker_tasks)", "", served) == ["host"]
    assert unknown('dask_worker_tasks{kind="a"}', "{{what}}", served) == ["what", "kind"]
    assert unknown("pipeline_row / pipeline_rows", "", served) == ["pipeline_row"]


def test_every_gauge_of_a_run_is_shown(served):
    shown = {name for expression, _ in expressions() for name in NAMES.findall(expression)}
    assert {name for name in served if name.startswith("pipeline_")} - shown == {
        "pipeline_stage_passes"
    }


def test_panels_lie_side_by_side_on_one_source():
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    assert len({p["id"] for p in panels}) == len(panels) >= 12
    taken = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {(at["x"] + i, at["y"] + j) for i in range(at["w"]) for j in range(at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
        assert panel["title"]
        assert {q["datasource"]["uid"] for q in panel["targets"]} == {"prometheus"}
