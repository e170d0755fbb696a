"""Inference of the type of each CSV column from a sample of its values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pipeline.config.model import ColumnType
from pipeline.config.urls import is_url
from pipeline.errors import SchemaError, shorten
from pipeline.ingest.csv.dialect import Dialect, find_data_start, has_invalid_utf8
from pipeline.ingest.csv.missing_words import is_blank
from pipeline.ingest.csv.number_formats import guess_formats
from pipeline.ingest.csv.records import split_records
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn, are_all_valid, find_misfits
from pipeline.ingest.sources.byte_ranges import read_head, read_piece
from pipeline.ingest.sources.files import File

HEAD, PIECE, FILES = 1 << 20, 128 << 10, 8
"""Bytes read of the first file, bytes of a further piece, and files of the sample."""
TURN = 10
"""Values that a first half must have to say something about the rest."""
SHARE = 0.99
"""Share of the values that must fit a type."""
PROBE = 50
"""Distinct values that are tried first; if none of them fits, the others are not parsed."""
INTEGER = re.compile(r"\s*-?\d+\s*")
CODE = re.compile(r"\s*[+-]?0\d+")  # 007: digits that do not count anything
DATES = ("%Y/%m/%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%b-%Y", "%b %d, %Y")
TIMES = ("%H:%M:%S", "%H:%M", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p")
DATETIMES = tuple(f"{date} {time}" for date in DATES for time in TIMES)


@dataclass(frozen=True)
class SampledValues:
    """Values of each column in file order, without missing ones, and the mean size of a record."""

    values: list[list[str]]
    missing: list[Counter[str]]
    """Number of missing cells of each column by their content; empty cells are not counted."""
    rows: int
    row_bytes: float | None


def sample_values(
    files: list[File], dialect: Dialect, options: Mapping[str, object]
) -> SampledValues:
    """Sample up to eight files, the first and last among them.

    Each gives its beginning. A local file that is not compressed also gives a piece from its middle
    and one from its end.
    """
    step = max((len(files) - 1) / (FILES - 1), 1)
    chosen = sorted({min(round(i * step), len(files) - 1) for i in range(FILES)})
    values: list[list[str]] = [[] for _ in dialect.names]
    missing: list[Counter[str]] = [Counter() for _ in dialect.names]
    size = count = 0
    words = set(dialect.missing)
    for i in chosen:
        file, first = files[i], read_head(files[i], options, HEAD if i == 0 else PIECE)
        start, _ = find_data_start(first, dialect)
        pieces = [first[start:]]
        # These cannot be read from the middle, or only at the cost of another request.
        whole = file.is_sequential or dialect.newlines_in_values or is_url(file.path)
        if not whole and file.size > len(first):
            middle, end = (file.size + len(first)) // 2, file.size - PIECE
            places = [max(a, len(first) - 1) for a in (middle, end) if a > len(first) or a == end]
            pieces += [read_piece(file, options, at, PIECE) for at in places]
        for data in pieces:
            size += len(data)
            rows = [
                record.fields
                for record in split_records(data, dialect)
                if not record.problem and not has_invalid_utf8(record.text)
            ]
            count += len(rows)
            for place, fields in enumerate(zip(*rows, strict=True)):
                present = [f for f in fields if f not in words and not is_blank(f)]
                values[place] += present
                if len(present) < len(fields):
                    missing[place].update(f for f in fields if f and (f in words or is_blank(f)))
    return SampledValues(values, missing, count, size / count if count else None)


def infer_column(
    name: str, values: list[str], asked: ColumnType | None, dialect: Dialect
) -> SourceColumn:
    """Infer a column: the asked type, or the narrowest that the sampled values have.

    A number, bool or date column is one whose sampled values fit: all of them, all of the first
    half, or 99 %. The others are bad values, which are reported when they are read.

    Raises:
        SchemaError: ``date`` is asked for, and day and month are ambiguous.
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
    date = next((c for c in _list_date_types(name) if fit(c)), None)
    return SourceColumn(name, "text") if date is None or _is_ambiguous_date(date, fit) else date


def reinfer_column(trained: SourceColumn, values: list[str], dialect: Dialect) -> SourceColumn:
    """Infer how new data write a column of the run; its type stays, its number format may not."""
    fit = _TypeTester(values, dialect)
    if trained.dtype != "float64" or fit(trained):
        return trained
    plain = SourceColumn(trained.name, trained.type)
    return plain if fit(plain) else _infer_number_format(trained.name, fit) or trained


class _TypeTester:
    """Test of whether sampled values fit a type; distinct values are parsed once per type."""

    def __init__(self, values: list[str], dialect: Dialect) -> None:
        self.values, self.dialect = values, dialect
        self.counts = Counter(values)
        self.distinct = list(self.counts)
        self._wrong: dict[SourceColumn, list[str]] = {}

    def __call__(self, candidate: SourceColumn) -> bool:
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


def _infer_number(name: str, fit: _TypeTester) -> SourceColumn:
    bad = set(fit.wrong(SourceColumn(name, "float")))
    numbers = [value for value in fit.distinct if value not in bad]
    # Codes keep their leading zeros, as text.
    if any(CODE.match(value) for value in numbers if "." not in value):
        return SourceColumn(name, "text")
    if not all(INTEGER.fullmatch(value) for value in numbers):
        return SourceColumn(name, "float")
    beyond = find_misfits(SourceColumn(name, "integer"), numbers, fit.dialect)
    return SourceColumn(name, "text" if beyond else "integer")


def _infer_number_format(name: str, fit: _TypeTester) -> SourceColumn | None:
    """Return a column of formatted numbers, if more values fit it than are plain numbers."""
    plain = len(fit.wrong(SourceColumn(name, "float")))
    examples = guess_formats(fit.distinct, fit.dialect.delimiter) if plain else []
    columns = [c for c in (SourceColumn(name, "float", e) for e in examples) if fit(c)]
    best = min(columns, key=lambda c: len(fit.wrong(c)), default=None)
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
    """Return whether day and month could as well be read the other way round."""
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
                    f"column {name!r}: day and month are ambiguous",
                    examples=[shorten(v) for v in fit.distinct[:3]],
                    fix="write dates as 2026-01-31, or read the column as text",
                )
            return candidate
    return SourceColumn(name, asked, ISO)
