"""Names of columns in a header line, and the recognition of a first line that holds data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from pipeline.errors import SchemaError, shorten
from pipeline.ingest.csv.missing_words import COMMON_WORDS
from pipeline.ingest.csv.text import has_invalid_utf8

GENERATED = re.compile(r"f\d+")
"""Names of columns that have none in the file."""
TO_UTF8 = "name the encoding of the file, such as csv.encoding: cp1252, or save it as UTF-8"

UNNAMED = "a first column without a name holds row labels"
PANDAS_UNNAMED = re.compile(r"Unnamed: \d+(\.\d+)*")
"""Names that pandas gives to columns without one when it reads a CSV."""
NUMBER = re.compile(r"[-+]?(\d[\d.,' ]*|\.\d+)([eE][-+]?\d+)?%?")
DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d{1,2}:\d\d.*)?")
SIMILAR = 0.8
"""Share of a column's values that are numbers, or dates, if it is a column of those."""
SHOWN = 5
"""Columns of one name that a message lists."""
FEWEST_ROWS = 3
"""Rows below a first line that must show what the columns hold."""


def check_names(names: Sequence[str], path: str) -> tuple[str, ...]:
    """Check column names; an empty one becomes ``unnamed_<position>`` (pandas' index has none).

    Raises:
        SchemaError: two columns have one name, or a name is not UTF-8 text or has a NUL.
    """
    for name in names:
        if has_invalid_utf8(name):
            raise SchemaError(
                f"{path}: the column name {name.encode('utf-8', 'surrogateescape')!r} in the "
                "header is not UTF-8 text",
                fix=TO_UTF8,
            )
        check_name(name, path)
    filled = fill_names(names)
    if twice := [name for name, count in Counter(filled).items() if count > 1]:
        at = [i for i, name in enumerate(filled, 1) if name == twice[0]]
        places = " and ".join(map(str, at[:SHOWN]))
        places += f" and {len(at) - SHOWN:,} more" if len(at) > SHOWN else ""
        both = "both" if len(at) == 2 else "all"
        raise SchemaError(
            f"{path}: columns {places} are {both} called {twice[0]!r}",
            fix="give every column a name of its own, or set csv.header: false if the first line "
            "holds no names",
        )
    return filled


def check_name(name: str, path: str) -> None:
    """Refuse a column name with a NUL, at which Arrow's readers would end it.

    Raises:
        SchemaError: the name has one.
    """
    if "\0" in name:
        raise SchemaError(
            f"{path}: the column name {shorten(name)} has a NUL character", fix="rename the column"
        )


def is_unnamed(name: str, place: int) -> bool:
    """Return whether the column at a place (from 0) has no name, or the one that pandas gives."""
    return name == f"unnamed_{place + 1}" or PANDAS_UNNAMED.fullmatch(name) is not None


def fill_names(names: Sequence[str]) -> tuple[str, ...]:
    """Strip the names, and name columns without one ``unnamed_<position>``."""
    return tuple(name.strip() or f"unnamed_{i}" for i, name in enumerate(names, 1))


def is_above_values(fields: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the fields differ in kind from the values below: some column has numbers."""
    kinds = [kind for _, kind, _ in _describe_columns(fields, rows)]
    return any(
        kind is not None and field.strip() and not kind.fullmatch(field.strip())
        for field, kind in zip(fields, kinds, strict=False)
    )


def reads_like_names(fields: Sequence[str]) -> bool:
    """Return whether the fields could name columns: several different words."""
    words = [field.strip() for field in fields]
    return len(set(words)) == len(words) > 1 and not any(
        not word or NUMBER.fullmatch(word) or DATE.fullmatch(word) for word in words
    )


def looks_like_data(fields: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether a file's first line holds values like those below it.

    All numbers and dates stand where the rows have them. Besides, one of them is unusual as a
    name (a fraction, a date), or a field is repeated, or it is a value of its column.
    Numbers that ascend are taken for names, such as years and wavelengths.
    """
    numbers: list[float] = []
    unusual = False
    typed = 0
    for field, kind, values in _describe_columns(fields, rows):
        if not field or COMMON_WORDS.fullmatch(field):
            continue
        if kind is None:
            unusual |= field in values
            continue
        if not kind.fullmatch(field):
            return False
        typed += 1
        unusual |= kind is DATE or not field.lstrip("+-").isdigit()
        digits = re.sub(r"[^\d.eE+-]", "", field)
        numbers += [float(digits)] if re.fullmatch(r"[-+]?\d*\.?\d+([eE][-+]?\d+)?", digits) else []
    named = [field.strip() for field in fields if field.strip()]
    unusual |= len(set(named)) < len(named)
    ascending = len(numbers) > 1 and all(a < b for a, b in zip(numbers, numbers[1:], strict=False))
    return bool(typed) and unusual and not (ascending and typed == len(named))


def _describe_columns(
    fields: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterator[tuple[str, re.Pattern[str] | None, set[str]]]:
    """Yield each field, the pattern of its column's values (None: text), and the values."""
    regular = [row for row in rows if len(row) == len(fields)]
    if len(regular) < min(FEWEST_ROWS, len(rows)):
        regular = []
    for place, field in enumerate(fields):
        values = [row[place].strip() for row in regular]
        values = [v for v in values if v and not COMMON_WORDS.fullmatch(v)]
        kind = None
        for pattern in (DATE, NUMBER):
            if values and sum(bool(pattern.fullmatch(v)) for v in values) >= SIMILAR * len(values):
                kind = pattern
                break
        yield field.strip(), kind, set(values)
