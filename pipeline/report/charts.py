"""Interactive charts of the models' curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.console.plural import quantify
from pipeline.report.drawing import GREY, PALETTE, Chart, Line, draw_figure
from pipeline.report.text import JsonObject

Models = Mapping[str, JsonObject]


def draw_curves(curves: JsonObject) -> list[Chart]:
    """Draw the charts that these curves allow; each shows all models."""
    models: Models = curves.get("models", {})
    charts = [*_draw_rankings(models), *_draw_bins(models)]
    if residuals := _draw_residuals(models):
        charts.append(residuals)
    # The metrics of a history have scales of their own, so each gets a chart.
    for name, model in models.items():
        by_metric: dict[str, list[Line]] = {}
        for which, metrics in model.get("history", {}).items():
            for metric, values in metrics.items():
                lines = by_metric.setdefault(metric, [])
                data = {"x": list(range(1, len(values) + 1)), "y": values}
                lines.append(Line(which, data, PALETTE[len(lines) % len(PALETTE)]))
        for metric, lines in by_metric.items():
            hover = {"round": "@x{0,0}", metric: "@y{0.00000}"}
            figure = draw_figure(lines, "rounds", metric, hover)
            charts.append(Chart(f"Learning curve: {name}", "", figure))
    return charts


def _draw_rankings(models: Models) -> list[Chart]:
    """Draw the curves over all thresholds: ROC, and precision over recall."""
    charts = []
    threshold = {"threshold": "@threshold{0.0000}"}
    if lines := _make_ranking_lines(models, "fpr", "tpr"):
        chance = Line("chance", {"x": [0, 1], "y": [0, 1]}, GREY, "dotted")
        hover = threshold | {"false positives": "@x{0.0 %}", "recall": "@y{0.0 %}"}
        axes = "false positive rate", "true positive rate"
        figure = draw_figure([*lines, chance], *axes, hover, unit_square=True)
        charts.append(Chart("ROC curve", "Dotted: chance.", figure))
    if lines := _make_ranking_lines(models, "tpr", "precision"):
        hover = threshold | {"recall": "@x{0.0 %}", "precision": "@y{0.0 %}"}
        figure = draw_figure(lines, "recall", "precision", hover, unit_square=True)
        charts.append(Chart("Precision and recall", "", figure))
    return charts


def _draw_bins(models: Models) -> list[Chart]:
    """Draw means of predictions and truth: calibration of probabilities, agreement of numbers."""
    charts = []
    note = "Bins of about equal numbers of rows; dotted: perfect."
    if lines := _make_bin_lines(models, "calibration"):
        perfect = Line("perfect", {"x": [0, 1], "y": [0, 1]}, GREY, "dotted")
        hover = {"predicted": "@x{0.0 %}", "happened": "@y{0.0 %}", "rows": "@rows{0,0}"}
        axes = "predicted probability", "share that happened"
        figure = draw_figure([*lines, perfect], *axes, hover, dots=True)
        charts.append(Chart("Calibration", note, figure))
    if lines := _make_bin_lines(models, "agreement"):
        # Numbers have no range of their own: the diagonal spans the predictions.
        values = [x for line in lines for x in line.data["x"]]
        ends = [min(values), max(values)]
        perfect = Line("perfect", {"x": ends, "y": ends}, GREY, "dotted")
        hover = {
            "predicted": "@x{0,0.000}",
            "actual": "@y{0,0.000}",
            "80 % of rows": "@low{0,0.000} to @high{0,0.000}",
            "rows": "@rows{0,0}",
        }
        axes = "predicted (mean of a bin)", "actual (mean of a bin)"
        figure = draw_figure([*lines, perfect], *axes, hover, dots=True)
        charts.append(Chart("Predicted and actual", note, figure))
    return charts


def _draw_residuals(models: Models) -> Chart | None:
    lines, outside = [], 0
    for colour, (name, which, histogram) in _list_sets(models, "residuals"):
        edges, counts = histogram["edges"], histogram["counts"]
        width = edges[1] - edges[0]
        middles = [edge + width / 2 for edge in edges[:-1]]
        outside = max(outside, histogram["below"] + histogram["above"])
        # Each model has bins of its own width: counts could not be compared, densities can.
        density = [count / width for count in counts]
        data = {"x": middles, "y": density, "rows": counts}
        lines.append(_make_line(name, which, data, colour))
    if not lines:
        return None
    hover = {"error": "@x{0,0.000}", "rows": "@rows{0,0}"}
    figure = draw_figure(lines, "actual less predicted", "rows per unit", hover, steps=True)
    return Chart("Residuals", f"At most {quantify(outside, 'row')} outside the axis.", figure)


def _make_ranking_lines(models: Models, x: str, y: str) -> list[Line]:
    lines = []
    first_model = next(iter(models), "")
    for colour, (name, which, curves) in _list_sets(models, "points"):
        # Binary models have one curve; others one per class against the rest, for test rows only.
        by_class = {"": curves} if "threshold" in curves else curves
        for at, (label, points) in enumerate(by_class.items()):
            if points is None or (label and which != "test"):
                continue
            # The first point predicts nothing as positive, so its precision is undefined.
            start = 1 if y == "precision" else 0
            data = {"x": points[x], "y": points[y], "threshold": points["threshold"]}
            data = {k: v[start:] for k, v in data.items()}
            if label:
                # Curves of all classes of all models would be too many at once.
                shade, is_hidden = PALETTE[at % len(PALETTE)], name != first_model
                lines.append(_make_line(f"{name}: {label}", which, data, shade, hidden=is_hidden))
            else:
                lines.append(_make_line(name, which, data, colour))
    return lines


def _make_bin_lines(models: Models, key: str) -> list[Line]:
    lines = []
    for colour, (name, which, bins) in _list_sets(models, key):
        data = {k: [b[k] for b in bins] for k in ("rows", "low", "high")}
        data |= {"x": [b["predicted"] for b in bins], "y": [b["actual"] for b in bins]}
        lines.append(_make_line(name, which, data, colour))
    return lines


def _list_sets(models: Models, key: str) -> list[tuple[str, tuple[str, str, Any]]]:
    """List (colour, (model, set, value of the key)), test before valid."""
    return [
        (PALETTE[at % len(PALETTE)], (name, which, value))
        for which in ("test", "valid")
        for at, (name, model) in enumerate(models.items())
        if (value := model.get(which, {}).get(key))
    ]


def _make_line(
    name: str, which: str, data: Mapping[str, Sequence[Any]], colour: str, *, hidden: bool = False
) -> Line:
    if which == "test":
        return Line(name, data, colour, hidden=hidden)
    return Line(f"{name}, {which}", data, colour, "dashed", hidden=True)
