"""Drawing of the report's charts: lines on numeric axes, as Bokeh's JSON items.

All axes are numeric; names from the data appear only in legends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.report.text import JsonObject

if TYPE_CHECKING:
    from bokeh.models import GlyphRenderer
    from bokeh.plotting import figure

PALETTE = ("#3f72af", "#d9822b", "#2a9d8f", "#9b5de5", "#c8553d", "#6c8e3f")
# Greys that are legible on a light and on a dark page: a canvas cannot follow the page's colours.
GREY, GRID = "#7d858f", "rgba(128, 136, 146, 0.22)"
HEIGHT, LEGEND_ROW = 310, 24  # CSS pixels
MAX_NAME, TWO_COLUMNS = 36, 18  # characters: a legend has to fit on a phone


@dataclass(frozen=True)
class Chart:
    """A chart with its title and a note."""

    title: str
    note: str
    figure: Any


@dataclass(frozen=True)
class Line:
    """A curve: columns ``x`` and ``y``, and other columns for the hover text."""

    name: str
    data: Mapping[str, Sequence[Any]]
    colour: str
    dash: str = "solid"
    hidden: bool = False
    """Hidden until its name in the legend is clicked."""


def to_bokeh_items(charts: Sequence[Chart]) -> list[JsonObject]:
    """Convert charts for ``Bokeh.embed.embed_item``: chart ``i`` fills the element ``chart-i``."""
    from bokeh.embed import json_item

    return [dict(json_item(c.figure, f"chart-{i}")) for i, c in enumerate(charts)]


def draw_figure(
    lines: Sequence[Line],
    x: str,
    y: str,
    hover: Mapping[str, str],
    *,
    unit_square: bool = False,
    dots: bool = False,
    steps: bool = False,
    logs: str = "",
) -> figure:
    """Draw lines as a Bokeh figure.

    Args:
        lines: the curves.
        x: label of the x axis.
        y: label of the y axis.
        hover: the text over a point: labels, and formats of Bokeh's.
        unit_square: whether both axes range from 0 to 1.
        dots: whether to draw a dot at each point.
        steps: whether to draw steps instead of lines.
        logs: the logarithmic axes: ``x``, ``y`` or ``xy``.
    """
    from bokeh.models import BoxZoomTool, HoverTool, Legend, LegendItem, ResetTool, SaveTool
    from bokeh.plotting import figure

    # No tool listens to drags from the start: on a phone they scroll the page.
    fig = figure(
        sizing_mode="stretch_width",
        x_axis_label=x,
        y_axis_label=y,
        tools=[BoxZoomTool(), ResetTool(), SaveTool()],
        toolbar_location="above",
        active_drag=None,
        active_scroll=None,
        active_tap=None,
        **{f"{axis}_axis_type": "log" for axis in logs},
    )
    entries, hovered = [], []
    for line in lines:
        renderers = _draw_line(fig, line, dots=dots and line.dash != "dotted", steps=steps)
        # A dotted line is for comparison: it has no values to show, and is never hidden.
        if line.dash == "dotted":
            continue
        name = line.name if len(line.name) <= MAX_NAME else line.name[: MAX_NAME - 1] + "…"
        entries.append(LegendItem(label={"value": name}, renderers=renderers))
        hovered += renderers
    fig.add_tools(HoverTool(tooltips=list(hover.items()), renderers=hovered, mode="mouse"))
    # Long names get a column of their own, so that the legend fits on a phone.
    columns = 2 if max(len(line.name) for line in lines) <= TWO_COLUMNS else 1
    fig.height = HEIGHT + LEGEND_ROW * -(-len(entries) // columns)
    legend = Legend(items=entries, ncols=columns, click_policy="hide", location="center")
    fig.add_layout(legend, "below")
    if unit_square:
        fig.x_range.start = fig.y_range.start = -0.01
        fig.x_range.end = fig.y_range.end = 1.01
    _apply_style(fig)
    return fig


def _draw_line(fig: figure, line: Line, *, dots: bool, steps: bool) -> list[GlyphRenderer]:
    from bokeh.models import ColumnDataSource

    source = ColumnDataSource({k: list(v) for k, v in line.data.items()})
    style = {"source": source, "line_color": line.colour, "line_width": 2, "line_dash": line.dash}
    renderers = [
        fig.step("x", "y", mode="center", **style) if steps else fig.line("x", "y", **style)
    ]
    if dots:
        renderers.append(fig.scatter("x", "y", source=source, size=7, color=line.colour))
    for renderer in renderers:
        renderer.visible = not line.hidden
    return renderers


def _apply_style(fig: figure) -> None:
    # Transparent backgrounds let the chart follow the page from light to dark.
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
