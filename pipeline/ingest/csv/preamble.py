"""Search for the header of a CSV below the lines that do not belong to the table.

Such lines are ``sep=;``, which Excel reads, comments, and lines whose number of fields is not that
of the table.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from pipeline.ingest.csv.header import (
    fill_names,
    is_above_values,
    looks_like_data,
    reads_like_names,
)
from pipeline.ingest.csv.text import make_reader, split_lines

SEPARATOR = re.compile(r'"?sep=(.)"?\r?', re.IGNORECASE)
COMMENT = "#"
"""Character that begins a comment above the header, if the config names none."""
SAMPLED = 200
"""Records from which the number of fields is taken."""
MOST_ABOVE = 100
"""Records that may lie above the header, besides comments."""
SHARE = 0.9
"""Share of the records below a header that have its number of fields."""
FEWEST = 3
"""Rows that show that all of them have a field more than the header."""


@dataclass(frozen=True)
class FirstRecord:
    """A record, and its place in the text."""

    above: int
    """Lines above it."""
    end: int
    """Lines up to its end."""
    fields: tuple[str, ...]


@dataclass(frozen=True)
class LineRules:
    """Rules by which lines of a file become records."""

    delimiter: str
    quote: str | None
    skip: int | None = None
    """Lines above the header or the first row; None: as many as do not belong to the table."""
    comment: str | None = None
    """Character that begins comments anywhere in the file."""
    strip_blanks: bool = False
    """True if blanks after a delimiter are not part of the values."""


def read_separator(text: str) -> str | None:
    """Return the delimiter that a first line ``sep=;`` names; None if there is no such line."""
    match = SEPARATOR.fullmatch(text[: text.find("\n")] if "\n" in text else text)
    return match[1] if match else None


def count_lines_above(text: str, skip: int | None, comment: str | None) -> tuple[int, int | None]:
    """Count the lines that are not of the table whatever their fields are.

    Returns:
        (lines up to the end of the last comment, the last comment's line if it may be a header).
    """
    if skip is not None:
        return skip, None
    above = int(read_separator(text) is not None)
    last = None
    for number, line in enumerate(islice(_iter_lines(text), above, None), above):
        if line.startswith(comment or COMMENT):
            above, last = number + 1, number
        elif line.strip("\r"):
            break
    return above, None if comment else last


def _iter_lines(text: str) -> Iterator[str]:
    """Yield the lines one by one: mostly the first few are enough."""
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


def drop_lines(text: str, count: int) -> str:
    """Return the text without its first lines."""
    return text.split("\n", count)[count] if text.count("\n") >= count else ""


def iter_records(text: str, rules: LineRules, above: int) -> Iterator[FirstRecord]:
    """Yield the records below the first lines; blank lines and comments are skipped."""
    lines = split_lines(drop_lines(text, above))
    if rules.comment:
        mark = rules.comment
        lines = ("\n" if line.startswith(mark) else line for line in lines)
    rows = make_reader(lines, rules.delimiter, rules.quote, strip=rules.strip_blanks)
    start = 0
    try:
        for row in rows:
            if row:
                yield FirstRecord(above + start, above + rows.line_num, tuple(row))
            start = rows.line_num
    except csv.Error:  # the reader of blocks reports it with its line
        return


def find_header(text: str, rules: LineRules) -> FirstRecord | None:
    """Find the record that names the columns, and give it as many fields as the rows have.

    Without lines that do not belong to the table, this is the first one. A header gets an empty
    last name if all rows end with a delimiter and it does not, and an empty first name if all rows
    begin with a label more.
    """
    above, mark = count_lines_above(text, rules.skip, rules.comment)
    records = list(islice(iter_records(text, rules, above), SAMPLED))
    if not records:  # no line but comments: these are the table
        return next(iter_records(text, rules, 0 if mark is not None else above), None)
    if mark is not None and (marked := _find_marked_header(text, rules, mark, records)):
        return marked
    rows = [r.fields for r in records]
    widths = Counter(len(row) for row in rows)
    width = max(widths, key=lambda w: (widths[w], w))
    if (fields := _fit_header(rows[0], rows[1:], width)) is not None or rules.skip is not None:
        return _with_fields(records[0], fields)
    for place in range(1, min(MOST_ABOVE, len(rows) - 1)):
        fields, below = _fit_header(rows[place], rows[place + 1 :], width), rows[place + 1 :]
        if fields is None:
            continue
        regular = sum(len(row) == width for row in below) >= SHARE * len(below)
        # Below a header of another width, the first row would become the names.
        names = is_above_values(rows[place], below)
        names |= not reads_like_names(rows[0]) and not looks_like_data(rows[place], below)
        return _with_fields(records[place], fields) if regular and names else records[0]
    return records[0]


def find_first_row(text: str, rules: LineRules) -> FirstRecord | None:
    """Find the first record of a file without a header."""
    above, mark = count_lines_above(text, rules.skip, rules.comment)
    record = next(iter_records(text, rules, above), None)
    if mark is None:
        return record
    first = next(iter_records(text, rules, 0 if record is None else mark), None)
    is_row = record is None or (first is not None and len(first.fields) == len(record.fields))
    return first if is_row else record


def _with_fields(record: FirstRecord, fields: Sequence[str] | None) -> FirstRecord:
    return record if fields is None else FirstRecord(record.above, record.end, tuple(fields))


def _find_marked_header(
    text: str, rules: LineRules, line: int, records: Sequence[FirstRecord]
) -> FirstRecord | None:
    """Return the last comment if it names the columns (``#id,name``)."""
    marked = next(iter_records(text, rules, line), None)
    rows = [r.fields for r in records]
    if marked is None or marked.end != line + 1:
        return None
    widths = Counter(len(row) for row in rows)
    if len(marked.fields) != max(widths, key=lambda w: (widths[w], w)):
        return None
    return None if is_above_values(rows[0], rows[1:]) else marked


def _fit_header(
    names: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Sequence[str] | None:
    """Return the names of ``width`` columns; None if the record cannot be their header."""
    if len(names) == width:
        return names
    if len(names) == width + 1 and not names[-1].strip():
        return names[:-1]
    regular = [row for row in rows if len(row) == width]
    # A line above the real header may have one field less than it.
    if len(names) != width - 1 or len(regular) < min(FEWEST, len(rows)) or not regular:
        return None
    if len(rows[0]) != width or is_above_values(rows[0], rows[1:]):
        return None
    if all(not row[-1].strip() for row in regular):
        return [*names, ""]
    labels = [row[0].strip() for row in regular]
    unique = len(regular) >= FEWEST and "" not in labels and len(set(labels)) == len(labels)
    return ["", *names] if unique and is_above_values(names, [row[1:] for row in regular]) else None


def locate_header(text: str, rules: LineRules, names: Sequence[str]) -> FirstRecord | None:
    """Find the header of a file of which the columns are known; None if no line names them."""
    above, mark = count_lines_above(text, rules.skip, rules.comment)
    starts = [above] if mark is None else [above, mark, 0]
    for start in starts:
        for record in islice(iter_records(text, rules, start), MOST_ABOVE):
            if names_columns(record.fields, names):
                return record
            if rules.skip is not None:
                break
    return None


def names_columns(fields: Sequence[str], names: Sequence[str]) -> bool:
    """Return whether a header has these names, apart from blanks, case and unnamed columns."""
    variants = [fields, [*fields, ""], ["", *fields]]
    if not fields[-1].strip():
        variants.append(fields[:-1])
    wanted = [name.casefold() for name in names]
    return any(
        len(variant) == len(names) and [n.casefold() for n in fill_names(variant)] == wanted
        for variant in variants
    )
