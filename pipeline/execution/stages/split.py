"""The split stage: rows with label, set and weight, persisted as partitions or streamed."""

from __future__ import annotations

from dataclasses import replace

from pipeline.artifacts.stage_id import READ, SPLIT
from pipeline.cluster import partitions
from pipeline.cluster.partitions import Partitions
from pipeline.console.plural import pluralize, quantify
from pipeline.device import transfer
from pipeline.device.choose import frames_of
from pipeline.errors import DataError, MachineError
from pipeline.execution.context import RunContext
from pipeline.execution.fingerprints import StageInputs, slice_config
from pipeline.execution.job import Job
from pipeline.execution.run_state import LabeledData, RawData, RunState
from pipeline.execution.stage import Stage, StageRun
from pipeline.execution.stage_cache import Results
from pipeline.execution.stages.read import REJECTED, plan_memory
from pipeline.features.engine.transform import TransformContext
from pipeline.ingest import partitions as load
from pipeline.ingest.labels import assign, split, target
from pipeline.ingest.labels.assign import LabelSpec
from pipeline.ingest.labels.label_state import LabelCounts, LabelState
from pipeline.ingest.labels.split import Cuts
from pipeline.matrix import Target
from pipeline.memory.planner import LEAST_ROWS, MemoryPlan

SAMPLE_ROWS = 1_000_000
"""Rows of the sample for quantiles and time cuts (decision 5)."""


class SplitRows(Stage):
    """Infers the target's task and classes, and gives each row its label, set and weight."""

    id = SPLIT
    uses = (READ,)

    def inputs(self, job: Job, plan: MemoryPlan) -> StageInputs:
        """Return the target, the split, the filters, and the share of rows that fit."""
        config = slice_config(job.config.data, "data", "target", "task", "positive", "weight")
        config |= slice_config(job.config.split, "split")
        config |= {"filter": [f.text for f in job.filters], "seed": job.config.seed}
        memory = {"share of the training rows": plan.train_rate}
        return StageInputs({"config": config, "memory": memory}, after=(READ,))

    def run(self, run: StageRun) -> None:
        """Infer the labels in one pass over the rows, and count them in another."""
        raw, spec = _describe(run)
        parts, labels = _infer_labels(run, raw, spec)
        run.results = labels.to_json()
        run.entry.rows = sum(labels.counts.rows.values())
        _keep_rows(run, raw, spec, parts, labels)

    def restore(self, run: StageRun, results: Results) -> None:
        """Assign the recorded labels and sets to the rows."""
        raw, spec = _describe(run)
        labels = LabelState.from_json(results)
        parts = _assign(run.context, raw, spec, labels.target, labels.cuts)
        _keep_rows(run, raw, spec, parts, labels)

    def rebuild(self, state: RunState, device: str | None) -> None:
        """Assign the same labels and sets to rows that were read once more."""
        raw, rows = state.raw, state.rows
        if raw is None or rows is None:
            return
        device = device or rows.spec.device
        plan = _plan_on(raw, device)
        spec = replace(rows.spec, hold=plan.in_memory, device=device)
        parts = _assign(state.context, raw, spec, rows.target, rows.cuts)
        same = move_rows(replace(rows, parts=parts), device)
        state.rows = replace(same, parts=parts, plan=plan, spec=spec, read_on=raw.device)
        state.raw = None

    def release(self, state: RunState) -> None:
        """Drop the raw data, which the labeled rows replace."""
        state.raw = None


def move_rows(rows: LabeledData, device: str) -> LabeledData:
    """Return the rows with frames of a device, transferred at each pass if they have another."""
    source = rows.context.device
    if device == source:
        return rows
    return replace(
        rows,
        parts=partitions.map_partitions(rows.parts, transfer.transfer_frame, source, device),
        meta=transfer.transfer_frame(rows.meta, source, device),
        # The plan has no room for what the other device makes of them.
        plan=replace(rows.plan, in_memory=False),
        context=replace(rows.context, device=device),
    )


def _describe(run: StageRun) -> tuple[RawData, LabelSpec]:
    """Return the raw data, and how labels and sets are assigned to them."""
    job, raw = run.context.job, run.state.raw
    assert raw is not None, "the files have not been read"
    device = run.context.device
    spec = LabelSpec(
        device,
        job.target,
        job.filters,
        job.config.split,
        job.config.seed,
        min(1.0, SAMPLE_ROWS / max(raw.total, 1)),
        job.config.data.weight,
        job.frame_columns,
        _plan_on(raw, device).in_memory,
    )
    return raw, spec


def _plan_on(raw: RawData, device: str) -> MemoryPlan:
    """Return the plan for a device; only the one that reads the rows has room to hold them."""
    return replace(raw.plan, in_memory=raw.plan.in_memory and raw.device == device)


