"""Match of the columns of new Parquet files with those of a run, whatever their types."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.model import Csv
from pipeline.errors import SchemaError
from pipeline.ingest import parquet
from pipeline.ingest.column_names import note_header
from pipeline.ingest.csv.date_formats import is_zoned
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.loose_values import add_bool_words
from pipeline.ingest.csv.missing_words import list_words
from pipeline.ingest.csv.type_inference import reinfer_column
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn, list_missing
from pipeline.ingest.parquet_text import (
    NOT_TEXT,
    TIME_UNITS,
    find_time_unit,
    is_text,
    is_written,
    write_text,
)
from pipeline.ingest.reading_note import ReadingNote
from pipeline.ingest.sources.files import File

SAMPLED = 10_000
"""Values from which the format of text is inferred."""


class NewParquet:
    """Columns of new Parquet files as a run reads them, and notes on those of another type."""

    def __init__(
        self, trained: Iterable[SourceColumn], needed: Collection[str], dialect: Dialect | None
    ) -> None:
        """Prepare the match with the columns of the run that the features need.

        Args:
            trained: the columns of the run.
            needed: names of those that the features read; others are not matched.
            dialect: that of the run; None if its data are Parquet.
        """
        self.columns: dict[str, SourceColumn] = {}
        self.notes: list[ReadingNote] = []
        self._trained = {c.name: replace(c, partition=False) for c in trained if c.name in needed}
        if dialect is None:
            csv = Csv()
            dialect = Dialect(",", '"', True, (), True, list_words(()), csv.true, csv.false)
        self.dialect = add_bool_words(dialect)
        """The words for missing, true and false by which text is read as numbers."""

    def add(
        self, reader: pq.ParquetFile, file: File, stored: Mapping[str, SourceColumn | None]
    ) -> None:
        """Match the columns of a file.

        Args:
            reader: the open file.
            file: its path, and the names that the run does not have.
            stored: the file's columns by the run's names; None if all values of one are missing.

        Raises:
            SchemaError: a column's values cannot be those of the run's column, such as times for
                numbers, or times with a zone for times without one.
        """
        names = {at: name for name, at in file.stored_names}
        self.notes += note_header(names)
        for field in reader.schema_arrow:
            name = names.get(field.name, field.name)
            run = self._trained.get(name)
            column = stored.get(name)
            if run is None or (name not in stored and not is_written(field.type)):
                continue  # not needed, or not readable
            if name not in stored:
                column = SourceColumn(name, "text")
            if column is None or _is_all_missing(reader.metadata, field.name, column):
                matched = _make_native(run, column)
            elif not _can_mean(column, run):
                raise SchemaError(
                    f"{file.path}, column {field.name!r} is {describe_type(column)}, "
                    f"it must be {describe_type(run)}",
                    fix="write it with the type that the models were trained on",
                )
            else:
                matched = _match_column(reader, field, column, run, self.dialect)
                if not parquet.is_readable_as(column, run.type):
                    message = f"{describe_type(column)} is read as {describe_type(run)}"
                    self.notes.append(ReadingNote("type", message, name))
            before = self.columns.get(name, matched)
            self.columns[name] = _merge_columns(before, matched)


def describe_type(column: SourceColumn | None) -> str:
    """Return the type of a column for messages; empty if all its values are missing."""
    if column is None:
        return ""
    return f"{column.type} with zone" if is_zoned(column.pattern) else column.type


def _can_mean(stored: SourceColumn, run: SourceColumn) -> bool:
    """Return whether values of a type may be those of a run's column; their text decides."""
    if "text" in (stored.type, run.type):
        return True
    if stored.dtype == run.dtype == "datetime":
        return is_zoned(stored.pattern) == is_zoned(run.pattern)
    if run.dtype == "datetime":  # 20260131, or seconds since 1970
        return stored.type in parquet.NUMBERS and run.pattern not in (ISO, ZONED)
    if stored.type == "bool":
        return run.type == "bool" or run.is_flag
    return stored.dtype != "datetime"


