"""The interactive charts, as Bokeh's JSON items that the page's script embeds.

Colours of text and grid are greys that read on a light and on a dark page: a chart's canvas cannot
follow the page's colours. All axes are numbers; names from the data appear only in legends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PALETTE = ("#3f72af", "#d9822b", "#2a9d8f", "#9b5de5", "#c8553d", "#6c8e3f")
GREY, GRID = "#7d858f", "rgba(128, 136, 146, 0.22)"
HEIGHT, LEGEND_ROW = 310, 24  # CSS pixels
MAX_NAME, TWO_COLUMNS = 36, 18  # characters: a legend has to fit on a phone

Json = dict[str, Any]


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


def all_charts(curves: Json) -> list[Chart]:
    """The charts that these curves allow, of all models together."""
    models: Mapping[str, Json] = curves.get("models", {})
    makers = (_roc, _precision_recall, _calibration, _agreement, _residuals)
    found = [chart for maker in makers if (chart := maker(models))]
    return found + _learning(models)


def items(charts: Sequence[Chart]) -> list[Json]:
    """For ``Bokeh.embed.embed_item``: chart ``i`` goes into the element ``chart-i``."""
    from bokeh.embed import json_item

    return [dict(json_item(c.figure, f"chart-{i}")) for i, c in enumerate(charts)]


def _roc(models: Mapping[str, Json]) -> Chart | None:
    lines = _ranking_lines(models, "fpr", "tpr")
    if not lines:
        return None
    chance = Line("chance", {"x": [0, 1], "y": [0, 1]}, GREY, "dotted")
    figure = _figure(
        [*lines, chance], "false positive rate", "true positive rate",
        {"threshold": "@threshold{0.0000}", "false positives": "@x{0.0 %}", "recall": "@y{0.0 %}"},
        unit_square=True,
    )  # fmt: skip
    return Chart("ROC curve", "Dotted: chance.", figure)


def _precision_recall(models: Mapping[str, Json]) -> Chart | None:
    lines = _ranking_lines(models, "tpr", "precision")
    if not lines:
        return None
    figure = _figure(
        lines, "recall", "precision",
        {"threshold": "@threshold{0.0000}", "recall": "@x{0.0 %}", "precision": "@y{0.0 %}"},
        unit_square=True,
    )  # fmt: skip
    return Chart("Precision and recall", "", figure)


def _calibration(models: Mapping[str, Json]) -> Chart | None:
    lines = _bin_lines(models, "calibration")
    if not lines:
        return None
    perfect = Line("perfect", {"x": [0, 1], "y": [0, 1]}, GREY, "dotted")
    figure = _figure(
        [*lines, perfect], "predicted probability", "share that happened",
        {"predicted": "@x{0.0 %}", "happened": "@y{0.0 %}", "rows": "@rows{0,0}"}, dots=True,
    )  # fmt: skip
    return Chart("Calibration", "Bins of about equal numbers of rows; dotted: perfect.", figure)


def _agreement(models: Mapping[str, Json]) -> Chart | None:
    lines = _bin_lines(models, "agreement")
    if not lines:
        return None
    ends = [x for line in lines for x in line.data["x"]]
    ends = [min(ends), max(ends)]
    perfect = Line("perfect", {"x": ends, "y": ends}, GREY, "dotted")
    figure = _figure(
        [*lines, perfect], "predicted (mean of a bin)", "actual (mean of a bin)",
        {
            "predicted": "@x{0,0.000}", "actual": "@y{0,0.000}",
            "80 % of rows": "@low{0,0.000} to @high{0,0.000}", "rows": "@rows{0,0}",
        },
        dots=True,
    )  # fmt: skip
    return Chart(
        "Predicted and actual", "Bins of about equal numbers of rows; dotted: perfect.", figure
    )


def _residuals(models: Mapping[str, Json]) -> Chart | None:
    lines, outside = [], 0
    for colour, (name, which, found) in _sets(models, "residuals"):
        edges, counts = found["edges"], found["counts"]
        width = edges[1] - edges[0]
        middles = [edge + width / 2 for edge in edges[:-1]]
        outside = max(outside, found["below"] + found["above"])
        # Models have bins of their own width: rows of a bin cannot be compared.
        density = [count / width for count in counts]
        lines.append(_line(name, which, {"x": middles, "y": density, "rows": counts}, colour))
    if not lines:
        return None
    figure = _figure(
        lines, "actual less predicted", "rows per unit",
        {"error": "@x{0,0.000}", "rows": "@rows{0,0}"}, steps=True,
    )  # fmt: skip
    return Chart("Residuals", f"Up to {outside:,} rows lie outside the axis.", figure)


def _learning(models: Mapping[str, Json]) -> list[Chart]:
    """A chart per model that has a history: ``{set: {metric: [by round]}}``."""
    found = []
    for name, model in models.items():
        by_metric: dict[str, list[Line]] = {}
        for which, metrics in model.get("history", {}).items():
            for metric, values in metrics.items():
                lines = by_metric.setdefault(metric, [])
                rounds = list(range(1, len(values) + 1))
                lines.append(
                    Line(which, {"x": rounds, "y": values}, PALETTE[len(lines) % len(PALETTE)])
                )
        found += [
            Chart(
                f"Learning curve: {name}",
                "",
                _figure(
                    lines, "rounds", metric, {"round": "@x{0,0}", metric: "@y{0.00000}"}
                ),
            )
            for metric, lines in by_metric.items()
        ]  # fmt: skip
    return found


def _ranking_lines(models: Mapping[str, Json], x: str, y: str) -> list[Line]:
    lines = []
    for colour, (name, which, found) in _sets(models, "points"):
        # Binary: one curve. Multiclass: one for each class against the others, test only.
        curves = {"": found} if "threshold" in found else found
        for at, (label, points) in enumerate(curves.items()):
            if points is None or (label and which != "test"):
                continue
            # The first point calls nothing positive: its precision is not defined.
            start = 1 if y == "precision" else 0
            data = {"x": points[x], "y": points[y], "threshold": points["threshold"]}
            data = {k: v[start:] for k, v in data.items()}
            own = f"{name}: {label}" if label else name
            shade = PALETTE[at % len(PALETTE)] if label else colour
            lines.append(
                _line(own, which, data, shade, hidden=label != "" and name != _first(models))
            )
    return lines


def _bin_lines(models: Mapping[str, Json], key: str) -> list[Line]:
    return [
        _line(
            name, which,
            {
                "x": [b["predicted"] for b in bins], "y": [b["actual"] for b in bins],
                **{k: [b[k] for b in bins] for k in ("rows", "low", "high")},
            },
            colour,
        )
        for colour, (name, which, bins) in _sets(models, key)
    ]  # fmt: skip


def _sets(models: Mapping[str, Json], key: str) -> list[tuple[str, tuple[str, str, Any]]]:
    """(colour, (model, set, what is under the key)), test before valid."""
    return [
        (PALETTE[at % len(PALETTE)], (name, which, found))
        for which in ("test", "valid")
        for at, (name, model) in enumerate(models.items())
        if (found := model.get(which, {}).get(key))
    ]


def _line(
    name: str, which: str, data: Mapping[str, Sequence[Any]], colour: str, *, hidden: bool = False
) -> Line:
    if which == "test":
        return Line(name, data, colour, hidden=hidden)
    return Line(f"{name}, {which}", data, colour, "dashed", hidden=True)


def _first(models: Mapping[str, Json]) -> str:
    return next(iter(models))


def _figure(
    lines: Sequence[Line], x: str, y: str, hover: Mapping[str, str],
    *, unit_square: bool = False, dots: bool = False, steps: bool = False,
) -> Any:  # fmt: skip
    from bokeh.models import BoxZoomTool, HoverTool, Legend, LegendItem, ResetTool, SaveTool
    from bokeh.plotting import figure

    # No tool listens to drags from the start: on a phone they scroll the page.
    fig = figure(
        sizing_mode="stretch_width", x_axis_label=x, y_axis_label=y,
        tools=[BoxZoomTool(), ResetTool(), SaveTool()], toolbar_location="above",
        active_drag=None, active_scroll=None, active_tap=None,
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