def _infer_labels(run: StageRun, raw: RawData, spec: LabelSpec) -> tuple[Partitions, LabelState]:
    """Return the rows with labels and sets, and what two passes over them inferred."""
    context, config, notes = run.context, run.context.job.config, run.entry.notes
    client, source = context.client, context.job.source
    frames = _move_raw(raw, spec.device)
    scan = partitions.reduce_partitions(
        client, frames, assign.scan_partition, assign.merge_scans, spec
    )
    if scan.filtered:
        notes.append(f"{quantify(scan.filtered, 'row')} dropped: filters")
    if scan.weightless:
        whose = pluralize(scan.weightless, "its", "their")
        notes.append(f"{quantify(scan.weightless, 'row')} dropped: {whose} weight is 0")
    if scan.target_missing:
        whose = pluralize(scan.target_missing, "its", "their")
        dropped = quantify(scan.target_missing, "row")
        notes.append(f"{dropped} dropped: {whose} target is missing")
    if config.features is None:
        # Nobody has inspected the columns, so a better split may have gone unnoticed.
        notes += split.suggest_time_split(source, config.split)
    _refuse_no_rows(context, scan)
    labels = target.infer_target(scan.target, config.data)
    column = config.split.column if config.split.by == "time" else None
    is_datetime = column is not None and source[column].kind == "datetime"
    cuts = split.choose_cuts(scan.times, config.split, is_datetime=is_datetime)
    notes += split.describe_cuts(cuts, config.split, source)
    parts = _assign(context, raw, spec, labels.target, cuts)
    counts = partitions.reduce_partitions(
        client,
        parts,
        assign.count_rows,
        assign.merge_counts,
        spec.device,
        len(labels.target.classes),
        config.seed,
        raw.plan.train_rate,
    )
    split.check_counts(dict(counts.rows), config.split, scan.weightless)
    assign.check_labels(counts, labels.target)
    notes += load.collect_reader_notes(client)
    return parts, LabelState(
        labels.target,
        labels.why,
        cuts,
        counts,
        scan.target_missing,
        scan.rows,
        scan.missing,
        scan.weightless,
    )


def _keep_rows(
    run: StageRun, raw: RawData, spec: LabelSpec, parts: Partitions, labels: LabelState
) -> None:
    """Leave the labeled rows in the run's state."""
    context, job = run.context, run.context.job
    context.listener.say(f"task {labels.target}: {labels.why}")
    _refuse_few_rows(context, labels.counts, raw)
    names = tuple(str(c) for c in labels.target.classes)
    # Rows of weight 0 must not make the sample of the others smaller.
    sample_rate = min(1.0, SAMPLE_ROWS / max(raw.total - labels.weightless, 1))
    source = replace(job.source, classes=names if len(names) > 2 else ())
    run.state.rows = LabeledData(
        parts=parts,
        source=source,
        meta=frames_of(spec.device).empty_frame(
            [*source.select(job.frame_columns), *assign.list_added_columns(spec)]
        ),
        target=labels.target,
        why=labels.why,
        counts=labels.counts,
        context=TransformContext(
            spec.device, job.config.seed, labels.target.task, len(names), sample_rate
        ),
        plan=_plan_on(raw, spec.device),
        spec=spec,
        cuts=labels.cuts,
        target_missing=labels.target_missing,
        read_rows=labels.rows,
        missing=labels.missing,
        read_on=raw.device,
    )


def _move_raw(raw: RawData, device: str) -> Partitions:
    """Return the frames on a device, transferred at each pass if they have another."""
    if raw.device == device:
        return raw.parts
    return partitions.map_partitions(raw.parts, transfer.transfer_frame, raw.device, device)


def _assign(
    context: RunContext, raw: RawData, spec: LabelSpec, labels: Target, cuts: Cuts | None
) -> Partitions:
    """Return the frames with labels and sets, which replace the raw ones if the plan holds rows."""
    frames = _move_raw(raw, spec.device)
    parts = partitions.map_partitions(frames, assign.assign_labels, spec, labels, cuts)
    if not spec.hold:
        return parts
    return partitions.persist(context.client, parts, instead_of=raw.parts)


def _refuse_few_rows(context: RunContext, counts: LabelCounts, raw: RawData) -> None:
    """Refuse a sample of fewer than `LEAST_ROWS`.

    The memory plan cannot know how many rows filters and splits leave, so this check comes here.

    Raises:
        MachineError: the message says how much memory enough rows need.
    """
    train_rows = counts.rows["train"]
    if raw.plan.train_rate < 1 and counts.sampled < min(LEAST_ROWS, train_rows):
        # With the rows counted, the plan itself fails and names the memory that is needed.
        plan_memory(context, raw.device, train_rows)
        raise MachineError(
            f"{raw.plan.short_of}: {counts.sampled:,} of {train_rows:,} training rows fit, "
            f"{LEAST_ROWS:,} are needed",
            fix=f"a larger {raw.plan.short_of}",
        )


def _refuse_no_rows(context: RunContext, scan: assign.LabelScan) -> None:
    """Refuse data of which no row is left.

    Raises:
        DataError: the message says where the rows are.
    """
    rejected = context.folder / "ingest" / REJECTED
    if scan.rows == 0 and rejected.is_file():
        raise DataError(
            "all rows of the data are bad, and on_bad_rows: quarantine has set them aside",
            fix=f"{rejected} has the reason of each",
        )
    if scan.rows == 0:
        raise DataError("the data have no rows", fix="check data.path and on_bad_rows")
    if scan.rows == scan.filtered:
        raise DataError(
            f"the filters drop all {scan.rows:,} rows", fix="check the `filter:` expressions"
        )
    if scan.weightless and scan.rows == scan.filtered + scan.weightless:
        raise DataError(
            f"data.weight: the weights of all {scan.weightless:,} rows are 0",
            fix="name another column of weights, or leave data.weight out",
        )
