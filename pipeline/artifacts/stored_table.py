"""Parquet that a run left, opened within bounds: what a file claims is checked before it is read.

Such a file holds plain columns as `pandas` writes them. Its size, its footer and the headers of its
pages are looked at first; text is decoded as a dictionary, whose words are counted before they are
written out for each row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

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
"""Bytes of a footer: 70,000 columns."""
CODECS = frozenset({UNCOMPRESSED, SNAPPY})
"""The codecs that a run writes."""
PER_VALUE = 16
"""Bytes of a number in a page and in its dictionary."""
PER_COLUMN = 64 << 10
"""Bytes of a column's page headers, levels and statistics."""
FIX = "it is not what the run wrote: restore it from a copy, or run the config again"
ODD = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, OSError)
"""What Arrow, and pandas over metadata that somebody made up, raise."""


@dataclass(frozen=True)
class TableLimits:
    """The most that a table may hold."""

    rows: int
    columns: int
    text: int = 0
    """Bytes of all texts together, each counted for every row that has it."""

    @property
    def bytes(self) -> int:
        """Of the file, and of its pages once they are decompressed."""
        return self.rows * self.columns * PER_VALUE + self.columns * PER_COLUMN + self.text


def read_stored_table(
    path: Path, bounds: TableLimits, read: manifest.FileReader = manifest.read_unverified
) -> pd.DataFrame:
    """Return the table in a file of a run.

    Raises:
        InputError: it claims or holds more than the bounds, or is damaged; names the file.
    """
    look = partial(_check_footer, path=path, bounds=bounds)
    data = read(path, bounds.bytes + MAX_FOOTER, look)
    try:
        _check_pages(memoryview(data), path, bounds)
        table = _read_text_apart(pa.BufferReader(data), path, bounds)
        frame: pd.DataFrame = table.to_pandas(use_threads=False)
    except (MemoryError, pa.ArrowMemoryError) as error:
        raise MachineError(
            f"{path} does not fit into memory: {error}", fix="use a machine with more memory"
        ) from None
    except ODD as error:
        raise _damaged(path, str(error).partition("\n")[0] or type(error).__name__) from None
    if list(map(str, frame.columns)) != table.column_names:
        raise _damaged(path, "its columns are not what they seem")
    return frame.reset_index(drop=True)


def _damaged(path: Path, why: str) -> InputError:
    return InputError(f"{path} is not a table of a run: {why}", fix=FIX)


def _too_much(path: Path, what: str, found: int, most: int) -> InputError:
    return InputError(f"{path} claims {found:,} {what}, at most {most:,} are possible", fix=FIX)


def _check_footer(file: BufferedReader, *, path: Path, bounds: TableLimits) -> None:
    """Check what the footer says, and its own length before it is read."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    end = file.read(8)
    length = int.from_bytes(end[:4], "little")
    if len(end) < 8 or end[4:] != b"PAR1" or length > size - 8:
        raise _damaged(path, "it has no footer of Parquet")
    if length > MAX_FOOTER:
        raise _too_much(path, "bytes of footer", length, MAX_FOOTER)
    file.seek(size - 8 - length)
    _read_claims(file.read(length), path, bounds)


def _read_claims(footer: bytes | memoryview, path: Path, bounds: TableLimits) -> Footer:
    """Read a footer and check its rows, columns and row groups."""
    try:
        found = read_footer(memoryview(footer))
    except DamagedPages as error:
        raise _damaged(path, str(error)) from None
    for what, count, most in (
        ("rows", found.rows, bounds.rows),
        ("columns", found.columns, bounds.columns),
        ("row groups", len(found.groups), bounds.rows + 1),
    ):
        if count > most:
            raise _too_much(path, what, count, most)
    return found


def _check_pages(data: memoryview, path: Path, bounds: TableLimits) -> None:
    """Check that the pages hold as many values as the footer says, and no more bytes than may be.

    Raises:
        InputError: they do not.
    """
    length = int.from_bytes(data[-8:-4], "little")
    footer = _read_claims(data[len(data) - 8 - length : -8], path, bounds)
    size = 0
    for rows, chunks in footer.groups:
        for chunk in chunks:
            if chunk.codec not in CODECS:
                raise _damaged(path, f"it is compressed with codec {chunk.codec}")
            try:
                found = count_pages(data, chunk.start, chunk.end)
            except DamagedPages as error:
                raise _damaged(path, str(error)) from None
            if found.values != rows:
                raise _too_much(path, "values in a column's pages", found.values, rows)
            size += found.bytes
    if sum(rows for rows, _ in footer.groups) != footer.rows:
        raise _damaged(path, f"its row groups do not have {footer.rows:,} rows")
    if size > bounds.bytes:
        raise _too_much(path, "bytes once decompressed", size, bounds.bytes)


def _read_text_apart(stream: Any, path: Path, bounds: TableLimits) -> Any:
    """Read the table; its texts are counted as a dictionary before each row gets its own."""
    stream.seek(0)
    schema = pq.read_schema(stream)
    texts = [f.name for f in schema if pa.types.is_string(f.type) or _is_large(f.type)]
    for field in schema:
        if field.name not in texts and not _is_plain(field.type):
            raise _damaged(path, f"its column {field.name!r:.80} has the type {field.type}")
    if len(set(schema.names)) < len(schema.names):
        raise _damaged(path, "two of its columns have one name")
    stream.seek(0)
    table = pq.ParquetFile(stream, read_dictionary=texts).read(use_threads=False)
    size = sum(_text_bytes(table[name]) for name in texts)
    if size > bounds.text:
        raise _too_much(path, "bytes of text", size, bounds.text)
    for name in texts:
        place = table.schema.get_field_index(name)
        plain = table[name].cast(schema.field(name).type)
        table = table.set_column(place, schema.field(name), plain)
    return table


def _is_large(kind: Any) -> bool:
    return bool(pa.types.is_large_string(kind))


def _is_plain(kind: Any) -> bool:
    tests = pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_timestamp
    return any(test(kind) for test in tests)


def _text_bytes(column: Any) -> int:
    """Count the bytes of a dictionary column's words, once for every row that has them."""
    total = 0
    for chunk in column.chunks:
        if not pa.types.is_dictionary(chunk.type):
            total += int(chunk.nbytes)
            continue
        lengths = pc.binary_length(chunk.dictionary)
        total += pc.sum(pc.cast(lengths, pa.int64()).take(chunk.indices)).as_py() or 0
    return total
