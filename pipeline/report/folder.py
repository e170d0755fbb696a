"""The files of a run folder that the page is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts import read_json
from pipeline.errors import InputError

Json = dict[str, Any]


@dataclass(frozen=True)
class Folder:
    """What is there; an absent file is empty, and its section is left out of the page."""

    path: Path
    config: Json
    config_text: str
    manifest: Json
    ledger: list[Json]
    timeline: Json
    """What the GPUs did."""
    schema: Json
    plan: Json
    metrics: Json
    curves: Json
    sidecars: dict[str, Json]
    """By model: ``train/<model>.json``."""


def read(run: Path) -> Folder:
    """Reads the folder.

    Raises:
        InputError: it is not a run folder, or a file in it is damaged.
    """
    if not (run / "config.yaml").is_file():
        raise InputError(
            f"{str(run)!r} is not a run folder: it has no config.yaml",
            fix="name a folder that `python -m pipeline run` made, e.g. data/runs/<name>-<time>",
        )
    text, config = _config(run / "config.yaml")
    return Folder(
        path=run,
        config=config,
        config_text=text,
        manifest=_json(run / "manifest.json"),
        ledger=_lines(run / "ledger.jsonl"),
        timeline=_json(run / "gpu.json"),
        schema=_json(run / "ingest" / "schema.json"),
        plan=_json(run / "features" / "plan.json"),
        metrics=_json(run / "evaluate" / "metrics.json"),
        curves=_json(run / "evaluate" / "curves.json"),
        sidecars={p.stem: _json(p) for p in sorted((run / "train").glob("*.json"))},
    )


def _config(path: Path) -> tuple[str, Json]:
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError):
        raise _damaged(path, "YAML") from None
    if not isinstance(tree, dict):
        raise _damaged(path, "a mapping of keys")
    return text, tree


def _json(path: Path) -> Json:
    if not path.is_file():
        return {}
    found = read_json(path)
    if not isinstance(found, dict):
        raise _damaged(path, "a JSON object")
    return found


def _lines(path: Path) -> list[Json]:
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            entry = json.loads(line)
        except ValueError:
            raise _damaged(path, f"JSON in line {number}") from None
        found.append(entry)
    return found


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path} is not {what}: it was damaged after the run wrote it")
