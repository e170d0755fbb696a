"""Columns of text that are nearly columns of numbers: what to do is for people to decide."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from pipeline.ingest.csv.types import SourceColumn
from pipeline.ingest.reading_note import ReadingNote, suggest_type

MOSTLY = 0.5
"""Share of numbers from which a column of text may have been meant as one of numbers."""
FEW = 5
"""Distinct values up to which they are proposed as words for missing."""
INSPECTED = 20_000
"""Sampled values that are inspected."""
NUMBER = re.compile(r"[-+]?(?:\d{1,300}(?:\.\d{0,300})?|\.\d{1,300})(?:[eE][-+]?\d{1,3})?")
CODE = re.compile(r"[-+]?0\d")


def note_mixed_columns(
    columns: Sequence[SourceColumn],
    values: Sequence[Sequence[str]],
    asked: Collection[str],
    where: str,
) -> Iterator[ReadingNote]:
    """Yield a note per column of text most of whose values are numbers.

    Args:
        columns: as they were inferred.
        values: the sampled values of each, without missing ones.
        asked: columns whose type the config gives.
        where: the source's key in the config; empty for data without a config.
    """
    for column, sampled in zip(columns, values, strict=True):
        if column.type != "text" or column.name in asked:
            continue
        counts = Counter(islice(sampled, INSPECTED))
        odd = [value for value in counts if not NUMBER.fullmatch(value.strip())]
        share = 1 - sum(counts[value] for value in odd) / max(counts.total(), 1)
        # Codes such as 007 have digits too, and are texts.
        if not odd or share < MOSTLY or any(CODE.match(v) for v in counts if "." not in v):
            continue
        others = f" and {len(odd) - 1:,} more are" if len(odd) > 1 else " is"
        message = (
            f"{share:.0%} of the sampled values are numbers, but {odd[0]!r:.60}{others} not: "
            "the column is read as text"
        )
        change = None
        if where:
            words = json.dumps(odd[:FEW], ensure_ascii=False)
            few = f"{where}.csv.missing: {words}"
            change = few if len(odd) <= FEW else suggest_type(where, column.name, "float")
        yield ReadingNote("type", message, column.name, change)
