"""``/metrics`` during a run: on the dashboard's port, or on one of the client's own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from pipeline import Config, run
from pipeline.config.cluster import Cluster
from pipeline.errors import MachineError
from pipeline.execution.runner import Listener
from pipeline.telemetry import prometheus
from pipeline.telemetry.gauges import RunGauges
from pipeline.telemetry.nvml_usage import GpuUsage

ROOT = Path(__file__).parents[2]


def scraped(url):
    """Sample name → labels with values, of all that the address answers."""
    with urlopen(url, timeout=60) as answer:
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(found, name):
    ((_, number),) = found[f"pipeline_{name}"]
    return number


def running(found):
    """The stage that runs."""
    return {labels["stage"] for labels, on in found.get("pipeline_stage", ()) if on}


@pytest.fixture
def tree(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(3000, 4)), columns=list("abcd"))
    frame["y"] = (frame["a"] + rng.normal(size=3000) > 0).astype(int)
    frame.to_csv(tmp_path / "d.csv", index=False)
    return {
        "data": {"path": str(tmp_path / "d.csv"), "target": "y"},
        "models": {"xgboost": {"rounds": 30, "early_stopping": 0}, "forest": {"trees": 3}},
        "refit": "never", "device": "cpu",
    }  # fmt: skip


def listening(seen):
    """Scrapes where the run says its metrics are, whenever a stage starts or ends."""
    pages = {}

    def stage(entry, ended):
        seen.append((entry.stage, ended, scraped(pages["metrics"])))

    return pages, Listener(stage=stage, pages=pages.update)


def test_the_command_line_answers_beside_dask_while_it_runs(tmp_path, tree):
    config = tmp_path / "c.yaml"
    tree["models"]["xgboost"]["rounds"] = 400
    tree["cluster"] = {"dashboard_address": "127.0.0.1:0"}
    config.write_text(Config.parse(tree).to_yaml())
    command = [sys.executable, "-m", "pipeline", "run", str(config), "--verbose"]
    command += ["--out", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        lines = iter(process.stderr.readline, "")
        url = next(line.split()[-1] for line in lines if " · metrics http" in line)
        found = []
        while process.poll() is None:
            with suppress(URLError, ConnectionError):  # it may end between the two lines
                found.append(scraped(url))
            time.sleep(0.02)
        process.stderr.read()
    assert process.returncode == 0
    assert all("dask_scheduler_workers" in one for one in found)
    found = [one for one in found if "pipeline_rows" in one]  # Dask's server ends a little later
    assert "train xgboost" in set().union(*map(running, found))
    rounds = [{x["stage"]: n for x, n in one.get("pipeline_rounds_done", ())} for one in found]
    grown = [one["train xgboost"] for one in rounds if "train xgboost" in one]
    assert grown == sorted(grown) and len(set(grown)) > 2 and grown[-1] == 400
    visited = [value(one, "rows_visited_total") for one in found]
    assert visited == sorted(visited) and visited[-1] >= 4 * 3000
    assert value(found[-1], "rows") == 3000
    assert value(found[-1], "resident_memory_bytes") > 50e6


def test_runs_in_one_process_follow_each_other_and_leave_nothing(tmp_path, tree):
    tree["cluster"] = {"dashboard_address": "127.0.0.1:0"}
    for number in range(2):
        seen = []
        pages, listener = listening(seen)
        run(Config.parse(dict(tree)), out=tmp_path / f"run{number}", listener=listener)
        assert pages["metrics"] == pages["dashboard"].replace("/status", "/metrics")
        for stage, ended, found in seen:
            assert running(found) == (set() if ended else {stage})
            assert all(x["run"] == f"run{number}" for x, _ in found["pipeline_stage"])
        last = seen[-1][2]
        planned = {x["stage"] for x, _ in last["pipeline_memory_planned_bytes"]}
        assert {"read", "train xgboost"} <= planned
        assert value(last, "memory_limit_bytes") > 1e8
        with pytest.raises(KeyError):  # it is not there
            REGISTRY.unregister(prometheus._collector)


def test_with_a_scheduler_elsewhere_the_client_answers(two, tmp_path, tree):
    tree["cluster"] = {"kind": two.scheduler.address}
    seen = []
    pages, listener = listening(seen)
    run(Config.parse(tree), out=tmp_path / "run", listener=listener)
    assert set(pages) == {"dashboard", "metrics", "Dask's metrics"}
    assert pages["metrics"] != pages["Dask's metrics"]
    assert [running(found) for stage, ended, found in seen if not ended] == [
        {stage} for stage, ended, _ in seen if not ended
    ]
    trained = next(found for stage, ended, found in seen if ended and stage == "train xgboost")
    assert 30 in [n for _, n in trained["pipeline_rounds"]]
    assert value(seen[-1][2], "rows_visited_total") >= 3000  # the workers tell of partitions
    with pytest.raises(URLError):
        urlopen(pages["metrics"], timeout=5)


def test_without_a_dashboard_nothing_is_told(client):
    cluster = Cluster(dashboard=False)
    with prometheus.serve_metrics(RunGauges("r"), client, cluster, tuple) as pages:
        assert pages == {}
        assert not any(family.name.startswith("pipeline_") for family in REGISTRY.collect())


def test_an_address_of_another_machine_is_refused(two):
    cluster = Cluster(kind=two.scheduler.address, metrics_address="192.0.2.1:9")
    with (
        pytest.raises(MachineError, match=r"metrics cannot listen on '192\.0\.2\.1:9'") as caught,
        prometheus.serve_metrics(RunGauges("r"), two, cluster, tuple),
    ):
        pass
    assert "cluster.metrics_address" in caught.value.fix
    assert not any(family.name.startswith("pipeline_") for family in REGISTRY.collect())


def test_two_runs_at_a_time_share_each_metric():
    registered = prometheus.RunCollector()
    gpus = (GpuUsage("0", "H200", used=5),)
    with (
        registered.register(RunGauges("a"), lambda: gpus),
        registered.register(RunGauges("b"), tuple),
    ):
        families = {family.name: family for family in registered.collect()}
        assert [s.labels["run"] for s in families["pipeline_rows"].samples] == ["a", "b"]
        (used,) = families["pipeline_gpu_memory_used_bytes"].samples
        assert used.labels == {"run": "a", "gpu": "0", "name": "H200"} and used.value == 5
        assert families["pipeline_rows_visited"].type == "counter"
    assert not any(family.name.startswith("pipeline_") for family in REGISTRY.collect())
