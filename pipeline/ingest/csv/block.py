"""Parsing of a CSV block by ``pyarrow.csv``, or record by record where Arrow cannot do it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import csv

from pipeline.ingest.blocks import NEWLINE, Block
from pipeline.ingest.csv.blanks import erase_comments, strip_blanks
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.records import parse_records
from pipeline.ingest.csv.text import BOM
from pipeline.ingest.csv.types import SourceColumn, build_convert_options, finish_column
from pipeline.ingest.rejected import BadRow
from pipeline.ingest.sources.byte_ranges import CHUNK

# 173 MB/s per core; 111 MB/s with all 32 MB of a block at once
PARSED = 2 << 20
"""Bytes that pyarrow converts at a time."""
Arrays = dict[str, pa.ChunkedArray]


def parse_block(
    data: bytes, block: Block, path: str, columns: Sequence[SourceColumn], dialect: Dialect
) -> tuple[pd.Index, Arrays, list[BadRow]]:
    """Parse a block's bytes into row ids, values by column and bad rows.

    The id of a row is the block's first id plus the line it begins on. Blank lines and quoted
    newlines leave gaps, so that every layout of blocks gives the same ids.
    """
    if block.limited and not dialect.newlines_in_values:
        data = take_lines(data, block.rows)
    data = erase_comments(data, dialect.comment, dialect.multiline_quote)
    at_once, plain = None, strip_values(data, dialect)
    if plain is not None:
        at_once = _parse_with_arrow(plain, block, columns, dialect)
    if at_once is None:
        # such as integers written as 48.0
        usual, columns = list(columns), [column.loosen() for column in columns]
        if columns != usual and plain is not None:
            at_once = _parse_with_arrow(plain, block, columns, dialect)
    if at_once is not None:
        return *at_once, []
    first = (block.first_line, block.first_row)
    lines, arrays, bad = parse_records(data, path, first, columns, dialect)
    if block.limited:
        within = int(np.searchsorted(lines, block.rows))
        lines, arrays = lines[:within], {n: a.slice(0, within) for n, a in arrays.items()}
        bad = [b for b in bad if b.row < block.first_row + block.rows]
    return pd.Index(lines + block.first_row, dtype="int64"), arrays, bad


def strip_values(data: bytes, dialect: Dialect) -> bytes | None:
    """Remove blanks after delimiters if they are not part of values; None if that is unclear."""
    if not dialect.strip_blanks:
        return data
    if dialect.newlines_in_values:
        return None
    return strip_blanks(data, dialect.delimiter, dialect.quote)


def take_lines(data: bytes, count: int) -> bytes:
    """Return the first ``count`` lines."""
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == NEWLINE)
    return data if len(ends) <= count else data[: ends[count - 1] + 1]


def _parse_with_arrow(
    data: bytes, block: Block, columns: Sequence[SourceColumn], dialect: Dialect
) -> tuple[pd.Index, Arrays] | None:
    """Return ids and values; None if a value is bad, or records cannot be matched to lines."""
    if _needs_record_parser(data, dialect):
        return None
    # Arrow needs a column to count the records by.
    include = [c.name for c in columns] or [dialect.names[0]]
    try:
        table = csv.read_csv(
            pa.BufferReader(data),
            read_options=csv.ReadOptions(
                column_names=list(dialect.names), use_threads=False, block_size=PARSED
            ),
            parse_options=csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote or False,
                newlines_in_values=dialect.newlines_in_values,
            ),
            convert_options=build_convert_options(columns, dialect, include),
        )
    except pa.ArrowInvalid:
        return None
    ids = compute_row_ids(data, table.num_rows, block, dialect)
    if ids is None:
        return None
    arrays: Arrays = {}
    for column in columns:
        values = finish_column(column, table[column.name], dialect)
        if values is None:
            return None
        arrays[column.name] = values.slice(0, len(ids))
    return ids, arrays


def _needs_record_parser(data: bytes, dialect: Dialect) -> bool:
    """Return whether Arrow's result may depend on the blocks around this one."""
    # Arrow strips a byte-order mark anywhere, and ends a record at a lone carriage return.
    if not data or data.startswith(BOM):
        return True
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return True
    if dialect.quote is None:
        return False
    # With an odd number of quotes, one is not closed, or is closed outside of the block.
    characters, quote = np.frombuffer(data, dtype=np.uint8), ord(dialect.quote)
    chunks = (characters[at : at + CHUNK] for at in range(0, len(characters), CHUNK))
    return bool(sum(np.count_nonzero(chunk == quote) for chunk in chunks) % 2)


def compute_row_ids(data: bytes, records: int, block: Block, dialect: Dialect) -> pd.Index | None:
    """Return the ids of the parsed records; None if they cannot be matched to lines."""
    cut = block.limited and dialect.newlines_in_values
    if records == block.rows and not cut:
        return pd.RangeIndex(block.first_row, block.first_row + records)
    characters = np.frombuffer(data, dtype=np.uint8)
    newlines = np.flatnonzero(characters == NEWLINE)
    ending = np.ones(len(newlines), dtype=bool)
    if dialect.newlines_in_values and dialect.quote is not None:
        quotes = np.flatnonzero(characters == ord(dialect.quote))
        # a newline ends a record if an even number of quotes precedes it
        ending = np.searchsorted(quotes, newlines) % 2 == 0
    starts = np.append(0, newlines[ending] + 1)
    width = np.append(newlines[ending], len(characters)) - starts
    # Arrow skips blank lines, so they count as lines, but have no record.
    carriage = (width == 1) & (characters[np.minimum(starts, len(characters) - 1)] == ord("\r"))
    lines = np.append(0, np.flatnonzero(ending) + 1)[(width > 0) & ~carriage]
    if len(lines) != records:
        return None
    within = int(np.searchsorted(lines, block.rows)) if cut else records
    ids: pd.Index = pd.Index(lines[:within] + block.first_row, dtype="int64")
    return ids
