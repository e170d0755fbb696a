"""The feature plan: from ops to phases, and from the models' columns back to what must be read.

Ops run in the order written. Those that do not feed each other are fitted in one pass (a phase).
What the models do not use is neither computed nor read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError, PipelineError
from pipeline.features.engine.transform import Step
from pipeline.features.op import Op
from pipeline.matrix import Feature
from pipeline.schema import RESERVED, Schema, Select


@dataclass(frozen=True)
class ResolvedOps:
    """Ops resolved against the columns of the data."""

    ops: tuple[Op, ...]
    schemas: tuple[Schema, ...]
    """The schema before each op, and the last one after all of them."""
    unresolved_from: int | None
    """Ops from here on are resolved once an op before them is fitted (one_hot); None: all are."""

    @property
    def final(self) -> Schema:
        """The columns after all ops."""
        return self.schemas[-1]


def resolve_ops(ops: Sequence[Op], source: Schema) -> ResolvedOps:
    """Resolves each op's columns against the schema before it.

    Raises:
        ConfigError: an op names a column that is not there, or one the target is made of.
    """
    schemas, current, open_from = [source], source, None
    for position, op in enumerate(ops):
        try:
            _refuse_target(op, current)
            _refuse_names(op, current)
            current = op.output_schema(current)
        except ConfigError as error:
            if open_from is None:
                raise _placed(error, position, op) from None
        if op.is_dynamic() and open_from is None:
            open_from = position + 1
        schemas.append(current)
    return ResolvedOps(tuple(ops), tuple(schemas), open_from)


def _placed(error: PipelineError, position: int, op: Op) -> ConfigError:
    where = f"features[{position}].{op.name}: "
    message = error.message if error.message.startswith("features[") else where + error.message
    return ConfigError(message, examples=error.examples, fix=error.fix)


def _refuse_target(op: Op, schema: Schema) -> None:
    used = [n for n in op.reads(schema) if n in schema.target]
    if used and not op.can_read_target():
        raise ConfigError(
            f"the target is made of {used[0]!r}, so no feature may be: it is not known at predict",
            fix=f"leave {used[0]!r} out of this op",
        )


def _refuse_names(op: Op, schema: Schema) -> None:
    names = [c.name for c in op.produces(schema)]
    if taken := [n for n in names if n in RESERVED]:
        raise ConfigError(f"{taken[0]!r} is a name of the pipeline's own", fix="choose another one")
    if twice := [n for n, times in Counter(names).items() if times > 1]:
        raise ConfigError(
            f"it makes two columns {twice[0]!r}",
            fix='name them apart: as: "{column}_…", or rename a column before it',
        )


@dataclass(frozen=True)
class PrunedOps:
    """A walk without what no model uses."""

    resolved: ResolvedOps
    """The ops narrowed to the columns that matter; all of them are still there."""
    used: tuple[bool, ...]
    """Which ops matter at all."""
    needed: frozenset[str]
    """Columns of the data that the ops and models use."""


def prune_ops(walked: ResolvedOps, source: Schema, left_out: Mapping[str, str]) -> PrunedOps:
    """Goes backwards from the columns that the models get."""
    needed = set(walked.final.drop([*walked.final.target, *left_out]).names)
    ops, alive, named = list(walked.ops), [True] * len(walked.ops), set[str]()
    for position in reversed(range(len(ops))):
        schema = walked.schemas[position]
        settled = walked.unresolved_from is None or position < walked.unresolved_from - 1
        # what a later op takes away by its name must be there, though nothing needs it
        wanted = needed | (named - set(schema.names))
        op = ops[position] = _narrowed(ops[position], schema, wanted) if settled else ops[position]
        named |= set(op.removes(schema))
        made = {c.name for c in op.produces(schema)}
        if made and settled and not made & needed:
            alive[position] = False
            continue
        needed = (needed - made) | set(op.reads(schema))
    return PrunedOps(resolve_ops(ops, source), tuple(alive), frozenset(needed & set(source.names)))


def _narrowed(op: Op, schema: Schema, needed: set[str]) -> Op:
    """The op for those of its columns whose results are needed."""
    select = getattr(op, "columns", None)
    if not op.columnwise or not isinstance(select, Select):
        return op

    def on(names: list[str]) -> Op:
        return op.model_copy(update={"columns": Select(all=tuple(names))})

    chosen = select.resolve(schema)
    used = [n for n in chosen if needed & {c.name for c in on([n]).produces(schema)}]
    return on(used) if 0 < len(used) < len(chosen) else op


def select_model_columns(walked: ResolvedOps, left_out: Mapping[str, str]) -> list[Feature]:
    """The columns the models get: all that remain, less those that may not be features.

    Raises:
        ConfigError: text or datetimes are left, or nothing is.
    """
    final = walked.final.drop([*walked.final.target, *left_out])
    for column in final:
        if column.kind in ("text", "datetime"):
            op = "dates" if column.kind == "datetime" else "target_encode or categorify"
            raise ConfigError(
                f"column {column.name!r} is still {column.kind} after the last op; "
                "models take numbers",
                fix=f"add the op {op} for it, or drop: [{column.name}]",
            )
    if not final.columns:
        raise ConfigError("no column is left for the models", fix="drop fewer columns")
    return [Feature(c.name, "c" if c.kind == "category" else "q") for c in final]


def plan_next_phase(steps: Sequence[Step]) -> tuple[list[int], list[int], bool]:
    """Positions to run and to fit in the next pass, and whether all before a regroup is done.

    Returns:
        (usable or pending positions in order, pending positions, stopped at a regroup): a step is
        pending when what it reads is final; steps that read the columns of a pending one wait.
    """
    chain: list[int] = []
    pending: list[int] = []
    tainted: set[str] = set()
    waiting = False
    for position, step in enumerate(steps):
        op = step.op
        if op.regroup_by() is not None and position > 0:
            return chain, pending, not (pending or waiting)
        made = {c.name for c in op.produces(step.schema)} | set(op.removes(step.schema))
        if tainted & set(op.reads(step.schema)):
            waiting = True
            tainted |= made
        else:
            chain.append(position)
            if not step.done:
                pending.append(position)
            tainted = tainted - made if step.usable else tainted | made
        if op.is_dynamic() and not step.done:
            return chain, pending, False
    return chain, pending, False
