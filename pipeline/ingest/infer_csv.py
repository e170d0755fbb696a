"""Inference of the contract of CSV files from their first lines and a sample of their values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from pipeline.config.model import Data, Source, Table
from pipeline.errors import SchemaError
from pipeline.ingest.column_names import match_header, match_source, note_header
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv import dialect as dialects
from pipeline.ingest.csv import infer_missing, layout_notes, type_inference
from pipeline.ingest.csv.date_order import note_dates, share_order
from pipeline.ingest.csv.loose_values import add_bool_words
from pipeline.ingest.csv.mixed_text import note_mixed_columns
from pipeline.ingest.csv.types import SourceColumn, is_flag
from pipeline.ingest.folder_columns import infer_folders
from pipeline.ingest.labels.target import parse_target
from pipeline.ingest.reading_note import NEW_DATA, ReadingNote
from pipeline.ingest.sources.byte_ranges import detect_encoding
from pipeline.ingest.sources.encodings import UTF8
from pipeline.ingest.sources.files import File

HEADER = 64 << 10
"""Bytes read of each file to check its header."""


def infer_from_csv(
    files: list[File], source: Source, where: str, trained: Contract | None = None
) -> Contract:
    """Infer the contract of CSV files.

    Args:
        files: all files of the source.
        source: how to read them.
        where: the key of the source in the config.
        trained: the contract of a run, if the files are new data.

    Raises:
        SchemaError: a file has no rows, or another header than the first one.
    """
    files, first, dialect, notes = _read_headers(files, source, where, trained)
    if trained is None:
        source = match_source(source, [*dialect.names, *dict(files[0].partitions)], where)
    sample = type_inference.sample_values(files, dialect, source.storage_options)
    if trained is None and sample.row_bytes is None:
        raise layout_notes.make_no_rows_error(files[0].path, first, dialect, where)
    run = {c.name: replace(c, partition=False) for c in trained.columns} if trained else {}

    def infer(name: str, values: list[str]) -> SourceColumn:
        # A run on Parquet knows types, but not how a CSV writes them, except for the zone of times.
        is_written = trained is not None and trained.format == "csv"
        if name in run and (is_written or run[name].dtype == "datetime"):
            return type_inference.reinfer_column(run[name], values, dialect)
        column = type_inference.infer_column(name, values, source.types.get(name), dialect)
        flag = run[name].is_flag if name in run else is_flag(column, values, dialect)
        return replace(column, is_flag=flag)

    class_columns = {c.name for c in trained.columns if c.keeps_words} if trained else set()
    if isinstance(source, Data):
        known_names = [*dialect.names, *dict(files[0].partitions)]
        class_columns |= set(parse_target(source.target, known_names).columns)
    changeable = "" if trained else where
    inferred = infer_missing.infer_columns(
        sample, dialect, infer, config=source.csv, where=changeable, class_columns=class_columns
    )
    folders = infer_folders(files, source.types, set(dialect.names))
    columns = inferred.columns
    if trained is None:
        columns = share_order(columns, sample.values, source.types)
    notes += inferred.notes
    notes += note_dates(columns, sample.values, source.types, changeable)
    notes += type_inference.note_formats(columns, sample, changeable)
    if trained is None:
        notes += note_mixed_columns(columns, sample.values, source.types, where)
    unnamed: dict[str, str] = {}
    if dialect.header:
        unnamed = layout_notes.find_unnamed_columns(columns, sample, source.types)
    notes = [note for note in notes if note.column not in unnamed]
    if trained is None:
        notes += layout_notes.note_unnamed(unnamed, columns, where)
    return Contract(
        "csv",
        tuple([c for c in columns if c.name not in unnamed] + folders),
        tuple(files),
        add_bool_words(inferred.dialect) if trained else inferred.dialect,
        row_bytes=sample.row_bytes,
        unreadable=unnamed,
        storage_options=source.storage_options,
        notes=tuple(notes),
        where=where,
    )


def _read_headers(
    files: list[File], source: Source, where: str, trained: Contract | None
) -> tuple[list[File], bytes, dialects.Dialect, list[ReadingNote]]:
    """Infer the dialect from the first file, and check the header of each.

    Returns:
        (the files with their encodings; the first lines of the first; dialect; notes).
    """
    options, csv = source.storage_options, source.csv
    file, first = detect_encoding(files[0], options, type_inference.HEAD, csv.encoding)
    before = trained.dialect if trained is not None else None
    if before is not None and not before.header:
        csv = csv.model_copy(update={"header": csv.header or False})
    dialect = dialects.infer_dialect(first, file.path, csv, where, _list_wanted(source))
    if before is not None:
        dialect = replace(dialect, missing=before.missing, inferred_missing=before.inferred_missing)
    read, above = [file], [dialects.read_header(first, file.path, dialect)[1]]
    for other in files[1:]:
        file, head = detect_encoding(other, options, HEADER, csv.encoding)
        names, lines = dialects.read_header(head, file.path, dialect)
        read.append(file)
        above.append(lines)
        if names != dialect.names:
            difference = compare_columns(dict.fromkeys(dialect.names, ""), dict.fromkeys(names, ""))
            raise SchemaError(
                f"{file.path} does not have the columns of {files[0].path}",
                examples=difference or ["the same columns in another order"],
                fix="give all files of the source one header",
            )
    notes = [] if csv.encoding is not None else list(_note_encodings(read, where))
    notes += layout_notes.note_layout(first, above, dialect, csv.header, where)
    if trained is not None:
        renamed = match_header(dialect.names, [c.name for c in trained.columns])
        dialect = replace(dialect, names=tuple(renamed.get(n, n) for n in dialect.names))
        notes += note_header(renamed)
    return read, first, dialect, notes


def _list_wanted(source: Source) -> list[str]:
    """Return words of the config that may be names of columns of the source."""
    if isinstance(source, Data):
        return re.findall(r"\w+", source.target)
    return list(source.keys) if isinstance(source, Table) else []


def _note_encodings(files: Sequence[File], where: str) -> Iterator[ReadingNote]:
    """Yield a note per encoding other than UTF-8 that was detected."""
    for encoding, count in Counter(file.encoding for file in files).items():
        if encoding != UTF8:
            these = "" if count == len(files) else f" in {count:,} of {len(files):,} files"
            change = None if where == NEW_DATA else f"{where}.csv.encoding: NAME"
            yield ReadingNote("encoding", f"the text is read as {encoding}{these}", None, change)


def compare_columns(expected: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Return lines ``- missing``, ``+ extra`` and ``~ retyped`` from types by column name."""
    lines = [f"- {n} {t}".rstrip() for n, t in expected.items() if n not in other]
    lines += [f"+ {n} {t}".rstrip() for n, t in other.items() if n not in expected]
    retyped = [n for n in expected if n in other and other[n] != expected[n]]
    return lines + [f"~ {n}: {expected[n]} → {other[n]}" for n in retyped]
