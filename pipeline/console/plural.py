"""Counts with the right form of their noun: ``1 row``, ``2 rows``, ``1,000 classes``."""

from __future__ import annotations


def pluralize(count: int, one: str, many: str | None = None) -> str:
    """Choose ``one`` for a count of 1, else ``many``, or ``one`` with an s."""
    return one if count == 1 else many or f"{one}s"


def quantify(count: int, one: str, many: str | None = None) -> str:
    """Format a count with its noun: ``1 row``, ``1,000 rows``."""
    return f"{count:,} {pluralize(count, one, many)}"
