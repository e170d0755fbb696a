"""Fingerprints of stages: hashes of everything that a stage's results depend on (decision 13).

The inputs of a stage are its slice of the config, the fingerprints of its files, the versions of
its libraries, this package's code, what the memory plan leaves out for want of room, and the
fingerprints of upstream stages. If the fingerprint is unchanged, so are the results.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from pipeline.artifacts.stage_id import StageId
from pipeline.errors import shorten
from pipeline.ingest.sources.files import File
from pipeline.versions import find_versions

Inputs = Mapping[str, Any]
"""JSON: section (``config``, ``files``, ``versions``, …) to name to value."""

FRAME_LIBRARIES = ("numpy", "pandas", "pyarrow", "cudf-cu13", "cudf-cu12")
SHOWN = 3
"""Number of changes that a reason names."""


@dataclass(frozen=True)
class StageInputs:
    """Everything that the results of one stage depend on."""

    inputs: Inputs
    after: tuple[StageId, ...] = ()
    """The upstream stages."""

    def fingerprint(self, stage_id: StageId, device: str, keys: Mapping[StageId, str]) -> str:
        """Return the SHA-256 in hexadecimal; ``keys`` are the fingerprints of upstream stages."""
        upstream = [keys[name] for name in self.after]
        return hash_json([str(stage_id), device, self.inputs, upstream])


def hash_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def slice_config(section: BaseModel, where: str, *names: str) -> dict[str, Any]:
    """Return values of a section of the config by dotted key; without names, all of them."""
    values = section.model_dump(mode="json", by_alias=True)
    return {f"{where}.{name}": values[name] for name in names or values}


def file_fingerprints(files: Iterable[File]) -> dict[str, str]:
    """Return ``size-mtime_ns`` or the store's ETag, by path."""
    return {file.path: f"{file.size} {file.fingerprint}" for file in files}


def software_inputs(libraries: Sequence[str]) -> dict[str, Any]:
    """Return the versions of libraries and the hash of this package's code."""
    return {"versions": find_versions(libraries), "code": {"pipeline": _hash_code()}}


@cache
def _hash_code() -> str:
    root = Path(__file__).parents[1]
    code = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        # Names and sizes delimit the files: moved code is other code.
        code.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
        code.update(path.read_bytes())
    return code.hexdigest()


# -- what has changed ------------------------------------------------------------------------------

PREFIXES = {"versions": "the version of ", "files": "the file ", "memory": "memory: "}


def list_changes(old: Inputs, new: Inputs) -> list[str]:
    """Describe how the inputs of a stage have changed."""
    changes: list[str] = []
    for section in dict.fromkeys([*old, *new]):
        if section == "code":
            if old.get("code") != new["code"]:
                changes.append("the code of pipeline has changed")
            continue
        before, now = old.get(section, {}), new.get(section, {})
        for name in dict.fromkeys([*before, *now]):
            changes += _compare(section, name, before.get(name), now.get(name))
    return changes


def _compare(section: str, name: str, before: Any, now: Any) -> list[str]:
    """Descend as deep as the values are mappings that share keys."""
    if before == now:
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping) and set(before) & set(now):
        names = dict.fromkeys([*before, *now])
        parts = (_compare(section, f"{name}.{n}", before.get(n), now.get(n)) for n in names)
        return [change for part in parts for change in part]
    what = f"{PREFIXES.get(section, '')}{name}"
    if section == "files" and before and now:
        return [f"{what} has changed"]
    if before is None or now is None:
        return [f"{what} is {'new' if before is None else 'gone'}"]
    return [f"{what} was {shorten(before)}, is {shorten(now)}"]


def shorten_changes(changes: Sequence[str]) -> str:
    """Return the first changes and the number of the others, in one line."""
    more = len(changes) - SHOWN
    return "; ".join(changes[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
