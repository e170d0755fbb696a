"""A run folder's files as readers take them: inside the folder, through no link, of bounded size.

Where there is a manifest they are what it says. A file is read once, and what is parsed is what was
hashed, so that nothing can change between the two.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.errors import InputError, PipelineError, shorten

MANIFEST = "manifest.json"
MAX_TEXT = 64 << 20
"""Bytes of a JSON file of a run; a plan of 40,000 columns and 10 ops takes a third of it."""
MAX_VALUES = 4_000_000
"""Values in one JSON file: small ones take 20 times their text in memory."""

Read = Callable[[Path], bytes]
"""A file's bytes, checked or not."""


@dataclass(frozen=True)
class Sealed:
    """A run that its manifest vouches for."""

    run: Path
    manifest: Mapping[str, Any]

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 by name."""
        found: Mapping[str, str] = self.manifest["files"]
        return found

    def read(self, path: Path) -> bytes:
        """The bytes of a file of the run, if they are those that the run wrote.

        Raises:
            InputError: it is missing, unlisted, altered, or outside the run; names it.
        """
        name = path.relative_to(self.run).as_posix()
        if name not in self.files:
            raise InputError(
                f"{path} is not in the run's manifest: it is not this run's file",
                fix="restore the run from a copy, or run the config again",
            )
        data = read_within(self.run, name)
        if hashlib.sha256(data).hexdigest() != self.files[name]:
            raise InputError(
                f"{path} was altered after the run: its hash is not the manifest's",
                fix="restore it from a copy, or run the config again",
            )
        return data


def opened(run: Path) -> Sealed | None:
    """The run with its manifest; None where there is none.

    Raises:
        InputError: the manifest is damaged, or names files outside of the run.
    """
    path = run / MANIFEST
    if not os.path.lexists(path):
        return None
    manifest = parsed(read_within(run, MANIFEST, MAX_TEXT), path)
    if not isinstance(manifest, dict):
        raise InputError(f"{path} is not a JSON object: it was damaged after the run wrote it")
    files = manifest.setdefault("files", {})
    if not isinstance(files, dict) or not all(isinstance(h, str) for h in files.values()):
        raise InputError(f"{path} lists no hashes: it was damaged after the run wrote it")
    for name in files:
        _inside(name)
    return Sealed(run, manifest)


def finished(run: Path) -> Sealed:
    """Open a finished run with its manifest.

    Raises:
        InputError: as `opened`, or there is no manifest.
    """
    if (found := opened(run)) is None:
        raise unfinished(run)
    return found


def unfinished(run: Path) -> InputError:
    """Describe a folder without a manifest, and what to do instead of using it."""
    fix = "name the folder that `python -m pipeline run` printed"
    if (run / "config.yaml").is_file():
        fix = (
            f"finish the run: python -m pipeline run --resume {shlex.quote(os.fspath(run))}; or "
            "restore the manifest from a copy; or run the config again"
        )
    return InputError(f"{str(run)!r} is not a finished run: it has no {MANIFEST}", fix=fix)


def parsed(data: bytes, path: Path) -> Any:
    """The value in a JSON file of bounded size and depth.

    Raises:
        InputError: it is not JSON, or too large or too deep.
    """
    if len(data) > MAX_TEXT or sum(data.count(c) for c in (b",", b"[", b"{")) > MAX_VALUES:
        raise InputError(
            f"{path} is too large: at most {MAX_TEXT >> 20} MB and {MAX_VALUES:,} values"
        )
    try:
        return json.loads(data)
    except (ValueError, RecursionError):  # also what is no UTF-8
        raise InputError(f"{path} is not JSON: it was damaged after the run wrote it") from None


def plain(path: Path) -> bytes:
    """A file's bytes as they are: for what this process has written, or nothing vouches for.

    Raises:
        InputError: it is missing, no regular file, or a link.
    """
    return read_within(path.parent, path.name)


def read_within(folder: Path, name: str, limit: int | None = None) -> bytes:
    """The bytes of a regular file inside the folder; no link on the way is followed.

    Args:
        folder: may itself be reached through links.
        name: relative to it, with ``/``.
        limit: the most bytes; None: any number.

    Raises:
        InputError: it is not there, no regular file, outside the folder, or larger.
    """
    parts, path = _inside(name), folder / name
    try:
        with _descended(folder, parts[:-1]) as at:
            handle = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
            try:
                info = os.fstat(handle)
                if not stat.S_ISREG(info.st_mode):
                    raise InputError(f"{path} is no file")
                if limit is not None and info.st_size > limit:
                    raise InputError(f"{path} is too large: {info.st_size >> 20} MB")
                with open(handle, "rb", closefd=False) as file:
                    return file.read()
            finally:
                os.close(handle)
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing",
            fix="is this the folder of a finished run? Restore it, or run the config again",
        ) from None
    except OSError as error:
        if _has_link(folder, parts):
            raise InputError(
                f"{path} is a link, or reached through one: it may lead out of the run",
                fix="put the file itself there",
            ) from None
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


@contextmanager
def _descended(folder: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """A handle of the folder below, each step through a folder that is no link."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _has_link(folder: Path, parts: tuple[str, ...]) -> bool:
    paths = (folder.joinpath(*parts[: n + 1]) for n in range(len(parts)))
    return any(path.is_symlink() for path in paths)


def _inside(name: str) -> tuple[str, ...]:
    """The parts of a relative name that stays where it is."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in name:
        raise InputError(f"the run names the file {shorten(name)}, which is outside of it")
    return parts


def refuse_special_files(run: Path) -> None:
    """Check that a folder holds only files and folders: what is written into it stays in it.

    Raises:
        InputError: names the first link, pipe, socket or device.
    """
    for at, folders, files in os.walk(run):
        for name in (*folders, *files):
            path = Path(at) / name
            with suppress(FileNotFoundError):  # another process works there, and has the lock
                mode = os.lstat(path).st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    what = "a link" if stat.S_ISLNK(mode) else "a pipe, a socket or a device"
                    raise InputError(
                        f"{path} is {what}: a run writes to files of its own folder only",
                        fix="remove it, or name another folder",
                    )


MISFITS = (LookupError, TypeError, ValueError, AttributeError, RecursionError, AssertionError)


@contextmanager
def fitting(*runs: Path) -> Iterator[None]:
    """A block that puts runs' files together: where they do not fit, that is an `InputError`."""
    try:
        yield
    except PipelineError:
        raise
    except MISFITS as error:
        raise InputError(
            f"{' or '.join(map(str, runs))}: its files do not fit together: "
            f"{type(error).__name__}: {shorten(str(error))}",
            fix="they are not of one run, or were damaged: run the config again",
        ) from error
