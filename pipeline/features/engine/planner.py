"""The feature plan: from ops to phases, and from the models' columns back to the columns to read.

Ops run in the order written. Ops that do not depend on each other are fitted in one pass (a phase).
Columns that the models do not use are neither computed nor read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.features.engine.transform import Step
from pipeline.features.op import Op
from pipeline.matrix import Feature
from pipeline.schema import RESERVED, Schema, Select


@dataclass(frozen=True)
class ResolvedOps:
    """Ops resolved against the columns of the data."""

    ops: tuple[Op, ...]
    schemas: tuple[Schema, ...]
    """Schema before each op, and last the schema after all ops."""
    unresolved_from: int | None
    """First op that can be resolved only after fitting an op before it (one_hot); None: all are."""

    @property
    def final(self) -> Schema:
        """Schema after all ops."""
        return self.schemas[-1]


def resolve_ops(ops: Sequence[Op], source: Schema) -> ResolvedOps:
    """Resolve the columns of each op against the schema before it.

    Raises:
        ConfigError: an op names an unknown column, or one of the target expression.
    """
    schemas, current, open_from = [source], source, None
    for position, op in enumerate(ops):
        try:
            _check_columns(op, current)
            # Errors after an unresolved op may be due to columns that are still unknown.
            current = op.output_schema(current)
        except ConfigError as error:
            if open_from is None:
                message = error.message
                if not message.startswith("features["):
                    message = f"features[{position}].{op.name}: {message}"
                raise ConfigError(message, examples=error.examples, fix=error.fix) from None
        if op.is_dynamic() and open_from is None:
            open_from = position + 1
        schemas.append(current)
    return ResolvedOps(tuple(ops), tuple(schemas), open_from)


def _check_columns(op: Op, schema: Schema) -> None:
    used = [n for n in op.reads(schema) if n in schema.target]
    if used and not op.can_read_target():
        raise ConfigError(
            f"the target is made of {used[0]!r}, which new data lack, so no feature may use it",
            fix=f"leave {used[0]!r} out of this op",
        )
    names = [c.name for c in op.produces(schema)]
    if reserved := [n for n in names if n in RESERVED]:
        raise ConfigError(
            f"{reserved[0]!r} is reserved for a column of the pipeline", fix="choose another name"
        )
    if twice := [n for n, times in Counter(names).items() if times > 1]:
        raise ConfigError(
            f"two of its columns have the name {twice[0]!r}",
            fix='give them different names: as: "{column}_…", or rename a column before it',
        )


@dataclass(frozen=True)
class PrunedOps:
    """Resolved ops without the columns that no model uses."""

    resolved: ResolvedOps
    """All ops, narrowed to the columns that are used."""
    used: tuple[bool, ...]
    """True for each op that is used at all."""
    needed: frozenset[str]
    """Columns of the data that the ops and models use."""


def prune_ops(resolved: ResolvedOps, source: Schema, left_out: Mapping[str, str]) -> PrunedOps:
    """Remove what no model uses, going backwards from the columns that the models get."""
    needed = set(resolved.final.drop([*resolved.final.target, *left_out]).names)
    ops, used, named = list(resolved.ops), [True] * len(resolved.ops), set[str]()
    for position in reversed(range(len(ops))):
        schema = resolved.schemas[position]
        first = resolved.unresolved_from
        is_resolved = first is None or position < first - 1
        # A column that a later op removes by name must exist, although nothing needs it.
        wanted = needed | (named - set(schema.names))
        op = ops[position]
        if is_resolved:
            op = ops[position] = _narrow_columns(op, schema, wanted)
        named |= set(op.removes(schema))
        outputs = {c.name for c in op.produces(schema)}
        if outputs and is_resolved and not outputs & needed:
            used[position] = False
            continue
        needed = (needed - outputs) | set(op.reads(schema))
    return PrunedOps(resolve_ops(ops, source), tuple(used), frozenset(needed & set(source.names)))


def _narrow_columns(op: Op, schema: Schema, needed: set[str]) -> Op:
    """Return the op with only the columns whose results are needed."""
    select = getattr(op, "columns", None)
    if not op.columnwise or not isinstance(select, Select):
        return op

    def apply_to(names: list[str]) -> Op:
        return op.model_copy(update={"columns": Select(all=tuple(names))})

    selected = select.resolve(schema)
    # Each column is independent, so the outputs of one show whether it is needed.
    used = [n for n in selected if needed & {c.name for c in apply_to([n]).produces(schema)}]
    return apply_to(used) if 0 < len(used) < len(selected) else op


def select_model_columns(resolved: ResolvedOps, left_out: Mapping[str, str]) -> list[Feature]:
    """Return the models' columns: all that remain, except those that may not be features.

    Raises:
        ConfigError: a column is still text or datetime, or no column is left.
    """
    final = resolved.final.drop([*resolved.final.target, *left_out])
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
    # "c" and "q" are XGBoost's feature types: category and quantitative.
    return [Feature(c.name, "c" if c.kind == "category" else "q") for c in final]


def plan_next_phase(steps: Sequence[Step]) -> tuple[list[int], list[int], bool]:
    """Plan the next pass: which steps it runs and fits, and whether it stops at a regroup.

    Returns:
        (usable or pending positions in order, pending positions, all before a regroup is done). A
        step is pending if its inputs are final; steps that read columns of a pending one wait.
    """
    order: list[int] = []
    pending: list[int] = []
    unfinished: set[str] = set()  # columns that no pass can compute yet
    waiting = False
    for position, step in enumerate(steps):
        op = step.op
        # A regroup moves the rows, so all steps before it must be applied first.
        if op.regroup_by() is not None and position > 0:
            return order, pending, not (pending or waiting)
        changed = {c.name for c in op.produces(step.schema)} | set(op.removes(step.schema))
        if unfinished & set(op.reads(step.schema)):
            waiting = True
            unfinished |= changed
        else:
            order.append(position)
            if not step.done:
                pending.append(position)
            unfinished = unfinished - changed if step.is_usable else unfinished | changed
        if op.is_dynamic() and not step.done:  # later ops may select its columns
            return order, pending, False
    return order, pending, False
