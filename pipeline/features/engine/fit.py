"""Fitting of a feature plan over partitions, phase by phase; saving and loading the plan."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from pipeline.features.op import Op, Summary
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.saved_state import MAX_CELLS
from pipeline.matrix import Feature
from pipeline.schema import Schema

if TYPE_CHECKING:
    from distributed import Client

PLAN = "plan.json"
FOLDER = "plan"
"""Name of the plan's folder in the folder of a stage."""


@dataclass(frozen=True)
class FittedPlan:
    """A plan with fitted state for every step."""

    source: Schema
    """Columns of the data that the plan reads, with those of the target expression marked."""
    steps: tuple[Step, ...]
    features: tuple[Feature, ...]
    dropped: tuple[Mapping[str, str], ...] = ()
    """``{"column", "reason"}`` of source columns that no model uses, for the report."""
    filters: tuple[str, ...] = ()
    """Expressions of the filters; new rows for which one is not true get no prediction."""

    @cached_property
    def names(self) -> list[str]:
        """Columns of the matrix, in order."""
        return [f.name for f in self.features]

    @cached_property
    def needed(self) -> list[str]:
        """Source columns that new data must have; the target expression's are not needed."""
        used = {n for s in self.steps for n in s.op.reads(s.schema)} | set(self.names)
        used |= {n for f in self.filters for n in parse(f).columns}
        return [n for n in self.source.names if n in used and n not in self.source.target]


@dataclass(frozen=True)
class FitResult:
    """The result of `fit`: the plan, and partitions with the steps still to apply."""

    plan: FittedPlan
    parts: Partitions
    remaining: tuple[Step, ...]
    """Steps that are not applied to `parts` yet: all, or those from the last regroup on."""


def fit(
    client: Client,
    parts: Partitions,
    *,
    meta: Frame,
    ops: Sequence[Op],
    source: Schema,
    context: TransformContext,
    tables: Mapping[str, pd.DataFrame],
    left_out: Mapping[str, str],
    cache: StateCache | None = None,
) -> FitResult:
    """Fit the ops on the training rows of the partitions.

    Args:
        parts: frames of the source's columns and the reserved ones, ids as index.
        meta: such a frame without rows.
        left_out: columns that may not be features, with the reason.
        cache: states that were fitted before; new ones are stored in it.

    Raises:
        ConfigError: the ops do not fit the columns, or text columns are left.
        DataError: an op refuses the data.
    """
    pruned = prune_ops(resolve_ops(ops, source), source, left_out)
    resolved, places = pruned.resolved, [i for i, used in enumerate(pruned.used) if used]
    pairs = [(resolved.ops[place], resolved.schemas[place]) for place in places]
    steps = [
        Step(op, schema, op.prepare(schema, tables), done=not op.requires_fit)
        for op, schema in pairs
    ]
    passes = [0] * len(steps)
    # Steps before `base` are applied to the partitions; the one at `grouped` got its regroup.
    base, phase, grouped = 0, 0, -1
    while base < len(steps):
        if steps[base].op.regroup_by() is not None and grouped < base:
            parts, grouped = _regroup(client, parts, meta, steps[base].op, context), base
        order, pending, boundary = plan_next_phase(steps[base:])
        order, pending = [base + i for i in order], [base + i for i in pending]
        if pending:
            phase += 1
            if cache is not None:
                cache.compute_keys(steps)
            missing = [i for i in pending if cache is None or not cache.has(i)]
            active = transform.find_active_steps({i: steps[i] for i in order}, missing)
            summaries = _summarise(client, parts, active, missing, context)
            for i in pending:
                step, state = steps[i], steps[i].state
                passes[i] += 1
                done = passes[i] == step.op.n_passes
                if i in summaries:
                    state = step.op.finish(summaries[i], state)
                if done and cache is not None:
                    state = cache.store_or_load(i, state, step.op, step.schema)
                op = step.op.resolve_outputs(state) if done else step.op
                steps[i] = replace(step, op=op, state=state, done=done, phase=phase)
            resolved = _update_schemas(resolved, places, steps, source)
        elif boundary:
            # Everything before the regroup is fitted: apply it, so that the rows can move.
            cut = next(i for i in range(base + 1, len(steps)) if steps[i].op.regroup_by())
            parts, meta = _apply_steps(client, parts, meta, tuple(steps[base:cut]), context)
            base = cut
        else:
            break
    features = tuple(select_model_columns(resolved, left_out))
    plan = FittedPlan(source, tuple(steps), features, _list_dropped(source, steps, features))
    return FitResult(plan, parts, tuple(steps[base:]))


def replay_plan(
    client: Client, parts: Partitions, plan: FittedPlan, *, meta: Frame, context: TransformContext
) -> FitResult:
    """Return what `fit` returns, for other partitions of the same rows, without fitting."""
    base = 0
    # Only what changes the order of rows must be replayed; the rest runs with `remaining`.
    for cut, step in enumerate(plan.steps):
        if step.op.regroup_by() is None:
            continue
        if cut > base:
            parts, meta = _apply_steps(client, parts, meta, plan.steps[base:cut], context)
        parts, base = _regroup(client, parts, meta, step.op, context), cut
    return FitResult(plan, parts, plan.steps[base:])


