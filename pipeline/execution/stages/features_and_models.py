"""The middle stages of a run: features, training, and the refit. Each is a block of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.artifacts.files import list_files
from pipeline.cluster import partitions
from pipeline.cluster.partitions import Partitions
from pipeline.execution.fingerprints import file_fingerprints
from pipeline.execution.stages.ingest import LabeledData, on
from pipeline.features.auto.choice_file import read_choice, read_counts
from pipeline.features.engine import fit, transform
from pipeline.features.engine.fit import FitResult, FittedPlan
from pipeline.features.engine.state_cache import StateCache
from pipeline.features.op import Op
from pipeline.features.registry import dump_op, parse_ops
from pipeline.ingest.labels import assign
from pipeline.matrix import SetName
from pipeline.memory.planner import release_memory
from pipeline.schema import SETS
from pipeline.train import golden, model_io
from pipeline.train import model as models_of
from pipeline.train.feed import PartitionedFeed, PersistedMatrices
from pipeline.train.fitted_model import FittedModel, TrainingOptions

if TYPE_CHECKING:
    from pipeline.execution.context import RunContext, StageRun


@dataclass(frozen=True)
class FeatureChoice:
    """The ops as configured, or as chosen from the training rows."""

    ops: Sequence[Op]
    left_out: Mapping[str, str]
    """Columns that the models do not see, with the reason."""


@dataclass(frozen=True)
class FeatureSet:
    """Fitted features, and the matrices they make of the rows."""

    choice: FeatureChoice
    """The refit keeps it."""
    plan: FittedPlan
    feed: PartitionedFeed
    golden: np.ndarray | None
    """`golden.choose_rows`, drawn while there are training rows; None: the config wants none."""
    parts: Partitions
    """What the matrices are made of, with the steps that they have not been through."""
    everything: bool
    """All rows train: the refit."""
    last: bool
    """Nothing needs the rows' frames once there are matrices of them."""

    def release(self, rows: LabeledData | None = None) -> None:
        """Frees all matrices, and what they are made of, but not these rows."""
        if rows is None or self.parts.items is not rows.parts.items:
            self.parts.release()
        if isinstance(self.feed.parts, PersistedMatrices):
            self.feed.parts.parts.release()


def features(session: RunContext, rows: LabeledData, *, last: bool) -> FeatureSet:
    """Chooses the ops if the config names none, fits them, and makes the matrices.

    Args:
        last: nothing needs the rows' frames afterwards: each goes when its matrices are made.
    """
    with session.stage("features") as doing:
        rows = on(rows, session.device)
        counts = {**rows.counts.rows, "train": rows.counts.sampled}
        if doing.kept is not None:
            found = read_choice(doing.kept)
            choice = FeatureChoice(parse_ops(found.ops), found.left_out)
            wanted = session.kept.left("train", "evaluate")
            return _kept(session, rows, choice, counts, doing, last=last, wanted=wanted)
        ops, left_out = session.job.ops, session.job.left_out
        choice = choose_ops(session, rows) if ops is None else FeatureChoice(ops, left_out)
        if ops is None:
            reasons = {**choice.left_out, **rows.source.unreadable}
            doing.entry.notes += [f"left out {name}: {why}" for name, why in reasons.items()]
        doing.found = {"ops": list(map(dump_op, choice.ops)), "left_out": dict(choice.left_out)}
        built = _built(session, rows, choice, counts, doing, everything=False, last=last)
        doing.entry.rows = sum(rows.counts.rows.values())
        doing.entry.notes += notes_of(built.plan)
    return built


def choose_ops(session: RunContext, rows: LabeledData) -> FeatureChoice:
    """The ops that the columns' types and values suggest."""
    from pipeline.features.auto import choose, profile

    schema = rows.source.drop([*rows.source.target, *session.job.left_out])
    seen = partitions.reduce_partitions(
        session.client, rows.parts, profile.summarise, profile.merge, schema, rows.context
    )
    entries, dropped = choose.choose_ops(schema, profile.finish(seen, schema), rows.target)
    reasons = {item["column"]: item["reason"] for item in dropped}
    return FeatureChoice(parse_ops(entries), {**session.job.left_out, **reasons})


