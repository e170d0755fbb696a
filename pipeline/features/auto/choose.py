"""The automatic choice of ops: from what the columns are, and how many values they have.

The models are trees, and the rules are few: numbers stay as they are (missing ones too); few values
become codes; many values become the target's mean; datetimes become parts and a count of days.
What cannot help on new rows is left out, with the reason: a value of its own in every row, one
value in all rows, no value at all. Cyclical parts are not made: a tree cuts an hour twice instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.errors import DataError
from pipeline.features.auto.profile import DAY
from pipeline.matrix import Target
from pipeline.schema import Column, Schema

MAX_CODES = 20
"""A column with at most so many values becomes codes; more become the target's mean."""
MAX_CLASSES = 10
"""Target encoding makes a column per class: with more classes, codes instead."""
MAX_SIZE = 250
"""The most codes of a column that is not target-encoded because of its classes."""
ROWS_PER_VALUE = 5
"""Numbers that are named like codes are target-encoded too, with at least so many rows a value."""
OWN_VALUE = 1 / 0.95
"""Text with fewer rows per value has a value of its own in almost every row."""
HUGE = 1e30
"""Numbers beyond, and infinite ones, are limited to it: models take float32, and add them up."""
FIRST_ID = 20
"""A counter begins at most here: some of its first rows may be in other sets."""

# names of record numbers and of codes, in words: "id", "user_id", "PassengerId", "Unnamed: 0"
_ID_NAME = re.compile(
    r"(?i:(^|[\W_])(id|uuid|guid|key|index|idx|rowid|rownames?|row|nr|no|unnamed)([\W_\d]|$))"
    r"|(?<=[a-z])I[dD]$|(?<=[a-z])Key$"
)
_CODE_NAME = re.compile(
    r"(?i:(^|[\W_])(id|code|zip|postcode|key)([\W_]|$))|(?<=[a-z])(I[dD]|Code)$"
)

Entry = dict[str, Any]


@dataclass(frozen=True)
class ColumnChoice:
    """What becomes of one column, and why."""

    column: str
    why: str
    """A sentence without its full stop, about the data."""
    ops: tuple[tuple[str, Entry], ...] = ()
    """(op, parameters without ``columns``; for derive, the whole entry). Empty: left as it is."""
    dropped: bool = False


def choose_ops(
    schema: Schema, profile: Mapping[str, Any], target: Target
) -> tuple[list[Entry], list[dict[str, str]]]:
    """The YAML entries of the chosen ops, and what is left out.

    Args:
        schema: the columns of the data; those of the target are passed over.
        profile: of these columns, by `pipeline.features.auto.profile.finish`.
        target: what is predicted.

    Returns:
        (entries for ``features:``, ``[{"column", "reason"}]``).

    Raises:
        DataError: every column is left out, or there is none.
    """
    choices = choose_per_column(schema, profile, target)
    if all(c.dropped for c in choices):
        raise DataError(
            "no column beside the target has anything to learn from",
            examples=[f"{c.column!r}: {c.why}" for c in choices],
            fix="add columns whose values differ from row to row",
        )
    dropped = [{"column": c.column, "reason": c.why} for c in choices if c.dropped]
    return to_entries(choices), dropped


def choose_per_column(
    schema: Schema, profile: Mapping[str, Any], target: Target
) -> list[ColumnChoice]:
    """A choice per column that the target is not made of, in the schema's order.

    Where every column would be left out, those with a value of their own per row stay after all:
    a weak feature is better than none.
    """
    columns = [c for c in schema if c.name not in schema.target]
    taken, rows = set(schema.names), profile["rows"]
    choices = [_choice(c, profile["columns"][c.name], rows, target, taken) for c in columns]
    if any(not c.dropped for c in choices):
        return choices
    return [_kept_after_all(c, schema[c.column], profile["columns"][c.column]) for c in choices]


def to_entries(choices: Sequence[ColumnChoice]) -> list[Entry]:
    """The ops' YAML entries: columns with the same parameters share one, `drop` comes last."""
    first: list[Entry] = []  # derive reads columns that a later op replaces
    entries: list[Entry] = []
    grouped: dict[str, Entry] = {}
    for choice in choices:
        for op, parameters in choice.ops:
            if op == "derive":
                first.append({op: dict(parameters)})
                continue
            key = json.dumps([op, parameters], sort_keys=True)
            if key not in grouped:
                grouped[key] = {"columns": [], **parameters}
                entries.append({op: grouped[key]})
            grouped[key]["columns"].append(choice.column)
    dropped = [c.column for c in choices if c.dropped]
    return [*first, *entries, *([{"drop": {"columns": dropped}}] if dropped else [])]


