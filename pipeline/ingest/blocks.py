"""Blocks: parts of the files that are read one at a time, and the ids of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.ingest import parquet
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.dialect import find_data_start
from pipeline.ingest.csv.record_count import RecordCounter
from pipeline.ingest.csv.type_inference import HEAD
from pipeline.ingest.sources.byte_ranges import read_chunks, read_head
from pipeline.ingest.sources.encodings import UTF8
from pipeline.ingest.sources.files import File

NEWLINE = 10
SMALL_BLOCK = 1 << 20
"""Bytes below which scheduling a partition costs more than reading it."""


@dataclass(frozen=True)
class Block:
    """Part of one file."""

    file: int
    """Position of the file in the contract."""
    first_row: int
    """Id of the first row: the number of records (CSV: lines) in all files before it."""
    rows: int
    """Records of Parquet, or lines of CSV; blank lines and quoted newlines parse to fewer rows."""
    start: int = 0
    stop: int | None = None
    """CSV: bytes of the (decompressed) content, header excluded; None is the end."""
    first_line: int = 1
    """Line of the file that begins at ``start``, or its row for Parquet, counted from 1."""
    groups: tuple[int, ...] = ()
    """Parquet: row groups."""
    limited: bool = False
    """True if only the first ``rows`` records (CSV: lines) of the range are read."""
    size: int = 0
    """Bytes to parse, uncompressed."""
    records: int | None = None
    """Number of records, where it is known to be less than ``rows``: values hold newlines."""


@dataclass(frozen=True)
class BlockGroup:
    """Consecutive blocks that are read as one partition."""

    blocks: tuple[Block, ...]

    @property
    def rows(self) -> int:
        """Records of all blocks, as `Block.rows`."""
        return sum(block.rows for block in self.blocks)

    @property
    def records(self) -> int:
        """Records of all blocks, those with several lines counted once."""
        counts = (block.rows if block.records is None else block.records for block in self.blocks)
        return sum(counts)

    @property
    def size(self) -> int:
        """Bytes to parse, uncompressed."""
        return sum(block.size for block in self.blocks)


def group_blocks(blocks: Sequence[Block], max_bytes: int) -> list[BlockGroup]:
    """Group consecutive blocks up to ``max_bytes``; a larger block is a group of its own."""
    # A partition costs about 45 ms of processor time, whatever it holds. 1,000 files of 20 rows
    # took 49 CPU seconds with a partition each, and 6 s in two partitions.
    groups: list[list[Block]] = []
    size = 0
    for block in blocks:
        if not groups or size + block.size > max_bytes:
            groups.append([])
            size = 0
        groups[-1].append(block)
        size += block.size
    return [BlockGroup(tuple(group)) for group in groups]


def plan_blocks(
    contract: Contract, block_bytes: int = 32 << 20, rows: int | None = None
) -> list[Block]:
    """Plan the blocks of all files in record order, or those of the first ``rows`` records.

    A block of Parquet is one row group, or several small ones in a row. A block of CSV is a range
    of about ``block_bytes`` that ends with a line. It is a whole file where lines do not delimit
    records: in compressed files, and where values hold newlines.
    """
    planned: list[Block] = []
    first_row = 0
    split = _split_parquet if contract.format == "parquet" else _split_csv
    for number, file in enumerate(contract.files):
        for block in split(contract, number, file, block_bytes):
            left = None if rows is None else rows - first_row
            if left is not None and left <= 0:
                return planned
            count = block.rows if left is None else min(left, block.rows)
            limited = count < block.rows
            records = None if limited else block.records
            part = replace(block, first_row=first_row, rows=count, limited=limited)
            planned.append(replace(part, records=records))
            first_row += count
    return planned


def _split_parquet(
    contract: Contract, number: int, file: File, block_bytes: int
) -> Iterator[Block]:
    groups: list[int] = []
    rows = size = 0
    first = 1
    row_groups = parquet.list_row_groups(file, contract.storage_options)
    for i, (group_rows, group_bytes) in enumerate(row_groups):
        if groups and size + group_bytes > block_bytes:
            yield Block(number, 0, rows, first_line=first, groups=tuple(groups), size=size)
            groups, rows, size, first = [], 0, 0, first + rows
        groups, rows, size = [*groups, i], rows + group_rows, size + group_bytes
    if rows:
        yield Block(number, 0, rows, first_line=first, groups=tuple(groups), size=size)


def _split_csv(contract: Contract, number: int, file: File, block_bytes: int) -> Iterator[Block]:
    dialect = contract.csv_dialect
    options = contract.storage_options
    head = read_head(file, options, HEAD)
    start, line = find_data_start(head, dialect)
    if file.encoding != UTF8 and not file.is_sequential:
        # Blocks are ranges of the stored bytes, and `head` is converted to UTF-8.
        stored = read_head(replace(file, encoding=UTF8), options, HEAD)
        start = sum(len(text) + 1 for text in stored.split(b"\n", line - 1)[: line - 1])
    # A newline need not end a record, and a compressed file cannot be read from its middle.
    whole = file.is_sequential or dialect.newlines_in_values
    at, rows, last = start, 0, NEWLINE
    counter = RecordCounter(dialect.quote) if dialect.newlines_in_values else None
    for chunk in read_chunks(file, options, start):
        data = np.frombuffer(chunk, dtype=np.uint8)
        last = int(data[-1])
        if counter is not None:
            counter.add(chunk)
        if whole or at + len(chunk) - start < block_bytes:
            rows, at = rows + int(np.count_nonzero(data == NEWLINE)), at + len(chunk)
            continue
        done = 0
        for end in _find_block_ends(data, block_bytes, at - start):
            rows += int(np.count_nonzero(data[done:end] == NEWLINE))
            yield Block(number, 0, rows, start, at + end, line, size=at + end - start)
            start, line, rows, done = at + end, line + rows, 0, end
        rows, at = rows + int(np.count_nonzero(data[done:] == NEWLINE)), at + len(chunk)
    rows += last != NEWLINE  # the last line may lack its newline
    if rows:
        records = None if counter is None else counter.total()
        stop = None if whole else at
        yield Block(number, 0, rows, start, stop, line, size=at - start, records=records)


def _find_block_ends(data: np.ndarray, block_bytes: int, before: int) -> Iterator[int]:
    """Yield the ends of blocks in a chunk: each after the first newline that makes it full.

    ``before`` counts the bytes of the first block that lie in earlier chunks.
    """
    newlines = np.flatnonzero(data == NEWLINE) + 1
    due = block_bytes - before
    while True:
        at = np.searchsorted(newlines, max(due, 1))
        if at == len(newlines):
            return
        yield int(newlines[at])
        due = int(newlines[at]) + block_bytes