def _match_column(
    reader: pq.ParquetFile,
    field: pa.Field,
    stored: SourceColumn,
    run: SourceColumn,
    dialect: Dialect,
) -> SourceColumn:
    if run.type == "text":
        if pa.types.is_timestamp(field.type) and field.type.tz is None:
            return replace(run, pattern=_find_unit(reader, field.name))
        return replace(run, pattern=None if is_text(field.type) else NOT_TEXT)
    if is_text(field.type) or is_written(field.type):
        missing = {*list_missing(run, dialect)}
        values = [v for v in _sample(reader, field.name) if v not in missing]
        return reinfer_column(run, values, dialect)
    if run.dtype == "datetime" and stored.dtype != "datetime":
        return run
    return _make_native(run, stored)


def _make_native(run: SourceColumn, stored: SourceColumn | None) -> SourceColumn:
    """Return the run's column for values that Arrow has parsed, whatever a CSV of them is like."""
    if run.dtype != "datetime":
        return replace(run, pattern=None)
    pattern = ZONED if is_zoned(run.pattern) else ISO
    kind = stored.type if stored is not None and stored.dtype == run.dtype else run.type
    return replace(run, type=kind, pattern=pattern)


def _sample(reader: pq.ParquetFile, name: str) -> list[str]:
    batches = reader.iter_batches(SAMPLED, columns=[name], use_threads=False)
    first = next(batches, None)
    if first is None:
        return []
    text = write_text(pa.chunked_array([first.column(0)])).drop_null().to_pylist()
    return [value for value in text if value.strip()]


def _find_unit(reader: pq.ParquetFile, name: str) -> str:
    """Return the unit in which pandas writes the timestamps of a file's column."""
    units = ["D"]
    for group in range(reader.metadata.num_row_groups):
        values = reader.read_row_group(group, columns=[name], use_threads=False)[name]
        units.append(find_time_unit(values))
    return max(units, key=TIME_UNITS.index)


def _is_all_missing(metadata: pq.FileMetaData, name: str, column: SourceColumn) -> bool:
    """Return whether the footer says that all values of a column are missing."""
    chunks = list(_list_chunks(metadata, name))
    for chunk in chunks:
        statistics = chunk.statistics
        if statistics is None or not statistics.has_null_count:
            return False
        # writers leave NaN out of least and greatest values
        no_number = column.type == "float" and not statistics.has_min_max
        if statistics.null_count < chunk.num_values and not no_number:
            return False
    return bool(chunks)


def find_flags(metadata: pq.FileMetaData, columns: Mapping[str, SourceColumn | None]) -> set[str]:
    """Return the columns of integers whose values are all 0 or 1, if the footer says so."""
    return {
        name
        for name, column in columns.items()
        if column is not None and column.type == "integer" and _are_all_flags(metadata, name)
    }


def _are_all_flags(metadata: pq.FileMetaData, name: str) -> bool:
    has_values = False
    for chunk in _list_chunks(metadata, name):
        statistics = chunk.statistics
        if statistics is None:
            return False
        if statistics.has_null_count and statistics.null_count == chunk.num_values:
            continue
        if not statistics.has_min_max or not {statistics.min, statistics.max} <= {0, 1}:
            return False
        has_values = True
    return has_values


def _list_chunks(metadata: pq.FileMetaData, name: str) -> Iterator[pq.ColumnChunkMetaData]:
    """Yield the chunks of a column that is not nested; none if the footer does not show it."""
    names = metadata.schema.names  # those of leaves, which nested columns may have several of
    if names.count(name) == 1:
        at = names.index(name)
        for group in range(metadata.num_row_groups):
            yield metadata.row_group(group).column(at)


def _merge_columns(a: SourceColumn, b: SourceColumn) -> SourceColumn:
    """Return the column that reads the values of two files: the one whose text says more."""

    def rank(column: SourceColumn) -> int:
        if column.pattern in TIME_UNITS:
            return TIME_UNITS.index(column.pattern)
        return (column.pattern not in (None, ISO, ZONED)) * 2 + (column.type == "datetime")

    return max(a, b, key=rank)
