"""The choice of ops in the records ``stages/features.json`` and ``refit-features.json``."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from pipeline.artifacts.manifest_model import SetName
from pipeline.config.stored import Count, StoredObject, check_stored


class StoredChoice(StoredObject):
    """Configured or chosen ops, and the columns left out with the reason."""

    ops: list[dict[str, Any]]
    left_out: dict[str, str]
    free_text: dict[str, str] = {}
    reasons: dict[str, str] = {}


class StoredCounts(StoredObject):
    """Rows per set of a refit."""

    counts: dict[SetName, Count]


@cache
def _choices() -> TypeAdapter[StoredChoice]:
    return TypeAdapter(StoredChoice)


@cache
def _counts() -> TypeAdapter[StoredCounts]:
    return TypeAdapter(StoredCounts)


def read_choice(entry: Any) -> StoredChoice:
    """Return the choice in a record.

    Raises:
        InputError: the record does not hold a choice.
    """
    return check_stored(_choices(), entry, "stages/features.json: found")


def read_counts(entry: Any) -> dict[str, int]:
    """Return the rows per set in a record.

    Raises:
        InputError: the record does not hold them.
    """
    return dict(check_stored(_counts(), entry, "stages/refit-features.json: found").counts.items())
