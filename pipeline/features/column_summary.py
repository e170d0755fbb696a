"""A summary of the data's columns: how each was read, and what the features make of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from pipeline.config.stored import Count, StoredObject
from pipeline.errors import ConfigError
from pipeline.features.op import Op
from pipeline.features.ops.drop import Drop
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn
from pipeline.schema import Schema

FILE = "columns.json"


@dataclass(frozen=True)
class ColumnSummary:
    """One column of the data."""

    column: str
    type: str
    """Type as read, with the format of the values where there are several."""
    missing: int | None
    """Number of missing values; None: the run did not read the column."""
    becomes: str
    """Result of the features, or the reason why it is left out."""
    used: bool
    """True if the models see the column or what is made of it."""


def summarise_columns(
    contract: Contract,
    source: Schema,
    ops: Sequence[Op],
    *,
    reasons: Mapping[str, str],
    left_out: Mapping[str, str],
    missing: Mapping[str, int],
) -> tuple[ColumnSummary, ...]:
    """Summarise each column of the files, in their order.

    Args:
        contract: the columns as read.
        source: the same columns, with those of the target marked.
        ops: the ops of the features.
        reasons: what the data say about a column, if the ops were chosen.
        left_out: reasons of the columns that are not features.
        missing: missing values of the columns that were read.
    """
    users = _find_users(source, ops)
    dropped = _find_dropped(source, ops)
    summaries = []
    for column in contract.columns:
        name, used = column.name, False
        if name in source.target:
            becomes = "the target"
        elif name in left_out:
            becomes = f"left out: {left_out[name]}"
        elif name in dropped:
            becomes = "left out: dropped by the config"
        elif name not in missing:
            becomes = "not used"
        else:
            names, used = ", ".join(users[name]), True
            becomes = reasons.get(name, "" if names else "a feature")
            becomes = " → ".join(text for text in (becomes, names) if text)
        summaries.append(
            ColumnSummary(name, _describe_type(column), missing.get(name), becomes, used=used)
        )
    for name, why in contract.unreadable.items():
        summaries.append(ColumnSummary(name, "unreadable", None, f"left out: {why}", used=False))
    return tuple(summaries)


def _find_users(source: Schema, ops: Sequence[Op]) -> dict[str, list[str]]:
    """Return the names of the ops that read each column of the data."""
    users: dict[str, list[str]] = {name: [] for name in source.names}
    for op in ops:
        # An op that reads columns of earlier ops reads none of the data's by these names.
        with suppress(ConfigError):
            for name in op.reads(source):
                if name in users and op.name not in users[name]:
                    users[name].append(op.name)
    return users


def _find_dropped(source: Schema, ops: Sequence[Op]) -> set[str]:
    """Return the columns of the data that an op drops; columns that ops made are not among them."""
    dropped = set[str]()
    for op in ops:
        if isinstance(op, Drop):
            with suppress(ConfigError):
                dropped |= set(op.removes(source))
    return dropped


def _describe_type(column: SourceColumn) -> str:
    if column.partition:
        return f"{column.type} (folder)"
    if column.pattern in (None, ISO):
        return column.type
    zoned = column.pattern == ZONED
    return f"{column.type} with zone" if zoned else f"{column.type} {column.pattern}"


# -- columns.json ----------------------------------------------------------------------------------


class StoredColumn(StoredObject):
    """A `ColumnSummary` in ``columns.json``."""

    column: str
    type: str
    missing: Count | None
    becomes: str
    used: bool


class ColumnsFile(StoredObject):
    """The content of ``columns.json``."""

    rows: Count
    columns: list[StoredColumn]


@cache
def columns_adapter() -> TypeAdapter[ColumnsFile]:
    """Return the checker of columns.json, which is built on first use."""
    return TypeAdapter(ColumnsFile)


def to_json(columns: Sequence[ColumnSummary], rows: int) -> dict[str, Any]:
    """Return the content of ``columns.json``."""
    return {"rows": rows, "columns": [asdict(column) for column in columns]}
