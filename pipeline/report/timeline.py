"""The charts of what the GPUs did over a run, from its ``gpu.json``; without one, none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report import text
from pipeline.report.drawing import GRID, PALETTE, Chart, Line, draw_figure

Json = dict[str, Any]
MOST_LINES = 6
"""More GPUs than that are drawn as the lowest, the mean and the highest of them."""


@dataclass(frozen=True)
class Measure:
    """A chart: its axis, and which values of ``gpu.json`` it shows, in which unit."""

    title: str
    axis: str
    key: str
    unit: float
    """What the value is divided by."""
    hover: str
    """A format of Bokeh's."""


MEASURES = (
    Measure("GPU utilization", "%", "busy", 0.01, "0"),
    Measure("GPU memory", "GB", "used", 1e9, "0.00"),
    Measure("GPU power", "W", "watts", 1, "0"),
    Measure("GPU temperature", "°C", "celsius", 1, "0"),
)
TRAFFIC = {"host to GPU": "received", "GPU to host": "sent"}


def draw_gpu_charts(timeline: Json) -> list[Chart]:
    """Utilization, memory, power, temperature and PCIe traffic, as far as they are known."""
    gpus: Sequence[Json] = timeline.get("gpus", [])
    drawn = [
        _chart(timeline, measure, _lines(timeline, gpus, measure))
        for measure in MEASURES
        if any(measure.key in gpu for gpu in gpus)
    ]
    if any(key in gpu for gpu in gpus for key in TRAFFIC.values()):
        measure = Measure("Traffic over PCIe", "GB/s", "", 1e9, "0.00")
        drawn.append(_chart(timeline, measure, _traffic(timeline, gpus)))
    return drawn


def describe_timeline(timeline: Json) -> str:
    """What is to be known of the charts; empty without any."""
    if not timeline:
        return ""
    counted = len(timeline["gpus"])
    said = (
        f"Sampled through NVML; a point covers {timeline['seconds']:g} s (memory and temperature: "
        "the highest in it, else the mean). The stages, of which every other is grey: "
        f"{text.join_names(stage['stage'] for stage in timeline['stages'])}."
    )
    if counted > MOST_LINES:
        said += f" Of {counted} GPUs the lowest, the mean and the highest."
    if ended := timeline.get("ended"):
        said += f" The sampling ended {ended}."
    return said


def _chart(timeline: Json, measure: Measure, lines: Sequence[Line]) -> Chart:
    figure = draw_figure(
        lines, "seconds", measure.axis,
        {"stage": "@stage", "second": "@x{0,0.0}", measure.axis: f"@y{{{measure.hover}}}"},
    )  # fmt: skip
    figure.y_range.start = 0
    if measure.key == "busy":
        figure.y_range.end = 103
    _shade(figure, timeline["stages"])
    return Chart(measure.title, "", figure)


def _shade(figure: Any, stages: Sequence[Json]) -> None:
    from bokeh.models import BoxAnnotation

    for stage in stages[1::2]:
        figure.add_layout(
            BoxAnnotation(
                left=stage["begun"], right=stage.get("ended"), fill_color=GRID, fill_alpha=0.5,
                line_color=None, level="underlay",
            )
        )  # fmt: skip


def _lines(timeline: Json, gpus: Sequence[Json], measure: Measure) -> list[Line]:
    known = {_name(g): g[measure.key] for g in gpus if measure.key in g}
    if len(known) > MOST_LINES:
        moments = list(_moments(list(known.values())))
        known = {
            "lowest": [min(m, default=None) for m in moments],
            "mean": [sum(m) / len(m) if m else None for m in moments],
            "highest": [max(m, default=None) for m in moments],
        }
    return [
        _line(timeline, name, values, measure.unit, PALETTE[at])
        for at, (name, values) in enumerate(known.items())
    ]


def _traffic(timeline: Json, gpus: Sequence[Json]) -> list[Line]:
    """Both directions, all GPUs together."""
    return [
        _line(
            timeline, name,
            [sum(m) if m else None for m in _moments([g[key] for g in gpus if key in g])],
            1e9, PALETTE[at],
        )
        for at, (name, key) in enumerate(TRAFFIC.items())
    ]  # fmt: skip


def _moments(courses: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """What is known at each point."""
    longest = max(map(len, courses), default=0)
    return [
        [v for course in courses if at < len(course) and (v := course[at]) is not None]
        for at in range(longest)
    ]


def _line(
    timeline: Json, name: str, values: Sequence[float | None], unit: float, colour: str
) -> Line:
    # The middle of what a point covers; where there is no sample, the line has a gap.
    x = [(at + 0.5) * timeline["seconds"] for at in range(len(values))]
    y = [float("nan") if v is None else v / unit for v in values]
    return Line(name, {"x": x, "y": y, "stage": [_at(timeline["stages"], s) for s in x]}, colour)


def _at(stages: Sequence[Mapping[str, Any]], second: float) -> str:
    begun = [s for s in stages if s["begun"] <= second]
    if not begun or second > begun[-1].get("ended", second):
        return "between stages"
    return str(begun[-1]["stage"])


def _name(gpu: Json) -> str:
    return f"{gpu['gpu']}: {gpu['name']}"
