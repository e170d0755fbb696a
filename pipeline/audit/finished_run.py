"""A finished run: its config, the facts of its manifest, and its data as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypedDict

from pipeline.artifacts import manifest as manifests
from pipeline.audit.suspicious_names import is_entity_name
from pipeline.config.cluster import Cluster
from pipeline.config.loader import parse_yaml_bytes
from pipeline.config.model import Config
from pipeline.errors import InputError
from pipeline.execution.job import Job, prepare_job
from pipeline.features.engine import fit
from pipeline.features.engine.fit import FittedPlan
from pipeline.schema import RESERVED

CONFIG = "config.yaml"
MAX_ENTITIES = 20
"""Maximum number of columns inspected as identifiers of entities, by name first."""


class InputFile(TypedDict):
    """A file of the main table, as the manifest records it."""

    path: str
    bytes: int
    fingerprint: str


class ManifestFacts(TypedDict):
    """The part of the manifest that the audit uses."""

    rows: dict[str, int]
    """Number of rows per set."""
    inputs: list[InputFile]
    files: dict[str, str]
    """Hashes of the config and the plan."""


@dataclass(frozen=True)
class FinishedRun:
    """A run, and the job that rereads its rows."""

    run: Path
    manifest: ManifestFacts
    config: Config
    """The run's config, with the data's new path if one was given."""
    job: Job
    """Reads on the CPU, in this process; its frames also hold ``entities`` and ``times``."""
    saved_plan: FittedPlan
    """The fitted features as the run saved them."""
    entities: tuple[str, ...]
    """Columns that may identify entities."""
    times: tuple[str, ...]
    """Columns of times, and the split's column if the split is by time."""
    changes: tuple[str, ...]
    """Differences between the data now and when the run read them."""


def open_finished_run(run: Path, data: Sequence[str] | None = None) -> FinishedRun:
    """Verify the run's files, then open them and its data.

    Args:
        run: the run folder.
        data: the current paths of the run's data; None: the paths in its config.

    Raises:
        InputError: the run is not finished, a file was altered, or the data are missing or differ
            from what the run expects.
    """
    run_files = manifests.open_finished_run(run)
    path = run / CONFIG
    config = Config.parse(parse_yaml_bytes(run_files.read(path), path))
    if data:
        config = config.model_copy(
            update={"data": config.data.model_copy(update={"path": tuple(data)})}
        )
    with manifests.report_misfits(run):
        saved_plan = fit.load(run / "features", run_files.read)
        stored = run_files.manifest
        manifest: ManifestFacts = {
            "rows": {str(name): int(n) for name, n in stored["rows"].items()},
            "inputs": [
                {
                    "path": str(i["path"]),
                    "bytes": int(i["bytes"]),
                    "fingerprint": str(i["fingerprint"]),
                }
                for i in stored["inputs"]
            ],
            "files": {
                name: str(stored["files"][name]) for name in (CONFIG, f"features/{fit.PLAN}")
            },
        }
    job = _prepare_audit_job(config, has_moved=bool(data))
    entities, times = _find_checked_columns(job, saved_plan)
    # Slices are the columns that a job keeps for metrics: declared as such, the columns that the
    # checks need reach the frames without any other change of the job.
    names, evaluate = {*entities, *times}, job.config.evaluate
    slices = evaluate.model_copy(update={"slices": tuple({*evaluate.slices, *names})})
    wanted = {*job.reads, *names}
    job = replace(
        job,
        config=job.config.model_copy(update={"evaluate": slices}),
        reads=tuple(n for n in job.source.names if n in wanted),
    )
    changes = tuple(_list_changes(manifest["inputs"], job, has_moved=bool(data)))
    return FinishedRun(run, manifest, config, job, saved_plan, entities, times, changes)


def _prepare_audit_job(config: Config, *, has_moved: bool) -> Job:
    changes = {"device": "cpu", "cluster": Cluster(dashboard=False), "refit": "never", "golden": 0}
    try:
        return prepare_job(config.model_copy(update=changes))
    except InputError as error:
        if has_moved:
            raise
        hint = "if the data have moved, pass --data PATH"
        fix = f"{error.fix}; {hint}" if error.fix else hint
        raise type(error)(error.message, examples=error.examples, fix=fix) from None


def _find_checked_columns(
    job: Job, saved_plan: FittedPlan
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the columns that may identify entities, and the columns of times.

    Entities: text and whole numbers with names of identifiers, then text that the models use.
    """
    split, excluded = job.config.split, {*job.source.target, *RESERVED}
    times = [c.name for c in job.source if c.kind == "datetime" and c.name not in excluded]
    # A split by time may be by a number, such as a year.
    if split.by == "time" and split.column and split.column not in times:
        times.append(split.column)
    # The split's own column is in one set only, by design.
    if split.by in ("group", "column") and split.column:
        excluded.add(split.column)
    allowed = [
        c.name for c in job.source if c.dtype in ("text", "int64") and c.name not in excluded
    ]
    used = {n for n in saved_plan.needed if n in job.source and job.source[n].kind == "text"}
    named = [name for name in allowed if is_entity_name(name)]
    others = [name for name in allowed if name in used and name not in named]
    return tuple([*named, *others][:MAX_ENTITIES]), tuple(times)


def _list_changes(inputs: Sequence[InputFile], job: Job, *, has_moved: bool) -> list[str]:
    """List how the main table's files differ from those that the run read."""
    before = {file["path"]: file for file in inputs}
    now = {file.path: file for file in job.contract.files}
    if has_moved:
        # Paths and time stamps differ after a move; sizes should not.
        old_sizes = sorted(file["bytes"] for file in before.values())
        new_sizes = sorted(file.size for file in now.values())
        return [] if old_sizes == new_sizes else ["the given files differ in size from the run's"]
    changes = [f"{path} is new" for path in now if path not in before]
    changes += [f"{path} is missing" for path in before if path not in now]
    for path in (p for p in now if p in before):
        size = before[path]["bytes"]
        if size != now[path].size:
            changes.append(f"{path} had {size:,} bytes and has {now[path].size:,}")
        elif before[path]["fingerprint"] != now[path].fingerprint:
            changes.append(f"{path} was modified since the run, though its size is the same")
    return changes
