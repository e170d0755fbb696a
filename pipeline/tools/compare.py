"""Two runs or more side by side: what was asked, what came of it, what it took."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest
from pipeline.errors import InputError
from pipeline.report import folder as folders
from pipeline.report.folder import RunFolder


def compare(paths: Sequence[Path]) -> dict[str, Any]:
    """What differs between finished runs, the first being what the others are compared with.

    Returns:
        ``runs`` (folders), ``config``, ``data``, ``versions`` (keys whose values differ: a list of
        one value a run), ``metrics`` (test, by model and metric: likewise, equal ones included),
        ``seconds`` (by stage) and ``files`` (artefacts: True where all runs have the same bytes).

    Raises:
        InputError: one is no finished run, or all are the same folder.
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
    """The leaves of a tree of mappings by dotted key; a list is a leaf."""
    if not isinstance(tree, Mapping) or not tree:
        return {prefix: tree}
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return found


def _beside(trees: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Every key of any tree, in the order of the first that has it: a value a tree, or None."""
    keys = dict.fromkeys(key for tree in trees for key in tree)
    return {key: [tree.get(key) for tree in trees] for key in keys}


def list_differences(trees: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values are not all the same."""
    beside = _beside(trees)
    return {key: values for key, values in beside.items() if any(v != values[0] for v in values)}


def _data(run: RunFolder) -> dict[str, Any]:
    found: dict[str, Any] = {f"{which} rows": n for which, n in run.manifest["rows"].items()}
    inputs = run.manifest.get("inputs", [])
    found |= {f"fingerprint of {i['path']}": i["fingerprint"] for i in inputs}
    return {**found, "device": run.manifest.get("device"), "task": run.manifest.get("task")}


def _metrics(run: RunFolder) -> dict[str, float | None]:
    models = run.metrics["models"]
    own = {f"{m} {n}": v for m, sets in models.items() for n, v in sets.get("test", {}).items()}
    base = run.metrics.get("baseline", {}).get("test", {})
    return {f"baseline {name}": value for name, value in base.items()} | own


def _seconds(run: RunFolder) -> dict[str, float]:
    stages = {str(e["stage"]): float(e["seconds"]) for e in run.ledger if "seconds" in e}
    return {**stages, "all stages": round(sum(stages.values()), 2)}


def _files(runs: Sequence[RunFolder]) -> dict[str, bool]:
    """Not the ledger, which holds times, nor the config, whose differences are shown."""
    hashes = _beside([run.manifest.get("files", {}) for run in runs])
    left_out = ("config.yaml", "ledger.jsonl")
    return {
        name: all(found == own[0] for found in own)
        for name, own in sorted(hashes.items())
        if name not in left_out
    }
