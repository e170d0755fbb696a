"""The features stage: ops chosen and fitted, and the matrices that they make of the rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from pipeline.artifacts.files import list_files
from pipeline.artifacts.stage_id import FEATURES, SPLIT
from pipeline.cluster import partitions
from pipeline.cluster.partitions import Partitions
from pipeline.execution.context import RunContext
from pipeline.execution.fingerprints import (
    FRAME_LIBRARIES,
    StageInputs,
    file_fingerprints,
    hash_json,
    slice_config,
    software_inputs,
)
from pipeline.execution.job import Job, needs_refit
from pipeline.execution.run_state import FeatureChoice, FeatureSet, LabeledData, RunState
from pipeline.execution.stage import Stage, StageRun
from pipeline.execution.stage_cache import Results
from pipeline.execution.stages.split import move_rows
from pipeline.features.auto.choice_file import read_choice
from pipeline.features.column_summary import summarise_columns
from pipeline.features.engine import fit, transform
from pipeline.features.engine.fit import FitResult
from pipeline.features.engine.state_cache import StateCache
from pipeline.features.registry import dump_op, parse_ops
from pipeline.ingest.labels import assign
from pipeline.matrix import SetName
from pipeline.memory.planner import MemoryPlan
from pipeline.schema import SETS
from pipeline.train import golden
from pipeline.train.feed import PartitionedFeed, PersistedMatrices


class BuildFeatures(Stage):
    """Chooses the ops if the config names none, fits them, and makes the matrices of all sets."""

    id = FEATURES
    uses = (SPLIT,)

    def inputs(self, job: Job, plan: MemoryPlan) -> StageInputs:
        """Return the ops, and the side tables that they join."""
        config: dict[str, Any] = {"features": "chosen", "golden": job.config.golden}
        if job.ops is not None:
            del config["features"]
            config |= {f"features[{i}]": dump_op(op) for i, op in enumerate(job.ops)}
        for name in job.table_files:
            table, where = job.config.data.tables[name], f"data.tables.{name}"
            config |= slice_config(table, where, "path", "format", "csv", "sheet", "types", "keys")
        files = file_fingerprints(f for files in job.table_files.values() for f in files)
        software = software_inputs(FRAME_LIBRARIES)
        return StageInputs({"config": config, "files": files, **software}, after=(SPLIT,))

    def run(self, run: StageRun) -> None:
        """Fit the ops on the training rows."""
        state, job = run.state, run.context.job
        rows = move_rows(state.labeled, run.context.device)
        if job.ops is None:
            choice = _choose_ops(run.context, rows)
        else:
            choice = FeatureChoice(job.ops, job.left_out)
        run.results = {
            "ops": list(map(dump_op, choice.ops)),
            "left_out": dict(choice.left_out),
            "free_text": dict(choice.free_text),
            "reasons": dict(choice.reasons),
        }
        _report_columns(state, choice)
        counts = {**rows.counts.rows, "train": rows.counts.sampled}
        last = _frames_are_last(job, rows)
        features = fit_features(run, rows, choice, counts, everything=False, last=last)
        run.entry.rows = rows.total
        for step in features.plan.steps:
            if unmatched := step.state.get("unmatched", 0):
                table, total = step.op.model_dump().get("table", ""), step.state["rows"]
                share = f"{unmatched:,} of {total:,} training rows"
                run.entry.notes.append(f"{step.op.name} {table}: {share} have no match")
        state.choice, state.features = choice, features

    def restore(self, run: StageRun, results: Results) -> None:
        """Load the fitted ops; make the matrices if a later stage needs them."""
        state = run.state
        rows = move_rows(state.labeled, run.context.device)
        stored = read_choice(results)
        counts = {**rows.counts.rows, "train": rows.counts.sampled}
        last = _frames_are_last(run.context.job, rows)
        state.features = restore_features(
            run, rows, counts, last=last, wanted=run.context.needs_data_of(self.id)
        )
        state.choice = FeatureChoice(
            parse_ops(stored.ops), stored.left_out, stored.reasons, stored.free_text
        )
        _report_columns(state, state.choice)

    def rebuild(self, state: RunState, device: str | None) -> None:
        """Make the matrices of rows that were read once more."""
        rebuild_features(state, device, everything=False)


def _frames_are_last(job: Job, rows: LabeledData) -> bool:
    """Return whether no later stage needs the rows' frames: each goes when its matrix is made."""
    return not needs_refit(job.config, rows.total) and not job.config.evaluate.slices


def _choose_ops(context: RunContext, rows: LabeledData) -> FeatureChoice:
    """Return the ops that the columns' types and values suggest."""
    from pipeline.features.auto import choose, profile

    schema = rows.source.drop([*rows.source.target, *context.job.left_out])
    summary = partitions.reduce_partitions(
        context.client, rows.parts, profile.summarise, profile.merge, schema, rows.context
    )
    seen = profile.finish(summary, schema)
    entries, choices = choose.choose_ops(schema, seen, rows.target)
    dropped = {choice.column: choice.why for choice in choices if choice.dropped}
    reasons = {choice.column: choice.why for choice in choices if not choice.dropped}
    free_text = choose.find_free_text(entries, dropped, seen)
    left_out = {**context.job.left_out, **dropped}
    return FeatureChoice(parse_ops(entries), left_out, reasons, free_text)


def _report_columns(state: RunState, choice: FeatureChoice) -> None:
    """Summarise the columns, and show the summary to the user."""
    context, rows = state.context, state.labeled
    state.columns = summarise_columns(
        context.job.contract,
        rows.source,
        choice.ops,
        reasons=choice.reasons,
        left_out=choice.left_out,
        missing=rows.missing,
    )
    context.listener.columns(state.columns, rows.read_rows, context.job.contract.notes)


