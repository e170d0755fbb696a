"""Fits a feature plan over partitions, phase by phase, and keeps it in ``features/``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts import manifest
from pipeline.artifacts.files import write_json
from pipeline.cluster import partitions
from pipeline.cluster.partitions import Partitions
from pipeline.config.stored import check_stored, misfit_error
from pipeline.device import Frame
from pipeline.errors import ConfigError, DataError
from pipeline.expression import parse
from pipeline.features.engine import state_io, transform
from pipeline.features.engine.plan_check import check_plan
from pipeline.features.engine.plan_file import StoredPlan, plan_adapter
from pipeline.features.engine.planner import (
    ResolvedOps,
    plan_next_phase,
    prune_ops,
    resolve_ops,
    select_model_columns,
)
from pipeline.features.engine.state_cache import StateCache
from pipeline.features.engine.transform import Step, TransformContext
from pipeline.features.op import Op
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.saved_state import MAX_CELLS
from pipeline.matrix import Feature
from pipeline.schema import Schema

PLAN = "plan.json"
FOLDER = "plan"
"""What a stage calls the folder of its plan, in its own."""


@dataclass(frozen=True)
class FittedPlan:
    """A plan whose every step is done."""

    source: Schema
    """The columns of the data that it reads, with their target columns marked."""
    steps: tuple[Step, ...]
    features: tuple[Feature, ...]
    dropped: tuple[Mapping[str, str], ...] = ()
    """``{"column", "reason"}`` of source columns that no model sees, for the report."""
    filters: tuple[str, ...] = ()
    """Expressions of the filters: new rows that fail one get no prediction."""

    @cached_property
    def names(self) -> list[str]:
        """The matrix's columns, in order."""
        return [f.name for f in self.features]

    @cached_property
    def needed(self) -> list[str]:
        """The source columns that new data must have, less those the target is made of."""
        used = {n for s in self.steps for n in s.op.reads(s.schema)} | set(self.names)
        used |= {n for f in self.filters for n in parse(f).columns}
        return [n for n in self.source.names if n in used and n not in self.source.target]


@dataclass(frozen=True)
class FitResult:
    """The outcome of `fit`: the plan, and partitions with the steps they still need."""

    plan: FittedPlan
    parts: Partitions
    remaining: tuple[Step, ...]
    """All steps, or those from the last regroup on: what `parts` have not been through."""


def fit(
    client: Any, parts: Partitions, *, meta: Frame, ops: Sequence[Op], source: Schema,
    context: TransformContext, tables: Mapping[str, pd.DataFrame], left_out: Mapping[str, str],
    known: StateCache | None = None,
) -> FitResult:  # fmt: skip
    """Fits the ops on the training rows of the partitions.

    Args:
        parts: frames of the source's columns and the runner's own, ids as index.
        meta: such a frame without rows.
        left_out: columns that may not be features, with the reason.
        known: states that were fitted before, and where new ones are kept.

    Raises:
        ConfigError: the ops do not fit the columns, or leave text.
        DataError: an op refuses the data.
    """
    pruned = prune_ops(resolve_ops(ops, source), source, left_out)
    walked, places = pruned.resolved, [i for i, alive in enumerate(pruned.used) if alive]
    pairs = [(walked.ops[place], walked.schemas[place]) for place in places]
    steps = [
        Step(op, schema, op.prepare(schema, tables), done=not op.requires_fit)
        for op, schema in pairs
    ]
    passes = [0] * len(steps)
    base, phase, grouped = 0, 0, -1
    while base < len(steps):
        if steps[base].op.regroup_by() is not None and grouped < base:
            parts, grouped = _regrouped(client, parts, meta, steps[base].op, context), base
        order, pending, boundary = plan_next_phase(steps[base:])
        order, pending = [base + i for i in order], [base + i for i in pending]
        if pending:
            phase += 1
            if known is not None:
                known.compute_keys(steps)
            _fit_phase(
                client, parts, steps, order=order, pending=pending,
                passes=passes, phase=phase, context=context, known=known,
            )  # fmt: skip
            walked = _resolved_again(walked, places, steps, source)
        elif boundary:
            cut = next(i for i in range(base + 1, len(steps)) if steps[i].op.regroup_by())
            parts, meta = _through(client, parts, meta, tuple(steps[base:cut]), context)
            base = cut
        else:
            break
    features = select_model_columns(walked, left_out)
    plan = FittedPlan(source, tuple(steps), tuple(features), _dropped(source, steps, features))
    return FitResult(plan, parts, tuple(steps[base:]))


