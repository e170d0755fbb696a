"""The first stages of a run: rows with label, set and weight, held as partitions or streamed.

Partitions can be made again from the files at any time, smaller or streamed
(`rebuild_labeled_data`): what was settled of them is kept, so
that they have the same rows in the same sets.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cluster import partitions
from pipeline.cluster.client import is_distributed
from pipeline.cluster.partitions import Partitions
from pipeline.device import transfer
from pipeline.device.choose import DeviceChoice, frames_of
from pipeline.errors import DataError, MachineError
from pipeline.execution.planning import describe_plan, plan_parts
from pipeline.features.engine.transform import TransformContext
from pipeline.ingest import partitions as load
from pipeline.ingest.blocks import BlockGroup
from pipeline.ingest.labels import assign, split, target
from pipeline.ingest.labels.assign import LabelSpec, merge_scans, scan_partition
from pipeline.ingest.labels.label_state import LabelCounts, LabelState
from pipeline.matrix import Target
from pipeline.memory.cluster_capacity import device_capacity, host_capacity
from pipeline.memory.planner import LEAST_ROWS, MemoryPlan
from pipeline.schema import Schema

if TYPE_CHECKING:
    from pipeline.execution.context import RunContext

SAMPLE_ROWS = 1_000_000
"""Rows of the sample for quantiles and time cuts (decision 5)."""
REJECTED = "rejected.parquet"


@dataclass(frozen=True)
class RawData:
    """The data as read, in partitions of frames."""

    parts: Partitions
    device: str
    """Which one reads, and has the frames."""
    total: int
    """Rows."""
    plan: MemoryPlan


@dataclass(frozen=True)
class LabeledData:
    """Rows of the data with label, set and weight, held as partitions."""

    parts: Partitions
    source: Schema
    """All columns of the data; the frames hold those that the job keeps."""
    meta: Any
    target: Target
    why: str
    """What decided the task."""
    counts: LabelCounts
    context: TransformContext
    """Its device has the frames."""
    plan: MemoryPlan
    spec: LabelSpec
    """With `target` and `cuts` what the rows are made of: see `rebuild_labeled_data`."""
    cuts: Any
    read_on: str
    """The device that reads."""


def read(session: RunContext) -> RawData:
    """Reads the used columns."""
    with session.stage("read") as doing:
        parts, plan = _planned(session, session.device)
        session.decide(plan)
        total = sum(part.rows for part in parts)
        if not _looked_at(session):
            plan = replace(plan, in_memory=False, staging=0)
        load.collect_reader_notes(session.client)  # of whatever read before
        reads = _reads(session, parts, plan, session.device)
        notes = doing.entry.notes
        if session.job.moved:
            doing.told.append(f"cluster {session.job.cluster.kind} {session.job.moved}")
        if doing.kept is None:
            doing.entry.rows = total
            notes += describe_plan(
                plan, session.job.contract.format == "csv", is_distributed(session.client)
            )
            doing.files = _left(session, reads)
        frames = load.take_frames(reads)
        if plan.staging:
            frames = _staged(session, frames, session.device, notes)
        notes += load.collect_reader_notes(session.client)
    return RawData(frames, session.device, total, plan)


def _looked_at(session: RunContext) -> bool:
    """Whether any stage that is to be done works on the rows."""
    return session.kept.left("split", "features", "train", "evaluate", "refit")


def _left(session: RunContext, reads: Partitions) -> list[Path]:
    """Writes what the reading leaves."""
    ingest = session.folder / "ingest"
    (ingest / REJECTED).unlink(missing_ok=True)
    _set_aside(session, reads)
    session.job.contract.write(ingest / "schema.json")
    return [path for path in (ingest / "schema.json", ingest / REJECTED) if path.exists()]


def rebuild_raw_data(session: RunContext, device: str) -> RawData:
    """The same frames on the session's rung, read by the device."""
    parts, plan = _planned(session, device)
    frames = load.take_frames(_reads(session, parts, plan, device))
    if plan.staging:
        frames = _staged(session, frames, device, [])
    return RawData(frames, device, sum(part.rows for part in parts), plan)


