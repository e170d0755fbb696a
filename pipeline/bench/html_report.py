"""The page ``bench.html``: tables and charts of a benchmark in one file, without network access."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.bench import table
from pipeline.report import document
from pipeline.report.drawing import GREY, PALETTE, Chart, Line, draw_figure
from pipeline.report.text import format_count

Json = Mapping[str, Any]
NAMES = {"cpu": "CPU", "gpu": "GPU"}
COLOURS = dict(zip(NAMES, PALETTE, strict=False))


def render(result: Json) -> str:
    """Return the page for the content of ``bench.json``."""
    drawn = charts(result)
    sizes = sorted({line["rows"] for line in result["summary"] if line["runs"]}, reverse=True)
    heads, lines = table.build_runs_table(result)
    largest = table.find_largest_size(result)
    stages = []
    for rows in sizes:
        stage_heads, stage_lines = table.build_stages_table(result, rows)
        stages.append({"rows": format_count(rows), "heads": stage_heads, "lines": stage_lines})
    arithmetic = [
        (f"{name}, {line['device']}", stage["bound_of"])
        for line in result["summary"]
        if line["rows"] == largest and line["runs"]
        for name, stage in line["stages"].items()
        if "bound_of" in stage
    ]
    return document.render_document(
        "bench.html",
        drawn,
        name=result["name"],
        lead="; ".join(table.list_conclusions(result)),
        charts=drawn,
        warnings=[{"text": gap, "fix": ""} for gap in table.list_gaps(result)],
        facts=_describe_machine(result),
        runs={"heads": heads, "lines": lines},
        stages=stages,
        rates=table.list_throughput(result),
        largest=format_count(largest),
        arithmetic=arithmetic,
        versions=result["machine"]["libraries"],
    )


def _describe_machine(result: Json) -> list[tuple[str, str]]:
    machine, drawn = result["machine"], result.get("drawn", {})
    gpus = ", ".join(f"{g['name']}, {g['memory'] / 1e9:.0f} GB" for g in result["gpus"])
    rows = ""
    if drawn:
        noise = ", ".join(drawn["noise"]) or "no column"
        rows = (
            f"drawn at random from {drawn['from_rows']:,} rows of the data, with noise of "
            f"{drawn['share']:.0%} of a column's spread in {noise}"
        )
    facts = [
        ("Measured", result["started"]),
        ("Processor", f"{machine['processor']}, {machine['cores']} cores"),
        ("Memory", f"{machine['memory_gb']} GB"),
        ("GPU", f"{gpus}; driver {result['driver']}" if gpus else ""),
        ("Load before", ", ".join(map(str, machine["load_before"]))),
        ("Rows", rows),
    ]
    return [(name, value) for name, value in facts if value]


def charts(result: Json) -> list[Chart]:
    """Return the charts: seconds by rows, and the speed-ups if both devices were measured."""
    by_device: dict[str, list[Json]] = {}
    for line in sorted(result["summary"], key=lambda line: (line["device"], line["rows"])):
        if line["runs"]:
            by_device.setdefault(line["device"], []).append(line)
    if not by_device:
        return []
    seconds = [
        Line(
            NAMES[device],
            {"x": [line["rows"] for line in lines], "y": [line["seconds"] for line in lines]},
            COLOURS[device],
        )
        for device, lines in by_device.items()
    ]
    hover = {"rows": "@x{0,0}", "seconds": "@y{0,0.00}"}
    figure = draw_figure(seconds, "rows", "seconds", hover, dots=True, logs="xy")
    drawn = [Chart("Seconds of a run", "Medians, on logarithmic axes.", figure)]
    # A benchmark of one device has no ratios.
    speedups: Sequence[Json] = result["speedup"]
    if not speedups:
        return drawn
    names = dict.fromkeys(name for line in speedups for name in line["stages"])
    totals = [(line["rows"], line["total"]) for line in speedups]
    lines = [_speedup_line("whole run", totals, GREY)]
    for at, name in enumerate(names):
        points = [(line["rows"], line["stages"].get(name)) for line in speedups]
        # With more stages than colours, the colours repeat as dashed lines.
        dash = "solid" if at < len(PALETTE) else "dashed"
        lines.append(_speedup_line(name, points, PALETTE[at % len(PALETTE)], dash))
    ends = [speedups[0]["rows"], speedups[-1]["rows"]]
    lines.append(Line("even", {"x": ends, "y": [1, 1]}, GREY, "dotted"))
    y = "CPU seconds / GPU seconds"
    hover = {"rows": "@x{0,0}", y: "@y{0,0.00}"}
    figure = draw_figure(lines, "rows", y, hover, dots=True, logs="xy")
    return [*drawn, Chart("Speed-up by stage", "Dotted: both take the same time.", figure)]


def _speedup_line(
    name: str, points: Sequence[tuple[int, float | None]], colour: str, dash: str = "solid"
) -> Line:
    # A stage that the GPU finished in no measurable time has no ratio.
    present = [(rows, ratio) for rows, ratio in points if ratio]
    data: dict[str, Sequence[float]] = {
        "x": [rows for rows, _ in present],
        "y": [ratio for _, ratio in present],
    }
    return Line(name, data, colour, dash)
