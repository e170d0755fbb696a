"""Parquet: columns and row groups from the footer, and reading of row groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.date_format import EPOCHS, is_format
from pipeline.config.model import ColumnType
from pipeline.console.plural import quantify
from pipeline.errors import MachineError, SchemaError
from pipeline.ingest.csv.header import PANDAS_UNNAMED, UNNAMED, check_name
from pipeline.ingest.csv.text import guess_file_kind
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn, make_asked_column
from pipeline.ingest.sources.files import File
from pipeline.ingest.sources.filesystems import open_file

INDEX = "it is the index of a pandas frame"
PANDAS_INDEX = re.compile(r"__index_level_\d+__")
NUMBERS = frozenset({"integer", "float", "decimal"})
DATES = frozenset({"date", "datetime"})
MAGIC = b"PAR1"
INCOMPLETE = "write or copy the file again; it may not have been written to the end"
# The buffers of all columns that are decoded together live until the last one is done: 400 columns
# of 150,000 rows (480 MB) took 1.96 GB all together, and 1.17 GB in groups of 16.
AT_ONCE = 16
"""Columns decoded at a time."""


@contextmanager
def open_parquet(
    file: File, options: Mapping[str, object], text: Sequence[str] = ()
) -> Iterator[pq.ParquetFile]:
    """Open a file whose ``text`` columns are read as dictionaries.

    Raises:
        SchemaError: the file is not a Parquet file, or it is damaged.
        MachineError: a row group does not fit into memory.
    """
    with open_file(file.read_path, options) as stream:
        try:
            yield _parse_footer(stream, file, text)
        except pa.ArrowMemoryError as error:
            raise MachineError(
                f"{file.path}: a row group does not fit into memory: {error}",
                fix="write it with smaller row groups, if it is not damaged",
            ) from None
        except (pa.ArrowException, OSError) as error:
            # The beginning shows whether it is Parquet that was cut, or something else.
            stream.seek(0)
            head, fix = stream.read(64), INCOMPLETE
            if not head.startswith(MAGIC):
                if kind := guess_file_kind(head):
                    fix = f"give the name of a Parquet file; this is {kind}"
                elif head and head.isascii() and b"\0" not in head:
                    fix = "it begins with text; if it is CSV, name it .csv or set format: csv"
            raise SchemaError(
                f"{file.path} is not a readable Parquet file: {str(error).splitlines()[0]}",
                fix=fix,
            ) from None


def _parse_footer(stream: Any, file: File, text: Sequence[str]) -> pq.ParquetFile:
    try:
        if file.table_columns and text:  # Arrow fails at names that the file lacks
            names = set(pq.ParquetFile(stream).schema_arrow.names)
            text = [name for name in text if name in names]
        return pq.ParquetFile(stream, read_dictionary=list(text))
    except pa.ArrowException:  # a subclass of ValueError; `open_parquet` explains it
        raise
    except UnicodeDecodeError as error:
        raise SchemaError(
            f"{file.path}: the column name {error.object!r} is not UTF-8 text",
            fix="rename the column",
        ) from None
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # pandas registers Python code with Arrow that reads the metadata of its own types
        raise SchemaError(
            f"{file.path}: its metadata cannot be read: {type(error).__name__}: {error}",
            fix="write the file again, without types that only one library has",
        ) from None


def list_source_columns(
    schema: pa.Schema, path: str, asked: Collection[str] = ()
) -> tuple[dict[str, SourceColumn | None], dict[str, str]]:
    """Return the columns by name, and the reasons why others cannot be read.

    A column is None if all its values are missing. Leading columns that pandas called
    ``Unnamed: 0``, because they had no name, are labels of rows; they are read if ``asked`` for.

    Raises:
        SchemaError: two columns have one name, or a name has a NUL.
    """
    columns: dict[str, SourceColumn | None] = {}
    unreadable = {}
    leading = True
    for arrow in schema:
        leading = leading and PANDAS_UNNAMED.fullmatch(arrow.name) is not None
        check_name(arrow.name, path)
        if arrow.name in columns or arrow.name in unreadable:
            raise SchemaError(
                f"{path}: two columns are called {arrow.name!r}",
                fix="give every column a name of its own",
            )
        if PANDAS_INDEX.fullmatch(arrow.name):
            unreadable[arrow.name] = INDEX
        elif leading and arrow.name not in asked:
            unreadable[arrow.name] = UNNAMED
        elif pa.types.is_null(arrow.type):
            columns[arrow.name] = None
        elif column := to_source_column(arrow.name, arrow.type):
            columns[arrow.name] = column
        else:
            unreadable[arrow.name] = f"its Parquet type is {arrow.type}"
    return columns, unreadable


def to_source_column(name: str, arrow: pa.DataType) -> SourceColumn | None:
    """Return the column of an Arrow type; None if its values cannot be read."""
    kinds = pa.types
    if kinds.is_dictionary(arrow):
        return to_source_column(name, arrow.value_type)
    if kinds.is_timestamp(arrow):
        return SourceColumn(name, "datetime", ISO if arrow.tz is None else ZONED)
    tests: dict[ColumnType, tuple[Callable[[pa.DataType], bool], ...]] = {
        "integer": (kinds.is_integer,),
        "float": (kinds.is_floating,),
        "decimal": (kinds.is_decimal,),
        "bool": (kinds.is_boolean,),
        "date": (kinds.is_date,),
        "text": (kinds.is_string, kinds.is_large_string, kinds.is_string_view),
    }
    kind = next((k for k, predicates in tests.items() if any(p(arrow) for p in predicates)), None)
    return kind and SourceColumn(name, kind, ISO if kind == "date" else None)


def is_readable_as(column: SourceColumn | None, asked: str) -> bool:
    """Return whether a column can be read as a type without guessing what its values mean."""
    requested = make_asked_column("", asked).type
    if column is None or column.type == requested:
        return True
    if is_format(asked) and column.type in (("integer", "float") if asked in EPOCHS else ("text",)):
        return True
    return {column.type, requested} <= NUMBERS or {column.type, requested} <= DATES


def list_row_groups(file: File, options: Mapping[str, object]) -> list[tuple[int, int]]:
    """Return (rows, bytes once read) of each row group.

    Raises:
        SchemaError: the footer claims more rows than the file's bytes can hold.
    """
    with open_parquet(file, options) as reader:
        meta = reader.metadata
        groups = [meta.row_group(i) for i in range(meta.num_row_groups)]
        for group in groups:
            for i in range(group.num_columns):
                column = group.column(i)
                # A page has at most 2^31 values and takes at least eight bytes. Memory is allocated
                # for the rows that the footer claims, so a false claim must not get that far.
                if group.num_rows > (column.total_compressed_size // 8 + 1) << 31:
                    raise SchemaError(
                        f"{file.path}: its footer says {quantify(group.num_rows, 'row')}, but "
                        f"column {column.path_in_schema!r} has only "
                        f"{column.total_compressed_size:,} bytes",
                        fix=INCOMPLETE,
                    )
        # values take 8 bytes each once read, however well they are encoded
        least = 8 * meta.num_columns
        return [(g.num_rows, max(g.total_byte_size, least * g.num_rows)) for g in groups]


def read_row_groups(
    file: File, numbers: Sequence[int], columns: list[SourceColumn], options: Mapping[str, object]
) -> pa.Table:
    """Read the columns of these row groups, text as dictionaries."""
    stored_names = dict(file.stored_names)
    names = {c.name: stored_names.get(c.name, c.name) for c in columns}
    text = [names[c.name] for c in columns if c.type == "text" and c.pattern is None]
    with open_parquet(file, options, text) as reader:
        stored = [name for name in names.values() if name in reader.schema_arrow.names]
        tables = [
            reader.read_row_groups(
                list(numbers), columns=stored[at : at + AT_ONCE], use_threads=False
            )
            for at in range(0, len(stored), AT_ONCE)
        ]
        claimed = sum(reader.metadata.row_group(i).num_rows for i in numbers)
    for table in tables:
        if table.num_rows != claimed and names:
            raise SchemaError(
                f"{file.path}: its footer says {quantify(claimed, 'row')}, but there are "
                f"{table.num_rows:,}",
                fix=INCOMPLETE,
            )
    arrays = {name: table[name] for table in tables for name in table.column_names}
    return pa.table({n: arrays.get(at, pa.nulls(claimed)) for n, at in names.items()})


def read_first_rows(
    file: File, group: int, columns: list[SourceColumn], options: Mapping[str, object], rows: int
) -> pa.Table:
    """Read at most ``rows`` rows of a row group; little more than these is decoded."""
    text = [c.name for c in columns if c.type == "text" and c.pattern is None]
    names = [c.name for c in columns]
    with open_parquet(file, options, text) as reader:
        count = min(rows, reader.metadata.row_group(group).num_rows)
        arrays: dict[str, pa.ChunkedArray] = {name: pa.nulls(count) for name in names}
        stored = [name for name in names if name in reader.schema_arrow.names]
        for at in range(0, len(stored), AT_ONCE):
            some = stored[at : at + AT_ONCE]
            batches = reader.iter_batches(rows, [group], columns=some, use_threads=False)
            first = next(batches, None)
            table = reader.schema_arrow.empty_table() if first is None else pa.table(first)
            arrays |= {name: table[name] for name in some}
        return pa.table(arrays)
