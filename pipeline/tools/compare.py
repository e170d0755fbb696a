"""A comparison of finished runs: config, data, metrics, seconds and files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest
from pipeline.artifacts.ledger import find_total
from pipeline.errors import InputError
from pipeline.report import folder as folders
from pipeline.report.folder import RunFolder


def compare(paths: Sequence[Path]) -> dict[str, Any]:
    """Compare finished runs with the first of them.

    Returns:
        ``runs`` (folders), ``config``, ``data``, ``versions`` (keys whose values differ: a list of
        one value per run), ``metrics`` (test, by model and metric: likewise, equal ones included),
        ``seconds`` (by stage) and ``files`` (artefacts: True where all runs have the same bytes).

    Raises:
        InputError: A folder is not a finished run, or all are the same folder.
    """
    if len({path.resolve() for path in paths}) < 2:
        raise InputError("compare needs two runs", fix="name two different run folders")
    for path in paths:
        if path.is_dir() and not os.path.lexists(path / manifest.MANIFEST):
            raise manifest.unfinished_run_error(path)
    runs = [folders.read_run_folder(path) for path in paths]
    with manifest.report_misfits(*paths):
        return _compared(runs)


def _compared(runs: Sequence[RunFolder]) -> dict[str, Any]:
    return {
        "runs": [str(run.path) for run in runs],
        "config": list_differences([flatten(run.config) for run in runs]),
        "data": list_differences([_data(run) for run in runs]),
        "versions": list_differences([run.manifest.get("versions", {}) for run in runs]),
        "metrics": _beside([_metrics(run) for run in runs]),
        "seconds": _beside([_seconds(run) for run in runs]),
        "files": _files(runs),
    }


def flatten(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a tree of mappings by dotted key; a list is a leaf."""
    if not isinstance(tree, Mapping) or not tree:
        return {prefix: tree}
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        leaves |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return leaves


def _beside(trees: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Collect the values of each key, one per tree; None if a tree lacks the key."""
    keys = dict.fromkeys(key for tree in trees for key in tree)
    return {key: [tree.get(key) for tree in trees] for key in keys}


def list_differences(trees: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return the keys whose values differ between the trees."""
    beside = _beside(trees)
    return {key: values for key, values in beside.items() if any(v != values[0] for v in values)}


def _data(run: RunFolder) -> dict[str, Any]:
    facts: dict[str, Any] = {f"{which} rows": n for which, n in run.manifest["rows"].items()}
    inputs = run.manifest.get("inputs", [])
    facts |= {f"fingerprint of {i['path']}": i["fingerprint"] for i in inputs}
    return {**facts, "device": run.manifest.get("device"), "task": run.manifest.get("task")}


def _metrics(run: RunFolder) -> dict[str, float | None]:
    models = run.metrics["models"]
    scores = {f"{m} {n}": v for m, sets in models.items() for n, v in sets.get("test", {}).items()}
    base = run.metrics.get("baseline", {}).get("test", {})
    return {f"baseline {name}": value for name, value in base.items()} | scores


def _seconds(run: RunFolder) -> dict[str, float]:
    stages = {str(e["stage"]): float(e["seconds"]) for e in run.ledger if "seconds" in e}
    return {**stages, "in all": round(find_total(run.ledger), 2)}


def _files(runs: Sequence[RunFolder]) -> dict[str, bool]:
    """Return for each file whether all runs have the same bytes."""
    # The ledger contains times, and the differences of the config are listed by key.
    hashes = _beside([run.manifest.get("files", {}) for run in runs])
    left_out = ("config.yaml", "ledger.jsonl")
    return {
        name: all(value == values[0] for value in values)
        for name, values in sorted(hashes.items())
        if name not in left_out
    }