def rebuild_labeled_data(
    session: RunContext, rows: LabeledData, device: str | None = None
) -> LabeledData:
    """The same rows in partitions that are made anew on the session's rung.

    Args:
        device: which one makes them; None: where they were made.
    """
    found = rebuild_raw_data(session, device or rows.read_on)
    own = device or rows.spec.device
    plan = _held_by(found, own)
    spec = replace(rows.spec, hold=plan.in_memory, device=own)
    parts = _prepared(session, found, spec, rows.target, rows.cuts)
    same = on(replace(rows, parts=parts), own)
    return replace(same, parts=parts, plan=plan, spec=spec, read_on=found.device)


def _held_by(found: RawData, device: str) -> MemoryPlan:
    """The plan where that device has the rows: only the one that reads them has room for them."""
    return replace(found.plan, in_memory=found.plan.in_memory and found.device == device)


def on(rows: LabeledData, device: str) -> LabeledData:
    """The rows with frames of that device: theirs, or as they cross over at each pass."""
    own = rows.context.device
    if device == own:
        return rows
    return replace(
        rows, parts=partitions.map_partitions(rows.parts, transfer.transfer_frame, own, device),
        meta=transfer.transfer_frame(rows.meta, own, device),
        # what is made there has no place in the plan
        plan=replace(rows.plan, in_memory=False),
        context=replace(rows.context, device=device),
    )  # fmt: skip


def _planned(
    session: RunContext, device: str, train_rows: int | None = None
) -> tuple[list[BlockGroup], MemoryPlan]:
    """Plan the parts within this process's memory, or within that of all workers.

    Args:
        device: which one reads; the CPU may do it in the GPU's place.
        train_rows: the training rows, once they are counted.
    """
    job, client, rung = session.job, session.client, session.rung
    if device != job.choice.name:
        job = replace(job, choice=DeviceChoice(job.choice.requested, device, job.choice.reason))
    if is_distributed(client):
        together = host_capacity(client, job.cluster, job.config.memory)
        own = device_capacity(client, job.config.memory) if device == "gpu" else None
        # staged files would lie on one host's disk: a pass reads the source again, on any worker
        parts, plan = plan_parts(
            job, session.threads, None, together, device=own, rung=rung, train_rows=train_rows
        )
    else:
        parts, plan = plan_parts(
            job, session.concurrent_partitions, session.folder, device=job.device_limit, rung=rung,
            train_rows=train_rows,
        )  # fmt: skip
        session.ledger.planned = {s.stage: (s.host, s.device) for s in plan.stages}
    session.partitions = len(parts)
    session.listener.planned(plan, [part.rows for part in parts])
    return parts, plan


def _reads(
    session: RunContext, parts: list[BlockGroup], plan: MemoryPlan, device: str
) -> Partitions:
    job = session.job
    reads = load.read_partitions(
        session.client, parts, job.contract, list(job.reads),
        device=device, on_bad_rows=job.config.data.on_bad_rows,
    )  # fmt: skip
    if not plan.in_memory:
        return reads
    return partitions.persist(
        session.client, partitions.map_partitions(reads, load.pack_read, device)
    )


def _staged(session: RunContext, frames: Partitions, device: str, notes: list[str]) -> Partitions:
    folder = session.folder / "tmp" / "staged"
    shutil.rmtree(folder, ignore_errors=True)  # those of a rung above
    found = load.stage_as_arrow(session.client, frames, folder, device)
    size = sum(path.stat().st_size for path in folder.iterdir())
    notes.append(f"CSV staged once as Arrow files of {size / 1e9:.2f} GB")
    return found


def _set_aside(session: RunContext, reads: Partitions) -> None:
    if session.job.config.data.on_bad_rows == "error":
        return
    path = session.folder / "ingest" / REJECTED
    if rejected := load.write_rejected(session.client, reads, path):
        session.warn(f"{rejected:,} bad rows set aside in ingest/rejected.parquet")


