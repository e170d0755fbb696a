"""bench.html: a benchmark's tables and charts in one file that needs no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.bench import table
from pipeline.bench.png_chart import COLOURS, NAMES, lines_of
from pipeline.report import document
from pipeline.report.drawing import GREY, PALETTE, Chart, Line, draw_figure
from pipeline.report.text import format_count

Json = Mapping[str, Any]


def render(result: Json) -> str:
    """The page of a benchmark's results (``bench.json``)."""
    drawn = charts(result)
    sizes = sorted({line["rows"] for line in result["summary"] if line["runs"]}, reverse=True)
    heads, lines = table.build_runs_table(result)
    largest = table.find_largest_size(result)
    return document.render_document(
        "bench.html", drawn,
        name=result["name"], lead="; ".join(table.list_conclusions(result)), charts=drawn,
        warnings=table.list_gaps(result), facts=_facts(result),
        runs={"heads": heads, "lines": lines},
        stages=[_stages(result, rows) for rows in sizes],
        rates=table.list_throughput(result), largest=format_count(largest),
        arithmetic=_arithmetic(result, largest), versions=result["machine"]["libraries"],
    )  # fmt: skip


def _facts(result: Json) -> list[tuple[str, str]]:
    machine, drawn = result["machine"], result.get("drawn", {})
    gpus = ", ".join(f"{g['name']}, {g['memory'] / 1e9:.0f} GB" for g in result["gpus"])
    known = [
        ("Measured", result["started"]),
        ("Processor", f"{machine['processor']}, {machine['cores']} cores"),
        ("Memory", f"{machine['memory_gb']} GB"),
        ("GPU", f"{gpus}; driver {result['driver']}" if gpus else ""),
        ("Load before", ", ".join(map(str, machine["load_before"]))),
        ("Rows", _rows(drawn) if drawn else ""),
    ]
    return [(name, value) for name, value in known if value]


def _rows(drawn: Json) -> str:
    noise = ", ".join(drawn["noise"]) or "no column"
    return (
        f"drawn at random from {drawn['from_rows']:,} of the data; noise of {drawn['share']:.0%} "
        f"of its spread in {noise}"
    )


def _stages(result: Json, rows: int) -> dict[str, Any]:
    heads, lines = table.build_stages_table(result, rows)
    return {"rows": format_count(rows), "heads": heads, "lines": lines}


def _arithmetic(result: Json, rows: int | None) -> list[tuple[str, str]]:
    return [
        (f"{name}, {line['device']}", stage["bound_of"])
        for line in result["summary"]
        if line["rows"] == rows and line["runs"]
        for name, stage in line["stages"].items()
        if "bound_of" in stage
    ]


def charts(result: Json) -> list[Chart]:
    """Seconds by rows of each device; and the speed-up of each stage where both were measured."""
    by_device = lines_of(result["summary"])
    if not by_device:
        return []
    seconds = [
        Line(NAMES[device], {"x": _all(own, "rows"), "y": _all(own, "seconds")}, COLOURS[device])
        for device, own in by_device.items()
    ]
    hover = {"rows": "@x{0,0}", "seconds": "@y{0,0.00}"}
    figure = draw_figure(seconds, "rows", "seconds", hover, dots=True, logs="xy")
    found = [Chart("Seconds of a run", "Medians, on logarithmic axes.", figure)]
    return found + ([_speedups(result["speedup"])] if result["speedup"] else [])


def _speedups(speedups: Sequence[Json]) -> Chart:
    names = dict.fromkeys(name for line in speedups for name in line["stages"])
    whole = [(line["rows"], line["total"]) for line in speedups]
    lines = [_speedup("whole run", whole, GREY)]
    for at, name in enumerate(names):
        points = [(line["rows"], line["stages"].get(name)) for line in speedups]
        # more stages than colours: the others are dashed
        dash = "solid" if at < len(PALETTE) else "dashed"
        lines.append(_speedup(name, points, PALETTE[at % len(PALETTE)], dash))
    ends = [speedups[0]["rows"], speedups[-1]["rows"]]
    even = Line("even", {"x": ends, "y": [1, 1]}, GREY, "dotted")
    hover = {"rows": "@x{0,0}", "CPU seconds / GPU seconds": "@y{0,0.00}"}
    figure = draw_figure(
        [*lines, even], "rows", "CPU seconds / GPU seconds", hover, dots=True, logs="xy"
    )
    return Chart("Speed-up by stage", "Dotted: both take the same time.", figure)


def _speedup(
    name: str, points: Sequence[tuple[int, float | None]], colour: str, dash: str = "solid"
) -> Line:
    there = [(rows, ratio) for rows, ratio in points if ratio]
    data: dict[str, Sequence[Any]] = {
        "x": [rows for rows, _ in there],
        "y": [ratio for _, ratio in there],
    }
    return Line(name, data, colour, dash)


def _all(lines: Sequence[Json], key: str) -> list[Any]:
    return [line[key] for line in lines]
