"""Hints in column names: values known only after the fact, and identifiers of entities.

A name is only a hint: a finding fails only if the column also predicts the target.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

Hint = Literal["", "weak", "plain"]

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+")
_AFTER = {
    "actual", "actuals", "outcome", "outcomes", "closed", "closing", "resolved", "resolution",
    "cancel", "canceled", "cancelled", "cancellation", "refund", "refunded", "chargeback",
    "churn", "churned", "defaulted", "settled", "settlement", "completed", "completion",
    "finished", "delivered", "recovered", "recovery", "terminated", "termination", "discharge",
    "discharged", "died", "death", "deceased", "approved", "rejected", "realized", "realised",
    "posterior", "predicted", "prediction", "final", "leak",
}  # fmt: skip
_AFTER_PAIRS = {
    ("end", "date"), ("end", "time"), ("ended", "at"), ("time", "to"), ("days", "to"),
    ("days", "until"), ("paid", "off"), ("charged", "off"),
}  # fmt: skip
_BEFORE = {
    "sched", "scheduled", "plan", "planned", "expected", "estimated", "estimate", "forecast",
    "previous", "prev", "prior", "last", "past", "lag", "lagged", "history", "historical",
    "initial", "requested", "due", "promised", "budget", "budgeted", "shift", "before",
}  # fmt: skip
_COMMON = {
    "is", "has", "the", "of", "in", "at", "to", "a", "an", "and", "or", "by", "per", "id", "code",
    "type", "name", "value", "count", "number", "num", "date", "time", "day", "hour", "total",
    "mean", "max", "min", "sum", "rate", "flag", "class", "target", "label", "x", "y", "not",
}  # fmt: skip


def split_words(name: str) -> list[str]:
    """Split a name into lower-case words: ``arrDelay`` gives ``arr`` and ``delay``."""
    return [word.lower() for word in _WORD.findall(name)]


def detect_future_hint(name: str, target: Sequence[str]) -> tuple[Hint, str]:
    """Detect whether a column's name suggests values that are known only after the fact.

    Args:
        name: the column's name.
        target: the columns that the target is computed from.

    Returns:
        The hint and the reason. ``plain``: the name says so (``actual_end``, ``cancelled``).
        ``weak``: it shares a word with the target (``arr_time`` and ``arr_delay``).
    """
    parts = split_words(name)
    # Scheduled, planned or previous values are known beforehand, whatever else the name says.
    if set(parts) & _BEFORE:
        return "", ""
    if after := [word for word in parts if word in _AFTER]:
        return "plain", f"its name contains {after[0]!r}"
    for pair in _AFTER_PAIRS:
        if pair in zip(parts, parts[1:], strict=False):
            return "plain", f"its name contains {' '.join(pair)!r}"
    for column in target:
        shared = [w for w in parts if w in set(split_words(column)) - _COMMON and len(w) > 1]
        if shared:
            return "weak", f"its name shares {shared[0]!r} with the target's {column!r}"
    return "", ""


_ENTITY = {
    "patient", "customer", "client", "user", "subject", "person", "member", "account", "student",
    "employee", "household", "device", "session", "visitor", "driver", "vehicle", "machine",
    "sensor", "participant", "borrower", "player", "email", "ssn", "phone", "serial", "uuid",
    "guid", "tailnum", "vin",
}  # fmt: skip


def is_entity_name(name: str) -> bool:
    """Return whether a column's name is that of a person or thing that may have several rows."""
    parts = split_words(name)
    # ``id`` alone numbers the rows; ``patient_id`` identifies patients.
    has_suffix = bool(parts) and parts[-1] in ("id", "ids", "key", "uuid", "guid", "no", "nr")
    return (has_suffix and len(parts) > 1) or bool(set(parts) & _ENTITY)
