"""Parquet: what its footer says of columns and row groups, and reading row groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.model import ColumnType
from pipeline.errors import MachineError, SchemaError
from pipeline.ingest.csv.dialect import check_name, guess_file_kind
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn
from pipeline.ingest.sources.files import File
from pipeline.ingest.sources.filesystems import open_file

PANDAS_INDEX = re.compile(r"__index_level_\d+__")
NUMBERS = frozenset({"integer", "float", "decimal"})
MAGIC = b"PAR1"
AT_ONCE = 16
"""Columns decoded at a time: all of their buffers live until the last is done (400 columns of
150,000 rows, 480 MB: 1.96 GB at once, 1.17 GB so)."""
DATES = frozenset({"date", "datetime"})


@contextmanager
def open_parquet(file: File, options: Mapping[str, Any], text: Sequence[str] = ()) -> Iterator[Any]:
    """The file, with the ``text`` columns read as dictionaries.

    Raises:
        SchemaError: it is no Parquet file, or damaged. MachineError: memory ends.
    """
    with open_file(file.path, options) as stream:
        try:
            yield _opened(stream, file, text)
        except pa.ArrowMemoryError as error:
            raise MachineError(
                f"{file.path}: a row group does not fit into memory: {error}",
                fix="write it with smaller row groups, or is it damaged?",
            ) from None
        except (pa.ArrowException, OSError) as error:
            stream.seek(0)
            raise SchemaError(
                f"{file.path} is no readable Parquet file: {str(error).splitlines()[0]}",
                fix=_instead(stream.read(64)),
            ) from None


def _opened(stream: Any, file: File, text: Sequence[str]) -> Any:
    try:
        return pq.ParquetFile(stream, read_dictionary=list(text))
    except pa.ArrowException:
        raise
    except UnicodeDecodeError as error:
        raise SchemaError(
            f"{file.path}: the column name {error.object!r} is not UTF-8 text",
            fix="rename the column",
        ) from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # what pandas has registered to read the metadata of its own types
        raise SchemaError(
            f"{file.path}: its metadata cannot be read: {type(error).__name__}: {error}",
            fix="write it again, without the types of one library",
        ) from None


def _instead(head: bytes) -> str:
    """What a file that begins so may be."""
    if head.startswith(MAGIC):
        return "was it written to the end? write or copy it again"
    if found := guess_file_kind(head):
        return f"it is {found}"
    if head and head.isascii() and b"\0" not in head:
        return "it looks like text: if it is CSV, name it .csv or say format: csv"
    return "was it written to the end? write or copy it again"


def list_source_columns(
    schema: pa.Schema, path: str
) -> tuple[dict[str, SourceColumn | None], dict[str, str]]:
    """(columns by name, None where all values are missing; why others cannot be read).

    Raises:
        SchemaError: two columns have one name, or one has a NUL.
    """
    columns: dict[str, SourceColumn | None] = {}
    unreadable = {}
    for arrow in schema:
        check_name(arrow.name, path)
        if arrow.name in columns or arrow.name in unreadable:
            raise SchemaError(
                f"{path}: two columns are called {arrow.name!r}",
                fix="give every column a name of its own",
            )
        if PANDAS_INDEX.fullmatch(arrow.name):
            unreadable[arrow.name] = "it is the index of a pandas frame"
        elif pa.types.is_null(arrow.type):
            columns[arrow.name] = None
        elif column := to_source_column(arrow.name, arrow.type):
            columns[arrow.name] = column
        else:
            unreadable[arrow.name] = f"its Parquet type is {arrow.type}"
    return columns, unreadable


def to_source_column(name: str, arrow: pa.DataType) -> SourceColumn | None:
    """The column of an Arrow type; None where there is no rule for it."""
    kinds = pa.types
    if kinds.is_dictionary(arrow):
        return to_source_column(name, arrow.value_type)
    if kinds.is_timestamp(arrow):
        return SourceColumn(name, "datetime", ISO if arrow.tz is None else ZONED)
    tests: dict[ColumnType, tuple[Any, ...]] = {
        "integer": (kinds.is_integer,),
        "float": (kinds.is_floating,),
        "decimal": (kinds.is_decimal,),
        "bool": (kinds.is_boolean,),
        "date": (kinds.is_date,),
        "text": (kinds.is_string, kinds.is_large_string, kinds.is_string_view),
    }
    found = next((kind for kind, those in tests.items() if any(t(arrow) for t in those)), None)
    return found and SourceColumn(name, found, ISO if found == "date" else None)


def is_readable_as(found: SourceColumn | None, asked: ColumnType) -> bool:
    """Whether a column of a file can be read as a type without guessing what its values mean."""
    if found is None or found.type == asked:
        return True
    return {found.type, asked} <= NUMBERS or {found.type, asked} <= DATES


def list_row_groups(file: File, options: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(rows, bytes once read) of each row group: at least 8 per value, however well encoded."""
    with open_parquet(file, options) as parquet:
        meta = parquet.metadata
        parts = [meta.row_group(i) for i in range(meta.num_row_groups)]
        least = 8 * meta.num_columns
        for part in parts:
            _check_claim(part, file)
        return [(p.num_rows, max(p.total_byte_size, least * p.num_rows)) for p in parts]


def _check_claim(part: Any, file: File) -> None:
    """Checks that a row group can have the rows that the footer says, before any are made room for.

    A page has at most 2^31 values, and takes eight bytes or more.
    """
    for i in range(part.num_columns):
        column = part.column(i)
        if part.num_rows > (column.total_compressed_size // 8 + 1) << 31:
            raise SchemaError(
                f"{file.path}: its footer says {part.num_rows:,} rows, column "
                f"{column.path_in_schema!r} has {column.total_compressed_size:,} bytes of them",
                fix="was it written to the end?",
            )


def read_row_groups(
    file: File, numbers: Sequence[int], columns: list[SourceColumn], options: Mapping[str, Any]
) -> pa.Table:
    """The columns of these row groups, text as dictionaries."""
    names = [c.name for c in columns]
    text = [c.name for c in columns if c.type == "text"]
    with open_parquet(file, options, text) as parquet:
        tables = [
            parquet.read_row_groups(
                list(numbers), columns=names[at : at + AT_ONCE], use_threads=False
            )
            for at in range(0, len(names), AT_ONCE)
        ]
        claimed = sum(parquet.metadata.row_group(i).num_rows for i in numbers)
    for table in tables:
        if table.num_rows != claimed and names:
            raise SchemaError(
                f"{file.path}: its footer says {claimed:,} rows, where there are "
                f"{table.num_rows:,}",
                fix="was it written to the end?",
            )
    return pa.table({name: table[name] for table in tables for name in table.column_names})


def read_first_rows(
    file: File, group: int, columns: list[SourceColumn], options: Mapping[str, Any], rows: int
) -> pa.Table:
    """At most so many rows of a row group; little more than they need is decoded."""
    text = [c.name for c in columns if c.type == "text"]
    names = [c.name for c in columns]
    with open_parquet(file, options, text) as parquet:
        found: dict[str, Any] = {}
        for at in range(0, len(names), AT_ONCE):
            some = names[at : at + AT_ONCE]
            batches = parquet.iter_batches(rows, [group], columns=some, use_threads=False)
            first = next(batches, None)
            table = parquet.schema_arrow.empty_table() if first is None else pa.table(first)
            found |= {name: table[name] for name in some}
        return pa.table(found)
