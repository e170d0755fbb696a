"""A finished run opened again: its config, what its manifest says, and its data as they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.artifacts import manifest as sealed
from pipeline.audit.suspicious_names import is_entity_name
from pipeline.config.loader import parse_yaml_bytes
from pipeline.config.model import Cluster, Config
from pipeline.errors import InputError
from pipeline.execution.job import Job, prepare_job
from pipeline.features.engine import fit
from pipeline.features.engine.fit import FittedPlan
from pipeline.schema import RESERVED

CONFIG = "config.yaml"
MAX_ENTITIES = 20
"""Columns at most that are looked at as names of entities, by name first."""


@dataclass(frozen=True)
class FinishedRun:
    """A run, and the job that reads its rows again."""

    run: Path
    manifest: Mapping[str, Any]
    """Its ``rows`` and ``inputs``; ``files``: hashes of config and plan."""
    config: Config
    """The run's, with the data's new place if one was given."""
    job: Job
    """On the CPU, in this process; it keeps the columns below beside those of the features."""
    saved_plan: FittedPlan
    """As the run left it."""
    entities: tuple[str, ...]
    """Columns that may name entities."""
    times: tuple[str, ...]
    """Columns of times, and what the split is by if that is a time."""
    changes: tuple[str, ...]
    """What is not as it was when the run read it."""


def open_finished_run(run: Path, data: Sequence[str] | None = None) -> FinishedRun:
    """Checks the run's files and opens them, then its data.

    Args:
        run: the folder.
        data: where the run's data are now; None: where they were.

    Raises:
        InputError: no finished run, a file altered, no data, or others that do not fit.
    """
    seal = sealed.open_finished_run(run)
    path = run / CONFIG
    config = Config.parse(parse_yaml_bytes(seal.read(path), path))
    if data:
        config = config.model_copy(
            update={"data": config.data.model_copy(update={"path": tuple(data)})}
        )
    with sealed.report_misfits(run):
        saved = fit.load(run / "features", seal.read)
        manifest = _plain(seal.manifest)
    job = _job(config, data)
    entities, times = _entities(job, saved), _times(job)
    return FinishedRun(
        run, manifest, config, _keeping(job, {*entities, *times}), saved, entities, times,
        tuple(_changed(manifest, job, moved=bool(data))),
    )  # fmt: skip


def _plain(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Of the manifest the rows per set, the input files, and what the audit is about."""
    rows = {str(name): int(n) for name, n in manifest["rows"].items()}
    inputs = [
        {"path": str(i["path"]), "bytes": int(i["bytes"]), "fingerprint": str(i["fingerprint"])}
        for i in manifest["inputs"]
    ]
    files = {name: str(manifest["files"][name]) for name in (CONFIG, f"features/{fit.PLAN}")}
    return {"rows": rows, "inputs": inputs, "files": files}


def _job(config: Config, data: Sequence[str] | None) -> Job:
    own = {"device": "cpu", "cluster": Cluster(dashboard=False), "refit": "never", "golden": 0}
    try:
        return prepare_job(config.model_copy(update=own))
    except InputError as error:
        if data:
            raise
        hint = "if the data have moved: --data PATH"
        fix = f"{error.fix}; {hint}" if error.fix else hint
        raise type(error)(error.message, examples=error.examples, fix=fix) from None


def _entities(job: Job, saved: FittedPlan) -> tuple[str, ...]:
    """Text and whole numbers that are named like ids, then text that the models use."""
    allowed = [
        c.name for c in job.source
        if c.dtype in ("text", "int64") and c.name not in {*job.source.target, *RESERVED}
        and not (job.config.split.by in ("group", "column") and c.name == job.config.split.column)
    ]  # fmt: skip
    used = {name for name in saved.needed if name in job.source and job.source[name].kind == "text"}
    named = [name for name in allowed if is_entity_name(name)]
    others = [name for name in allowed if name in used and name not in named]
    return tuple([*named, *others][:MAX_ENTITIES])


def _times(job: Job) -> tuple[str, ...]:
    split, found = job.config.split, [c.name for c in job.source if c.kind == "datetime"]
    found = [n for n in found if n not in {*job.source.target, *RESERVED}]
    if split.by == "time" and split.column and split.column not in found:
        found.append(split.column)
    return tuple(found)


def _keeping(job: Job, names: set[str]) -> Job:
    """The job with these columns in its frames too, as if metrics were sliced by them."""
    evaluate = job.config.evaluate
    more = evaluate.model_copy(update={"slices": tuple({*evaluate.slices, *names})})
    wanted = {*job.reads, *names}
    return replace(
        job, config=job.config.model_copy(update={"evaluate": more}),
        reads=tuple(n for n in job.source.names if n in wanted),
    )  # fmt: skip


def _changed(manifest: Mapping[str, Any], job: Job, *, moved: bool) -> list[str]:
    """How the main table's files differ from those that the run read."""
    then = {i["path"]: i for i in manifest["inputs"]}
    now = {f.path: f for f in job.contract.files}
    if moved:
        sizes = [
            sorted(i["bytes"] for i in then.values()),
            sorted(f.size for f in now.values()),
        ]
        return [] if sizes[0] == sizes[1] else ["the given files have other sizes than the run's"]
    found = [f"{path} is new" for path in now if path not in then]
    found += [f"{path} is gone" for path in then if path not in now]
    for path in (p for p in now if p in then):
        size = then[path]["bytes"]
        if size != now[path].size:
            found.append(f"{path} had {size:,} bytes and has {now[path].size:,}")
        elif then[path]["fingerprint"] != now[path].fingerprint:
            found.append(f"{path} was written to since, though its size is the same")
    return found
