"""Which columns of the data, and of side tables, each column of the models' matrix is made of."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.features.engine.fit import FittedPlan

Lineage = Mapping[str, frozenset[str]]


def lineage(plan: FittedPlan) -> Lineage:
    """By column of the matrix. A joined column is its own source, and not made of the keys.

    Of an op that reads several columns, what is named after one of them (``x``, ``x__hour``) is
    made of that one; anything else of all of them.
    """
    known = {name: frozenset({name}) for name in plan.source.names}
    for step in plan.steps:
        reads, joined = step.reads, bool(step.op.tables())
        made = {}
        for column in step.produces:
            own = [] if joined else _named(column.name, reads) or reads
            sources = frozenset().union(*(known.get(n, frozenset({n})) for n in own))
            made[column.name] = sources or frozenset({column.name})
        known |= made
    return {name: known.get(name, frozenset({name})) for name in plan.names}


def _named(name: str, reads: list[str]) -> list[str]:
    own = [n for n in reads if name == n or name.startswith(f"{n}__")]
    return [max(own, key=len)] if own else []


def encoded(plan: FittedPlan) -> set[str]:
    """Columns made of the target's means: of training rows they are out of fold, of others not."""
    return {c.name for s in plan.steps if s.op.name == "target_encode" for c in s.produces}


def features_of(column: str, made_of: Lineage) -> list[str]:
    """The matrix's columns that are made of a column."""
    return [name for name, sources in made_of.items() if column in sources]
