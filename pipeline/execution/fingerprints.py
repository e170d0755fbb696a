"""What each stage of a run depends on, as a key: decision 13.

A key is a hash of the stage's slice of the config, the fingerprints of its inputs, the device, the
seed, the versions of the libraries that it uses, this package's code, what the memory plan leaves
out for want of room, and the keys of the stages that it builds on. Where the key is what it was,
the stage's results are too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.errors import shorten
from pipeline.execution.job import Job
from pipeline.features.registry import dump_op
from pipeline.ingest.sources.files import File
from pipeline.memory.planner import MemoryPlan
from pipeline.train.model import MODEL_REGISTRY, sort_for_training
from pipeline.versions import find_versions

Facts = Mapping[str, Any]
"""JSON: section (``config``, ``files``, ``versions``, …) to name to value."""

FRAMES = ("numpy", "pandas", "pyarrow", "cudf-cu13", "cudf-cu12")
SHOWN = 3
"""Differences that a reason names."""


@dataclass(frozen=True)
class StageInputs:
    """What one stage depends on."""

    facts: Facts
    after: tuple[str, ...] = ()
    """The stages that it builds on."""

    def key(self, stage: str, device: str, keys: Mapping[str, str]) -> str:
        """SHA-256, in hexadecimal; ``keys`` are those of the stages before."""
        return digest([stage, device, self.facts, [keys[name] for name in self.after]])


def digest(value: Any) -> str:
    """SHA-256 of JSON, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def bases(job: Job, plan: MemoryPlan) -> dict[str, StageInputs]:
    """What the stages of a run depend on, in the order of their names in the ledger."""
    facts = {name: _train(job, plan, name) for name in sort_for_training(job.models)}
    found = {
        "read": StageInputs(_read(job)),
        "split": StageInputs(_split(job, plan), ("read",)),
        "features": StageInputs(_features(job), ("split",)),
    }
    found |= {f"train {name}": StageInputs(own, ("features",)) for name, own in facts.items()}
    found["evaluate"] = StageInputs(_evaluate(job, plan), tuple(f"train {name}" for name in facts))
    found["refit features"] = StageInputs({}, ("features",))
    for name, own in facts.items():  # the training tells the rounds
        found[f"refit {name}"] = StageInputs(own, ("refit features", f"train {name}"))
    return found


# -- what the stages depend on ---------------------------------------------------------------------


def _read(job: Job) -> Facts:
    data = job.config.data
    config = _slice(data, "data", "path", "format", "csv", "types", "on_bad_rows", "rows")
    if data.on_bad_rows == "quarantine":  # which rows are bad depends on what is looked at
        config["columns read"] = list(job.reads)
    return {"config": config, "files": file_fingerprints(job.contract.files), **_made_by(FRAMES)}


def _split(job: Job, plan: MemoryPlan) -> Facts:
    config = _slice(job.config.data, "data", "target", "task", "positive", "weight")
    config |= _slice(job.config.split, "split")
    config |= {"filter": [f.text for f in job.filters], "seed": job.config.seed}
    return {"config": config, "memory": {"share of the training rows": plan.train_rate}}


def _features(job: Job) -> Facts:
    config: dict[str, Any] = {"features": "chosen", "golden": job.config.golden}
    if job.ops is not None:
        del config["features"]
        config |= {f"features[{i}]": dump_op(op) for i, op in enumerate(job.ops)}
    for name in job.table_files:
        table = job.config.data.tables[name]
        config |= _slice(table, f"data.tables.{name}", "path", "format", "csv", "types", "keys")
    files = [file for files in job.table_files.values() for file in files]
    return {"config": config, "files": file_fingerprints(files), **_made_by(FRAMES)}


def _train(job: Job, plan: MemoryPlan, name: str) -> Facts:
    most = plan.forest_rows if name == "forest" else None
    return {
        "config": _slice(job.models[name], f"models.{name}"),
        "memory": {"rows of the forest": most},
        **_made_by(("numpy", *MODEL_REGISTRY[name].packages)),
    }


def _evaluate(job: Job, plan: MemoryPlan) -> Facts:
    config = {"evaluate.slices": list(job.config.evaluate.slices), "models": list(job.models)}
    return {"config": config, "memory": {"share of the rows judged": plan.scored_share}}


def _slice(section: Any, where: str, *names: str) -> dict[str, Any]:
    """A section of the config by dotted key; without names, all of it."""
    found = section.model_dump(mode="json", by_alias=True)
    return {f"{where}.{name}": found[name] for name in names or found}


def file_fingerprints(files: Iterable[File]) -> dict[str, str]:
    """``size-mtime_ns`` or the store's ETag, by path."""
    return {file.path: f"{file.size} {file.fingerprint}" for file in files}


def _made_by(libraries: Sequence[str]) -> dict[str, Any]:
    return {"versions": find_versions(libraries), "code": {"pipeline": _code()}}


@cache
def _code() -> str:
    """A hash of this package's modules."""
    root = Path(__file__).parents[1]
    found = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        found.update(f"{path.relative_to(root).as_posix()} {path.stat().st_size}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()


# -- what has changed ------------------------------------------------------------------------------

WORDS = {"versions": "the version of ", "files": "the file ", "memory": "memory: "}


def differences(old: Facts, new: Facts) -> list[str]:
    """What is not as it was, in words."""
    found = []
    for section in dict.fromkeys([*old, *new]):
        if section == "code":
            found += ["the code of pipeline has changed"] if old.get("code") != new["code"] else []
            continue
        before, now = old.get(section, {}), new.get(section, {})
        for name in dict.fromkeys([*before, *now]):
            found += _changes(section, name, before.get(name), now.get(name))
    return found


def _changes(section: str, name: str, before: Any, now: Any) -> list[str]:
    """As deep as the values are mappings that share keys."""
    if before == now:
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping) and set(before) & set(now):
        names = dict.fromkeys([*before, *now])
        parts = (_changes(section, f"{name}.{n}", before.get(n), now.get(n)) for n in names)
        return [change for part in parts for change in part]
    return [_difference(section, f"{WORDS.get(section, '')}{name}", before, now)]


def _difference(section: str, what: str, before: Any, now: Any) -> str:
    if section == "files" and before and now:
        return f"{what} is another"
    if before is None or now is None:
        return f"{what} is {'new' if before is None else 'gone'}"
    return f"{what} was {shorten(before)}, is {shorten(now)}"


def listed(changes: Sequence[str]) -> str:
    """The first of the differences, in one line."""
    more = len(changes) - SHOWN
    return "; ".join(changes[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
