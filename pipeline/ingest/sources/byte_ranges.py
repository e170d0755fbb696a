"""Reading of decompressed CSV files: their beginning, a range, or the whole in chunks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from pipeline.errors import DataError
from pipeline.ingest.sources.files import File
from pipeline.ingest.sources.filesystems import open_file

LONGEST = 16 << 20
"""Bytes that a line may have; a file with longer lines is not a table."""
CHUNK = 256 << 10  # fits the cache, where newlines are counted fastest (0.15 s for 800 MB)


@contextmanager
def open_stream(file: File, options: Mapping[str, object]) -> Iterator[Any]:
    """Open a file's content as a stream, decompressed by its ending.

    Raises:
        DataError: the file is not compressed as its ending says, or it is cut off.
    """
    with open_file(file.path, options) as raw:
        if file.compression is None:
            yield raw
            return
        try:
            with pa.CompressedInputStream(pa.PythonFile(raw, "r"), file.compression) as inner:
                yield inner
        except OSError as error:
            raise DataError(
                f"{file.path} is damaged, or not {file.compression}: {error}",
                fix="compress it again, or correct its ending",
            ) from None


def read_head(file: File, options: Mapping[str, object], size: int) -> bytes:
    """Read the first lines, as many as ``size`` bytes hold (at least one)."""
    with open_stream(file, options) as inner:
        data = bytes(inner.read(size))
        while len(data) >= size and b"\n" not in data[-size:]:
            more = inner.read(size)
            if not more:
                return data
            data += bytes(more)
            if len(data) > LONGEST:
                raise _line_too_long_error(file, 0)
    return data if len(data) < size else data[: data.rfind(b"\n") + 1]


def read_piece(file: File, options: Mapping[str, object], start: int, size: int) -> bytes:
    """Read the whole lines that begin after ``start``, within about ``size`` bytes."""
    with open_file(file.path, options) as raw:
        raw.seek(start)
        data = raw.read(size)
    first, last = data.find(b"\n") + 1, data.rfind(b"\n") + 1
    if start + len(data) >= file.size:
        last = len(data)
    return data[first:last] if first else b""


def read_range(file: File, options: Mapping[str, object], start: int, stop: int | None) -> bytes:
    """Read the content from byte ``start`` to ``stop`` (None: the end).

    Raises:
        DataError: the file is shorter than when the blocks were planned.
    """
    with open_stream(file, options) as inner:
        if file.compression is None:
            inner.seek(start)
        else:  # a compressed stream cannot seek
            inner.read(start)
        data = bytes(inner.read() if stop is None else inner.read(stop - start))
    if stop is not None and len(data) < stop - start:
        raise DataError(
            f"{file.path} became shorter while the run was reading it",
            fix="run again once nothing writes to it",
        )
    return data


def read_chunks(file: File, options: Mapping[str, object], start: int) -> Iterator[bytes]:
    """Read the content from byte ``start`` in chunks of `CHUNK` bytes."""
    with open_stream(file, options) as inner:
        if file.compression is None:
            inner.seek(start)
        elif start:
            inner.read(start)
        at = ended = start
        while chunk := inner.read(CHUNK):
            yield chunk
            at += len(chunk)
            if (newline := chunk.rfind(b"\n")) >= 0:
                ended = at - len(chunk) + newline + 1
            if at - ended > LONGEST:
                raise _line_too_long_error(file, ended)


def _line_too_long_error(file: File, at: int) -> DataError:
    return DataError(
        f"{file.path}: the line that begins at byte {at:,} is longer than {LONGEST >> 20} MB",
        fix="check that its lines end with newlines, and that its quotes are closed",
    )
