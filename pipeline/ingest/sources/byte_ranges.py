"""Reading of CSV files, decompressed and as UTF-8: a beginning, a range, or the whole in chunks.

Positions count stored bytes if the file can be read from its middle, else bytes of UTF-8.
"""

from __future__ import annotations

import lzma
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipeline.config.urls import is_url
from pipeline.errors import DataError
from pipeline.ingest.sources import encodings
from pipeline.ingest.sources.encodings import UTF8, open_as_utf8, to_utf8
from pipeline.ingest.sources.files import File
from pipeline.ingest.sources.filesystems import open_file

LONGEST = 16 << 20
"""Bytes that a line may have; a file with longer lines is not a table."""
CHUNK = 256 << 10  # fits the cache, where newlines are counted fastest (0.15 s for 800 MB)


@contextmanager
def open_stream(file: File, options: Mapping[str, object]) -> Iterator[Any]:
    """Open a file's content as a stream, decompressed by its ending.

    A file that cannot be read from its middle is converted to UTF-8.

    Raises:
        DataError: the file is not compressed as its ending says, or it is cut off.
    """
    with open_file(file.read_path, options) as raw:
        if file.compression is None:
            yield open_as_utf8(raw, file.encoding) if file.is_sequential else raw
            return
        try:
            with _decompress(raw, file.compression) as inner:
                yield inner if file.encoding == UTF8 else open_as_utf8(inner, file.encoding)
        except (OSError, EOFError, lzma.LZMAError) as error:
            raise DataError(
                f"{file.path} is damaged, or not {file.compression}: {error}",
                fix="compress it again, or correct its ending",
            ) from None


def _decompress(raw: Any, compression: str) -> AbstractContextManager[Any]:
    if compression == "xz":  # Arrow does not know it
        return lzma.open(raw)
    stream: AbstractContextManager[Any] = pa.CompressedInputStream(
        pa.PythonFile(raw, "r"), compression
    )
    return stream


def read_head(file: File, options: Mapping[str, object], size: int) -> bytes:
    """Read the first lines, as many as ``size`` bytes hold (at least one)."""
    with open_stream(file, options) as inner:
        more = data = bytes(inner.read(size))
        while len(data) >= size and b"\n" not in data[-size:]:
            more = inner.read(size)
            if not more:
                break
            data += bytes(more)
            if len(data) > LONGEST:
                raise _line_too_long_error(file, 0)
        whole = data if len(data) < size or not more else data[: data.rfind(b"\n") + 1]
    return _convert(whole, file)


def detect_encoding(
    file: File, options: Mapping[str, object], size: int, asked: str | None = None
) -> tuple[File, bytes]:
    """Return the file with its encoding, and its first lines as `read_head` returns them.

    The middle and the end of a local file are inspected besides.

    Args:
        file: a CSV.
        options: of its storage.
        size: bytes of the first lines.
        asked: the encoding in the config, which is not detected then.

    Raises:
        ConfigError: there is no such encoding.
    """
    if file.converted is not None:  # copies are UTF-8
        return file, read_head(file, options, size)
    if asked is not None:
        file = replace(file, encoding=encodings.check_encoding(asked))
        return file, read_head(file, options, size)
    data = inspected = read_head(file, options, size)
    # A remote file would need further requests.
    if file.compression is None and not is_url(file.read_path) and file.read_size > len(data):
        places = {max(len(data), place) for place in (file.read_size // 2, file.read_size - size)}
        pieces = [read_piece(file, options, place, size) for place in sorted(places)]
        inspected = b"".join([data, *pieces])
    file = replace(file, encoding=encodings.detect_encoding(inspected))
    converted = data if file.encoding == UTF8 else read_head(file, options, size)
    return file, converted


def read_piece(file: File, options: Mapping[str, object], start: int, size: int) -> bytes:
    """Read the whole lines that begin after ``start``, within about ``size`` bytes."""
    with open_file(file.read_path, options) as raw:
        raw.seek(start)
        data = raw.read(size)
    first, last = data.find(b"\n") + 1, data.rfind(b"\n") + 1
    if start + len(data) >= file.read_size:
        last = len(data)
    return _convert(data[first:last], file) if first else b""


def read_range(file: File, options: Mapping[str, object], start: int, stop: int | None) -> bytes:
    """Read the content from byte ``start`` to ``stop`` (None: the end).

    Raises:
        DataError: the file is shorter than when the blocks were planned.
    """
    with open_stream(file, options) as inner:
        if not file.is_sequential:
            inner.seek(start)
        elif start:
            inner.read(start)
        data = bytes(inner.read() if stop is None else inner.read(stop - start))
    if stop is not None and len(data) < stop - start:
        raise DataError(
            f"{file.path} became shorter while the run was reading it",
            fix="run again once nothing writes to it",
        )
    return _convert(data, file)


def read_chunks(file: File, options: Mapping[str, object], start: int) -> Iterator[bytes]:
    """Read the content from byte ``start`` in chunks of `CHUNK` bytes, which are not converted."""
    with open_stream(file, options) as inner:
        if not file.is_sequential:
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


def _convert(data: bytes, file: File) -> bytes:
    """Convert whole lines to UTF-8, unless `open_stream` has converted them."""
    return data if file.is_sequential else to_utf8(data, file.encoding)


def _line_too_long_error(file: File, at: int) -> DataError:
    return DataError(
        f"{file.path}: the line that begins at byte {at:,} is longer than {LONGEST >> 20} MB",
        fix="check that its lines end with newlines, and that its quotes are closed",
    )