def replay_plan(
    client: Any, parts: Partitions, plan: FittedPlan, *, meta: Frame, context: TransformContext
) -> FitResult:
    """What `fit` gave, of other partitions of the same rows: nothing is fitted again."""
    base = 0
    for cut, step in enumerate(plan.steps):
        if step.op.regroup_by() is None:
            continue
        if cut > base:
            parts, meta = _through(client, parts, meta, plan.steps[base:cut], context)
        parts, base = _regrouped(client, parts, meta, step.op, context), cut
    return FitResult(plan, parts, plan.steps[base:])


def _through(
    client: Any, parts: Partitions, meta: Frame, steps: tuple[Step, ...], context: TransformContext
) -> tuple[Partitions, Frame]:
    """Partitions and their meta after these steps."""
    sent = partitions.broadcast(client, steps)
    return (
        partitions.map_partitions(parts, _applied_all, sent, context),
        _applied_all(meta, steps, context),
    )


def _fit_phase(
    client: Any,
    parts: Partitions,
    steps: list[Step],
    *,
    order: list[int],
    pending: list[int],
    passes: list[int],
    phase: int,
    context: TransformContext,
    known: StateCache | None,
) -> None:
    """One pass over the partitions: summaries of the pending steps, merged and finished.

    Of steps whose state is known nothing is summarised; all else is as if they were fitted.
    """
    open_ = [i for i in pending if known is None or not known.has(i)]
    summaries = _summaries(client, parts, steps, order, open_, context=context) if open_ else {}
    for i in pending:
        step = steps[i]
        passes[i] += 1
        done = passes[i] == step.op.n_passes
        fitted = step.op.finish(summaries[i], step.state) if i in summaries else step.state
        if done and known is not None:
            fitted = known.store_or_load(i, fitted, step.op, step.schema)
        op = step.op.resolve_outputs(fitted) if done else step.op
        steps[i] = replace(step, op=op, state=fitted, done=done, phase=phase)


def _summaries(
    client: Any, parts: Partitions, steps: list[Step], order: list[int], pending: list[int], *,
    context: TransformContext,
) -> dict[int, Any]:  # fmt: skip
    """What one pass finds for the pending steps, by their places."""
    used = transform.find_active_steps({i: steps[i] for i in order}, pending)
    ordered = list(used.values())
    positions = [list(used).index(i) for i in pending]
    sent = partitions.broadcast(client, ordered)
    merge = partial(transform.merge_summaries, steps=ordered)
    found = partitions.reduce_partitions(
        client, parts, transform.summarise_steps, merge, sent, positions, context
    )
    return {i: found[position] for position, i in zip(positions, pending, strict=True)}


def _resolved_again(
    walked: ResolvedOps, places: list[int], steps: list[Step], source: Schema
) -> ResolvedOps:
    """Schemas once more: a settled op (one_hot) has columns that later ops may select."""
    ops = list(walked.ops)
    for place, step in zip(places, steps, strict=True):
        ops[place] = step.op
    again = resolve_ops(ops, source)
    for i, place in enumerate(places):
        if not steps[i].done:
            steps[i] = replace(steps[i], schema=again.schemas[place])
    return again


def _applied_all(frame: Frame, steps: tuple[Step, ...], context: TransformContext) -> Frame:
    return transform.transform_frame(frame, steps, context)


