"""Charts of GPU metrics over a run, from its ``gpu.json``; there are none without that file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.report import text
from pipeline.report.drawing import GRID, PALETTE, Chart, Line, draw_figure
from pipeline.report.text import JsonObject

Samples = Sequence[float | None]
"""A value per point of time; None without a sample."""
MOST_LINES = 6
"""With more GPUs, a chart shows the lowest, the mean and the highest value."""


@dataclass(frozen=True)
class Measure:
    """A chart of values of ``gpu.json``."""

    title: str
    axis: str
    key: str
    unit: float
    """Divisor of the value."""
    hover: str
    """A format of Bokeh's."""


MEASURES = (
    Measure("GPU utilization", "%", "busy", 0.01, "0"),
    Measure("GPU memory", "GB", "used", 1e9, "0.00"),
    Measure("GPU power", "W", "watts", 1, "0"),
    Measure("GPU temperature", "°C", "celsius", 1, "0"),
)
TRAFFIC = {"host to GPU": "received", "GPU to host": "sent"}


def draw_gpu_charts(timeline: JsonObject) -> list[Chart]:
    """Draw utilization, memory, power, temperature and PCIe traffic, as far as recorded."""
    gpus: Sequence[JsonObject] = timeline.get("gpus", [])
    charts = []
    for measure in MEASURES:
        samples = {f"{g['gpu']}: {g['name']}": g[measure.key] for g in gpus if measure.key in g}
        if len(samples) > MOST_LINES:
            every = list(samples.values())
            samples = {
                "lowest": _combine(every, min),
                "mean": _combine(every, lambda values: sum(values) / len(values)),
                "highest": _combine(every, max),
            }
        if samples:
            charts.append(_draw_chart(timeline, measure, samples))
    # Traffic is summed over all GPUs: the sum is what the host's memory has to sustain.
    traffic = {
        name: _combine([g[key] for g in gpus if key in g], sum) for name, key in TRAFFIC.items()
    }
    if any(key in gpu for gpu in gpus for key in TRAFFIC.values()):
        measure = Measure("Traffic over PCIe", "GB/s", "", 1e9, "0.00")
        charts.append(_draw_chart(timeline, measure, traffic))
    return charts


def describe_timeline(timeline: JsonObject) -> str:
    """Describe what the charts show; empty without charts."""
    if not timeline:
        return ""
    gpus = len(timeline["gpus"])
    description = (
        f"Sampled through NVML; each point covers {timeline['seconds']:g} s and shows the mean, "
        "for memory and temperature the maximum. Every second stage has a grey background: "
        f"{text.join_names(stage['stage'] for stage in timeline['stages'])}."
    )
    if gpus > MOST_LINES:
        description += f" The lines are the lowest, the mean and the highest of {gpus} GPUs."
    if ended := timeline.get("ended"):
        description += f" The sampling ended {ended}."
    return description


def _combine(every: Sequence[Samples], function: Callable[[list[float]], float]) -> Samples:
    """Combine the samples of several GPUs at each point of time."""
    combined: list[float | None] = []
    for at in range(max(map(len, every), default=0)):
        # A GPU may have fewer samples than another one, and gaps.
        values = [v for samples in every if at < len(samples) and (v := samples[at]) is not None]
        combined.append(function(values) if values else None)
    return combined


def _draw_chart(timeline: JsonObject, measure: Measure, samples: dict[str, Samples]) -> Chart:
    from bokeh.models import BoxAnnotation

    lines = []
    for colour, (name, values) in zip(PALETTE, samples.items(), strict=False):
        # A point is drawn in the middle of its time; NaN leaves a gap in the line.
        x = [(at + 0.5) * timeline["seconds"] for at in range(len(values))]
        y = [float("nan") if v is None else v / measure.unit for v in values]
        stages = []
        for second in x:
            begun = [stage for stage in timeline["stages"] if stage["begun"] <= second]
            # A stage without an end was running when the sampling ended.
            is_running = bool(begun) and second <= begun[-1].get("ended", second)
            stages.append(str(begun[-1]["stage"]) if is_running else "between stages")
        lines.append(Line(name, {"x": x, "y": y, "stage": stages}, colour))
    hover = {"stage": "@stage", "second": "@x{0,0.0}", measure.axis: f"@y{{{measure.hover}}}"}
    figure = draw_figure(lines, "seconds", measure.axis, hover)
    figure.y_range.start = 0
    if measure.key == "busy":
        # Slightly more than 100 %, so that a line at 100 % is not cut off.
        figure.y_range.end = 103
    for stage in timeline["stages"][1::2]:
        figure.add_layout(
            BoxAnnotation(
                left=stage["begun"],
                right=stage.get("ended"),
                fill_color=GRID,
                fill_alpha=0.5,
                line_color=None,
                level="underlay",
            )
        )
    return Chart(measure.title, "", figure)
