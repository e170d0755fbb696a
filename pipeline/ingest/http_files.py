"""Files of HTTP servers: their size, and reading whole those of which a server sends no ranges.

An HTTP server has no folders: every file is named. A download is bounded, lies in a temporary
folder, and goes with the process.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import InputError

LARGEST = 4 << 30
"""Bytes of a file that is read whole."""
PATIENCE = 60
"""Seconds to wait for a server's next bytes."""


@dataclass(frozen=True)
class HttpFile:
    """A file as a server describes it."""

    size: int
    """Bytes."""
    fingerprint: str
    """Its ETag or date; of a download without either, a hash."""
    download: Path | None
    """Where the whole file lies, if the server sends no ranges."""


_described: dict[str, HttpFile] = {}
_lock = threading.Lock()  # Dask's threads open the same file at once: it is downloaded once
_folder: list[tempfile.TemporaryDirectory[str]] = []


def describe(fs: Any, url: str, shown: str) -> HttpFile:
    """Ask a server about a file; download it if the server sends no ranges of it.

    Args:
        fs: fsspec's HTTP file system.
        url: with user-info and query filled in.
        shown: the same without, for messages.

    Raises:
        aiohttp.ClientError: the server does not answer, or refuses.
        InputError: it sends no ranges, and the file is larger than `LARGEST`.
    """
    from fsspec.asyn import sync

    size, tag = sync(fs.loop, _probe, fs, url)
    with _lock:
        known = _described.get(url)
        if size is not None:
            known = HttpFile(size, tag or str(size), None)
        elif known is None or not tag or known.fingerprint != tag:
            path = Path(_temporary(), f"{len(_described)}")
            size, digest = sync(fs.loop, _download, fs, url, path, shown)
            known = HttpFile(size, tag or digest, path)
        _described[url] = known
    return known


def open_file(fs: Any, url: str, shown: str) -> Any:
    """Open a file for reading, as a binary stream that can seek; raises as `describe`."""
    known = _described.get(url) or describe(fs, url, shown)
    if known.download is not None:
        return known.download.open("rb")
    return fs.open(url, "rb", size=known.size)


def _temporary() -> str:
    if not _folder:
        _folder.append(tempfile.TemporaryDirectory(prefix="pipeline-http-"))
    return _folder[0].name


def _request(fs: Any, **headers: str) -> dict[str, Any]:
    from aiohttp import ClientTimeout

    asked = {**fs.kwargs.get("headers", {}), "Accept-Encoding": "identity", **headers}
    timeout = ClientTimeout(total=None, sock_connect=PATIENCE, sock_read=PATIENCE)
    return {**fs.kwargs, "headers": asked, "timeout": timeout}


async def _probe(fs: Any, url: str) -> tuple[int | None, str]:
    """(size, or None if the server sends no ranges; ETag or date)."""
    session = await fs.set_session()
    async with session.get(fs.encode_url(url), **_request(fs, Range="bytes=0-0")) as answer:
        if answer.status != 416:  # an empty file has no first byte
            answer.raise_for_status()
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        encoded = answer.headers.get("Content-Encoding", "identity") not in ("identity", "")
        total = re.fullmatch(r"bytes 0-0/(\d{1,18})", answer.headers.get("Content-Range", ""))
        ranges = answer.status == 206 and total is not None and not encoded
        return (int(total[1]) if ranges and total else None), tag.strip('"')


async def _download(fs: Any, url: str, path: Path, shown: str) -> tuple[int, str]:
    """(bytes, SHA-256) of the file, which lies at ``path`` then."""
    session, size, digest = await fs.set_session(), 0, hashlib.sha256()
    async with session.get(fs.encode_url(url), **_request(fs)) as answer:
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