def _regrouped(
    client: Any, parts: Partitions, meta: Frame, op: Op, context: TransformContext
) -> Partitions:
    entity, _ = op.regroup_by() or ([], [])
    parts = partitions.map_partitions(parts, _applied_all, (), context)  # storage dtypes, as meta
    moved = partitions.shuffle_by_group(
        parts, meta, transform.hash_group, entity, context.device, device=context.device
    )
    return partitions.persist(client, moved)


def _dropped(
    source: Schema, steps: Sequence[Step], features: Sequence[Feature]
) -> tuple[Mapping[str, str], ...]:
    """Source columns that neither a model nor an op uses, with the reason."""
    used = {f.name for f in features} | {n for s in steps for n in s.op.reads(s.schema)}
    return tuple(
        {"column": c.name, "reason": "the target" if c.name in source.target else "not used"}
        for c in source
        if c.name not in used
    )


def save_and_reload(plan: FittedPlan, folder: Path) -> FittedPlan:
    """The plan as it is loaded from the folder, which then holds nothing else.

    Its fitted states stay the objects that they are, of which a device may have copies: they have
    been loaded from their own files (`state_cache.StateCache`).
    """
    shutil.rmtree(folder, ignore_errors=True)
    save(plan, folder)
    found = load(folder)
    steps = [
        replace(new, state=old.state) if old.phase else new
        for old, new in zip(plan.steps, found.steps, strict=True)
    ]
    return replace(found, steps=tuple(steps))


def save(plan: FittedPlan, folder: Path) -> None:
    """``plan.json`` and ``tables/*.parquet`` in the run's ``features/``.

    Raises:
        DataError: the tables hold more than `load` takes.
    """
    cells = sum(state_io.count_cells(step.state) for step in plan.steps)
    if cells > MAX_CELLS:
        raise DataError(
            f"the tables of the fitted features hold {cells:,} values, at most {MAX_CELLS:,}",
            fix="have fewer groups or keys: hash, or categorify with max_size, before other ops",
        )
    steps = [
        {
            "op": dump_op(step.op),
            "phase": step.phase,
            "reads": step.op.reads(step.schema),
            "produces": [c.name for c in step.op.produces(step.schema)],
            "schema": step.schema.to_json(),
            "state": state_io.dump(step.state, folder, number),
        }
        for number, step in enumerate(plan.steps)
    ]
    write_json(
        folder / PLAN,
        {
            "source": plan.source.to_json(),
            "steps": steps,
            "features": [{"name": f.name, "kind": f.kind} for f in plan.features],
            "dropped": [dict(d) for d in plan.dropped],
            "filters": list(plan.filters),
        },
    )


def load(folder: Path, read: manifest.FileReader = manifest.read_unverified) -> FittedPlan:
    """Return the plan that `save` wrote.

    Args:
        folder: where it is.
        read: opens its files, and checks them if it is a manifest's.

    Raises:
        InputError: a file is not what `save` writes; names the file and the place in it.
    """
    path = folder / PLAN
    data = manifest.parse_json(read(path), path)
    plan = check_stored(plan_adapter(), data, path)
    steps = tuple(_loaded_steps(plan, data, folder, read))
    features = tuple(Feature(f.name, f.kind) for f in plan.features)
    source = plan.source.to_schema()
    check_plan(source, steps, plan, features, path)
    return FittedPlan(source, steps, features, tuple(data["dropped"]), tuple(plan.filters))


def _loaded_steps(
    plan: StoredPlan, data: Any, folder: Path, read: manifest.FileReader
) -> Iterator[Step]:
    """Load the steps' states; all tables together hold no more than a run may write."""
    cells, path = MAX_CELLS, folder / PLAN
    for number, entry in enumerate(plan.steps):
        place, schema = f"steps.{number}", entry.schema_.to_schema()
        try:
            op = parse_op(entry.op, f"{place}.op")
        except ConfigError as error:
            raise misfit_error(path, "", error.message) from None
        loaded = state_io.load_checked(
            op, schema, data["steps"][number]["state"], folder, read,
            path=path, place=f"{place}.state", cells=cells,
        )  # fmt: skip
        cells -= state_io.count_cells(loaded)
        yield Step(op, schema, loaded, done=True, phase=entry.phase)
