"""The automatic choice of ops from the type of each column and the number of its values.

The models are trees, so the rules are few. Numbers stay as they are, including missing ones. Few
values become codes, and many values become the mean of the target. Datetimes become parts and a
number of days. A column that cannot help on new rows is left out, with the reason: every row has
its own value, all rows have the same value, or every value is missing.

There are no cyclical parts, because a tree can split an hour twice instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.console.plural import quantify
from pipeline.errors import DataError
from pipeline.features.auto.profile import DAY
from pipeline.matrix import Target
from pipeline.schema import Column, Schema

MAX_CODES = 20
"""Most values of a column that becomes codes; with more it becomes the target's mean."""
MAX_CLASSES = 10
"""Most classes for target encoding, which has a column per class; with more: codes."""
MAX_SIZE = 250
"""Most codes of a column that is not target-encoded because of the number of classes."""
ROWS_PER_VALUE = 5
"""Fewest rows per value for target encoding of numbers that are named like codes."""
OWN_VALUE = 1 / 0.95
"""Fewest rows per value of useful text; below it almost every row has its own value."""
HUGE = 1e30
"""Limit of numbers, including infinite ones: models take float32, and add them up."""
FREE_WORDS = 3
"""Fewest words per row of free text; with fewer, a value is a name or a code."""
FIRST_ID = 20
"""Largest start of a counter: some of its first rows may be in other sets."""

# names of record numbers and of codes, in words: "id", "user_id", "PassengerId", "Unnamed: 0"
_ID_NAME = re.compile(
    r"(?i:(^|[\W_])(id|uuid|guid|key|index|idx|rowid|rownames?|row|nr|no|unnamed)([\W_\d]|$))"
    r"|(?<=[a-z])I[dD]$|(?<=[a-z])Key$"
)
_CODE_NAME = re.compile(
    r"(?i:(^|[\W_])(id|code|zip|postcode|key)([\W_]|$))|(?<=[a-z])(I[dD]|Code)$"
)

Entry = dict[str, Any]
WHOLE_VALUES = frozenset({"categorify", "count_encode", "hash", "one_hot", "target_encode"})
"""Ops that only compare values with each other."""
_CLIP: tuple[str, Entry] = ("clip", {"lower": -HUGE, "upper": HUGE})
_TARGET_ENCODE: tuple[str, Entry] = ("target_encode", {"folds": 5, "smooth": 20})


@dataclass(frozen=True)
class ColumnChoice:
    """The ops for one column, and the reason."""

    column: str
    why: str
    """A sentence without its full stop, about the data."""
    ops: tuple[tuple[str, Entry], ...] = ()
    """(op, parameters without ``columns``; for derive, the whole entry). Empty: left as it is."""
    dropped: bool = False


def choose_ops(
    schema: Schema, profile: Mapping[str, Any], target: Target
) -> tuple[list[Entry], list[ColumnChoice]]:
    """Return the YAML entries of the chosen ops, and the choice per column.

    Args:
        schema: the columns of the data; those of the target expression are skipped.
        profile: of these columns, by `pipeline.features.auto.profile.finish`.
        target: what is predicted.

    Returns:
        (entries for ``features:``, choices in the order of the schema).

    Raises:
        DataError: every column is left out, or there is none.
    """
    choices = choose_per_column(schema, profile, target)
    if all(c.dropped for c in choices):
        raise DataError(
            "no column except the target has anything to learn from",
            examples=[f"{c.column!r}: {c.why}" for c in choices],
            fix="add columns whose values differ from row to row",
        )
    return to_entries(choices), choices


def find_free_text(
    entries: Sequence[Mapping[str, Any]], dropped: Collection[str], profile: Mapping[str, Any]
) -> dict[str, str]:
    """Find columns of free text whose words the models do not see, and what becomes of each.

    The values of free text have several words and are rarely repeated.

    Args:
        entries: the chosen ops.
        dropped: the columns left out.
        profile: as for `choose_ops`.
    """
    whole = {
        column: op
        for entry in entries
        for op, parameters in entry.items()
        if op in WHOLE_VALUES
        for column in parameters["columns"]
    }
    free_text = {}
    for name, seen in profile["columns"].items():
        if seen.get("words", 0) < FREE_WORDS or seen["distinct"] <= MAX_CODES:
            continue
        if name in dropped:
            free_text[name] = "is left out"
        elif name in whole and seen["rows_per_value"] < ROWS_PER_VALUE:
            free_text[name] = f"is only given to {whole[name]} as a whole"
    return free_text


