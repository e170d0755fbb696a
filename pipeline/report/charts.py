"""The interactive charts of the models' curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.drawing import GREY, PALETTE, Chart, Line, draw_figure

Json = dict[str, Any]


def draw_curves(curves: Json) -> list[Chart]:
    """The charts that these curves allow, of all models together."""
    models: Mapping[str, Json] = curves.get("models", {})
    makers = (_roc, _precision_recall, _calibration, _agreement, _residuals)
    found = [chart for maker in makers if (chart := maker(models))]
    return found + _learning(models)


def _roc(models: Mapping[str, Json]) -> Chart | None:
    lines = _ranking_lines(models, "fpr", "tpr")
    if not lines:
        return None
    chance = Line("chance", {"x": [0, 1], "y": [0, 1]}, GREY, "dotted")
    figure = draw_figure(
        [*lines, chance], "false positive rate", "true positive rate",
        {"threshold": "@threshold{0.0000}", "false positives": "@x{0.0 %}", "recall": "@y{0.0 %}"},
        unit_square=True,
    )  # fmt: skip
    return Chart("ROC curve", "Dotted: chance.", figure)


def _precision_recall(models: Mapping[str, Json]) -> Chart | None:
    lines = _ranking_lines(models, "tpr", "precision")
    if not lines:
        return None
    figure = draw_figure(
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
    figure = draw_figure(
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
    figure = draw_figure(
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
    figure = draw_figure(
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
                draw_figure(
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
