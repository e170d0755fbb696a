"""What the records ``stages/features.json`` and ``stages/refit-features.json`` hold of a stage."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from pipeline.artifacts.manifest_model import SetName
from pipeline.config.stored import Count, StoredObject, check_stored


class StoredChoice(StoredObject):
    """The ops that were configured or chosen, and the columns left out with the reason."""

    ops: list[dict[str, Any]]
    left_out: dict[str, str]


class StoredCounts(StoredObject):
    """Rows per set of a refit."""

    counts: dict[SetName, Count]


@cache
def _choices() -> TypeAdapter[StoredChoice]:
    return TypeAdapter(StoredChoice)


@cache
def _counts() -> TypeAdapter[StoredCounts]:
    return TypeAdapter(StoredCounts)


def read_choice(found: Any) -> StoredChoice:
    """Return the choice in a record.

    Raises:
        InputError: it is not one.
    """
    return check_stored(_choices(), found, "stages/features.json: found")


def read_counts(found: Any) -> dict[str, int]:
    """Return the rows per set in a record.

    Raises:
        InputError: they are not there.
    """
    return dict(check_stored(_counts(), found, "stages/refit-features.json: found").counts.items())
