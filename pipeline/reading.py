"""The first stages of a run: rows with label, set and weight, held as partitions or streamed.

Partitions can be made again from the files at any time, smaller or streamed (`again`): what was
settled of them is kept, so that they have the same rows in the same sets.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cluster import memory, partitions
from pipeline.cluster.capacity import capacity, device_capacity
from pipeline.cluster.client import spread
from pipeline.cluster.memory import PLANNED, MemoryPlan, Rung
from pipeline.cluster.partitions import Partitions
from pipeline.columns import Schema
from pipeline.device import crossing
from pipeline.device.choose import Choice, frames_of
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
class Read:
    """The data as read, in partitions of frames."""

    parts: Partitions
    device: str
    """Which one reads, and has the frames."""
    total: int
    """Rows."""
    plan: MemoryPlan


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
    """Its device has the frames."""
    plan: MemoryPlan
    spec: Preparation
    """With `target` and `cuts` what the rows are made of as they were read: `again`."""
    cuts: Any
    read_on: str
    """The device that reads."""


def read(session: Session) -> Read:
    """Reads the used columns."""
    job = session.job
    with session.ledger.stage("read") as entry:
        blocks, plan = _planned(session, session.device)
        entry.rows = total = sum(block.rows for block in blocks)
        csv = job.contract.format == "csv"
        entry.notes += plan_notes(plan, csv, spread(session.client))
        load.notes(session.client)  # of whatever read before
        reads = _reads(session, blocks, plan, session.device)
        _set_aside(session, reads)
        job.contract.write(session.folder / "ingest" / "schema.json")
        frames = load.frames(reads)
        if plan.staging:
            frames = _staged(session, frames, session.device, entry)
        entry.notes += load.notes(session.client)
    return Read(frames, session.device, total, plan)


def read_again(session: Session, device: str) -> Read:
    """The same frames on the session's rung, read by the device."""
    blocks, plan = _planned(session, device)
    frames = load.frames(_reads(session, blocks, plan, device))
    if plan.staging:
        frames = _staged(session, frames, device, None)
    return Read(frames, device, sum(block.rows for block in blocks), plan)


def again(session: Session, rows: RowSet, device: str | None = None) -> RowSet:
    """The same rows in partitions that are made anew on the session's rung.

    Args:
        device: which one makes them; None: where they were made.
    """
    found = read_again(session, device or rows.read_on)
    own = device or rows.spec.device
    plan = _held_by(found, own)
    spec = replace(rows.spec, hold=plan.hold, device=own)
    parts = _prepared(session, found, spec, rows.target, rows.cuts)
    same = on(replace(rows, parts=parts), own)
    return replace(same, parts=parts, plan=plan, spec=spec, read_on=found.device)


def _held_by(found: Read, device: str) -> MemoryPlan:
    """The plan where that device has the rows: only the one that reads them has room for them."""
    return replace(found.plan, hold=found.plan.hold and found.device == device)


def on(rows: RowSet, device: str) -> RowSet:
    """The rows with frames of that device: theirs, or as they cross over at each pass."""
    own = rows.context.device
    if device == own:
        return rows
    return replace(
        rows, parts=partitions.each(rows.parts, crossing.moved, own, device),
        meta=crossing.moved(rows.meta, own, device),
        # what is made there has no place in the plan
        plan=replace(rows.plan, hold=False),
        context=replace(rows.context, device=device),
    )  # fmt: skip


def _planned(session: Session, device: str) -> tuple[list[Block], MemoryPlan]:
    """The blocks and the plan: within this process's memory, or within that of all workers.

    Args:
        device: which one reads; the CPU may do it in the GPU's place.
    """
    job, client, rung = session.job, session.client, session.rung
    if device != job.choice.name:
        job = replace(job, choice=Choice(job.choice.asked, device, job.choice.reason))
    if spread(client):
        together = capacity(client, job.config.cluster, job.config.memory)
        own = device_capacity(client, job.config.memory) if device == "gpu" else None
        # staged files would lie on one host's disk: a pass reads the source again, on any worker
        blocks, plan = planned_blocks(job, session.threads, None, together, device=own, rung=rung)
    else:
        blocks, plan = planned_blocks(
            job, session.at_once, session.folder, device=job.device_limit, rung=rung
        )
        session.ledger.planned = {s.stage: (s.host, s.device) for s in plan.stages}
    session.partitions = len(blocks)
    session.listener.planned(plan, [block.rows for block in blocks])
    return blocks, plan


def at_once(job: Job, threads: int) -> int:
    """Partitions that this process works on at a time: one on a GPU."""
    return 1 if job.choice.name == "gpu" else threads


