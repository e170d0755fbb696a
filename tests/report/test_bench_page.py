"""bench.html as a reader sees it, of made-up cells of both devices; names that try to break it."""

from __future__ import annotations

import pytest
from browser import CHROMIUM, started, visit
from test_in_browser import QUESTIONS, check

from pipeline.bench import html_report, statistics
from pipeline.bench.bandwidth import DeviceThroughput, Throughput
from pipeline.bench.measurements import Measurement, StageMeasurement
from pipeline.bench.roofline import WorkItem
from pipeline.bench.runner import rates_to_json

HOSTILE = "<script>window.hacked = 1</script>"


def result():
    """A GPU that pays from some size on, and a size at which it fails."""
    cells = []
    for rows in (100_000, 1_000_000, 10_000_000):
        cells += [_cell(rows, "cpu", 6 + rows / 20_000), _cell(rows, "gpu", 15 + rows / 800_000)]
    cells.append(Measurement(100_000_000, "gpu", 0, failed=f"out of memory {HOSTILE}"))
    rates = {
        d: DeviceThroughput(Throughput(6e9, "told"), Throughput(5e12, "told"), None)
        for d in ("cpu", "gpu")
    }
    prices = {"cpu": 0.34, "gpu": 4.1}
    summary = statistics.summarize(cells, rates, prices)
    return {
        "name": f"flights {HOSTILE}", "started": "2026-11-21 10:00:00 UTC", "missing": {},
        "asked": {"rows": [], "devices": ["cpu", "gpu"], "repeat": 1, "prices": prices},
        "machine": {"processor": "Xeon", "cores": 16, "memory_gb": 128.0, "load_before": [0.1],
                    "libraries": {"numpy": "2.4"}},
        "gpus": [{"name": "NVIDIA H200", "memory": 150 << 30}], "driver": "580",
        "drawn": {"from_rows": 1, "noise": ["x"], "share": 0.01},
        "rates": {d: rates_to_json(r) for d, r in rates.items()}, "summary": summary,
        "speedup": statistics.compute_speedups(summary), "pays": statistics.find_break_even(summary),
        "cheaper": statistics.find_break_even(summary, "cost"),
    }  # fmt: skip


def _cell(rows, device, seconds):
    names = ("read", "split", "features", "train forest", "train xgboost", "evaluate")
    stages = {
        n: StageMeasurement(seconds / 7, 10**9, 0, device, 0.6 if device == "gpu" else None)
        for n in names
    }
    work = {"read": (WorkItem("input", rows * 50.0, "input"),)}
    return Measurement(
        rows, device, 0, seconds, seconds, 10**9, 10**9, stages, {"xgboost": 0.7}, work
    )


def test_what_the_data_and_errors_say_is_escaped():
    html = html_report.render(result())
    assert HOSTILE not in html and "&lt;script&gt;window.hacked" in html
    assert "the GPU is faster from about" in html and "the GPU is cheaper from about" in html


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_reads_well(tmp_path, width):
    path = tmp_path / "bench.html"
    path.write_text(html_report.render(result()), encoding="utf-8")
    with started(tmp_path / "chromium") as port:
        check(visit(port, path, QUESTIONS, width=width, dark=width == 390), charts=2)
