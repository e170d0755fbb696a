"""Inference of the type of each CSV column from a sample of its values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pipeline.config.date_format import is_format
from pipeline.config.model import ColumnType
from pipeline.config.urls import is_url
from pipeline.ingest.csv.date_inference import infer_date, infer_numeric_date, reinfer_date
from pipeline.ingest.csv.dialect import Dialect, find_data_start
from pipeline.ingest.csv.missing_words import is_blank
from pipeline.ingest.csv.number_formats import describe_format, guess_formats
from pipeline.ingest.csv.records import split_records
from pipeline.ingest.csv.text import has_invalid_utf8
from pipeline.ingest.csv.type_tester import TypeTester
from pipeline.ingest.csv.types import ISO, SourceColumn, find_misfits, make_asked_column
from pipeline.ingest.reading_note import ReadingNote, suggest_type
from pipeline.ingest.sources.byte_ranges import read_head, read_piece
from pipeline.ingest.sources.files import File

HEAD, PIECE, FILES = 1 << 20, 128 << 10, 8
"""Bytes read of the first file, bytes of a further piece, and files of the sample."""
INTEGER = re.compile(r"\s*-?\d+\s*")
CODE = re.compile(r"\s*[+-]?0\d+")  # 007: digits that do not count anything


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
        whole = file.is_sequential or dialect.newlines_in_values or is_url(file.read_path)
        if not whole and file.read_size > len(first):
            middle, end = (file.read_size + len(first)) // 2, file.read_size - PIECE
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


def infer_column(name: str, values: list[str], asked: str | None, dialect: Dialect) -> SourceColumn:
    """Infer a column: the asked type, or the narrowest that the sampled values have.

    A number, bool or date column is one whose sampled values fit: all of them, all of the first
    half, or 99 %. The others are bad values, which are reported when they are read.

    Args:
        name: the column's name.
        values: its sampled values in file order, none missing.
        asked: a type or a format of dates (`pipeline.config.date_format`); None: the values decide.
        dialect: the dialect of the file.
    """
    fit = TypeTester(values, dialect)
    if asked is not None and is_format(asked):
        return make_asked_column(name, asked)
    kind = cast("ColumnType | None", asked)
    if kind in ("date", "datetime"):
        return infer_date(name, fit, kind) or SourceColumn(name, kind, ISO)
    if values and kind in (None, "float", "decimal"):
        formatted = _infer_number_format(name, fit)
        if formatted is not None:
            return formatted
    if kind or not values:
        return SourceColumn(name, kind or "float")
    if fit(SourceColumn(name, "bool")):
        column: SourceColumn | None = SourceColumn(name, "bool")
    elif fit(SourceColumn(name, "float")):
        column = infer_numeric_date(name, fit) or _infer_number(name, fit)
    else:
        column = infer_date(name, fit, None)
    return column or SourceColumn(name, "text")


def reinfer_column(trained: SourceColumn, values: list[str], dialect: Dialect) -> SourceColumn:
    """Infer how new data write a column of the run; its type stays, its format may not."""
    fit = TypeTester(values, dialect)
    if trained.dtype == "datetime" and values:
        return reinfer_date(trained, fit)
    if trained.dtype != "float64" or fit(trained):
        return trained
    plain = SourceColumn(trained.name, trained.type)
    return plain if fit(plain) else _infer_number_format(trained.name, fit) or trained


def _infer_number(name: str, fit: TypeTester) -> SourceColumn:
    bad = set(fit.wrong(SourceColumn(name, "float")))
    numbers = [value for value in fit.distinct if value not in bad]
    # Codes keep their leading zeros, as text.
    if any(CODE.match(value) for value in numbers if "." not in value):
        return SourceColumn(name, "text")
    if not all(INTEGER.fullmatch(value) for value in numbers):
        return SourceColumn(name, "float")
    beyond = find_misfits(SourceColumn(name, "integer"), numbers, fit.dialect)
    return SourceColumn(name, "text" if beyond else "integer")


def _infer_number_format(name: str, fit: TypeTester) -> SourceColumn | None:
    """Return a column of formatted numbers, if more values fit it than are plain numbers."""
    plain = len(fit.wrong(SourceColumn(name, "float")))
    examples = guess_formats(fit.distinct, fit.dialect.delimiter) if plain else []
    columns = [c for c in (SourceColumn(name, "float", e) for e in examples) if fit(c)]
    best = min(columns, key=lambda c: len(fit.wrong(c)), default=None)
    if best is None or len(fit.wrong(best)) >= plain or any(map(CODE.fullmatch, fit.distinct)):
        return None
    return best


def note_formats(
    columns: Sequence[SourceColumn], sample: SampledValues, where: str
) -> Iterator[ReadingNote]:
    """Yield a note per column of numbers that are not plain; ``where`` as in `infer_columns`."""
    for column, values in zip(columns, sample.values, strict=True):
        if column.dtype == "float64" and column.pattern is not None and values:
            message = describe_format(column.pattern, values)
            change = suggest_type(where, column.name, "text") if where else None
            yield ReadingNote("number", message, column.name, change)
