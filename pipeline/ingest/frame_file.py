"""A frame as a Parquet file of the run folder, which the run then reads like any other file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts.files import FRAMES, atomic_write, hash_file
from pipeline.errors import DataError
from pipeline.ingest.frame_stream import FrameStream, open_stream

GROUP_BYTES = 64 << 20
"""Bytes of a row group, by the estimated width of the columns."""
MAX_GROUP_ROWS, MIN_GROUP_ROWS = 1 << 20, 1 << 12
TEXT_BYTES, OTHER_BYTES = 64, 8
"""Estimated bytes of a value."""


@dataclass(frozen=True)
class StoredFrame:
    """The file of a frame, named by the SHA-256 of its bytes."""

    path: Path
    rows: int
    renamed: tuple[str, ...]
    """Names of columns that were not text and became text."""
    is_new: bool
    """False if the run folder had a file of the same content, which was left as it is."""

    def discard(self) -> None:
        """Remove the file if it is new, for a run that cannot start."""
        if self.is_new:
            self.path.unlink(missing_ok=True)
            _remove_if_empty(self.path.parent)

    def remove_others(self) -> None:
        """Remove the files of other frames, once the config names this one."""
        for other in self.path.parent.iterdir():
            if other != self.path and other.is_file():
                other.unlink()


def store_frame(frame: Any, run: Path) -> StoredFrame:
    """Write a frame to a run folder, batch by batch, as ``frame/<SHA-256>.parquet``.

    The same content gets the same name, however its library divides it into batches, and a file
    that exists keeps its time stamp: the stages of a resumed run see that nothing has changed.

    Raises:
        SchemaError: the object is not a frame, or a column is of a type that is not read.
        DataError: the frame has no rows, or values that cannot be converted.
        MachineError: the disk is full or the folder is not writable.
    """
    stream = open_stream(frame)
    folder = (run / FRAMES).resolve()
    unnamed = folder / "new.parquet"
    try:
        with atomic_write(unnamed) as beside:
            rows = _write(stream, beside)
            if not rows:
                raise DataError("the frame has no rows", fix="pass a frame with rows")
    except BaseException:
        _remove_if_empty(folder)
        raise
    path = folder / f"{hash_file(unnamed)}.parquet"
    is_new = not path.is_file() or hash_file(path) != path.stem
    if is_new:
        os.replace(unnamed, path)
    else:
        unnamed.unlink()
    return StoredFrame(path, rows, stream.renamed, is_new)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):  # it has the file of another frame, or does not exist
        folder.rmdir()


def _write(stream: FrameStream, path: Path) -> int:
    """Write the stream and return its number of rows."""
    rows = 0
    with pq.ParquetWriter(path, stream.schema) as writer:
        for group in iter_groups(stream, choose_group_rows(stream.schema)):
            writer.write_table(group, row_group_size=len(group))
            rows += len(group)
    return rows


def choose_group_rows(schema: pa.Schema) -> int:
    """Return the number of rows of a row group, which depends on nothing but the types."""
    width = sum(TEXT_BYTES if f.type == pa.large_string() else OTHER_BYTES for f in schema)
    return min(max(GROUP_BYTES // width, MIN_GROUP_ROWS), MAX_GROUP_ROWS)


def iter_groups(stream: FrameStream, rows: int) -> Iterator[pa.Table]:
    """Yield the stream's rows in tables of ``rows`` rows in one chunk; the last may be shorter."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    for batch in stream.batches:
        at = 0
        while at < len(batch):
            part = batch.slice(at, rows - count)
            waiting.append(part)
            at, count = at + len(part), count + len(part)
            if count == rows:
                yield pa.Table.from_batches(waiting, stream.schema).combine_chunks()
                waiting, count = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting, stream.schema).combine_chunks()
