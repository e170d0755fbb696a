"""What a column's name says: that it may be known only after the fact.

A name is a hint. It becomes a finding that fails only where the column also predicts the target.
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


def words(name: str) -> list[str]:
    """``["arr", "delay"]`` of ``arr_delay`` and ``arrDelay``; in small letters."""
    return [word.lower() for word in _WORD.findall(name)]


def after_the_fact(name: str, target: Sequence[str]) -> tuple[Hint, str]:
    """Whether a column's name sounds like something that is known only later, and why.

    Args:
        name: the column's.
        target: the columns that the target is made of.

    Returns:
        ``plain`` (it says so: ``actual_end``, ``cancelled``), ``weak`` (it shares a word with the
        target: ``arr_time`` beside ``arr_delay``) or nothing, and the reason. What calls itself
        scheduled, planned or previous is known before.
    """
    own = words(name)
    if set(own) & _BEFORE:
        return "", ""
    if found := [word for word in own if word in _AFTER]:
        return "plain", f"its name says {found[0]!r}"
    for pair in _AFTER_PAIRS:
        if pair in zip(own, own[1:], strict=False):
            return "plain", f"its name says {' '.join(pair)!r}"
    for of_target in target:
        shared = [w for w in own if w in set(words(of_target)) - _COMMON and len(w) > 1]
        if shared:
            return "weak", f"its name shares {shared[0]!r} with the target's {of_target!r}"
    return "", ""


_ENTITY = {
    "patient", "customer", "client", "user", "subject", "person", "member", "account", "student",
    "employee", "household", "device", "session", "visitor", "driver", "vehicle", "machine",
    "sensor", "participant", "borrower", "player", "email", "ssn", "phone", "serial", "uuid",
    "guid", "tailnum", "vin",
}  # fmt: skip


def is_entity(name: str) -> bool:
    """Whether a column sounds like the name of someone or something that has several rows."""
    own = words(name)
    ends = bool(own) and own[-1] in ("id", "ids", "key", "uuid", "guid", "no", "nr")
    return (ends and len(own) > 1) or bool(set(own) & _ENTITY)
