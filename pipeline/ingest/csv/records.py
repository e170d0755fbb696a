"""CSV record by record, by Python's ``csv``: slow, but it can say what is wrong and where."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.ingest.csv.dialect import Dialect, has_invalid_utf8, make_reader
from pipeline.ingest.csv.types import SourceColumn, find_misfits, parse_values
from pipeline.ingest.rejected import BadRow

NOT_CLOSED = "a quoted field does not end on its line"
NEVER_CLOSED = "a quoted field does not end"


@dataclass(frozen=True)
class Record:
    """One record: the line it begins on (0 is the first), its fields, or why it has none."""

    line: int
    fields: list[str]
    text: str
    problem: str = ""


def split_records(data: bytes, dialect: Dialect) -> Iterator[Record]:
    """The records of a block; blank lines are passed over, bad bytes become lone surrogates.

    Unless the dialect has newlines in values, each line is read on its own, so that what is said
    of it does not depend on where the block begins.
    """
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if lines[-1] == "":
        lines.pop()
    if dialect.newlines_in_values:
        yield from _parse_across_lines(lines, dialect)
        return
    for number, line in enumerate(lines):
        text = line.removesuffix("\r")
        if text.strip("\r"):  # Python's csv has no fields in a line of carriage returns alone
            yield _parse_line(number, text, dialect)


def _parse_line(number: int, text: str, dialect: Dialect) -> Record:
    rows = make_reader([text + "\n", "\n"], dialect.delimiter, dialect.quote)
    try:
        fields = next(rows)
    except csv.Error as error:
        return Record(number, [], text, _describe_error(error))
    if rows.line_num > 1:  # an open quote made it ask for the line after
        return Record(number, [], text, NOT_CLOSED)
    return Record(number, fields, text, _check_width(fields, dialect))


def _parse_across_lines(lines: list[str], dialect: Dialect) -> Iterator[Record]:
    ended = False

    def fed() -> Iterator[str]:
        nonlocal ended
        for line in lines:
            yield line + "\n"
        ended = True

    rows = make_reader(fed(), dialect.delimiter, dialect.quote)
    start = 0
    while True:
        try:
            fields = next(rows)
            problem = NEVER_CLOSED if ended else _check_width(fields, dialect)
        except StopIteration:
            return
        except csv.Error as error:
            fields, problem = [], _describe_error(error)
        if fields or problem:
            text = "\n".join(lines[start : rows.line_num]).removesuffix("\r")
            yield Record(start, fields, text, problem)
        start = rows.line_num


def _describe_error(error: csv.Error) -> str:
    if "new-line character" in str(error):
        return "a carriage return stands outside of quotes"
    return str(error)


def _check_width(fields: list[str], dialect: Dialect) -> str:
    expected = len(dialect.names)
    if len(fields) == expected or not fields:
        return ""
    return f"{len(fields)} fields instead of {expected}"


def parse_records(
    data: bytes, path: str, first: tuple[int, int], columns: Sequence[SourceColumn],
    dialect: Dialect,
) -> tuple[np.ndarray, dict[str, pa.ChunkedArray], list[BadRow]]:  # fmt: skip
    """The good records of a block, and what is wrong with the others.

    Args:
        data: whole lines.
        path: the file, for the bad rows.
        first: (line of the file, row id) of the first line.
        columns: those to read; only their values are looked at.
        dialect: of the file.

    Returns:
        (line of each good record, counted from 0; their values by column; the bad rows in order).
    """
    place = {name: i for i, name in enumerate(dialect.names)}
    found = list(split_records(data, dialect))
    bad: dict[int, BadRow] = {}

    def reject(record: Record, column: SourceColumn | None, reason: str) -> None:
        name = None if column is None else column.name
        value = None if name is None else _escape(record.fields[place[name]])
        at = (first[0] + record.line, first[1] + record.line)
        bad[record.line] = BadRow(path, *at, name, value, reason, _escape(record.text))

    for record in found:
        if record.problem:
            reject(record, None, record.problem)
    for column in columns:
        at = place[column.name]
        for record in found:
            if record.line not in bad and has_invalid_utf8(record.fields[at]):
                reject(record, column, "not UTF-8 text")
        good = [r for r in found if r.line not in bad]
        for i in find_misfits(column, [r.fields[at] for r in good], dialect):
            reject(good[i], column, f"not {column.describe_rule(dialect)}")
    kept = [r for r in found if r.line not in bad]
    values = {c.name: _values(c, [r.fields[place[c.name]] for r in kept], dialect) for c in columns}
    lines = np.array([r.line for r in kept], dtype="int64")
    return lines, values, [bad[line] for line in sorted(bad)]


def _values(column: SourceColumn, words: list[str], dialect: Dialect) -> pa.ChunkedArray:
    values = parse_values(column, words, dialect)
    if values is None:  # misfits has left only words that fit
        raise AssertionError(f"column {column.name!r}: the two readers disagree")
    return values


def _escape(text: str) -> str:
    """Bytes that are no UTF-8 shown as \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
