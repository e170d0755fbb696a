"""The page's tables, as rows of plain text that the template escapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipeline.artifacts.ledger import find_total
from pipeline.report import text
from pipeline.report.text import JsonObject

METRIC_NAMES = {
    "roc_auc": "ROC AUC", "average_precision": "Average precision", "log_loss": "Log loss",
    "accuracy": "Accuracy", "precision": "Precision", "recall": "Recall", "f1": "F1",
    "threshold": "Threshold", "f1_at_threshold": "F1 at threshold", "f1_macro": "F1 (macro)",
    "roc_auc_ovr": "ROC AUC (one v. rest)", "rmse": "RMSE", "mae": "MAE", "r2": "R²",
}  # fmt: skip
LOWER_IS_BETTER = frozenset({"log_loss", "rmse", "mae"})
NOT_RANKED = frozenset({"threshold"})
HEADLINE = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
MAX_IMPORTANCES = 20
GPU_FIGURES: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "mean_busy": ("GPU busy", lambda v: f"{text.format_share(v, 1)} %"),
    "peak_memory": ("GPU memory in use", text.format_bytes),
    "mean_watts": ("GPU power", lambda v: f"{v:,.0f} W"),
}
"""Columns of GPU metrics, by their key: the head, and the format of a value."""


def tabulate_metrics(metrics: JsonObject, best: str | None) -> list[JsonObject]:
    """Return a table for test and one for valid: models in order, the baseline last."""
    tables = []
    for which, title in (("test", "Test rows"), ("valid", "Validation rows")):
        rows = {m: v[which] for m, v in metrics.get("models", {}).items() if v.get(which)}
        if not any(value is not None for row in rows.values() for value in row.values()):
            continue
        names = list(next(iter(rows.values())))
        base = metrics.get("baseline", {}).get(which)
        listed = [*rows.items(), *([("baseline", base)] if base else [])]
        columns = []
        for name in names:
            scored = [value for row in rows.values() if (value := row.get(name)) is not None]
            top = None
            # A threshold is not better if it is higher, and a single model has no rival.
            if name not in NOT_RANKED and len(scored) > 1:
                top = min(scored) if name in LOWER_IS_BETTER else max(scored)
            values = [row.get(name) for _, row in listed]
            # One scale per metric: its values are easier to compare with equal decimals.
            scale = max((abs(v) for v in values if v is not None), default=None)
            columns.append(
                [
                    {"text": text.format_metric(v, scale), "top": v == top is not None}
                    for v in values
                ]
            )
        lines = [
            {
                "name": name,
                "best": name == best and row is not base,
                "baseline": row is base,
                "cells": [column[at] for column in columns],
            }
            for at, (name, row) in enumerate(listed)
        ]
        heads = [METRIC_NAMES.get(n, n) for n in names]
        tables.append({"title": title, "heads": heads, "lines": lines})
    return tables


def tabulate_columns(summary: JsonObject, schema: JsonObject) -> list[list[str]]:
    """Return name, type as read, missing values and use of each column.

    A run of an older version has no summary: its columns come from the schema.
    """
    rows = summary.get("rows") or 0
    lines = [
        [
            column["column"],
            column["type"],
            ""
            if column["missing"] is None or not rows
            else f"{column['missing']:,} ({text.format_share(column['missing'], rows)} %)",
            column["becomes"],
        ]
        for column in summary.get("columns", [])
    ]
    stored = schema.get("schema", {}).get("columns", [])
    return lines or [[column["name"], column["dtype"], "", column["kind"]] for column in stored]


def tabulate_confusions(curves: JsonObject) -> list[JsonObject]:
    """Return confusion matrices of the test rows, shaded by the share of the true class."""
    tables = []
    for model, sets in curves.get("models", {}).items():
        for each in sets.get("test", {}).get("confusion", []):
            rest = each.get("rest", 0)
            classes = [*each.get("classes", curves.get("classes", []))]
            classes += [f"{rest:,} others"] if rest else []
            where = f", at {text.format_metric(each['threshold'])}" if "threshold" in each else ""
            tables.append(
                {
                    "title": f"{model}{where}",
                    "classes": classes,
                    "rows": [
                        {
                            "name": name,
                            "cells": [
                                {
                                    "text": text.format_count(n),
                                    "share": text.format_share(n, sum(row)),
                                }
                                for n in row
                            ],
                        }
                        for name, row in zip(classes, each["matrix"], strict=False)
                    ],
                }
            )
    return tables


def tabulate_classes(curves: JsonObject) -> list[JsonObject]:
    """Return metrics per class on the test rows, for every model of a multiclass run."""
    names = ("precision", "recall", "f1", "roc_auc")
    return [
        {
            "title": model,
            "heads": ["Rows", *(METRIC_NAMES[n] for n in names)],
            "lines": [
                {
                    "name": c["class"],
                    "cells": [
                        text.format_count(c["rows"]),
                        *(text.format_metric(c[n]) for n in names),
                    ],
                }
                for c in sets["test"]["classes"]
            ],
        }
        for model, sets in curves.get("models", {}).items()
        if sets.get("test", {}).get("classes")
    ]


def tabulate_slices(curves: JsonObject) -> list[JsonObject]:
    """Return per sliced column: rows of each value, and each model's headline metric on them."""
    metric = HEADLINE.get(curves.get("task", ""), "")
    models: Mapping[str, JsonObject] = curves.get("models", {})
    by_model = {
        m: s["test"]["slices"] for m, s in models.items() if s.get("test", {}).get("slices")
    }
    first: Mapping[str, Any] = next(iter(by_model.values()), {})
    tables = []
    for column, parts in first.items():
        total = sum(p["rows"] for p in parts)
        cells = []
        for slices in by_model.values():
            values = [p["metrics"].get(metric) for p in slices[column]]
            scale = max((abs(v) for v in values if v is not None), default=None)
            cells.append([text.format_metric(v, scale) for v in values])
        lines = []
        for at, part in enumerate(parts):
            if part["kind"] == "rest":
                name = f"{part['values']:,} other values"
            else:
                name = "missing" if part["kind"] == "missing" else str(part["value"])
            lines.append(
                {
                    "name": name,
                    # The page sets values of the column apart from these two descriptions.
                    "plain": part["kind"] == "value",
                    "rows": text.format_count(part["rows"]),
                    "share": text.format_share(part["rows"], total),
                    "cells": [column_cells[at] for column_cells in cells],
                }
            )
        tables.append(
            {
                "column": column,
                "heads": [f"{METRIC_NAMES.get(metric, metric)}, {m}" for m in by_model],
                "lines": lines,
            }
        )
    return tables


