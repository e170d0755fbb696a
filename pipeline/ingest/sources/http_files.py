"""Files of HTTP servers: their size, ranges of their bytes, and downloads.

A server that sends no ranges has its file downloaded: up to a limit, and to a temporary folder that
is removed when the process ends. HTTP has no folders, so a source names every file.
"""

from __future__ import annotations

import hashlib
import io
import re
import tempfile
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputError

LARGEST = 4 << 30
"""Bytes up to which a file is downloaded."""
BLOCK = 5 << 20
"""Bytes that a request asks for at least."""
PATIENCE = 60
"""Seconds to wait for a server's next bytes."""


@dataclass(frozen=True)
class HttpFile:
    """A file as the server describes it."""

    size: int
    """Bytes."""
    fingerprint: str
    """ETag or date; the hash of a download whose server gives neither."""
    download: Path | None
    """Local copy, if the server sends no ranges."""


_described: dict[str, HttpFile] = {}
_lock = threading.Lock()  # Dask's threads open one file at the same time; only one downloads it
_folder: list[tempfile.TemporaryDirectory[str]] = []


def describe_file(fs: Any, url: str, shown: str) -> HttpFile:
    """Ask a server about a file; download it if the server sends no ranges of it.

    Args:
        fs: fsspec's HTTP file system.
        url: with user-info and query filled in.
        shown: the same without, for messages.

    Raises:
        aiohttp.ClientError: the server does not answer, or refuses.
        InputError: the server sends no ranges, and the file is larger than `LARGEST`.
    """
    from fsspec.asyn import sync

    size, tag = sync(fs.loop, _probe, fs, url, shown)
    with _lock:
        file = _described.get(url)
        if size is not None:
            file = HttpFile(size, tag or str(size), None)
        elif file is None or not tag or file.fingerprint != tag:
            if not _folder:
                _folder.append(tempfile.TemporaryDirectory(prefix="pipeline-http-"))
            path = Path(_folder[0].name, f"{len(_described)}")
            size, digest = sync(fs.loop, _download, fs, url, path, shown)
            file = HttpFile(size, tag or digest, path)
        _described[url] = file
    return file


def open_http_file(fs: Any, url: str, shown: str) -> Any:
    """Open a file for reading, as a binary stream that can seek; raises as `describe_file`."""
    file = _described.get(url) or describe_file(fs, url, shown)
    if file.download is not None:
        return file.download.open("rb")
    return io.BufferedReader(_Ranges(fs, url, file.size, shown), BLOCK)


class _Ranges(io.RawIOBase):
    """A file of a server that sends ranges, of which no more than the range is read."""

    # fsspec's own file reads an answer to its end, and decompresses it: neither has a limit.

    def __init__(self, fs: Any, url: str, size: int, shown: str) -> None:
        self.fs, self.url, self.size, self.shown = fs, url, size, shown
        self.at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset, without a request."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        self.at = max(0, start + offset)
        return self.at

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, up to the end of the file."""
        from fsspec.asyn import sync

        wanted = min(len(buffer), self.size - self.at)
        if wanted <= 0:
            return 0
        data = sync(self.fs.loop, self._fetch, self.at, wanted)
        buffer[:wanted] = data
        self.at += wanted
        return wanted

    def readall(self) -> bytes:
        """Read to the end, one block at a time."""
        blocks = bytearray()
        while block := self.read(BLOCK):
            blocks += block
        return bytes(blocks)

    async def _fetch(self, start: int, count: int) -> bytes:
        data, wanted = bytearray(), f"bytes={start}-{start + count - 1}"
        async with _request(self.fs, self.url, self.shown, Range=wanted) as answer:
            answer.raise_for_status()
            sent = answer.headers.get("Content-Range", "")
            is_asked = sent == f"bytes {start}-{start + count - 1}/{self.size}"
            if answer.status == 206 and is_asked and not _is_encoded(answer):
                while more := await answer.content.read(count - len(data)):
                    data += more
        if len(data) < count:
            raise InputError(
                f"{self.shown}: the server sent other bytes than were requested, from "
                f"{start:,} to {start + count:,} of {self.size:,}",
                fix="run again if the file changed; or download it, and name the local file",
            )
        return bytes(data)


def _is_encoded(answer: Any) -> bool:
    return answer.headers.get("Content-Encoding", "identity") not in ("identity", "")


@asynccontextmanager
async def _request(fs: Any, url: str, shown: str, **headers: str) -> AsyncIterator[Any]:
    """Request a file, and yield the answer before its body is read."""
    from aiohttp import ClientTimeout

    asked = {**fs.kwargs.get("headers", {}), "Accept-Encoding": "identity", **headers}
    timeout = ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=PATIENCE)
    options = {**fs.kwargs, "headers": asked, "timeout": timeout}
    session = await fs.set_session()
    try:
        answer = await session.get(fs.encode_url(url), **options)
    except ValueError as error:
        # yarl raises it, and Python for a host name; a redirect may lead to any address
        raise InputError(
            f"{shown}, or what its server redirects to, is not a valid address: {error}",
            fix="check the URL",
        ) from None
    async with answer:
        yield answer


async def _probe(fs: Any, url: str, shown: str) -> tuple[int | None, str]:
    """Return (size, or None if the server sends no ranges; ETag or date)."""
    async with _request(fs, url, shown, Range="bytes=0-0") as answer:
        if answer.status != 416:  # an empty file has no first byte
            answer.raise_for_status()
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        total = re.fullmatch(r"bytes 0-0/(\d{1,18})", answer.headers.get("Content-Range", ""))
        ranges = answer.status == 206 and total is not None and not _is_encoded(answer)
        return (int(total[1]) if ranges and total else None), tag.strip('"')


async def _download(fs: Any, url: str, path: Path, shown: str) -> tuple[int, str]:
    """Download a file to ``path``; return (bytes, SHA-256)."""
    size, digest = 0, hashlib.sha256()
    async with _request(fs, url, shown) as answer:
        answer.raise_for_status()
        with path.open("wb") as file:
            async for chunk in answer.content.iter_chunked(1 << 20):
                size += len(chunk)
                if size > LARGEST:
                    path.unlink()
                    raise InputError(
                        f"{shown} is larger than {LARGEST >> 30} GB, and its server sends no "
                        "ranges of it",
                        fix="download it, and name the local file",
                    )
                digest.update(chunk)
                file.write(chunk)
    return size, digest.hexdigest()
