"""report.html: one file that says what was run on what, how well it does, and what it took.

Made of the run folder's files alone, so that it can be made again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest as sealed
from pipeline.artifacts.files import write_text
from pipeline.errors import quote_path
from pipeline.report import audit, charts, document, folder, tables, text, timeline
from pipeline.report.folder import RunFolder

REPORT = "report.html"
TASKS = {
    "binary": "Binary classification",
    "multiclass": "Multiclass classification",
    "regression": "Regression",
}


def write_report(run: Path) -> Path:
    """Writes ``report.html`` into a run folder and returns its path.

    Raises:
        InputError: it is not a run folder, or a file in it is damaged.
        MachineError: the page cannot be written.
    """
    found = folder.read_run_folder(run)
    path = run / REPORT
    write_text(path, render(found))
    return path


def rewrite_report(run: Path) -> Path:
    """`write_report` of a folder that may have been altered since its run.

    Raises:
        InputError: as `write_report`, or its files do not fit together.
    """
    with sealed.report_misfits(run):
        return write_report(run)


def render(found: RunFolder) -> str:
    """The page of a run."""
    drawn, gpus = charts.draw_curves(found.curves), timeline.draw_gpu_charts(found.timeline)
    return document.render_document(
        "page.html",
        [*drawn, *gpus],
        **_header(found),
        charts=drawn,
        gpu_charts=gpus,
        gpu_note=timeline.describe_timeline(found.timeline),
        metrics=tables.tabulate_metrics(found.metrics, found.manifest.get("best")),
        confusions=tables.tabulate_confusions(found.curves),
        per_class=tables.tabulate_classes(found.curves),
        slices=tables.tabulate_slices(found.curves),
        importances=tables.tabulate_importances(found.curves),
        stages=tables.tabulate_stages(found.ledger),
        plan=tables.describe_plan(found.plan) if found.plan else {},
        audit=audit.build_section(found.audit, found.manifest.get("files", {})),
        columns=found.schema.get("schema", {}).get("columns", []),
        warnings=_warnings(found),
        versions=found.manifest.get("versions", {}),
        config_text=found.config_text,
        command=_command(found.path),
        audit_command=f"python -m pipeline audit {_near(found.path)}",
    )


def _warnings(found: RunFolder) -> list[str]:
    if not found.manifest:
        return ["The run has no manifest.json: nothing vouches for what is shown here."]
    return list(found.manifest.get("warnings", []))


def _header(found: RunFolder) -> dict[str, Any]:
    """What was run on what data: the title and the list of facts under it."""
    config, manifest, data = found.config, found.manifest, found.config.get("data", {})
    task = found.metrics.get("task") or manifest.get("task", "")
    classes = found.curves.get("classes") or manifest.get("classes") or []
    facts = [
        ("Target", str(data.get("target", ""))),
        ("Task", _task(task, classes, manifest.get("why"))),
        ("Data", text.join_names(data.get("path", []))),
        ("Side tables", text.join_names(data.get("tables") or {})),
        ("Split", _split(config.get("split", {}))),
        ("Rows", _rows(found.metrics.get("rows") or manifest.get("rows") or {})),
        ("Seed", str(config.get("seed", ""))),
    ]
    return {
        "name": str(config.get("name") or found.path.resolve().name),
        "run": found.path.resolve().name,
        "task": TASKS.get(task, ""),
        "target": str(data.get("target", "")),
        "best": manifest.get("best"),
        "facts": [(name, value) for name, value in facts if value],
        "refit": bool(manifest.get("refit")),
    }


def _task(task: str, classes: Sequence[Any], why: Any) -> str:
    if task not in TASKS:
        return ""
    parts = [TASKS[task]]
    if task == "multiclass":
        parts.append(f"{len(classes):,} classes: {text.join_names(classes)}")
    elif task == "binary" and len(classes) == 2:
        parts.append(f"positive class {classes[1]}, against {classes[0]}")
    return "; ".join([*parts, *([str(why)] if why else [])])


def _split(split: dict[str, Any]) -> str:
    if not split:
        return ""
    by = f"by {split['by']}" if split.get("by") else ""
    column = f"of column {split['column']}" if split.get("column") else ""
    shares = [f"{split[s]:.0%} {s}" for s in ("valid", "test") if split.get(s) is not None]
    return ", ".join(p for p in (f"{by} {column}".strip(), *shares) if p)


def _rows(rows: dict[str, int]) -> str:
    return ", ".join(f"{text.format_count(n)} {which}" for which, n in rows.items())


def _command(run: Path) -> str:
    """The command that scores new data with this run, from the working directory."""
    return f"python -m pipeline predict {_near(run)} DATA --out predictions.parquet"


def _near(run: Path) -> str:
    """The run folder as a command names it from the working directory."""
    near = os.path.relpath(run)
    return quote_path(run if near.startswith("..") else near)