def tabulate_importances(curves: JsonObject) -> list[JsonObject]:
    """Return the most important features of each model, as bars."""
    tables = []
    for model, curve in curves.get("models", {}).items():
        listed = curve.get("importances", [])
        # Shares are of all features, bars are relative to the first.
        total = sum(i["value"] for i in listed)
        top = max((i["value"] for i in listed), default=0)
        if top <= 0:
            continue
        tables.append(
            {
                "model": model,
                "more": max(len(listed) - MAX_IMPORTANCES, 0),
                "lines": [
                    {
                        "name": i["feature"],
                        "text": f"{text.format_share(i['value'], total)} %",
                        "share": text.format_share(i["value"], top),
                    }
                    for i in listed[:MAX_IMPORTANCES]
                ],
            }
        )
    return tables


def tabulate_stages(ledger: Sequence[JsonObject]) -> JsonObject:
    """Return the ledger: a line per stage, the reasons for the devices, and all notes."""
    lines = [e for e in ledger if "seconds" in e]
    if not lines:
        return {}
    # Bars are relative to the slowest stage.
    longest = max(e["seconds"] for e in lines)
    heads = {
        "peak_host": "Peak memory", "planned_host": "Planned", "peak_device": "Peak GPU memory",
        "planned_device": "Planned (GPU)", "h2d": "Host to GPU", "d2h": "GPU to host",
    }  # fmt: skip
    # A CPU run has no columns of GPU memory or transfers.
    sizes = [k for k in heads if any(e.get(k) for e in lines)]
    gpu_keys = [k for k in GPU_FIGURES if any(k in e.get("gpu", {}) for e in lines)]
    return {
        "heads": [*(heads[k] for k in sizes), *(GPU_FIGURES[k][0] for k in gpu_keys)],
        "total": _describe_total(ledger, sum(e["seconds"] for e in lines)),
        "lines": [
            {
                "name": e.get("stage", ""),
                "device": e.get("device", ""),
                "seconds": text.format_seconds(e["seconds"]),
                "share": text.format_share(e["seconds"], longest),
                "rows": text.format_count(e["rows"]) if e.get("rows") else text.ABSENT,
                "sizes": [
                    *(text.format_bytes(e.get(k)) for k in sizes),
                    *(
                        GPU_FIGURES[k][1](e["gpu"][k]) if k in e.get("gpu", {}) else text.ABSENT
                        for k in gpu_keys
                    ),
                ],
            }
            for e in lines
        ],
        "reasons": _group_reasons(lines),
        "notes": [
            {"stage": e.get("stage", ""), "text": str(note)}
            for e in ledger
            for note in (
                *(e[k] for k in ("event", "note", "resume") if e.get(k)),
                *(e.get("notes") or ()),
            )
        ],
    }


