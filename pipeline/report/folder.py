"""The files of a run folder that the page shows."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pipeline.artifacts import manifest as manifests
from pipeline.artifacts.files import UNHASHED
from pipeline.artifacts.ledger import find_last_run, ledger_line_adapter
from pipeline.artifacts.manifest import VerifiedRun
from pipeline.config.loader import parse_yaml_bytes
from pipeline.config.stored import Plain, StoredObject, check_stored
from pipeline.errors import InputError
from pipeline.evaluate.run_warnings import warnings_adapter
from pipeline.evaluate.stored import curves_adapter, metrics_adapter
from pipeline.features import column_summary
from pipeline.features.engine.plan_file import plan_adapter
from pipeline.ingest.contract_file import contract_adapter
from pipeline.report.audit_file import get_audit_adapter
from pipeline.report.text import JsonObject
from pipeline.telemetry.timeline_file import timeline_validator
from pipeline.train.model_io import check_sidecar


@dataclass(frozen=True)
class RunFolder:
    """Content of a run folder; a missing file is empty, and its section is left out."""

    path: Path
    config: JsonObject
    config_text: str
    manifest: JsonObject
    ledger: list[JsonObject]
    timeline: JsonObject
    """GPU metrics over time."""
    schema: JsonObject
    columns: JsonObject
    """Summary of the columns; empty in a run of an older version."""
    plan: JsonObject
    metrics: JsonObject
    curves: JsonObject
    warnings: JsonObject
    """Warnings of the evaluation; empty in a run of an older version."""
    sidecars: dict[str, JsonObject]
    """Content of ``train/<model>.json`` per model."""
    audit: JsonObject
    """Result of `python -m pipeline audit`."""


def read_run_folder(run: Path) -> RunFolder:
    """Read a run folder; if it has a manifest, verify each file against it first.

    Raises:
        InputError: it is not a run folder, or a file in it is damaged, altered or from another run.
    """
    if not (run / "config.yaml").is_file():
        raise InputError(
            f"{str(run)!r} is not a run folder: it has no config.yaml",
            fix="name a folder that `python -m pipeline run` wrote, e.g. data/runs/<name>-<time>",
        )
    verified = manifests.open_run(run)
    reader = _FileReader(run, verified)
    path = run / "config.yaml"
    content = reader.read(path) or b""
    config = parse_yaml_bytes(content, path)
    check_stored(_config_adapter(), config, path)
    # A model file that the manifest lists and that is missing must not go unnoticed.
    listed = [run / name for name in (verified.files if verified else ())]
    expected = {p for p in listed if p.parent == run / "train" and p.suffix == ".json"}
    sidecars = sorted(expected | {*(run / "train").glob("*.json")})
    evaluated = run / "evaluate"
    return RunFolder(
        path=run,
        config=config,
        config_text=content.decode("utf-8"),
        manifest=dict(verified.manifest) if verified else {},
        ledger=_read_ledger(run / "ledger.jsonl", reader),
        timeline=reader.read_json(run / "gpu.json", timeline_validator()),
        schema=reader.read_json(run / "ingest" / "schema.json", contract_adapter()),
        columns=reader.read_json(run / column_summary.FILE, column_summary.columns_adapter()),
        plan=reader.read_json(run / "features" / "plan.json", plan_adapter()),
        metrics=reader.read_json(evaluated / "metrics.json", metrics_adapter()),
        curves=reader.read_json(evaluated / "curves.json", curves_adapter()),
        warnings=reader.read_json(evaluated / "warnings.json", warnings_adapter()),
        sidecars={
            p.stem: reader.read_checked(p, lambda c, path: check_sidecar(c, path.stem, path))
            for p in sidecars
        },
        audit=reader.read_json(run / "audit.json", get_audit_adapter()),
    )


@dataclass
class _FileReader:
    """Reader of a run's files, with or without a manifest; their total size is limited."""

    run: Path
    verified: VerifiedRun | None
    size: int = 0
    values: int = 0

    def read(self, path: Path) -> bytes | None:
        """Return the file's bytes; None if it is missing and not listed in the manifest."""
        name = path.relative_to(self.run).as_posix()
        is_listed = self.verified is not None and name in self.verified.files
        if not is_listed and not os.path.lexists(path):
            return None
        if self.verified is None or name in UNHASHED:
            content = manifests.read_within(self.run, name)
        else:
            content = self.verified.read(path)
        # Small files may hold many values, which take far more memory than their text.
        self.size += len(content)
        self.values += manifests.count_values(content) + content.count(b"\n")
        manifests.check_amount(self.size, self.values, self.run)
        return content

    def read_checked(self, path: Path, check: Callable[[JsonObject, Path], object]) -> JsonObject:
        """Return a JSON file's content after a check; empty if the file is missing."""
        content = self.read(path)
        if content is None:
            return {}
        parsed: JsonObject = manifests.parse_json(content, path)
        check(parsed, path)
        return parsed

    def read_json(self, path: Path, adapter: TypeAdapter[Any]) -> JsonObject:
        """Return a JSON file's content after the check of its model."""
        return self.read_checked(path, lambda parsed, _: check_stored(adapter, parsed, path))


def _read_ledger(path: Path, reader: _FileReader) -> list[JsonObject]:
    entries = []
    lines = (reader.read(path) or b"").splitlines()
    # A resumed run appends to the ledger: lines of earlier runs are not shown.
    first = find_last_run(lines)
    for number, line in enumerate(lines[first:], first + 1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise InputError(
                f"{path} is not JSON in line {number}: it was damaged after the run wrote it",
                fix="restore the run folder from a copy, or run the config again",
            ) from None
        check_stored(ledger_line_adapter(), entry, f"{path}: line {number}")
        entries.append(entry)
    return entries


class ShownData(StoredObject):
    """The part of ``data`` that the page shows."""

    path: str | list[str]
    target: str
    tables: dict[str, Plain] = {}


class ShownSplit(StoredObject):
    """The part of ``split`` that the page shows."""

    by: str | None = None
    column: str | None = None
    valid: float | None = None
    test: float | None = None


class ShownCluster(StoredObject):
    """The part of ``cluster`` that decides how a run is resumed."""

    kind: str = ""


class ShownConfig(StoredObject):
    """The part of a config that commands show; the config may be of an older version."""

    data: ShownData
    name: str | None = None
    seed: int = 0
    split: ShownSplit = ShownSplit()
    cluster: ShownCluster = ShownCluster()


@cache
def _config_adapter() -> TypeAdapter[ShownConfig]:
    return TypeAdapter(ShownConfig)