def _built(
    session: RunContext, rows: LabeledData, choice: FeatureChoice, counts: Mapping[str, int],
    doing: StageRun, *,
    everything: bool, last: bool,
) -> FeatureSet:  # fmt: skip
    """The ops fitted on the partitions' training rows, and the matrices of all their rows.

    What is fitted is used as it is loaded from its files, in this process as in any later one.
    """
    job, client = session.job, session.client
    known = _known(session, doing)
    fitting = fit.fit(
        client, _training(rows, everything), meta=rows.meta, source=rows.source,
        context=rows.context, ops=choice.ops, tables=job.tables, left_out=job.left_out,
        known=known,
    )  # fmt: skip
    known.remove_unused(fitting.plan.steps)
    doing.told += known.notes()
    filters = tuple(expression.text for expression in job.filters)
    dropped = [
        {**d, "reason": choice.left_out.get(d["column"], d["reason"])} for d in fitting.plan.dropped
    ]
    plan = replace(fitting.plan, filters=filters, dropped=tuple(dropped))
    plan = fit.save_and_reload(plan, doing.place / fit.FOLDER)
    remaining = plan.steps[len(plan.steps) - len(fitting.remaining) :]
    feed = _feed(session, rows, replace(fitting, plan=plan, remaining=remaining), counts, last)
    count = job.config.golden
    drawn = golden.choose_rows(feed, count, job.config.seed) if count else None
    doing.files = list_files(doing.place / fit.FOLDER)
    if drawn is not None:
        doing.files += [golden.save(drawn, doing.place / golden.FILE)]
    return FeatureSet(choice, plan, feed, drawn, fitting.parts, everything, last)


def _known(session: RunContext, doing: StageRun) -> StateCache:
    """StateCache that an earlier run in the folder has fitted on the same rows."""
    job = session.job
    tables = {
        name: [file_fingerprints(files), job.config.data.tables[name].model_dump(mode="json")]
        for name, files in job.table_files.items()
    }
    return StateCache(doing.place / "fitted", session.rows_key(doing.name), tables)


def _kept(
    session: RunContext, rows: LabeledData, choice: FeatureChoice, counts: Mapping[str, int],
    doing: StageRun, *,
    last: bool, wanted: bool, everything: bool = False,
) -> FeatureSet:  # fmt: skip
    """The features that are kept, and matrices of the rows if they are wanted."""
    plan = fit.load(doing.place / fit.FOLDER)
    wanted_rows, drawn = session.job.config.golden, None
    if wanted_rows:
        drawn = golden.load(doing.place / golden.FILE, wanted_rows, len(plan.features))
    if not wanted:
        device, features = rows.context.device, plan.features
        feed = PartitionedFeed(session.client, _nothing, features, rows.target, device, counts)
        return FeatureSet(choice, plan, feed, drawn, rows.parts, everything, last)
    fitting = fit.replay_plan(
        session.client, _training(rows, everything), plan, meta=rows.meta, context=rows.context
    )
    feed = _feed(session, rows, fitting, counts, last)
    return FeatureSet(choice, plan, feed, drawn, fitting.parts, everything, last)


def _nothing(*sets: SetName) -> Partitions:
    raise AssertionError(f"the matrices of {sets} were not wanted: all that needs them is kept")


def rebuild_feature_set(
    session: RunContext, rows: LabeledData, built: FeatureSet, device: str | None = None
) -> FeatureSet:
    """Make the matrices of rebuilt rows, with what is fitted, on a device or where they were."""
    rows = on(rows, device or built.feed.device)
    fitting = fit.replay_plan(
        session.client, _training(rows, built.everything), built.plan,
        meta=rows.meta, context=rows.context,
    )  # fmt: skip
    feed = _feed(session, rows, fitting, built.feed.counts, built.last)
    return replace(built, feed=feed, parts=fitting.parts)


def _training(rows: LabeledData, everything: bool) -> Partitions:
    if not everything:
        return rows.parts
    return partitions.map_partitions(rows.parts, assign.assign_all_to_train, rows.context.device)


def _feed(
    session: RunContext, rows: LabeledData, result: FitResult, counts: Mapping[str, int], last: bool
) -> PartitionedFeed:
    """The matrices of the rows: of all sets and held, or made of the rows at each pass."""
    client, wanted = session.client, result.plan.features
    steps, rate = partitions.broadcast(client, result.remaining), rows.plan.train_rate

    def made(*sets: SetName) -> Partitions:
        context = replace(rows.context, sets=sets, train_rate=rate)
        return partitions.map_partitions(
            result.parts, transform.build_matrices, steps, wanted, context
        )

    parts_of: Callable[..., Partitions] = made
    if rows.plan.in_memory:
        if last and result.parts.items is not rows.parts.items:  # they were regrouped
            rows.parts.release()
        frames = result.parts if last else None
        parts_of = PersistedMatrices(
            client, partitions.persist(client, made(*SETS), instead_of=frames)
        )
    device = rows.context.device
    return PartitionedFeed(client, parts_of, wanted, rows.target, device, counts)


