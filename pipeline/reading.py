"""The first stages of a run: rows with label, set and weight, held as partitions or streamed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cluster import memory, partitions
from pipeline.cluster.capacity import capacity
from pipeline.cluster.client import spread
from pipeline.cluster.memory import MemoryPlan
from pipeline.cluster.partitions import Partitions
from pipeline.columns import Schema
from pipeline.device.choose import frames_of
from pipeline.errors import DataError
from pipeline.features.chain import Context
from pipeline.ingest import load, prepare, split, target
from pipeline.ingest.blocks import Block
from pipeline.ingest.prepare import Counts, Preparation
from pipeline.job import Job
from pipeline.ledger import Entry
from pipeline.matrix import Target

if TYPE_CHECKING:
    from pipeline.runner import Session

SAMPLE_ROWS = 1_000_000
"""Rows of the sample for quantiles and time cuts (decision 5)."""


@dataclass(frozen=True)
class RowSet:
    """Rows of the data with label, set and weight, held as partitions."""

    parts: Partitions
    source: Schema
    """All columns of the data; the frames hold those that the job keeps."""
    meta: Any
    target: Target
    why: str
    """What decided the task."""
    counts: Counts
    context: Context
    plan: MemoryPlan


def read(session: Session) -> RowSet:
    """Reads the used columns, then settles classes, sets and weights."""
    job = session.job
    with session.ledger.stage("read") as entry:
        planned, plan = _planned(session)
        entry.rows = total = sum(block.rows for block in planned)
        csv = job.contract.format == "csv"
        entry.notes += plan_notes(plan, csv, spread(session.client))
        session.listener.planned(plan, [block.rows for block in planned])
        load.notes(session.client)  # of whatever read before
        reads = load.reads(
            session.client, planned, job.contract, list(job.reads),
            device=job.choice.name, on_bad_rows=job.config.data.on_bad_rows,
        )  # fmt: skip
        if plan.hold:
            reads = partitions.held(
                session.client, partitions.each(reads, load.read_packed, job.choice.name)
            )
        _set_aside(session, reads)
        job.contract.write(session.folder / "ingest" / "schema.json")
        frames = load.frames(reads)
        if plan.staging:
            frames = _staged(session, frames, entry)
        entry.notes += load.notes(session.client)
    with session.ledger.stage("split") as entry:
        found = _prepared(session, frames, total, plan, entry)
        entry.rows = sum(found.counts.rows.values())
        entry.notes += load.notes(session.client)
    return found


def _planned(session: Session) -> tuple[list[Block], MemoryPlan]:
    """The blocks and the plan: within this process's memory, or within that of all workers."""
    job, client = session.job, session.client
    if not spread(client):
        blocks, plan = planned_blocks(job, session.threads, session.folder)
        session.ledger.planned = {s.stage: (s.host, s.device) for s in plan.stages}
        return blocks, plan
    together = capacity(client, job.config.cluster, job.config.memory)
    # staged files would lie on one host's disk: a pass reads the source again, on any worker
    return planned_blocks(job, session.threads, None, together)


def planned_blocks(
    job: Job, threads: int, folder: Path | None, shared: int | None = None
) -> tuple[list[Block], MemoryPlan]:
    """The blocks of the run, and what their rows will hold in memory.

    Args:
        job: the run.
        threads: of all workers.
        folder: the run's, where CSV would be staged; it need not be there yet. None: nowhere.
        shared: what the workers of a cluster may hold together, instead of ``memory.host``.
    """
    size = memory.block_bytes(memory.limit_of(job.config.memory))
    blocks = load.planned(job.contract, job.config.data.rows, threads, size)
    free = 0 if folder is None else free_at(folder)
    return blocks, job.memory_plan(blocks, threads, free, shared)


def free_at(folder: Path) -> int:
    """Bytes free on the disk where the folder is or will be."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


def plan_notes(plan: MemoryPlan, csv: bool, workers: bool) -> list[str]:
    """What the ledger says of a plan that does not simply hold all rows."""
    if plan.hold:
        return []
    held, limit = plan.held / 1e9, plan.limit / 1e9
    whose = "the workers' limit" if workers else "the limit"
    found = [f"streaming: held rows would take {held:.1f} GB, {whose} is {limit:.1f} GB"]
    if csv and not plan.staging:
        why = "the workers share no disk" if workers else "the disk has no room"
        found.append(f"CSV read again in each pass: {why} for staging it")
    return found


def _staged(session: Session, frames: Partitions, entry: Entry) -> Partitions:
    folder = session.folder / "tmp" / "staged"
    found = load.staged(session.client, frames, folder, session.job.choice.name)
    size = sum(path.stat().st_size for path in folder.iterdir())
    entry.notes.append(f"CSV staged once as Arrow files of {size / 1e9:.2f} GB")
    return found


def _set_aside(session: Session, reads: Partitions) -> None:
    if session.job.config.data.on_bad_rows == "error":
        return
    path = session.folder / "ingest" / "rejected.parquet"
    if rejected := load.write_rejected(session.client, reads, path):
        session.warn(f"{rejected:,} bad rows set aside in ingest/rejected.parquet")


def _prepared(
    session: Session, frames: Partitions, total: int, plan: MemoryPlan, entry: Entry
) -> RowSet:
    job, client = session.job, session.client
    config = job.config
    spec = Preparation(
        job.choice.name, job.target, job.filters, config.split, config.seed,
        min(1.0, SAMPLE_ROWS / max(total, 1)), config.data.weight, job.kept,
        plan.hold,
    )  # fmt: skip
    seen = partitions.reduced(client, frames, prepare.look, prepare.looked, spec)
    entry.notes += dropped_notes(seen)
    _refuse_nothing(seen)
    settled = target.settle(seen.target, config.data)
    session.listener.say(f"task {settled.target.task}: {settled.why}")
    cuts = split.cuts(seen.times, config.split)
    parts = partitions.each(frames, prepare.assigned, spec, settled.target, cuts)
    if plan.hold:
        parts = partitions.held(client, parts, instead_of=frames)
    classes = len(settled.target.classes)
    counts = partitions.reduced(
        client,
        parts,
        prepare.counted,
        prepare.count_merged,
        job.choice.name,
        classes,
        config.seed,
        plan.train_rate,
    )
    split.check_counts(dict(counts.rows), config.split)
    source = replace(
        job.source,
        classes=tuple(str(c) for c in settled.target.classes) if classes > 2 else (),
    )
    context = Context(job.choice.name, config.seed, settled.target.task, classes, spec.sample_rate)
    meta = frames_of(job.choice.name).empty([*source.only(job.kept), *prepare.own_columns(spec)])
    return RowSet(parts, source, meta, settled.target, settled.why, counts, context, plan)


def _refuse_nothing(seen: prepare.Look) -> None:
    if seen.rows == 0:
        raise DataError("the data have no rows", fix="check data.path and on_bad_rows")
    if seen.rows == seen.filtered:
        raise DataError(
            f"the filters drop all {seen.rows:,} rows", fix="check the `filter:` expressions"
        )


def dropped_notes(seen: prepare.Look) -> list[str]:
    """What the ledger says of rows that go no further."""
    found = [(seen.filtered, "filters"), (seen.target_missing, "their target is missing")]
    return [f"{count:,} rows dropped: {why}" for count, why in found if count]
