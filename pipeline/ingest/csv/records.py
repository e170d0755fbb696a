"""Parsing of CSV record by record, slower than Arrow, but with the place of each mistake."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.ingest.csv.blanks import erase_comments
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.text import has_invalid_utf8, make_reader
from pipeline.ingest.csv.types import SourceColumn, find_misfits, parse_values
from pipeline.ingest.rejected import BadRow

NOT_CLOSED = "a quoted field does not end on its line"
NEVER_CLOSED = "a quoted field does not end"


@dataclass(frozen=True)
class CsvRecord:
    """A record: the line it begins on (from 0), its fields, and the problem of a bad one."""

    line: int
    fields: list[str]
    text: str
    problem: str = ""


def split_records(data: bytes, dialect: Dialect) -> Iterator[CsvRecord]:
    """Split a block into records; blank lines are skipped, bad bytes become lone surrogates."""
    data = erase_comments(data, dialect.comment, dialect.multiline_quote)
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if lines[-1] == "":
        lines.pop()
    if dialect.newlines_in_values:
        yield from _parse_across_lines(lines, dialect)
        return
    # Each line is read on its own, so that a problem does not depend on where the block begins.
    for number, line in enumerate(lines):
        text = line.removesuffix("\r")
        # Python's csv finds no fields in a line of carriage returns alone
        if not text.strip(" \r" if dialect.strip_blanks else "\r"):
            continue
        rows = make_reader(
            [text + "\n", "\n"], dialect.delimiter, dialect.quote, strip=dialect.strip_blanks
        )
        try:
            fields = next(rows)
            if rows.line_num > 1:  # an open quote made it read the next line
                fields, problem = [], NOT_CLOSED
            else:
                problem = _check_width(fields, dialect)
        except csv.Error as error:
            fields, problem = [], _describe_error(error)
        yield CsvRecord(number, fields, text, problem)


def _parse_across_lines(lines: list[str], dialect: Dialect) -> Iterator[CsvRecord]:
    ended = False

    def feed() -> Iterator[str]:
        nonlocal ended
        for line in lines:
            yield line + "\n"
        ended = True

    rows = make_reader(feed(), dialect.delimiter, dialect.quote, strip=dialect.strip_blanks)
    start = 0
    while True:
        try:
            fields = next(rows)
            if dialect.strip_blanks and fields == [""]:  # a line of blanks
                fields = []
            problem = NEVER_CLOSED if ended else _check_width(fields, dialect)
        except StopIteration:
            return
        except csv.Error as error:
            fields, problem = [], _describe_error(error)
        if fields or problem:
            text = "\n".join(lines[start : rows.line_num]).removesuffix("\r")
            yield CsvRecord(start, fields, text, problem)
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
    data: bytes,
    path: str,
    first: tuple[int, int],
    columns: Sequence[SourceColumn],
    dialect: Dialect,
) -> tuple[np.ndarray, dict[str, pa.ChunkedArray], list[BadRow]]:
    """Parse the good records of a block, and report what is wrong with the others.

    Args:
        data: whole lines.
        path: the file, for the bad rows.
        first: (line of the file, row id) of the first line.
        columns: the columns to read; values of other columns are not checked.
        dialect: the dialect of the file.

    Returns:
        (line of each good record, counted from 0; their values by column; the bad rows in order).
    """
    place = {name: i for i, name in enumerate(dialect.names)}
    records = list(split_records(data, dialect))
    bad: dict[int, BadRow] = {}

    def reject(record: CsvRecord, column: SourceColumn | None, reason: str) -> None:
        name = None if column is None else column.name
        value = None if name is None else _escape(record.fields[place[name]])
        at = (first[0] + record.line, first[1] + record.line)
        bad[record.line] = BadRow(path, *at, name, value, reason, _escape(record.text))

    for record in records:
        if record.problem:
            reject(record, None, record.problem)
    for column in columns:
        at = place[column.name]
        for record in records:
            if record.line not in bad and has_invalid_utf8(record.fields[at]):
                reject(record, column, "not UTF-8 text")
        good = [r for r in records if r.line not in bad]
        for i in find_misfits(column, [r.fields[at] for r in good], dialect):
            reject(good[i], column, f"not {column.describe_rule(dialect)}")
    valid = [r for r in records if r.line not in bad]
    arrays: dict[str, pa.ChunkedArray] = {}
    for column in columns:
        column_values = [r.fields[place[column.name]] for r in valid]
        values = parse_values(column, column_values, dialect)
        if values is None:  # `find_misfits` has left only records that fit
            raise AssertionError(f"column {column.name!r}: the two readers disagree")
        arrays[column.name] = values
    lines = np.array([r.line for r in valid], dtype="int64")
    return lines, arrays, [bad[line] for line in sorted(bad)]


def _escape(text: str) -> str:
    """Return the text with bytes that are not UTF-8 as \\xNN."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