def fit_features(
    run: StageRun,
    rows: LabeledData,
    choice: FeatureChoice,
    counts: Mapping[str, int],
    *,
    everything: bool,
    last: bool,
) -> FeatureSet:
    """Fit the ops on the partitions' training rows, and make the matrices of all their rows.

    Args:
        counts: rows of each set that the models get.
        everything: all rows train.
        last: no later stage needs the rows' frames.
    """
    context, job = run.context, run.context.job
    tables = {
        name: [file_fingerprints(files), job.config.data.tables[name].model_dump(mode="json")]
        for name, files in job.table_files.items()
    }
    # An earlier process in this folder may have fitted some of the ops on the same rows.
    rows_key = hash_json([run.entry.stage, context.cache.keys.get(SPLIT)])
    states = StateCache(run.folder / "fitted", rows_key, tables)
    fitting = fit.fit(
        context.client,
        training_parts(rows, everything),
        meta=rows.meta,
        source=rows.source,
        context=rows.context,
        ops=choice.ops,
        tables=job.tables,
        left_out=job.left_out,
        cache=states,
    )
    states.remove_unused(fitting.plan.steps)
    run.process_notes += states.notes()
    reasons = choice.left_out
    plan = replace(
        fitting.plan,
        filters=tuple(expression.text for expression in job.filters),
        dropped=tuple(
            {**d, "reason": reasons.get(d["column"], d["reason"])} for d in fitting.plan.dropped
        ),
    )
    # The plan is used as it is loaded from its files: a later process cannot get anything else.
    plan = fit.save_and_reload(plan, run.folder / fit.FOLDER)
    remaining = plan.steps[len(plan.steps) - len(fitting.remaining) :]
    feed = _make_feed(context, rows, replace(fitting, plan=plan, remaining=remaining), counts, last)
    run.files = list_files(run.folder / fit.FOLDER)
    drawn = None
    if job.config.golden:
        drawn = golden.choose_rows(feed, job.config.golden, job.config.seed)
        run.files = [*run.files, golden.save(drawn, run.folder / golden.FILE)]
    return FeatureSet(plan, feed, drawn, fitting.parts, everything, last)


def restore_features(
    run: StageRun,
    rows: LabeledData,
    counts: Mapping[str, int],
    *,
    last: bool,
    wanted: bool,
    everything: bool = False,
) -> FeatureSet:
    """Load the fitted ops and the golden rows; make the matrices if they are wanted."""
    context = run.context
    plan = fit.load(run.folder / fit.FOLDER)
    wanted_rows, drawn = context.job.config.golden, None
    if wanted_rows:
        drawn = golden.load(run.folder / golden.FILE, wanted_rows, len(plan.features))
    if not wanted:
        device, features = rows.context.device, plan.features
        feed = PartitionedFeed(context.client, _no_matrices, features, rows.target, device, counts)
        return FeatureSet(plan, feed, drawn, rows.parts, everything, last)
    fitting = fit.replay_plan(
        context.client, training_parts(rows, everything), plan, meta=rows.meta,
        context=rows.context,
    )  # fmt: skip
    feed = _make_feed(context, rows, fitting, counts, last)
    return FeatureSet(plan, feed, drawn, fitting.parts, everything, last)


def _no_matrices(*sets: SetName) -> Partitions:
    raise AssertionError(f"the matrices of {sets} were not made: no stage to compute needs them")


def rebuild_features(state: RunState, device: str | None, *, everything: bool) -> None:
    """Make the matrices of rebuilt rows, if it was this stage that made them before."""
    features = state.features
    if features is None or features.everything != everything:
        return
    rows = move_rows(state.labeled, device or features.feed.device)
    fitting = fit.replay_plan(
        state.context.client, training_parts(rows, everything), features.plan, meta=rows.meta,
        context=rows.context,
    )  # fmt: skip
    feed = _make_feed(state.context, rows, fitting, features.feed.counts, features.last)
    state.features = replace(features, feed=feed, parts=fitting.parts)


def training_parts(rows: LabeledData, everything: bool) -> Partitions:
    """Return the rows' frames, in which all rows train if ``everything`` is set."""
    if not everything:
        return rows.parts
    return partitions.map_partitions(rows.parts, assign.assign_all_to_train, rows.context.device)


def _make_feed(
    context: RunContext,
    rows: LabeledData,
    fitting: FitResult,
    counts: Mapping[str, int],
    last: bool,
) -> PartitionedFeed:
    """Return the matrices of the rows: persisted for all sets, or made at each pass."""
    client, wanted = context.client, fitting.plan.features
    steps, rate = partitions.broadcast(client, fitting.remaining), rows.plan.train_rate

    def make_matrices(*sets: SetName) -> Partitions:
        training = replace(rows.context, sets=sets, train_rate=rate)
        return partitions.map_partitions(
            fitting.parts, transform.build_matrices, steps, wanted, training
        )

    parts_of: Callable[..., Partitions] = make_matrices
    if rows.plan.in_memory:
        if last and fitting.parts.items is not rows.parts.items:
            # Regrouping made frames of its own, so the rows' frames are not replaced below.
            rows.parts.release()
        frames = fitting.parts if last else None
        matrices = partitions.persist(client, make_matrices(*SETS), instead_of=frames)
        parts_of = PersistedMatrices(client, matrices)
    return PartitionedFeed(client, parts_of, wanted, rows.target, rows.context.device, counts)