def split_rows(session: RunContext, found: RawData) -> LabeledData:
    """Settles classes, sets and weights of what was read."""
    job, device = session.job, session.device
    config, plan = job.config, _held_by(found, device)
    spec = LabelSpec(
        device, job.target, job.filters, config.split, config.seed,
        min(1.0, SAMPLE_ROWS / max(found.total, 1)), config.data.weight, job.kept, plan.in_memory,
    )  # fmt: skip
    with session.stage("split") as doing:
        if doing.kept is None:
            parts, settled = _settled(session, found, spec, doing.entry.notes)
            doing.found = settled.to_json()
            doing.entry.rows = sum(settled.counts.rows.values())
        else:
            settled = LabelState.from_json(doing.kept)
            parts = _prepared(session, found, spec, settled.target, settled.cuts)
        session.listener.say(f"task {settled.target}: {settled.why}")
        _refuse_few(session, settled.counts, found)
    classes = len(settled.target.classes)
    source = replace(
        job.source,
        classes=tuple(str(c) for c in settled.target.classes) if classes > 2 else (),
    )
    context = TransformContext(device, config.seed, settled.target.task, classes, spec.sample_rate)
    columns = [*source.select(job.kept), *assign.list_added_columns(spec)]
    meta = frames_of(device).empty_frame(columns)
    return LabeledData(
        parts, source, meta, settled.target, settled.why, settled.counts, context, plan, spec,
        settled.cuts, found.device,
    )  # fmt: skip


def _settled(
    session: RunContext, found: RawData, spec: LabelSpec, notes: list[str]
) -> tuple[Partitions, LabelState]:
    """The rows with labels and sets, and what two passes over them settled."""
    config, client = session.job.config, session.client
    frames = _crossed(found, spec.device)
    seen = partitions.reduce_partitions(client, frames, scan_partition, merge_scans, spec)
    notes += dropped_notes(seen)
    if config.features is None:  # nobody has looked at the columns yet
        notes += split.suggest_time_split(session.job.source, config.split)
    _refuse_nothing(session, seen)
    settled = target.infer_target(seen.target, config.data)
    column = config.split.column if config.split.by == "time" else None
    is_datetime = column is not None and session.job.source[column].kind == "datetime"
    cuts = split.choose_cuts(seen.times, config.split, is_datetime=is_datetime)
    notes += split.describe_cuts(cuts, config.split, session.job.source)
    parts = _prepared(session, found, spec, settled.target, cuts)
    counts = partitions.reduce_partitions(
        client, parts, assign.count_rows, assign.merge_counts, spec.device,
        len(settled.target.classes), config.seed, found.plan.train_rate,
    )  # fmt: skip
    split.check_counts(dict(counts.rows), config.split)
    assign.check_labels(counts, settled.target)
    notes += load.collect_reader_notes(client)
    return parts, LabelState(settled.target, settled.why, cuts, counts)


def _crossed(found: RawData, device: str) -> Partitions:
    """The frames as those of the device."""
    if found.device == device:
        return found.parts
    return partitions.map_partitions(found.parts, transfer.transfer_frame, found.device, device)


def _prepared(
    session: RunContext, found: RawData, spec: LabelSpec, settled: Target, cuts: Any
) -> Partitions:
    """The frames with their rows' labels and sets, held instead of those if the plan holds."""
    frames = _crossed(found, spec.device)
    parts = partitions.map_partitions(frames, assign.assign_labels, spec, settled, cuts)
    if not spec.hold:
        return parts
    return partitions.persist(session.client, parts, instead_of=found.parts)


def _refuse_few(session: RunContext, counts: LabelCounts, found: RawData) -> None:
    """Refuse a sample of fewer than `LEAST_ROWS` rows; the error says which memory enough need."""
    train_rows = counts.rows["train"]
    if found.plan.train_rate < 1 and counts.sampled < min(LEAST_ROWS, train_rows):
        _planned(session, found.device, train_rows)  # which raises: it says what is needed
        raise MachineError(
            f"{found.plan.short_of}: {counts.sampled:,} of {train_rows:,} training rows fit, "
            f"{LEAST_ROWS:,} are needed",
            fix=f"a larger {found.plan.short_of}",
        )


def _refuse_nothing(session: RunContext, seen: assign.LabelScan) -> None:
    rejected = session.folder / "ingest" / REJECTED
    if seen.rows == 0 and rejected.is_file():
        raise DataError(
            "the data have no rows but bad ones, which on_bad_rows: quarantine has set aside",
            fix=f"{rejected} has the reason of each",
        )
    if seen.rows == 0:
        raise DataError("the data have no rows", fix="check data.path and on_bad_rows")
    if seen.rows == seen.filtered:
        raise DataError(
            f"the filters drop all {seen.rows:,} rows", fix="check the `filter:` expressions"
        )


def dropped_notes(seen: assign.LabelScan) -> list[str]:
    """What the ledger says of rows that go no further."""
    found = [(seen.filtered, "filters"), (seen.target_missing, "their target is missing")]
    return [f"{count:,} rows dropped: {why}" for count, why in found if count]
