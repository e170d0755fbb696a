"""The files of a run folder that the page is made of."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import sealed
from pipeline.artifacts import UNHASHED
from pipeline.config.loader import yaml_tree
from pipeline.errors import InputError
from pipeline.ledger import last_run
from pipeline.sealed import Sealed

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
    audit: Json
    """What `python -m pipeline audit` found, if it was asked."""


def read(run: Path) -> Folder:
    """Reads the folder; where it has a manifest, each file is checked against it first.

    Raises:
        InputError: it is not a run folder, or a file in it is damaged, altered or not the run's.
    """
    if not (run / "config.yaml").is_file():
        raise InputError(
            f"{str(run)!r} is not a run folder: it has no config.yaml",
            fix="name a folder that `python -m pipeline run` made, e.g. data/runs/<name>-<time>",
        )
    seal = sealed.opened(run)
    data = _Bytes(run, seal)
    text, config = _config(run / "config.yaml", data)
    return Folder(
        path=run,
        config=config,
        config_text=text,
        manifest=dict(seal.manifest) if seal else {},
        ledger=_lines(run / "ledger.jsonl", data),
        timeline=_json(run / "gpu.json", data),
        schema=_json(run / "ingest" / "schema.json", data),
        plan=_json(run / "features" / "plan.json", data),
        metrics=_json(run / "evaluate" / "metrics.json", data),
        curves=_json(run / "evaluate" / "curves.json", data),
        sidecars={path.stem: _json(path, data) for path in _sidecars(run, seal)},
        audit=_json(run / "audit.json", data),
    )


def _sidecars(run: Path, seal: Sealed | None) -> list[Path]:
    """Those that are there, and those that should be."""
    listed = [run / name for name in (seal.files if seal else ())]
    wanted = {path for path in listed if path.parent == run / "train" and path.suffix == ".json"}
    return sorted(wanted | {*(run / "train").glob("*.json")})


@dataclass(frozen=True)
class _Bytes:
    """What is in the files of a run, sealed or not."""

    run: Path
    seal: Sealed | None

    def __call__(self, path: Path) -> bytes | None:
        """The file's bytes; None where it is not there, and need not be."""
        name = path.relative_to(self.run).as_posix()
        listed = self.seal is not None and name in self.seal.files
        if not listed and not os.path.lexists(path):
            return None
        if self.seal is None or name in UNHASHED:
            return sealed.read_within(self.run, name, sealed.MAX_TEXT)
        return self.seal.read(path)


def _config(path: Path, data: _Bytes) -> tuple[str, Json]:
    content = data(path) or b""
    tree = yaml_tree(content, path)
    if not isinstance(tree, dict):
        raise _damaged(path, "a mapping of keys")
    return content.decode("utf-8"), tree


def _json(path: Path, data: _Bytes) -> Json:
    content = data(path)
    if content is None:
        return {}
    found = sealed.parsed(content, path)
    if not isinstance(found, dict):
        raise _damaged(path, "a JSON object")
    return found


def _lines(path: Path, data: _Bytes) -> list[Json]:
    found = []
    lines = (data(path) or b"").splitlines()
    first = last_run(lines)
    for number, line in enumerate(lines[first:], first + 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise _damaged(path, f"JSON in line {number}") from None
        found.append(entry)
    return found


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path} is not {what}: it was damaged after the run wrote it")
