"""Writing of tables to a Parquet file, in row groups of bounded size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_BYTES = 64 << 20
"""Bytes of a row group in memory."""
GROUP_ROWS = 1 << 20


def write_parquet(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write tables of one schema, several small ones in a row group."""
    waiting: list[pa.Table] = []
    with pq.ParquetWriter(path, schema) as writer:
        for table in tables:
            waiting.append(table)
            size, rows = sum(t.nbytes for t in waiting), sum(t.num_rows for t in waiting)
            if size >= GROUP_BYTES or rows >= GROUP_ROWS:
                _write_groups(writer, waiting, size)
                waiting = []
        if waiting:
            _write_groups(writer, waiting, sum(t.nbytes for t in waiting))


def _write_groups(writer: pq.ParquetWriter, tables: list[pa.Table], size: int) -> None:
    table = pa.concat_tables(tables)
    if table.num_rows:
        # One table may be larger than a row group.
        groups = max(size // GROUP_BYTES, table.num_rows // GROUP_ROWS, 1)
        writer.write_table(table, row_group_size=-(-table.num_rows // groups))
