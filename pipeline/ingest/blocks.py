"""Blocks: the parts of the files that are read one at a time, and the ids of their rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.ingest import parquet
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.dialect import find_data_start
from pipeline.ingest.csv.type_inference import HEAD
from pipeline.ingest.sources.byte_ranges import read_chunks, read_head
from pipeline.ingest.sources.files import File

NEWLINE = 10
SMALL_BLOCK = 1 << 20
"""Bytes below which a partition costs more to schedule than to read."""


@dataclass(frozen=True)
class Block:
    """Part of one file."""

    file: int
    """Its position in the contract's files."""
    first_row: int
    """The id of its first row: the records (CSV: lines) of all files before it."""
    rows: int
    """Records; of CSV the lines, so that fewer may be parsed (blank lines, quoted newlines)."""
    start: int = 0
    stop: int | None = None
    """CSV: bytes of the (decompressed) content, header excluded; None is the end."""
    first_line: int = 1
    """CSV: the line of the file that ``start`` begins, from 1."""
    groups: tuple[int, ...] = ()
    """Parquet: row groups."""
    limited: bool = False
    """Only the first ``rows`` records (CSV: lines) of what the range holds."""
    size: int = 0
    """Bytes to parse, uncompressed."""


@dataclass(frozen=True)
class BlockGroup:
    """Blocks that follow each other and are read as one partition."""

    blocks: tuple[Block, ...]

    @property
    def rows(self) -> int:
        """Records of all blocks, as `Block.rows`."""
        return sum(block.rows for block in self.blocks)

    @property
    def size(self) -> int:
        """Bytes to parse, uncompressed."""
        return sum(block.size for block in self.blocks)


def group_blocks(blocks: Sequence[Block], most: int) -> list[BlockGroup]:
    """The blocks in parts of at most so many bytes, or of one block.

    A partition costs a run about 45 ms of a processor, whatever it holds (1,000 files of 20 rows:
    49 CPU seconds with a partition each, 6 in two): of many small files there are to be few.
    """
    parts: list[list[Block]] = []
    size = 0
    for block in blocks:
        if not parts or size + block.size > most:
            parts.append([])
            size = 0
        parts[-1].append(block)
        size += block.size
    return [BlockGroup(tuple(part)) for part in parts]


def plan_blocks(
    contract: Contract, block_bytes: int = 32 << 20, rows: int | None = None
) -> list[Block]:
    """The blocks of all files in record order; the first ``rows`` records only, if given.

    A block of Parquet is one row group or several small ones that follow each other; one of CSV is
    a range of about ``block_bytes`` that ends with a line, or a whole file where lines do not tell
    records (compressed, or newlines in values).
    """
    planned: list[Block] = []
    first_row = 0
    split = _parquet_blocks if contract.format == "parquet" else _csv_blocks
    for number, file in enumerate(contract.files):
        for found in split(contract, number, file, block_bytes):
            block = found
            left = None if rows is None else rows - first_row
            if left is not None and left <= 0:
                return planned
            if left is not None and left < block.rows:
                block = replace(block, rows=left, limited=True)
            planned.append(replace(block, first_row=first_row))
            first_row += block.rows
    return planned


def _parquet_blocks(
    contract: Contract, number: int, file: File, block_bytes: int
) -> Iterator[Block]:
    groups: list[int] = []
    rows = size = 0
    for i, (more, bytes_) in enumerate(parquet.list_row_groups(file, contract.storage_options)):
        if groups and size + bytes_ > block_bytes:
            yield Block(number, 0, rows, groups=tuple(groups), size=size)
            groups, rows, size = [], 0, 0
        groups, rows, size = [*groups, i], rows + more, size + bytes_
    if rows:
        yield Block(number, 0, rows, groups=tuple(groups), size=size)


def _csv_blocks(contract: Contract, number: int, file: File, block_bytes: int) -> Iterator[Block]:
    dialect = contract.csv_dialect
    options = contract.storage_options
    start, line = find_data_start(read_head(file, options, HEAD), dialect)
    whole = file.compression is not None or dialect.newlines_in_values
    at, rows, last = start, 0, NEWLINE
    for chunk in read_chunks(file, options, start):
        bytes_ = np.frombuffer(chunk, dtype=np.uint8)
        last = int(bytes_[-1])
        if whole or at + len(chunk) - start < block_bytes:
            rows, at = rows + int(np.count_nonzero(bytes_ == NEWLINE)), at + len(chunk)
            continue
        done = 0
        for end in _ends(bytes_, block_bytes, at - start):
            rows += int(np.count_nonzero(bytes_[done:end] == NEWLINE))
            yield Block(number, 0, rows, start, at + end, line, size=at + end - start)
            start, line, rows, done = at + end, line + rows, 0, end
        rows, at = rows + int(np.count_nonzero(bytes_[done:] == NEWLINE)), at + len(chunk)
    rows += last != NEWLINE  # the last line need not end
    if rows:
        yield Block(number, 0, rows, start, None if whole else at, line, size=at - start)


def _ends(bytes_: np.ndarray, block_bytes: int, before: int) -> Iterator[int]:
    """Where blocks end in a chunk: after the first newline at or past each multiple of the size."""
    newlines = np.flatnonzero(bytes_ == NEWLINE) + 1
    due = block_bytes - before
    while True:
        at = np.searchsorted(newlines, max(due, 1))
        if at == len(newlines):
            return
        yield int(newlines[at])
        due = int(newlines[at]) + block_bytes
