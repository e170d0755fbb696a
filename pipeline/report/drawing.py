"""How the report's charts are drawn: lines on number axes, as Bokeh's JSON items.

Colours of text and grid are greys that read on a light and on a dark page: a chart's canvas cannot
follow the page's colours. All axes are numbers; names from the data appear only in legends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

PALETTE = ("#3f72af", "#d9822b", "#2a9d8f", "#9b5de5", "#c8553d", "#6c8e3f")
GREY, GRID = "#7d858f", "rgba(128, 136, 146, 0.22)"
HEIGHT, LEGEND_ROW = 310, 24  # CSS pixels
MAX_NAME, TWO_COLUMNS = 36, 18  # characters: a legend has to fit on a phone


@dataclass(frozen=True)
class Chart:
    """A chart and the words around it."""

    title: str
    note: str
    figure: Any


@dataclass(frozen=True)
class Line:
    """A curve: columns ``x`` and ``y``, and more columns for the hover text."""

    name: str
    data: Mapping[str, Sequence[Any]]
    colour: str
    dash: str = "solid"
    hidden: bool = False
    """Shown once its name in the legend is clicked."""


def to_bokeh_items(charts: Sequence[Chart]) -> list[Json]:
    """For ``Bokeh.embed.embed_item``: chart ``i`` goes into the element ``chart-i``."""
    from bokeh.embed import json_item

    return [dict(json_item(c.figure, f"chart-{i}")) for i, c in enumerate(charts)]


def draw_figure(
    lines: Sequence[Line], x: str, y: str, hover: Mapping[str, str],
    *, unit_square: bool = False, dots: bool = False, steps: bool = False, logs: str = "",
) -> Any:  # fmt: skip
    """A Bokeh figure of the lines.

    Args:
        x: the axis' label; ``y`` too.
        hover: what is shown over a point: label and a format of Bokeh's.
        unit_square: both axes from 0 to 1.
        dots: a dot at each point; ``steps``: steps instead of a line.
        logs: the axes that are logarithmic: ``x``, ``y`` or ``xy``.
    """
    from bokeh.models import BoxZoomTool, HoverTool, Legend, LegendItem, ResetTool, SaveTool
    from bokeh.plotting import figure

    # No tool listens to drags from the start: on a phone they scroll the page.
    fig = figure(
        sizing_mode="stretch_width", x_axis_label=x, y_axis_label=y,
        tools=[BoxZoomTool(), ResetTool(), SaveTool()], toolbar_location="above",
        active_drag=None, active_scroll=None, active_tap=None,
        **{f"{axis}_axis_type": "log" for axis in logs},
    )  # fmt: skip
    entries, hovered = [], []
    for line in lines:
        drawn = _draw(fig, line, dots=dots and line.dash != "dotted", steps=steps)
        if line.dash == "dotted":  # a line to compare with: nothing to read off or to hide
            continue
        entries.append(LegendItem(label={"value": _short(line.name)}, renderers=drawn))
        hovered += drawn
    tips = [(key, value) for key, value in hover.items()]
    fig.add_tools(HoverTool(tooltips=tips, renderers=hovered, mode="mouse"))
    columns = 2 if max(len(line.name) for line in lines) <= TWO_COLUMNS else 1
    fig.height = HEIGHT + LEGEND_ROW * -(-len(entries) // columns)
    legend = Legend(items=entries, ncols=columns, click_policy="hide", location="center")
    fig.add_layout(legend, "below")
    if unit_square:
        fig.x_range.start = fig.y_range.start = -0.01
        fig.x_range.end = fig.y_range.end = 1.01
    _style(fig)
    return fig


def _short(name: str) -> str:
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def _draw(fig: Any, line: Line, *, dots: bool, steps: bool) -> list[Any]:
    from bokeh.models import ColumnDataSource

    source = ColumnDataSource({k: list(v) for k, v in line.data.items()})
    style = {"source": source, "line_color": line.colour, "line_width": 2, "line_dash": line.dash}
    drawn = [fig.step("x", "y", mode="center", **style) if steps else fig.line("x", "y", **style)]
    if dots:
        drawn.append(fig.scatter("x", "y", source=source, size=7, color=line.colour))
    for renderer in drawn:
        renderer.visible = not line.hidden
    return drawn


def _style(fig: Any) -> None:
    fig.toolbar.logo = None
    fig.toolbar.autohide = True
    for name in ("background_fill_color", "border_fill_color", "outline_line_color"):
        setattr(fig, name, None)
    fig.grid.grid_line_color = GRID
    font = {"text_color": GREY, "text_font": "system-ui, sans-serif", "text_font_size": "12px"}
    for name, value in font.items():
        setattr(fig.axis, f"major_label_{name}", value)
        setattr(fig.axis, f"axis_label_{name}", value)
        setattr(fig.legend, f"label_{name}", value)
    fig.axis.axis_label_text_font_style = "normal"
    fig.axis.axis_line_color = fig.axis.major_tick_line_color = GRID
    fig.axis.minor_tick_line_color = None
    fig.legend.background_fill_color = fig.legend.border_line_color = None
    fig.legend.padding, fig.legend.spacing, fig.legend.margin = 4, 10, 6
    fig.legend.inactive_fill_color, fig.legend.inactive_fill_alpha = GREY, 0.15