def notes_of(plan: FittedPlan) -> list[str]:
    """What the ledger says of the features: joins' unmatched rows."""
    found = []
    for step in plan.steps:
        unmatched = step.state.get("unmatched", 0)
        if unmatched:
            total = step.state["rows"]
            found.append(
                f"{step.op.name} {step.op.model_dump().get('table', '')}: "
                f"{unmatched:,} of {total:,} training rows have no match"
            )
    return found


def train(
    session: RunContext, rows: LabeledData, built: FeatureSet, name: str, *, last: bool
) -> FittedModel:
    """Trains a model of the config.

    Args:
        last: no other model trains on these matrices.
    """
    with session.stage(f"train {name}") as doing:
        found = _trained(session, rows, built, name, doing, last=last)
        if rows.plan.train_rate < 1 and doing.kept is None:
            note = (
                f"{name} trains on a sample of {built.feed.count_rows('train'):,} of "
                f"{rows.counts.rows['train']:,} rows: {rows.plan.short_of}"
            )
            doing.entry.notes.insert(0, note)
            session.warn(note)
        doing.entry.rows = built.feed.count_rows("train")
    release_memory()
    return found


def _trained(
    session: RunContext, rows: LabeledData, built: FeatureSet, name: str,
    doing: StageRun, *, last: bool,
    rounds: int | None = None,
) -> FittedModel:  # fmt: skip
    """The model, as it is loaded from its files: the same in this process as in any later one."""
    if doing.kept is None:
        doing.spare = session.segments(doing.name)
        options = TrainingOptions(
            seed=session.job.config.seed, threads=session.threads, checkpoint=doing.spare,
            rounds=rounds, cache=_cache(session, rows),
            max_rows=None if rows.plan.in_memory else rows.plan.forest_rows,
            progress=session.listener.progress,
        )  # fmt: skip
        feed = replace(built.feed.to_device(session.device), release_after_binning=last)
        found = models_of.train(name, session.job.models[name], feed, options)
        model_io.save(found, doing.place)
        doing.files = [doing.place / file for file in model_io.file_names(name)]
        doing.told += found.process_notes
        doing.entry.notes += found.notes
        return model_io.reload(found, doing.place, session.device)
    return model_io.load(name, doing.place, session.device, bulk=True)


def _cache(session: RunContext, rows: LabeledData) -> Path | None:
    """Where XGBoost's bins lie if not in memory."""
    return None if rows.plan.bins == "memory" else session.folder / "tmp" / "bins"


def _sampled(session: RunContext, rows: LabeledData, parts: Partitions, total: int) -> int:
    """How many of all rows the models get."""
    if rows.plan.train_rate == 1:
        return total
    counts = partitions.reduce_partitions(
        session.client, parts, assign.count_rows, assign.merge_counts, rows.context.device,
        rows.context.n_classes, rows.context.seed, rows.plan.train_rate,
    )  # fmt: skip
    return int(counts.sampled)


def refit_features(session: RunContext, rows: LabeledData, choice: FeatureChoice) -> FeatureSet:
    """The features once more, fitted on all rows."""
    total = sum(rows.counts.rows.values())
    with session.stage("refit features") as doing:
        rows = on(rows, session.device)
        if doing.kept is not None:
            counts, wanted = read_counts(doing.kept), session.kept.left("refit")
            return _kept(
                session, rows, choice, counts, doing, everything=True, last=True, wanted=wanted
            )
        parts = _training(rows, everything=True)
        counts = {"train": _sampled(session, rows, parts, total), "valid": 0, "test": 0}
        doing.found = {"counts": counts}
        built = _built(session, rows, choice, counts, doing, everything=True, last=True)
        doing.entry.rows = total
    return built


def refit(
    session: RunContext, rows: LabeledData, built: FeatureSet, name: str, *, last: bool,
    rounds: Mapping[str, int],
) -> FittedModel:  # fmt: skip
    """A model once more on all rows, with the rounds that were found."""
    with session.stage(f"refit {name}") as doing:
        found = _trained(session, rows, built, name, doing, last=last, rounds=rounds[name])
        doing.entry.rows = sum(rows.counts.rows.values())
    release_memory()
    return found