def _apply_steps(
    client: Client,
    parts: Partitions,
    meta: Frame,
    steps: tuple[Step, ...],
    context: TransformContext,
) -> tuple[Partitions, Frame]:
    """Apply steps to the partitions and their meta."""
    shared = partitions.broadcast(client, steps)
    parts = partitions.map_partitions(parts, transform.transform_frame, shared, context)
    return parts, transform.transform_frame(meta, steps, context)


def _summarise(
    client: Client,
    parts: Partitions,
    active: Mapping[int, Step],
    pending: list[int],
    context: TransformContext,
) -> dict[int, Summary]:
    """Run one pass over the partitions; return merged summaries of the pending steps by place."""
    if not pending:  # every state is in the cache
        return {}
    ordered = list(active.values())
    positions = [list(active).index(i) for i in pending]
    shared = partitions.broadcast(client, ordered)
    merge = partial(transform.merge_summaries, steps=ordered)
    summaries = partitions.reduce_partitions(
        client, parts, transform.summarise_steps, merge, shared, positions, context
    )
    return {i: summaries[position] for position, i in zip(positions, pending, strict=True)}


def _update_schemas(
    resolved: ResolvedOps, places: list[int], steps: list[Step], source: Schema
) -> ResolvedOps:
    """Resolve the ops again: later ops may select columns that fitting defined (one_hot)."""
    ops = list(resolved.ops)
    for place, step in zip(places, steps, strict=True):
        ops[place] = step.op
    updated = resolve_ops(ops, source)
    for i, place in enumerate(places):
        if not steps[i].done:
            steps[i] = replace(steps[i], schema=updated.schemas[place])
    return updated


def _regroup(
    client: Client, parts: Partitions, meta: Frame, op: Op, context: TransformContext
) -> Partitions:
    entity, _ = op.regroup_by() or ([], [])
    # Applying no steps unpacks the columns, so that their dtypes are those of the meta.
    parts = partitions.map_partitions(parts, transform.transform_frame, (), context)
    moved = partitions.shuffle_by_group(
        parts, meta, transform.hash_group, entity, context.device, device=context.device
    )
    return partitions.persist(client, moved)


def _list_dropped(
    source: Schema, steps: Sequence[Step], features: Sequence[Feature]
) -> tuple[Mapping[str, str], ...]:
    """List source columns that neither a model nor an op uses, with the reason."""
    used = {f.name for f in features} | {n for s in steps for n in s.op.reads(s.schema)}
    return tuple(
        {"column": c.name, "reason": "the target" if c.name in source.target else "not used"}
        for c in source
        if c.name not in used
    )


def save_and_reload(plan: FittedPlan, folder: Path) -> FittedPlan:
    """Save the plan to a folder, which then holds nothing else, and load it from there."""
    shutil.rmtree(folder, ignore_errors=True)
    save(plan, folder)
    loaded = load(folder)
    # Fitted states stay the same objects, because devices cache copies of them by identity.
    steps = [
        replace(new, state=old.state) if old.phase else new
        for old, new in zip(plan.steps, loaded.steps, strict=True)
    ]
    return replace(loaded, steps=tuple(steps))


def save(plan: FittedPlan, folder: Path) -> None:
    """Write ``plan.json`` and ``tables/*.parquet`` to the run's ``features/``.

    Raises:
        DataError: the tables hold more values than `load` accepts.
    """
    cells = sum(state_io.count_cells(step.state) for step in plan.steps)
    if cells > MAX_CELLS:
        raise DataError(
            f"the tables of the fitted features hold {cells:,} values, at most {MAX_CELLS:,}",
            fix="reduce the number of groups or keys: use hash, or categorify with max_size, "
            "before other ops",
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
        folder: the folder of the plan.
        read: opens its files; a manifest's reader verifies them.

    Raises:
        InputError: a file is not what `save` writes; names the file and the place in it.
    """
    path = folder / PLAN
    data = manifest.parse_json(read(path), path)
    plan = check_stored(plan_adapter(), data, path)
    steps = tuple(_load_steps(plan, data, folder, read))
    features = tuple(Feature(f.name, f.kind) for f in plan.features)
    source = plan.source.to_schema()
    check_plan(source, steps, plan, features, path)
    return FittedPlan(source, steps, features, tuple(data["dropped"]), tuple(plan.filters))


def _load_steps(
    plan: StoredPlan, data: Any, folder: Path, read: manifest.FileReader
) -> Iterator[Step]:
    """Load the steps' states; all tables together may hold as much as `save` accepts."""
    cells, path = MAX_CELLS, folder / PLAN
    for number, entry in enumerate(plan.steps):
        place, schema = f"steps.{number}", entry.schema_.to_schema()
        try:
            op = parse_op(entry.op, f"{place}.op")
        except ConfigError as error:
            raise misfit_error(path, "", error.message) from None
        loaded = state_io.load_checked(
            op,
            schema,
            data["steps"][number]["state"],
            folder,
            read,
            path=path,
            place=f"{place}.state",
            cells=cells,
        )
        cells -= state_io.count_cells(loaded)
        yield Step(op, schema, loaded, done=True, phase=entry.phase)
