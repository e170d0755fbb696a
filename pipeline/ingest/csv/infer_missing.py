"""Inference of the words that mean missing in the columns of numbers and dates of a CSV."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.config.model import Csv, OnlyWords
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.missing_words import BLANK, COMMON_WORDS, list_words
from pipeline.ingest.csv.type_inference import SampledValues
from pipeline.ingest.csv.types import SourceColumn
from pipeline.ingest.reading_note import ReadingNote, suggest_type

MAX_WORDS = 3
"""Distinct words that a column may add."""
MAX_SHARE = 0.3
"""Share of a column's values that these words may be."""
MIN_COUNT = 2
"""Number of times that a word must occur in a column; one that stands alone is a bad value."""
MAX_LENGTH = 40
NO_WORD = re.compile(r"\d|^\s*[-+]?(inf|infinity|nan)\s*$", re.IGNORECASE)
NO_DATE = re.compile(r"0000[-/.]00[-/.]00([ T]00:00(:00(\.0+)?)?)?Z?|00?[-/.]00?[-/.]0000")
"""Dates that databases write where there is none."""

InferColumn = Callable[[str, list[str]], SourceColumn]
"""Infer a column from its name and its sampled values."""


@dataclass(frozen=True)
class InferredColumns:
    """Columns of a CSV, the dialect with the words that were inferred, and notes about them."""

    columns: list[SourceColumn]
    dialect: Dialect
    notes: list[ReadingNote]


def infer_columns(
    sample: SampledValues,
    dialect: Dialect,
    infer: InferColumn,
    *,
    config: Csv,
    where: str,
    class_columns: Collection[str] = (),
) -> InferredColumns:
    """Infer the type of each column, and the words that mean missing in those that are not text.

    A word that is found in one column holds in all of them, because a file writes missing values in
    one way, and Arrow has one list of words per file.

    Args:
        sample: the sampled values.
        dialect: the dialect; the words in its ``inferred_missing`` hold already.
        infer: returns a column for its name and the values that are not missing.
        config: the options of the source.
        where: the source's key in the config, for the notes; empty for data without a config.
        class_columns: columns in which words are values if they are text.
    """
    counts = [Counter(values) for values in sample.values]
    named = list(zip(dialect.names, sample.values, counts, strict=True))
    words = dict.fromkeys(dialect.inferred_missing)
    if not config.strict:
        for name, values, count in named:
            found_words = _find_words(count, dialect, words)
            if found_words and _is_inferable(
                infer(name, _leave_out(values, [*found_words, *words])), found_words
            ):
                words |= dict.fromkeys(found_words)
    dialect = replace(dialect, inferred_missing=tuple(words))
    columns, notes = [], []
    for (name, values, count), missing in zip(named, sample.missing, strict=True):
        present = {word: count[word] for word in words if word in count}
        column = _infer_without(name, values, present, infer)
        if column.type == "text":
            column = replace(column, keeps_words=name in class_columns)
            defaults = {} if column.keeps_words else _find_defaults(missing, config)
            if defaults:
                change = where and f'{where}.csv.missing: {{only: [""]}}'
                notes.append(_describe(name, defaults, sample.rows, change))
        elif present:
            change = where and suggest_type(where, name, "text")
            notes.append(_describe(name, present, sample.rows, change))
        blank = sum(n for cell, n in missing.items() if not cell.strip(BLANK))
        if blank:
            message = (
                f"blank cells are read as missing in {blank:,} of {sample.rows:,} sampled rows"
            )
            notes.append(ReadingNote("missing", message, name))
        columns.append(column)
    return InferredColumns(columns, dialect, notes)


def _find_words(
    counts: Counter[str], dialect: Dialect, confirmed: Collection[str]
) -> tuple[str, ...] | None:
    """Return the repeated words of a column if they are few and rare enough, else None."""
    other = {*dialect.true, *dialect.false, *confirmed}
    words: list[str] = []
    for value, count in counts.items():
        if count < MIN_COUNT or value in other or not _is_word(value):
            continue
        words.append(value)
        if len(words) > MAX_WORDS:
            return None
    share = sum(counts[word] for word in words) / max(counts.total(), 1)
    return tuple(words) if words and share <= MAX_SHARE else None


def _is_word(value: str) -> bool:
    """Return whether a value can be a word beside numbers and dates, which all have digits."""
    if len(value) > MAX_LENGTH:
        return False
    return not NO_WORD.search(value) or NO_DATE.fullmatch(value) is not None


def _is_inferable(column: SourceColumn, words: Collection[str]) -> bool:
    """Return whether words beside the values of a column mean missing."""
    # Beside true and false, a third word may as well be a value.
    return column.type != "text" and (column.type != "bool" or _are_common(words))


def _are_common(words: Collection[str]) -> bool:
    return all(COMMON_WORDS.fullmatch(word.strip()) for word in words)


def _leave_out(values: Sequence[str], words: Collection[str]) -> list[str]:
    return [value for value in values if value not in words]


def _infer_without(
    name: str, values: list[str], present: Mapping[str, int], infer: InferColumn
) -> SourceColumn:
    """Infer a column without the words; with them if it is text, or has too many of them."""
    rest = _leave_out(values, present) if present else values
    column = infer(name, rest)
    if not present or not rest:
        return column if rest else infer(name, values)
    # Columns of one file: a common word that is rare in one may be frequent in another.
    few = sum(present.values()) <= MAX_SHARE * len(values) or _are_common(present)
    if few and _is_inferable(column, present):
        return column
    with_words = infer(name, values)
    return with_words if "text" in (with_words.type, column.type) else column


def _find_defaults(missing: Counter[str], config: Csv) -> dict[str, int]:
    """Return the words in a text column that are missing although the config does not name them."""
    if isinstance(config.missing, OnlyWords):
        return {}
    defaults = set(list_words(())) - set(config.missing)
    return {word: count for word, count in missing.items() if word in defaults}


def _describe(name: str, words: Mapping[str, int], rows: int, change: str) -> ReadingNote:
    """Return the note on words that are read as missing in a column."""
    shown = [f"`{word}`" for word in words]
    verb = "is" if len(shown) == 1 else "are"
    listed = shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + f" and {shown[-1]}"
    total = sum(words.values())
    message = f"{listed} {verb} read as missing in {total:,} of {rows:,} sampled rows"
    return ReadingNote("missing", message, name, change or None)
