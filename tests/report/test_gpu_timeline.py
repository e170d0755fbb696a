"""The GPUs' time line on the page."""

import json
import math
import re

import pytest

from pipeline.report import page
from pipeline.report.timeline import MOST_LINES, describe_timeline, draw_gpu_charts

STAGES = [
    {"stage": "read", "begun": 0.0, "ended": 4.0},
    {"stage": "split", "begun": 4.1, "ended": 6.0},
    {"stage": "train xgboost", "begun": 6.0},  # it failed
]


def timeline(gpus=1, **more):
    busy = [0.1, None, 0.9, 1.0]
    return {
        "seconds": 2.0, "stages": STAGES, **more,
        "gpus": [
            {
                "gpu": str(i), "name": "NVIDIA H200", "memory": 150e9, "busy": busy[: 4 - i % 2],
                "used": [1e9, None, 3e9, (4 + i) * 1e9], "watts": [90.5, None, 400, 600],
                "celsius": [30, None, 50, 60], "received": [2e9, None, 4e9, 0],
                "sent": [0, None, 1e9, 0],
            }
            for i in range(gpus)
        ],
    }  # fmt: skip


def lines_of(chart):
    """By the legend's name: (x, y, stage), and the figure's grey bands."""
    found = {}
    for item in chart.figure.legend[0].items:
        data = item.renderers[0].data_source.data
        found[item.label.value] = list(zip(data["x"], data["y"], data["stage"], strict=True))
    return found


def test_each_measure_has_a_chart_in_its_unit():
    charts = {chart.title: chart for chart in draw_gpu_charts(timeline(2))}
    assert list(charts) == [
        "GPU utilization", "GPU memory", "GPU power", "GPU temperature", "Traffic over PCIe",
    ]  # fmt: skip
    first, second = lines_of(charts["GPU utilization"]).values()
    assert first[0] == (1.0, 10.0, "read") and first[3] == (7.0, 100.0, "train xgboost")
    assert math.isnan(first[1][1]) and len(second) == 3
    assert lines_of(charts["GPU memory"])["1: NVIDIA H200"][3][1] == 5.0
    traffic = lines_of(charts["Traffic over PCIe"])
    assert [y for _, y, _ in traffic["host to GPU"]][::2] == [4.0, 8.0]
    assert [y for _, y, _ in traffic["GPU to host"]][::2] == [0.0, 2.0]


def test_every_other_stage_is_shaded():
    from bokeh.models import BoxAnnotation

    (chart, *_) = draw_gpu_charts(timeline())
    bands = chart.figure.select(BoxAnnotation)
    assert [(b.left, b.right) for b in bands if b.level == "underlay"] == [(4.1, 6.0)]


def test_many_gpus_are_their_lowest_mean_and_highest():
    charts = draw_gpu_charts(timeline(MOST_LINES + 2))
    memory = lines_of(charts[1])
    assert [memory[name][3][1] for name in ("lowest", "mean", "highest")] == [4.0, 7.5, 11.0]
    assert math.isnan(memory["mean"][1][1])
    assert "of 8 GPUs" in describe_timeline(timeline(MOST_LINES + 2))


def test_what_is_not_known_has_no_chart():
    only = {**timeline(), "gpus": [{"gpu": "0", "name": "a slice", "memory": 9, "used": [1, 2]}]}
    assert [chart.title for chart in draw_gpu_charts(only)] == ["GPU memory"]
    assert "a grey background: read, split, train xgboost." in describe_timeline(timeline())
    assert draw_gpu_charts({}) == [] and describe_timeline({}) == ""
    assert "ended after 9 s: OSError" in describe_timeline(timeline(ended="after 9 s: OSError"))


@pytest.mark.parametrize("curves", [True, False])
def test_the_page_shows_the_time_line_and_the_stages_gpu_figures(fake_run, curves):
    run = fake_run()
    without = page.write_report(run).read_text(encoding="utf-8")
    assert "GPUs over time" not in without and "GPU busy" not in without
    (run / "gpu.json").write_text(json.dumps(timeline()))
    if not curves:
        (run / "evaluate" / "curves.json").unlink()
    lines = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()]
    lines[0]["gpu"] = {"mean_busy": 0.834, "peak_memory": 5_000_000_000, "mean_watts": 431.4}
    (run / "ledger.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    fake_run.seal(run)
    html = page.write_report(run).read_text(encoding="utf-8")
    assert "GPUs over time" in html
    for text in ("GPU busy", "83.4 %", "5 GB", "431 W"):
        assert text in html
    items = json.loads(re.search(r'id="chart-items">(.*?)</script>', html, re.S)[1])
    holders = re.findall(r'class="chart" id="(chart-\d+)"', html)
    assert [item["target_id"] for item in items] == holders
    assert len(holders) == (9 if curves else 5)