def planned_blocks(
    job: Job, threads: int, folder: Path | None, shared: int | None = None, *,
    device: int | None = None, rung: Rung = PLANNED,
) -> tuple[list[Block], MemoryPlan]:  # fmt: skip
    """The blocks of the run, and what their rows will hold in memory.

    Args:
        job: the run.
        threads: of all workers.
        folder: the run's, where CSV would be staged; it need not be there yet. None: nowhere.
        shared: what the workers of a cluster may hold together, instead of ``memory.host``.
        device: what the GPUs may hold together.
        rung: what gives way in any case.
    """
    blocks = blocks_of(job, threads, rung)
    free = 0 if folder is None else free_at(folder)
    return blocks, job.memory_plan(blocks, threads, free, shared, device=device, rung=rung)


def blocks_of(job: Job, threads: int, rung: Rung) -> list[Block]:
    """What the run reads at a time on this rung."""
    limit = memory.limit_of(job.config.memory)
    size = memory.block_bytes(limit, job.device_limit) // rung.smaller
    return load.planned(job.contract, job.config.data.rows, threads, size)


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


def _reads(session: Session, blocks: list[Block], plan: MemoryPlan, device: str) -> Partitions:
    job = session.job
    reads = load.reads(
        session.client, blocks, job.contract, list(job.reads),
        device=device, on_bad_rows=job.config.data.on_bad_rows,
    )  # fmt: skip
    if not plan.hold:
        return reads
    return partitions.held(session.client, partitions.each(reads, load.read_packed, device))


def _staged(session: Session, frames: Partitions, device: str, entry: Entry | None) -> Partitions:
    folder = session.folder / "tmp" / "staged"
    shutil.rmtree(folder, ignore_errors=True)  # those of a rung above
    found = load.staged(session.client, frames, folder, device)
    size = sum(path.stat().st_size for path in folder.iterdir())
    if entry is not None:
        entry.notes.append(f"CSV staged once as Arrow files of {size / 1e9:.2f} GB")
    return found


def _set_aside(session: Session, reads: Partitions) -> None:
    if session.job.config.data.on_bad_rows == "error":
        return
    path = session.folder / "ingest" / "rejected.parquet"
    if rejected := load.write_rejected(session.client, reads, path):
        session.warn(f"{rejected:,} bad rows set aside in ingest/rejected.parquet")


def split_rows(session: Session, found: Read) -> RowSet:
    """Settles classes, sets and weights of what was read."""
    job, client, device = session.job, session.client, session.device
    config, plan = job.config, _held_by(found, device)
    with session.ledger.stage("split") as entry:
        spec = Preparation(
            device, job.target, job.filters, config.split, config.seed,
            min(1.0, SAMPLE_ROWS / max(found.total, 1)), config.data.weight, job.kept,
            plan.hold,
        )  # fmt: skip
        frames = _crossed(found, device)
        seen = partitions.reduced(client, frames, prepare.look, prepare.looked, spec)
        entry.notes += dropped_notes(seen)
        _refuse_nothing(seen)
        settled = target.settle(seen.target, config.data)
        session.listener.say(f"task {settled.target.task}: {settled.why}")
        cuts = split.cuts(seen.times, config.split)
        parts = _prepared(session, found, spec, settled.target, cuts)
        classes = len(settled.target.classes)
        counts = partitions.reduced(
            client, parts, prepare.counted, prepare.count_merged, device, classes, config.seed,
            plan.train_rate,
        )  # fmt: skip
        split.check_counts(dict(counts.rows), config.split)
        entry.rows = sum(counts.rows.values())
        entry.notes += load.notes(session.client)
    source = replace(
        job.source,
        classes=tuple(str(c) for c in settled.target.classes) if classes > 2 else (),
    )
    context = Context(device, config.seed, settled.target.task, classes, spec.sample_rate)
    meta = frames_of(device).empty([*source.only(job.kept), *prepare.own_columns(spec)])
    return RowSet(
        parts, source, meta, settled.target, settled.why, counts, context, plan, spec, cuts,
        found.device,
    )  # fmt: skip


def _crossed(found: Read, device: str) -> Partitions:
    """The frames as those of the device."""
    if found.device == device:
        return found.parts
    return partitions.each(found.parts, crossing.moved, found.device, device)


def _prepared(
    session: Session, found: Read, spec: Preparation, settled: Target, cuts: Any
) -> Partitions:
    """The frames with their rows' labels and sets, held instead of those if the plan holds."""
    frames = _crossed(found, spec.device)
    parts = partitions.each(frames, prepare.assigned, spec, settled, cuts)
    if not spec.hold:
        return parts
    return partitions.held(session.client, parts, instead_of=found.parts)


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