def _choice(
    column: Column, seen: Mapping[str, Any], rows: int, target: Target, taken: set[str]
) -> ColumnChoice:
    if seen["missing"] == rows:
        return ColumnChoice(column.name, "every value is missing", dropped=True)
    if seen["constant"] and not seen["missing"]:
        return ColumnChoice(column.name, "every row has the same value", dropped=True)
    if column.kind == "datetime":
        return _datetime(column.name, seen, taken)
    if column.kind == "text":
        return _text(column.name, seen, target)
    if column.dtype == "int64":
        return _integer(column.name, seen, rows, target, taken)
    return _number(column.name, seen)


def _number(name: str, seen: Mapping[str, Any]) -> ColumnChoice:
    if seen["dtype"] == "bool":
        return ColumnChoice(name, "true or false")
    if max(-seen["low"], seen["high"]) > HUGE:
        bounds = {"lower": -HUGE, "upper": HUGE}
        return ColumnChoice(name, "a number, limited to what float32 can hold", (("clip", bounds),))
    return ColumnChoice(name, "a number")


def _text(name: str, seen: Mapping[str, Any], target: Target) -> ColumnChoice:
    distinct = _count(seen)
    if seen["rows_per_value"] < OWN_VALUE and seen["distinct"] > 2:
        return ColumnChoice(
            name, f"almost every row has its own value ({distinct} values)", dropped=True
        )
    if seen["distinct"] <= MAX_CODES:
        return ColumnChoice(name, f"text with {distinct} values", (("categorify", {}),))
    return ColumnChoice(name, f"text with {distinct} values", (_means(target),))


def _means(target: Target) -> tuple[str, Entry]:
    """Target encoding, or codes where that would make too many columns."""
    if len(target.classes) > MAX_CLASSES:
        return "categorify", {"max_size": MAX_SIZE}
    return "target_encode", {"folds": 5, "smooth": 20}


def _integer(
    name: str, seen: Mapping[str, Any], rows: int, target: Target, taken: set[str]
) -> ColumnChoice:
    if reason := _id_reason(name, seen, rows):
        return ColumnChoice(name, reason, dropped=True)
    if not _CODE_NAME.search(name) or seen["distinct"] <= 2:
        return ColumnChoice(name, "a number")
    why = f"numbers named like a code, with {_count(seen)} values"
    if seen["distinct"] <= MAX_CODES:
        return ColumnChoice(name, why, (("categorify", {}),))
    op, parameters = _means(target)
    enough = op == "target_encode" and seen["rows_per_value"] >= ROWS_PER_VALUE
    if enough and f"{name}_te" not in taken and not {"{", "}"} & set(name):
        return ColumnChoice(name, why, ((op, {**parameters, "as": "{column}_te"}),))
    return ColumnChoice(name, "a number")


def _id_reason(name: str, seen: Mapping[str, Any], rows: int) -> str:
    """Why whole numbers are an id; empty if they are none.

    Every row has its own, and they count from about 0 or 1 without large gaps, or are called an id.
    A year per row, or a population, is neither.
    """
    if seen["missing"] or seen["rows_per_value"] > 1 or rows <= MAX_CODES:
        return ""
    if _ID_NAME.search(name):
        return "an id by its name, and every row has its own"
    if 0 <= seen["low"] <= FIRST_ID and seen["high"] - seen["low"] < 2 * rows:
        return f"it counts the rows: every row has its own number from {seen['low']} on"
    return ""


def _datetime(name: str, seen: Mapping[str, Any], taken: set[str]) -> ColumnChoice:
    span = (seen["high"] - seen["low"]) / DAY
    first = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=seen["low"])
    parts = ["month"] if span >= 60 else []
    parts += ["day"] if span >= 28 else []
    parts += ["day_of_week"] if span >= 14 else []
    parts += ["hour"] if seen["clock"] else []
    days = f"{name}__days"
    ops: list[tuple[str, Entry]] = []
    if days not in taken and "`" not in name:
        ops.append(("derive", {days: f'(`{name}` - "{first.date()}") / 86400'}))
    ops.append(("dates", {"parts": parts or ["day_of_week"]}))
    how = "times" if seen["clock"] else "dates"
    return ColumnChoice(name, f"{how} over {span:,.0f} days from {first.date()} on", tuple(ops))


def _kept_after_all(choice: ColumnChoice, column: Column, seen: Mapping[str, Any]) -> ColumnChoice:
    if column.dtype not in ("int64", "text") or seen["constant"]:
        return choice
    ops = (("target_encode", {"folds": 5, "smooth": 20}),) if column.dtype == "text" else ()
    return ColumnChoice(column.name, f"kept, as nothing else is left: {choice.why}", ops)


def _count(seen: Mapping[str, Any]) -> str:
    return f"{seen['distinct']:,}" if seen["exact"] else f"about {seen['distinct']:,}"
