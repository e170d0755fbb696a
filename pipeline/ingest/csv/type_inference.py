"""The type of each CSV column, from a sample of its values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipeline.config.model import ColumnType
from pipeline.config.urls import is_url
from pipeline.errors import SchemaError, shorten
from pipeline.ingest.csv.dialect import Dialect, find_data_start, has_invalid_utf8
from pipeline.ingest.csv.number_formats import guess_formats
from pipeline.ingest.csv.records import split_records
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn, are_all_valid, find_misfits
from pipeline.ingest.sources.byte_ranges import read_head, read_piece
from pipeline.ingest.sources.files import File

HEAD, PIECE, FILES = 1 << 20, 128 << 10, 8
TURN = 10  # values; a first half of fewer says nothing about the rest
SHARE = 0.99
PROBE = 50  # distinct values; where none of them fits, the others are not looked at
INTEGER = re.compile(r"\s*-?\d+\s*")
CODE = re.compile(r"\s*[+-]?0\d+")  # 007: digits that are no quantity
DATES = ("%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%b-%Y", "%b %d, %Y")
TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p")
DATETIMES = tuple(f"{date} {time}" for date in DATES for time in TIMES)


@dataclass(frozen=True)
class SampledValues:
    """Values of each column in file order, missing ones left out, and the size of a record."""

    values: list[list[str]]
    row_bytes: float | None


def sample_values(files: list[File], dialect: Dialect, options: Mapping[str, Any]) -> SampledValues:
    """The beginning of up to eight files, the first and last among them.

    Of local files that are not compressed, also a piece from the middle and one from the end.
    """
    step = max((len(files) - 1) / (FILES - 1), 1)
    chosen = sorted({min(round(i * step), len(files) - 1) for i in range(FILES)})
    values: list[list[str]] = [[] for _ in dialect.names]
    size = count = 0
    missing = set(dialect.missing)
    for i in chosen:
        for data in _read_pieces(files[i], HEAD if i == 0 else PIECE, dialect, options):
            size += len(data)
            rows = list(_split_good_records(data, dialect))
            count += len(rows)
            for column_values, fields in zip(values, zip(*rows, strict=True), strict=False):
                column_values.extend(field for field in fields if field not in missing)
    return SampledValues(values, size / count if count else None)


def _split_good_records(data: bytes, dialect: Dialect) -> Iterator[list[str]]:
    """Fields of the records that are no bad rows."""
    for record in split_records(data, dialect):
        if not record.problem and not has_invalid_utf8(record.text):
            yield record.fields


def _read_pieces(
    file: File, beginning: int, dialect: Dialect, options: Mapping[str, Any]
) -> list[bytes]:
    first = read_head(file, options, beginning)
    start, _ = find_data_start(first, dialect)
    found = [first[start:]]
    whole = file.compression or dialect.newlines_in_values or is_url(file.path)
    if not whole and file.size > len(first):
        middle, end = (file.size + len(first)) // 2, file.size - PIECE
        places = [max(at, len(first) - 1) for at in (middle, end) if at > len(first) or at == end]
        found += [read_piece(file, options, at, PIECE) for at in places]
    return found


def infer_column(
    name: str, values: list[str], asked: ColumnType | None, dialect: Dialect
) -> SourceColumn:
    """The column with the asked type, or the narrowest one that the sampled values have.

    A number, bool or date column is one whose sampled values are such, all of them, or all of the
    first half, or 99 %: the others are bad values and reported when they are read.

    Raises:
        SchemaError: ``date`` is asked for and day and month cannot be told apart.
    """
    fit = _TypeTester(values, dialect)
    if asked in ("date", "datetime"):
        return _infer_date(name, asked, fit)
    if values and asked in (None, "float", "decimal"):
        formatted = _infer_number_format(name, fit)
        if formatted is not None:
            return formatted
    if asked or not values:
        return SourceColumn(name, asked or "float")
    if fit(SourceColumn(name, "bool")):
        return SourceColumn(name, "bool")
    if fit(SourceColumn(name, "float")):
        return _infer_number(name, fit)
    found = next((c for c in _list_date_types(name) if fit(c)), None)
    return SourceColumn(name, "text") if found is None or _is_ambiguous_date(found, fit) else found


def reinfer_column(known: SourceColumn, values: list[str], dialect: Dialect) -> SourceColumn:
    """A run's column in new data: written as there, or numbers that are written in another way."""
    fit = _TypeTester(values, dialect)
    if known.dtype != "float64" or fit(known):
        return known
    plain = SourceColumn(known.name, known.type)
    return plain if fit(plain) else _infer_number_format(known.name, fit) or known


