"""Reading a Parquet file of a run folder within limits.

Such a file has plain columns as `pandas` writes them. Its size, its footer and the headers of its
pages are checked before it is read. Text is first decoded as a dictionary, whose size is checked
before each row gets its own text.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.artifacts import manifest
from pipeline.artifacts.parquet_pages import (
    SNAPPY,
    UNCOMPRESSED,
    DamagedPages,
    Footer,
    count_pages,
    read_footer,
)
from pipeline.errors import InputError, MachineError

MAX_FOOTER = 32 << 20
"""Maximum bytes of a footer, enough for 70,000 columns."""
CODECS = frozenset({UNCOMPRESSED, SNAPPY})
"""Codecs that a run writes."""
PER_VALUE = 16
"""Bytes of a number in a page and in its dictionary."""
PER_COLUMN = 64 << 10
"""Bytes of a column's page headers, levels and statistics."""
FIX = "restore it from a copy, or run the config again: the run did not write this table"
READ_ERRORS = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OSError)
"""Errors that Arrow raises, and pandas if the metadata are forged."""


@dataclass(frozen=True)
class TableLimits:
    """The limits of a table's size."""

    rows: int
    columns: int
    text: int = 0
    """Bytes of all texts together, where each row counts its own text."""

    @property
    def bytes(self) -> int:
        """Limit in bytes of the file, and of its decompressed pages."""
        return self.rows * self.columns * PER_VALUE + self.columns * PER_COLUMN + self.text


def read_stored_table(
    path: Path, limits: TableLimits, read: manifest.FileReader = manifest.read_unverified
) -> pd.DataFrame:
    """Read the table in a file of a run.

    Raises:
        InputError: The file exceeds the limits or is damaged; the message names it.
        MachineError: The table does not fit into memory.
    """
    data = read(path, limits.bytes + MAX_FOOTER, partial(_check_footer, path=path, limits=limits))
    try:
        _check_pages(memoryview(data), path, limits)
        table = _read_limited(pa.BufferReader(data), path, limits)
        frame: pd.DataFrame = table.to_pandas(use_threads=False)
    except (MemoryError, pa.ArrowMemoryError) as error:
        raise MachineError(
            f"{path} does not fit into memory: {error}", fix="use a machine with more memory"
        ) from None
    except READ_ERRORS as error:
        raise _damaged_error(path, str(error).partition("\n")[0] or type(error).__name__) from None
    if list(map(str, frame.columns)) != table.column_names:
        raise _damaged_error(path, "its columns differ from those of its schema")
    return frame.reset_index(drop=True)


def _damaged_error(path: Path, why: str) -> InputError:
    return InputError(f"{path} is not a table of a run: {why}", fix=FIX)


def _too_large_error(path: Path, what: str, claimed: int, most: int) -> InputError:
    return InputError(f"{path} claims {claimed:,} {what}, at most {most:,} are possible", fix=FIX)


def _check_footer(file: BufferedReader, *, path: Path, limits: TableLimits) -> None:
    """Check the length of the footer, then the sizes in it."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if len(end) < 8 or end[4:] != b"PAR1" or length > size - 8:
        raise _damaged_error(path, "it has no footer of Parquet")
    if length > MAX_FOOTER:
        raise _too_large_error(path, "bytes of footer", length, MAX_FOOTER)
    file.seek(size - 8 - length)
    _read_claims(file.read(length), path, limits)


def _read_claims(footer: bytes | memoryview, path: Path, limits: TableLimits) -> Footer:
    """Read a footer and check its rows, columns and row groups."""
    try:
        claims = read_footer(memoryview(footer))
    except DamagedPages as error:
        raise _damaged_error(path, str(error)) from None
    for what, count, most in (
        ("rows", claims.rows, limits.rows),
        ("columns", claims.columns, limits.columns),
        ("row groups", len(claims.groups), limits.rows + 1),
    ):
        if count > most:
            raise _too_large_error(path, what, count, most)
    return claims


def _check_pages(data: memoryview, path: Path, limits: TableLimits) -> None:
    """Check that pages contain the footer's number of values, and fit into the limits.

    Raises:
        InputError: They do not.
    """
    length = int.from_bytes(data[-8:-4], "little")
    footer = _read_claims(data[len(data) - 8 - length : -8], path, limits)
    size = 0
    for rows, chunks in footer.groups:
        for chunk in chunks:
            if chunk.codec not in CODECS:
                raise _damaged_error(path, f"it is compressed with codec {chunk.codec}")
            try:
                pages = count_pages(data, chunk.start, chunk.end)
            except DamagedPages as error:
                raise _damaged_error(path, str(error)) from None
            if pages.values != rows:
                raise _too_large_error(path, "values in a column's pages", pages.values, rows)
            size += pages.bytes
    if sum(rows for rows, _ in footer.groups) != footer.rows:
        raise _damaged_error(path, f"its row groups do not have {footer.rows:,} rows")
    if size > limits.bytes:
        raise _too_large_error(path, "bytes after decompression", size, limits.bytes)


def _read_limited(stream: pa.NativeFile, path: Path, limits: TableLimits) -> pa.Table:
    """Read the table, and check the size of its texts before each row gets its own."""
    stream.seek(0)
    schema = pq.read_schema(stream)
    # As a dictionary, a text that a million rows share is in memory once.
    texts = [
        f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)
    ]
    plain_types = (
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_boolean,
        pa.types.is_timestamp,
    )
    for field in schema:
        if field.name not in texts and not any(is_type(field.type) for is_type in plain_types):
            raise _damaged_error(path, f"its column {field.name!r:.80} has the type {field.type}")
    if len(set(schema.names)) < len(schema.names):
        raise _damaged_error(path, "two of its columns have the same name")
    stream.seek(0)
    table = pq.ParquetFile(stream, read_dictionary=texts).read(use_threads=False)
    size = sum(_count_text_bytes(table[name]) for name in texts)
    if size > limits.text:
        raise _too_large_error(path, "bytes of text", size, limits.text)
    for name in texts:
        place = table.schema.get_field_index(name)
        plain = table[name].cast(schema.field(name).type)
        table = table.set_column(place, schema.field(name), plain)
    return table


def _count_text_bytes(column: pa.ChunkedArray) -> int:
    """Count the bytes of a dictionary column after each row has its own text."""
    total = 0
    for chunk in column.chunks:
        if not pa.types.is_dictionary(chunk.type):
            total += int(chunk.nbytes)
            continue
        lengths = pc.binary_length(chunk.dictionary)
        total += pc.sum(pc.cast(lengths, pa.int64()).take(chunk.indices)).as_py() or 0
    return total