def choose_per_column(
    schema: Schema, profile: Mapping[str, Any], target: Target
) -> list[ColumnChoice]:
    """Return a choice per column outside the target expression, in the schema's order.

    If every column would be left out, those with their own value in every row stay after all: a
    weak feature is better than none.
    """
    columns = [c for c in schema if c.name not in schema.target]
    taken, rows = set(schema.names), profile["rows"]
    choices = [_choice(c, profile["columns"][c.name], rows, target, taken) for c in columns]
    if any(not c.dropped for c in choices):
        return choices
    return [
        choice
        if schema[choice.column].dtype not in ("int64", "text")
        or profile["columns"][choice.column]["constant"]
        else ColumnChoice(
            choice.column,
            f"kept, as nothing else is left: {choice.why}",
            (_TARGET_ENCODE,) if schema[choice.column].dtype == "text" else (),
        )
        for choice in choices
    ]


def to_entries(choices: Sequence[ColumnChoice]) -> list[Entry]:
    """Return the ops' YAML entries: equal parameters share an entry, and `drop` comes last."""
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
    why, ops = "a number", tuple[tuple[str, Entry], ...]()
    if seen["dtype"] == "bool":
        why = "true or false"
    elif max(-seen["low"], seen["high"]) > HUGE:
        why, ops = f"{why}, limited to what float32 can hold", (_CLIP,)
    return ColumnChoice(column.name, why, ops)


def _text(name: str, seen: Mapping[str, Any], target: Target) -> ColumnChoice:
    distinct = _count(seen)
    if seen["rows_per_value"] < OWN_VALUE and seen["distinct"] > 2:
        return ColumnChoice(name, f"almost every row has its own value ({distinct})", dropped=True)
    if seen["distinct"] <= MAX_CODES:
        return ColumnChoice(name, f"text with {distinct}", (("categorify", {}),))
    return ColumnChoice(name, f"text with {distinct}", (_means(target),))


def _means(target: Target) -> tuple[str, Entry]:
    """Return target encoding, or codes if there would be too many columns."""
    if len(target.classes) > MAX_CLASSES:
        return "categorify", {"max_size": MAX_SIZE}
    return _TARGET_ENCODE


def _integer(
    name: str, seen: Mapping[str, Any], rows: int, target: Target, taken: set[str]
) -> ColumnChoice:
    if reason := _id_reason(name, seen, rows):
        return ColumnChoice(name, reason, dropped=True)
    # Two values split a tree once, whether they are codes or numbers.
    if not _CODE_NAME.search(name) or seen["distinct"] <= 2:
        return ColumnChoice(name, "a number")
    why = f"numbers named like a code, with {_count(seen)}"
    if seen["distinct"] <= MAX_CODES:
        return ColumnChoice(name, why, (("categorify", {}),))
    op, parameters = _means(target)
    # `as` keeps the number beside its encoding; braces in the name would be taken for a pattern.
    enough = op == "target_encode" and seen["rows_per_value"] >= ROWS_PER_VALUE
    if enough and f"{name}_te" not in taken and not {"{", "}"} & set(name):
        return ColumnChoice(name, why, ((op, {**parameters, "as": "{column}_te"}),))
    return ColumnChoice(name, "a number")


def _id_reason(name: str, seen: Mapping[str, Any], rows: int) -> str:
    """Return why whole numbers are an id; empty if they are not one.

    Every row has its own number, and the name says id, or the numbers count from about 0 without
    large gaps. A year per row, or a population, is neither.
    """
    if seen["missing"] or seen["rows_per_value"] > 1 or rows <= MAX_CODES:
        return ""
    if _ID_NAME.search(name):
        return "an id by its name, and every row has its own"
    if 0 <= seen["low"] <= FIRST_ID and seen["high"] - seen["low"] < 2 * rows:
        return f"it counts the rows: every row has its own number from {seen['low']} on"
    return ""


def _datetime(name: str, seen: Mapping[str, Any], taken: set[str]) -> ColumnChoice:
    # A part is useful only if the data cover its period about once.
    span = (seen["high"] - seen["low"]) / DAY
    first = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=seen["low"])
    parts = ["month"] if span >= 60 else []
    parts += ["day"] if span >= 28 else []
    parts += ["day_of_week"] if span >= 14 else []
    parts += ["hour"] if seen["clock"] else []
    days = f"{name}__days"
    ops: list[tuple[str, Entry]] = []
    if days not in taken and "`" not in name:  # an expression cannot quote such a name
        ops.append(("derive", {days: f'(`{name}` - "{first.date()}") / 86400'}))
    ops.append(("dates", {"parts": parts or ["day_of_week"]}))
    how = "times" if seen["clock"] else "dates"
    return ColumnChoice(name, f"{how} over {span:,.0f} days from {first.date()} on", tuple(ops))


def _count(seen: Mapping[str, Any]) -> str:
    values = quantify(seen["distinct"], "value")
    return values if seen["exact"] else f"about {values}"