class _TypeTester:
    """Whether sampled values are of a type; distinct ones are parsed once."""

    def __init__(self, values: list[str], dialect: Dialect) -> None:
        self.values, self.dialect = values, dialect
        self.counts = Counter(values)
        self.distinct = list(self.counts)
        self._wrong: dict[SourceColumn, list[str]] = {}

    def __call__(self, candidate: SourceColumn) -> bool:
        known = self._wrong.get(candidate)
        if known == [] or (known is None and are_all_valid(candidate, self.distinct, self.dialect)):
            self._wrong[candidate] = []  # a column of many is parsed once
            return bool(self.values)
        probe = self.distinct[:PROBE]
        if len(find_misfits(candidate, probe, self.dialect)) == len(probe):
            return False
        bad = set(self.wrong(candidate))
        if not bad:  # dates with a pattern
            return bool(self.values)
        half = self.values[: len(self.values) // 2]
        turned = len(half) >= TURN and bad.isdisjoint(half)
        return turned or sum(self.counts[v] for v in bad) <= (1 - SHARE) * len(self.values)

    def wrong(self, candidate: SourceColumn) -> list[str]:
        """The distinct values that are not of the type."""
        if candidate not in self._wrong:
            odd = find_misfits(candidate, self.distinct, self.dialect)
            self._wrong[candidate] = [self.distinct[i] for i in odd]
        return self._wrong[candidate]


def _infer_number(name: str, fit: _TypeTester) -> SourceColumn:
    bad = set(fit.wrong(SourceColumn(name, "float")))
    numbers = [value for value in fit.distinct if value not in bad]
    if any(CODE.match(value) for value in numbers if "." not in value):
        return SourceColumn(name, "text")
    if not all(INTEGER.fullmatch(value) for value in numbers):
        return SourceColumn(name, "float")
    beyond = find_misfits(SourceColumn(name, "integer"), numbers, fit.dialect)
    return SourceColumn(name, "text" if beyond else "integer")


def _infer_number_format(name: str, fit: _TypeTester) -> SourceColumn | None:
    """A number that is not written plainly, if more values are such than are plain numbers."""
    plain = len(fit.wrong(SourceColumn(name, "float")))
    known = guess_formats(fit.distinct, fit.dialect.delimiter) if plain else []
    found = [c for c in (SourceColumn(name, "float", way) for way in known) if fit(c)]
    best = min(found, key=lambda c: len(fit.wrong(c)), default=None)
    if best is None or len(fit.wrong(best)) >= plain or any(map(CODE.fullmatch, fit.distinct)):
        return None
    return best


def _list_date_types(name: str) -> list[SourceColumn]:
    return [
        SourceColumn(name, "date", ISO),
        SourceColumn(name, "datetime", ISO),
        SourceColumn(name, "datetime", ZONED),
        *(SourceColumn(name, "date", pattern) for pattern in DATES),
        *(SourceColumn(name, "datetime", pattern) for pattern in DATETIMES),
    ]


def _is_ambiguous_date(candidate: SourceColumn, fit: _TypeTester) -> bool:
    """Whether day and month could as well be read the other way round."""
    pattern = candidate.pattern or ""
    if not pattern.startswith("%m/%d/%Y"):
        return False
    other = replace(candidate, pattern=pattern.replace("%m/%d/%Y", "%d/%m/%Y"))
    return fit(other) and not fit.wrong(other)


def _infer_date(name: str, asked: ColumnType, fit: _TypeTester) -> SourceColumn:
    for candidate in _list_date_types(name):
        if candidate.type == asked and fit(candidate):
            if _is_ambiguous_date(candidate, fit):
                raise SchemaError(
                    f"column {name!r}: day and month cannot be told apart",
                    examples=[shorten(v) for v in fit.distinct[:3]],
                    fix="write dates as 2026-01-31, or read the column as text",
                )
            return candidate
    return SourceColumn(name, asked, ISO)
