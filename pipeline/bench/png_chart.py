"""bench.png: seconds of a run by rows, a line per device, on logarithmic scales.

Drawn with Pillow, which Bokeh needs anyway: Bokeh itself writes a PNG only through a browser.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.report.drawing import PALETTE

if TYPE_CHECKING:
    from PIL import ImageDraw

WIDTH, HEIGHT, SCALE = 900, 540, 2  # points, and pixels per point
LEFT, RIGHT, TOP, BOTTOM = 80, 24, 74, 62
INK, QUIET, LINE, PAGE = "#1c2127", "#5d6670", "#e3e6ea", "#ffffff"
NAMES = {"cpu": "CPU", "gpu": "GPU"}
COLOURS = dict(zip(NAMES, PALETTE, strict=False))


@dataclass(frozen=True)
class Axis:
    """A logarithmic axis: values from ``low`` to ``high`` lie between two points of the image."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Where a value lies."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Powers of ten; with 2 and 5 between them where these are few."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1,) if len(powers) > 4 else (1, 2, 5)
        found = [step * 10.0**power for power in powers for step in steps]
        return [value for value in found if self.low <= value <= self.high]


def around(values: Sequence[float], start: float, end: float) -> Axis:
    """An axis with some room beside its values."""
    return Axis(min(values) / 1.4, max(values) * 1.4, start, end)


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Writes the chart of a benchmark's results as PNG."""
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), PAGE)
    pen = ImageDraw.Draw(image)
    lines = lines_of(result["summary"])
    text(pen, (LEFT, 14), f"{result['name']}: seconds of a run, by rows", size=18, fill=INK)
    text(pen, (LEFT, 40), subtitle(result), size=12)
    if lines:
        _plot(pen, lines, result)
    else:
        text(pen, (LEFT, TOP), "every run failed", size=14)
    image.save(path, format="PNG", optimize=True)


def lines_of(summary: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """By device, what was measured, by rows."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in sorted(summary, key=lambda line: (line["device"], line["rows"])):
        if line["runs"]:
            found.setdefault(line["device"], []).append(line)
    return found


def subtitle(result: Mapping[str, Any]) -> str:
    """Machine, repetitions, and where the GPU pays."""
    machine, gpus = result["machine"], result["gpus"]
    names = [f"{machine['processor']}, {machine['cores']} cores", *(g["name"] for g in gpus[:1])]
    runs = f"median of {result['asked']['repeat']}"
    said = [result["pays"]["says"]] if gpus else []
    return "; ".join([*names, runs, *said])


def _plot(
    pen: ImageDraw.ImageDraw, lines: Mapping[str, list[Mapping[str, Any]]],
    result: Mapping[str, Any],
) -> None:  # fmt: skip
    points = [line for own in lines.values() for line in own]
    x = around([line["rows"] for line in points], LEFT, WIDTH - RIGHT)
    y = around([s for line in points for s in line["seconds_range"]], HEIGHT - BOTTOM, TOP)
    _grid(pen, x, y)
    pays = result["pays"]["rows"]
    if pays:
        pen.line(_scaled([(x.at(pays), y.start), (x.at(pays), y.end)]), fill=QUIET, width=SCALE)
        text(pen, (x.at(pays) + 6, y.start - 20), f"{pays:,}", size=12)
    for position, (device, own) in enumerate(lines.items()):
        colour = COLOURS[device]
        course = _scaled([(x.at(line["rows"]), y.at(line["seconds"])) for line in own])
        pen.line(course, fill=colour, width=2 * SCALE, joint="curve")
        for line in own:
            _mark(pen, x.at(line["rows"]), [y.at(s) for s in line["seconds_range"]], y, line)
        at = LEFT + 12 + 90 * position
        pen.line(_scaled([(at, TOP + 14), (at + 22, TOP + 14)]), fill=colour, width=3 * SCALE)
        text(pen, (at + 28, TOP + 6), NAMES[device], size=13, fill=INK)


def _mark(
    pen: ImageDraw.ImageDraw, at: float, ends: Sequence[float], y: Axis, line: Mapping[str, Any]
) -> None:
    """A point, and the range of its runs."""
    colour, middle, radius = COLOURS[line["device"]], y.at(line["seconds"]), 4
    pen.line(_scaled([(at, ends[0]), (at, ends[-1])]), fill=colour, width=SCALE)
    box = _scaled([(at - radius, middle - radius), (at + radius, middle + radius)])
    pen.ellipse(box, fill=colour)


def _grid(pen: ImageDraw.ImageDraw, x: Axis, y: Axis) -> None:
    for value in x.ticks():
        at = x.at(value)
        pen.line(_scaled([(at, y.start), (at, y.end)]), fill=LINE, width=SCALE)
        text(pen, (at, y.start + 8), f"{value:,.0f}", anchor="ma")
    for value in y.ticks():
        at = y.at(value)
        pen.line(_scaled([(x.start, at), (x.end, at)]), fill=LINE, width=SCALE)
        text(pen, (x.start - 10, at), f"{value:g} s", anchor="rm")
    text(pen, ((x.start + x.end) / 2, y.start + 34), "rows", anchor="ma")


def text(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], words: str, *,
    size: int = 13, fill: str = QUIET, anchor: str = "la",
) -> None:  # fmt: skip
    """Words at a point, in Pillow's own font."""
    from PIL import ImageFont

    font = ImageFont.load_default(size * SCALE)
    pen.text((at[0] * SCALE, at[1] * SCALE), words, font=font, fill=fill, anchor=anchor)


def _scaled(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x * SCALE, y * SCALE) for x, y in points]
