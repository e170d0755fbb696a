"""A run folder's files as readers take them: inside the folder, through no link, of bounded size.

Where there is a manifest they are what it says. A file is opened once and its size checked before
anything is read. What is parsed is what was hashed, so that nothing can change between the two.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from pipeline.errors import InputError, PipelineError, shorten

MANIFEST = "manifest.json"
MAX_TEXT = 64 << 20
"""Bytes of a JSON file of a run; a plan of 40,000 columns and 10 ops takes a third of it."""
MAX_VALUES = 2_000_000
"""Values in one JSON file. A small one takes up to 180 bytes: 40,000 columns and 10 ops have 1.9
million."""
AT_ONCE = 16 << 20
"""Bytes of a file that is read before it is hashed; a larger one is hashed block by block first."""

Inspect = Callable[[BufferedReader], None]
"""Raises where an open file is not what it must be, before it is read as a whole."""


class FileReader(Protocol):
    """Returns a file's bytes, checked against a manifest or not."""

    def __call__(self, path: Path, limit: int = MAX_TEXT, look: Inspect | None = None) -> bytes:
        """Read a file of at most ``limit`` bytes that passes ``look``."""


@dataclass(frozen=True)
class VerifiedRun:
    """A run that its manifest vouches for."""

    run: Path
    manifest: Mapping[str, Any]

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 by name."""
        found: Mapping[str, str] = self.manifest["files"]
        return found

    def read(self, path: Path, limit: int = MAX_TEXT, look: Inspect | None = None) -> bytes:
        """Read a file of the run, if it is what the run wrote.

        Args:
            path: in the run's folder.
            limit: the most bytes.
            look: checks the open file, a large one before it is hashed.

        Raises:
            InputError: it is missing, unlisted, altered, too large, or outside the run; names it.
        """
        name = path.relative_to(self.run).as_posix()
        if name not in self.files:
            raise InputError(
                f"{path} is not in the run's manifest: it is not this run's file",
                fix="restore the run from a copy, or run the config again",
            )
        with _open_within(self.run, name, limit) as (file, size):
            if size > AT_ONCE:
                _look_at(file, look)
                self._check(path, hashlib.file_digest(file, "sha256").hexdigest())
                file.seek(0)
            data = file.read(size)  # no more than was checked, should it grow
            self._check(path, hashlib.sha256(data).hexdigest())
            if size <= AT_ONCE:
                _look_at(file, look)
        return data

    def _check(self, path: Path, found: str) -> None:
        if found != self.files[path.relative_to(self.run).as_posix()]:
            raise InputError(
                f"{path} was altered after the run: its hash is not the manifest's",
                fix="restore it from a copy, or run the config again",
            )


def open_run(run: Path) -> VerifiedRun | None:
    """The run with its manifest; None where there is none.

    Raises:
        InputError: the manifest is damaged, or names files outside of the run.
    """
    path = run / MANIFEST
    if not os.path.lexists(path):
        return None
    manifest = parse_json(read_within(run, MANIFEST), path)
    from pipeline.artifacts.manifest_model import FORMAT, manifest_adapter
    from pipeline.config.stored import check_stored

    if isinstance(manifest, dict) and manifest.get("format", FORMAT) != FORMAT:
        raise InputError(
            f"{path} has format {shorten(manifest['format'])}; this version reads {FORMAT}",
            fix="use the version of the pipeline that wrote the run",
        )
    for name in check_stored(manifest_adapter(), manifest, path).files:
        _inside(name)
    return VerifiedRun(run, manifest)


def open_finished_run(run: Path) -> VerifiedRun:
    """Open a finished run with its manifest.

    Raises:
        InputError: as `open_run`, or there is no manifest.
    """
    if (found := open_run(run)) is None:
        raise unfinished_run_error(run)
    return found


def unfinished_run_error(run: Path) -> InputError:
    """Describe a folder without a manifest, and what to do instead of using it."""
    fix = "name the folder that `python -m pipeline run` printed"
    if (run / "config.yaml").is_file():
        fix = (
            f"finish the run: python -m pipeline run --resume {shlex.quote(os.fspath(run))}; or "
            "restore the manifest from a copy; or run the config again"
        )
    return InputError(f"{str(run)!r} is not a finished run: it has no {MANIFEST}", fix=fix)


def parse_json(data: bytes, path: Path) -> Any:
    """The value in a JSON file of bounded size and depth.

    Raises:
        InputError: it is not JSON, or too large or too deep.
    """
    check_amount(len(data), count_values(data), path)
    try:
        value = json.loads(data)
        if HALF_CHARACTER.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # also what is no UTF-8
        raise InputError(f"{path} is not JSON: it was damaged after the run wrote it") from None
    return value


HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
"""May be half of a surrogate pair: text that nothing can write."""


def count_values(data: bytes) -> int:
    """Return about how many values there are in JSON."""
    return sum(data.count(c) for c in (b",", b"[", b"{"))


def check_amount(size: int, values: int, path: Path) -> None:
    """Check that JSON of one file, or of all files of a run together, is not too much.

    Raises:
        InputError: it is; names the path.
    """
    if size > MAX_TEXT or values > MAX_VALUES:
        raise InputError(
            f"{path} is too large: at most {MAX_TEXT >> 20} MB and {MAX_VALUES:,} values of JSON",
            fix="is this a run folder? Restore it from a copy, or run the config again",
        )


def read_unverified(path: Path, limit: int = MAX_TEXT, look: Inspect | None = None) -> bytes:
    """A file's bytes as they are: for what this process has written, or nothing vouches for.

    Raises:
        InputError: it is missing, no regular file, too large, or a link.
    """
    return read_within(path.parent, path.name, limit, look)


def read_within(
    folder: Path, name: str, limit: int = MAX_TEXT, look: Inspect | None = None
) -> bytes:
    """The bytes of a regular file inside the folder; no link on the way is followed.

    Args:
        folder: may itself be reached through links.
        name: relative to it, with ``/``.
        limit: the most bytes.
        look: checks the open file first.

    Raises:
        InputError: it is not there, no regular file, outside the folder, or larger.
    """
    with _open_within(folder, name, limit) as (file, size):
        _look_at(file, look)
        return file.read(size)


def _look_at(file: BufferedReader, look: Inspect | None) -> None:
    if look is not None:
        file.seek(0)
        look(file)
        file.seek(0)


@contextmanager
def _open_within(folder: Path, name: str, limit: int) -> Iterator[tuple[BufferedReader, int]]:
    """Open what `read_within` reads; yield it with its size, which has been checked."""
    parts, path = _inside(name), folder / name
    try:
        with _descended(folder, parts[:-1]) as at:
            handle = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
        try:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise InputError(f"{path} is no file")
            if info.st_size > limit:
                raise InputError(
                    f"{path} is too large: {info.st_size:,} bytes, at most {limit:,}",
                    fix="no run writes such a file: restore it from a copy",
                )
            with open(handle, "rb", closefd=False) as file:
                yield file, info.st_size
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
def report_misfits(*runs: Path) -> Iterator[None]:
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