def _describe_total(ledger: Sequence[JsonObject], of_stages: float) -> str:
    """Describe the total time of a run, as its summary does, beside that of its stages."""
    in_stages = f"{text.format_seconds(of_stages)} in these stages"
    if not any("total_seconds" in line for line in ledger):
        return in_stages  # the run stopped, or an older version made it
    return f"{text.format_seconds(find_total(ledger))} in all, {in_stages}"


def _group_reasons(lines: Sequence[JsonObject]) -> list[JsonObject]:
    """Group stages by their device and the reason for it."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for e in lines:
        key = (str(e.get("asked", "")), str(e.get("device", "")), str(e.get("reason", "")))
        groups.setdefault(key, []).append(str(e.get("stage", "")))
    return [
        {
            "asked": asked,
            "device": device,
            "reason": reason,
            "stages": "" if len(groups) == 1 else text.join_names(names),
        }
        for (asked, device, reason), names in groups.items()
    ]


def describe_plan(plan: JsonObject) -> JsonObject:
    """Return the feature ops with their phases and columns, and the columns left out."""
    steps = []
    for step in plan.get("steps", []):
        name, params = next(iter(step["op"].items()))
        described = str(params)
        if isinstance(params, Mapping):
            # The columns that a step reads have a place of their own on the page.
            hidden = "columns" if step.get("reads") else ""
            shown = {k: v for k, v in params.items() if k != hidden and v not in (None, [], {}, ())}
            described = ", ".join(f"{k}: {_format_value(v)}" for k, v in shown.items())
        steps.append(
            {
                "name": name,
                "phase": step.get("phase", ""),
                "params": described,
                "reads": text.join_names(step.get("reads", [])),
                "produces": text.join_names(step.get("produces", [])),
            }
        )
    features = [str(f["name"]) for f in plan.get("features", [])]
    return {
        "steps": steps,
        "features": text.join_names(features, 200),
        "count": len(features),
        "dropped": plan.get("dropped", []),
        "filters": plan.get("filters", []),
    }


def _format_value(value: object) -> str:
    if isinstance(value, Mapping):
        # A selection of columns as the config stores it.
        if set(value) == {"all", "but"}:
            but = f" but {text.join_names(value['but'], 6)}" if value["but"] else ""
            return text.join_names(value["all"], 6) + but
        return text.join_names((f"{k} = {_format_value(v)}" for k, v in value.items()), 6)
    if isinstance(value, Iterable) and not isinstance(value, str):
        return f"[{text.join_names((_format_value(v) for v in value), 6)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)
