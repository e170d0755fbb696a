"""Lineage: the columns of the data and of side tables that each column of the matrix comes from."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.features.engine.fit import FittedPlan

Lineage = Mapping[str, frozenset[str]]


def trace_lineage(plan: FittedPlan) -> Lineage:
    """Return the source columns of each column of the matrix.

    A joined column is its own source; the join's keys are not counted. If an op reads several
    columns, a result named after one of them (``x``, ``x__hour``) comes from that one, and any
    other result from all of them.
    """
    sources = {name: frozenset({name}) for name in plan.source.names}
    for step in plan.steps:
        reads, is_join = step.reads, bool(step.op.tables())
        produced = {}
        for column in step.produces:
            inputs: list[str] = []
            if not is_join:
                named = [n for n in reads if column.name == n or column.name.startswith(f"{n}__")]
                # ``a__b__hour`` may be named after ``a`` and after ``a__b``.
                inputs = [max(named, key=len)] if named else reads
            origins = frozenset().union(*(sources.get(n, frozenset({n})) for n in inputs))
            produced[column.name] = origins or frozenset({column.name})
        # Columns of one step read the inputs of the step, never each other.
        sources |= produced
    return {name: sources.get(name, frozenset({name})) for name in plan.names}


def find_target_encodings(plan: FittedPlan) -> set[str]:
    """Return the columns that hold means of the target, out of fold for training rows only."""
    return {c.name for s in plan.steps if s.op.name == "target_encode" for c in s.produces}


def find_derived_features(column: str, lineage: Lineage) -> list[str]:
    """Return the matrix's columns that come from a source column."""
    return [name for name, sources in lineage.items() if column in sources]
