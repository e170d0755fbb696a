"""The page ``report.html``: the run's data and config, its metrics, and its cost.

It is rendered from the files of the run folder alone, so it can be rewritten at any time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest as manifests
from pipeline.artifacts.files import write_text
from pipeline.errors import quote_path
from pipeline.evaluate import run_warnings
from pipeline.ingest.reading_note import ReadingNote
from pipeline.report import audit, charts, document, folder, tables, text, timeline
from pipeline.report.folder import RunFolder
from pipeline.report.text import JsonObject

REPORT = "report.html"
TASKS = {
    "binary": "Binary classification",
    "multiclass": "Multiclass classification",
    "regression": "Regression",
}


def write_report(run: Path) -> Path:
    """Write ``report.html`` into a run folder and return its path.

    Raises:
        InputError: it is not a run folder, or a file in it is damaged.
        MachineError: the page cannot be written.
    """
    path = run / REPORT
    write_text(path, render(folder.read_run_folder(run)))
    return path


def rewrite_report(run: Path) -> Path:
    """Write the report of a folder that may have been altered since its run.

    Raises:
        InputError: as `write_report`, or the run's files do not match each other.
    """
    with manifests.report_misfits(run):
        return write_report(run)


def render(run: RunFolder) -> str:
    """Render the page of a run."""
    curves, gpus = charts.draw_curves(run.curves), timeline.draw_gpu_charts(run.timeline)
    name = _quote_folder(run.path)
    return document.render_document(
        "page.html",
        [*curves, *gpus],
        **_describe_run(run),
        charts=curves,
        gpu_charts=gpus,
        gpu_note=timeline.describe_timeline(run.timeline),
        metrics=tables.tabulate_metrics(run.metrics, run.manifest.get("best")),
        confusions=tables.tabulate_confusions(run.curves),
        per_class=tables.tabulate_classes(run.curves),
        slices=tables.tabulate_slices(run.curves),
        importances=tables.tabulate_importances(run.curves),
        stages=tables.tabulate_stages(run.ledger),
        plan=tables.describe_plan(run.plan) if run.plan else {},
        audit=audit.build_section(run.audit, run.manifest.get("files", {})),
        columns=tables.tabulate_columns(run.columns, run.schema),
        reading=[str(ReadingNote(**note)) for note in run.schema.get("notes", [])],
        warnings=_list_warnings(run, name),
        versions=run.manifest.get("versions", {}),
        config_text=run.config_text,
        command=f"python -m pipeline predict {name} DATA --out predictions.parquet",
        audit_command=f"python -m pipeline audit {name}",
    )


def _list_warnings(run: RunFolder, name: str) -> list[JsonObject]:
    """Return the text and the fix of each warning, as in the summary of the run."""
    stored = run_warnings.from_json(run.warnings) if run.warnings else []
    texts = list(run.manifest.get("warnings", []))
    if not run.manifest:
        # Without a manifest no file can be verified, so the page has to warn.
        texts = ["the run has no manifest.json: these files may have been altered"]
    listed = [{"text": warning.message, "fix": warning.fix_in(name)} for warning in stored]
    return [*listed, *({"text": text, "fix": ""} for text in texts)]


def _quote_folder(run: Path) -> str:
    """Quote the folder for a command: relative to the working directory, unless it is outside."""
    relative = os.path.relpath(run)
    return quote_path(run if relative.startswith("..") else relative)


def _describe_run(run: RunFolder) -> dict[str, Any]:
    """Return the title and the list of facts below it."""
    config, manifest, data = run.config, run.manifest, run.config.get("data", {})
    task = run.metrics.get("task") or manifest.get("task", "")
    classes = run.curves.get("classes") or manifest.get("classes") or []
    # The manifest has the same facts, in case metrics.json is missing.
    rows = run.metrics.get("rows") or manifest.get("rows") or {}
    about_task = [TASKS[task]] if task in TASKS else []
    if task == "multiclass":
        about_task.append(f"{len(classes):,} classes: {text.join_names(classes)}")
    elif task == "binary" and len(classes) == 2:
        about_task.append(f"positive class {classes[1]}, negative class {classes[0]}")
    if about_task and manifest.get("why"):
        about_task.append(str(manifest["why"]))
    # A split by share names no column, and a given column of sets has no shares.
    split = config.get("split") or {}
    about_split = [f"by {split['by']}"] if split.get("by") else []
    about_split += [f"of column {split['column']}"] if split.get("column") else []
    shares = [f"{split[s]:.0%} {s}" for s in ("valid", "test") if split.get(s) is not None]
    facts = [
        ("Target", str(data.get("target", ""))),
        ("Task", "; ".join(about_task)),
        ("Data", text.join_names(data.get("path", []))),
        ("Side tables", text.join_names(data.get("tables") or {})),
        ("Split", ", ".join(p for p in (" ".join(about_split), *shares) if p)),
        ("Rows", ", ".join(f"{text.format_count(n)} {which}" for which, n in rows.items())),
        ("Seed", str(config.get("seed", ""))),
    ]
    folder_name = run.path.resolve().name
    return {
        "name": str(config.get("name") or folder_name),
        "run": folder_name,
        "task": TASKS.get(task, ""),
        "target": str(data.get("target", "")),
        "best": manifest.get("best"),
        "facts": [(name, value) for name, value in facts if value],
        "refit": bool(manifest.get("refit")),
    }
