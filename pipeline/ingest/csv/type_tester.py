"""Test of whether the sampled values of a column fit a type."""

from __future__ import annotations

from collections import Counter

from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.types import SourceColumn, are_all_valid, find_misfits

TURN = 10
"""Values that a first half must have to say something about the rest."""
SHARE = 0.99
"""Share of the values that must fit a type."""
PROBE = 50
"""Distinct values that are tried first; if none of them fits, the others are not parsed."""


class TypeTester:
    """Test of whether sampled values fit a type; distinct values are parsed once per type."""

    def __init__(self, values: list[str], dialect: Dialect) -> None:
        self.values, self.dialect = values, dialect
        self.counts = Counter(values)
        self.distinct = list(self.counts)
        self._wrong: dict[SourceColumn, list[str]] = {}

    def __call__(self, candidate: SourceColumn) -> bool:
        """Return whether enough values fit the type: all, all of the first half, or `SHARE`."""
        misfits = self._wrong.get(candidate)
        if misfits is None and are_all_valid(candidate, self.distinct, self.dialect):
            misfits = self._wrong[candidate] = []
        if misfits == []:
            return bool(self.values)
        probe = self.distinct[:PROBE]
        if len(find_misfits(candidate, probe, self.dialect)) == len(probe):
            return False
        bad = set(self.wrong(candidate))
        if not bad:  # a pattern, which `are_all_valid` does not test
            return bool(self.values)
        # A file whose format changes in its middle is bad from there on.
        half = self.values[: len(self.values) // 2]
        turned = len(half) >= TURN and bad.isdisjoint(half)
        return turned or sum(self.counts[v] for v in bad) <= (1 - SHARE) * len(self.values)

    def wrong(self, candidate: SourceColumn) -> list[str]:
        """Return the distinct values that do not fit the type."""
        if candidate not in self._wrong:
            odd = find_misfits(candidate, self.distinct, self.dialect)
            self._wrong[candidate] = [self.distinct[i] for i in odd]
        return self._wrong[candidate]

    def count_wrong(self, candidate: SourceColumn) -> int:
        """Return the number of sampled values that do not fit the type."""
        return sum(self.counts[value] for value in self.wrong(candidate))
