"""The files of a run folder that the page is made of."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.artifacts import manifest as sealed
from pipeline.artifacts.files import UNHASHED
from pipeline.artifacts.ledger import find_last_run, ledger_line_adapter
from pipeline.artifacts.manifest import VerifiedRun
from pipeline.config.loader import parse_yaml_bytes
from pipeline.config.stored import Plain, StoredObject, check_stored
from pipeline.errors import InputError
from pipeline.evaluate.stored import curves_adapter, metrics_adapter
from pipeline.features.engine.plan_file import plan_adapter
from pipeline.ingest.contract_file import contract_adapter
from pipeline.report.audit_file import get_audit_adapter
from pipeline.telemetry.timeline_file import timeline_validator
from pipeline.train.model_io import check_sidecar

Json = dict[str, Any]


@dataclass(frozen=True)
class RunFolder:
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


def read_run_folder(run: Path) -> RunFolder:
    """Reads the folder; where it has a manifest, each file is checked against it first.

    Raises:
        InputError: it is not a run folder, or a file in it is damaged, altered or not the run's.
    """
    if not (run / "config.yaml").is_file():
        raise InputError(
            f"{str(run)!r} is not a run folder: it has no config.yaml",
            fix="name a folder that `python -m pipeline run` made, e.g. data/runs/<name>-<time>",
        )
    seal = sealed.open_run(run)
    data = _Bytes(run, seal)
    text, config = _config(run / "config.yaml", data)
    evaluated = run / "evaluate"
    return RunFolder(
        path=run,
        config=config,
        config_text=text,
        manifest=dict(seal.manifest) if seal else {},
        ledger=_lines(run / "ledger.jsonl", data),
        timeline=_json(run / "gpu.json", data, timeline_validator()),
        schema=_json(run / "ingest" / "schema.json", data, contract_adapter()),
        plan=_json(run / "features" / "plan.json", data, plan_adapter()),
        metrics=_json(evaluated / "metrics.json", data, metrics_adapter()),
        curves=_json(evaluated / "curves.json", data, curves_adapter()),
        sidecars={path.stem: _sidecar(path, data) for path in _sidecars(run, seal)},
        audit=_json(run / "audit.json", data, get_audit_adapter()),
    )


def _sidecars(run: Path, seal: VerifiedRun | None) -> list[Path]:
    """Those that are there, and those that should be."""
    listed = [run / name for name in (seal.files if seal else ())]
    wanted = {path for path in listed if path.parent == run / "train" and path.suffix == ".json"}
    return sorted(wanted | {*(run / "train").glob("*.json")})


@dataclass
class _Bytes:
    """What is in the files of a run, sealed or not; all of them together are bounded."""

    run: Path
    seal: VerifiedRun | None
    size: int = 0
    values: int = 0

    def __call__(self, path: Path) -> bytes | None:
        """The file's bytes; None where it is not there, and need not be."""
        name = path.relative_to(self.run).as_posix()
        listed = self.seal is not None and name in self.seal.files
        if not listed and not os.path.lexists(path):
            return None
        if self.seal is None or name in UNHASHED:
            found = sealed.read_within(self.run, name)
        else:
            found = self.seal.read(path)
        self.size += len(found)
        self.values += sealed.count_values(found) + found.count(b"\n")
        sealed.check_amount(self.size, self.values, self.run)
        return found


def _config(path: Path, data: _Bytes) -> tuple[str, Json]:
    content = data(path) or b""
    tree = parse_yaml_bytes(content, path)
    check_stored(_asked(), tree, path)
    return content.decode("utf-8"), tree


def _json(path: Path, data: _Bytes, kind: TypeAdapter[Any]) -> Json:
    content = data(path)
    if content is None:
        return {}
    found: Json = sealed.parse_json(content, path)
    check_stored(kind, found, path)
    return found


def _sidecar(path: Path, data: _Bytes) -> Json:
    content = data(path)
    if content is None:
        return {}
    found: Json = sealed.parse_json(content, path)
    check_sidecar(found, path.stem, path)
    return found


def _lines(path: Path, data: _Bytes) -> list[Json]:
    found = []
    lines = (data(path) or b"").splitlines()
    first = find_last_run(lines)
    for number, line in enumerate(lines[first:], first + 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(
                f"{path} is not JSON in line {number}: it was damaged after the run wrote it"
            ) from None
        check_stored(ledger_line_adapter(), entry, f"{path}: line {number}")
        found.append(entry)
    return found


class AskedData(StoredObject):
    """What the page shows of ``data``."""

    path: str | list[str]
    target: str
    tables: dict[str, Plain] = {}


class AskedSplit(StoredObject):
    """What the page shows of ``split``."""

    by: str | None = None
    column: str | None = None
    valid: float | None = None
    test: float | None = None


class AskedCluster(StoredObject):
    """What tells how the run goes on."""

    kind: str = ""


class Asked(StoredObject):
    """What commands show of a config, which may be one of an older version."""

    data: AskedData
    name: str | None = None
    seed: int = 0
    split: AskedSplit = AskedSplit()
    cluster: AskedCluster = AskedCluster()


@cache
def _asked() -> TypeAdapter[Asked]:
    return TypeAdapter(Asked)
