"""Reading a run folder safely: only files inside it, not through links, of bounded size.

If the run has a manifest, each file must have the hash that the manifest lists. A file is opened
once, its size is checked before it is read, and the hashed bytes are the parsed bytes, so that
nothing can change in between.
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
"""Maximum bytes of a JSON file; a plan of 40,000 columns and 10 ops takes a third of it."""
MAX_VALUES = 2_000_000
"""Maximum number of values in one JSON file, each of which takes up to 180 bytes of memory. A plan
of 40,000 columns and 10 ops has 1.9 million."""
AT_ONCE = 16 << 20
"""Bytes up to which a file is read before it is hashed; larger files are hashed in blocks first."""

Inspect = Callable[[BufferedReader], None]
"""Check of an open file before all of it is read; raises `InputError`."""


class FileReader(Protocol):
    """A function that returns the bytes of a file, with or without a check of its hash."""

    def __call__(self, path: Path, limit: int = MAX_TEXT, inspect: Inspect | None = None) -> bytes:
        """Read a file of at most ``limit`` bytes that passes ``inspect``."""


@dataclass(frozen=True)
class VerifiedRun:
    """A run folder whose files are read only if they match the hashes in its manifest."""

    run: Path
    manifest: Mapping[str, Any]

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 by name, relative to the folder."""
        hashes: Mapping[str, str] = self.manifest["files"]
        return hashes

    def read(self, path: Path, limit: int = MAX_TEXT, inspect: Inspect | None = None) -> bytes:
        """Read a file of the run if it is unchanged since the run wrote it.

        Args:
            path: A file in the run folder.
            limit: The maximum number of bytes.
            inspect: Checks the open file; a large file before it is hashed.

        Raises:
            InputError: The file is missing, unlisted, altered, too large, or outside the run.
        """
        name = path.relative_to(self.run).as_posix()
        if name not in self.files:
            raise InputError(
                f"{path} is not in the run's manifest, so this run did not write it",
                fix="restore the run from a copy, or run the config again",
            )
        with _open_within(self.run, name, limit) as (file, size):
            if size > AT_ONCE:
                _inspect_from_start(file, inspect)
                self._check_hash(name, hashlib.file_digest(file, "sha256").hexdigest())
                file.seek(0)
            data = file.read(size)  # only the checked bytes, even if the file grows meanwhile
            self._check_hash(name, hashlib.sha256(data).hexdigest())
            if size <= AT_ONCE:
                _inspect_from_start(file, inspect)
        return data

    def _check_hash(self, name: str, actual: str) -> None:
        if actual != self.files[name]:
            raise InputError(
                f"{self.run / name} was altered after the run: its hash differs from the manifest",
                fix="restore it from a copy, or run the config again",
            )


def open_run(run: Path) -> VerifiedRun | None:
    """Open a run with its manifest; return None if it has no manifest.

    Raises:
        InputError: The manifest is damaged, or names files outside the run.
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
        _split_inside(name)
    return VerifiedRun(run, manifest)


def open_finished_run(run: Path) -> VerifiedRun:
    """Open a finished run with its manifest.

    Raises:
        InputError: There is no manifest; or as `open_run`.
    """
    if (opened_run := open_run(run)) is None:
        raise unfinished_run_error(run)
    return opened_run


def unfinished_run_error(run: Path) -> InputError:
    """Create the error for a folder without a manifest, with a fix."""
    fix = "name the folder that `python -m pipeline run` printed"
    if (run / "config.yaml").is_file():
        fix = (
            f"finish the run: python -m pipeline run --resume {shlex.quote(os.fspath(run))}; or "
            "restore the manifest from a copy; or run the config again"
        )
    return InputError(f"{str(run)!r} is not a finished run: it has no {MANIFEST}", fix=fix)


def parse_json(data: bytes, path: Path) -> Any:
    """Parse the bytes of a JSON file of bounded size and depth.

    Raises:
        InputError: The bytes are not JSON, or the value is too large or too deep.
    """
    check_amount(len(data), count_values(data), path)
    try:
        value = json.loads(data)
        if HALF_CHARACTER.search(data):  # half a character could be read, but never written
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # ValueError: also bytes that are not UTF-8
        raise InputError(
            f"{path} is not JSON: it was damaged after the run wrote it",
            fix="restore it from a copy, or run the config again",
        ) from None
    return value


HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")
"""Pattern of an escape that may be half of a surrogate pair."""


def count_values(data: bytes) -> int:
    """Estimate the number of values in JSON without parsing it."""
    return sum(data.count(c) for c in (b",", b"[", b"{"))


def check_amount(size: int, values: int, path: Path) -> None:
    """Check that the JSON of one file, or of all files of a run together, is not too large.

    Raises:
        InputError: The JSON is too large; the message names the path.
    """
    if size > MAX_TEXT or values > MAX_VALUES:
        raise InputError(
            f"{path} is too large: at most {MAX_TEXT >> 20} MB and {MAX_VALUES:,} values of JSON",
            fix="check that this is a run folder; restore it from a copy, or run the config again",
        )


def read_unverified(path: Path, limit: int = MAX_TEXT, inspect: Inspect | None = None) -> bytes:
    """Read a file without a check of its hash: one of this process, or of a run without manifest.

    Raises:
        InputError: The file is missing, not a regular file, too large, or a link.
    """
    return read_within(path.parent, path.name, limit, inspect)


def read_within(
    folder: Path, name: str, limit: int = MAX_TEXT, inspect: Inspect | None = None
) -> bytes:
    """Read a regular file inside a folder without following links below the folder.

    Args:
        folder: The folder, which may itself be reached through links.
        name: The name relative to the folder, with ``/``.
        limit: The maximum number of bytes.
        inspect: Checks the open file first.

    Raises:
        InputError: The file is missing, not a regular file, outside the folder, or too large.
    """
    with _open_within(folder, name, limit) as (file, size):
        _inspect_from_start(file, inspect)
        return file.read(size)


def _inspect_from_start(file: BufferedReader, inspect: Inspect | None) -> None:
    if inspect is not None:
        file.seek(0)
        inspect(file)
        file.seek(0)


@contextmanager
def _open_within(folder: Path, name: str, limit: int) -> Iterator[tuple[BufferedReader, int]]:
    """Open a file for `read_within`, check its size, and yield both."""
    parts, path = _split_inside(name), folder / name
    try:
        with _open_folder_below(folder, parts[:-1]) as parent:
            handle = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
        try:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise InputError(
                    f"{path} is not a regular file", fix="restore the run folder from a copy"
                )
            if info.st_size > limit:
                raise InputError(
                    f"{path} is too large: {info.st_size:,} bytes, at most {limit:,}",
                    fix="restore it from a copy, because no run writes such a file",
                )
            with open(handle, "rb", closefd=False) as file:
                yield file, info.st_size
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing",
            fix="check that this is a finished run; restore it, or run the config again",
        ) from None
    except OSError as error:
        steps = (folder.joinpath(*parts[: n + 1]) for n in range(len(parts)))
        if any(step.is_symlink() for step in steps):
            raise InputError(
                f"{path} is a link, or is reached through one, and may lead out of the run",
                fix="replace the link with the file itself",
            ) from None
        raise InputError(
            f"{path} cannot be read: {error.strerror or error}",
            fix="check that you may read it, or restore it from a copy",
        ) from None


@contextmanager
def _open_folder_below(folder: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """Yield the handle of a folder below another, opened step by step without links."""
    # Handles instead of paths: nobody can replace a folder by a link between check and use.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in parts:
            child = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=handle)
            os.close(handle)
            handle = child
        yield handle
    finally:
        os.close(handle)


def _split_inside(name: str) -> tuple[str, ...]:
    """Split a relative name into its parts, and check that it stays inside its folder."""
    parts = PurePosixPath(name).parts
    if not parts or parts[0] == "/" or ".." in parts or "\0" in name:
        raise InputError(
            f"the run names the file {shorten(name)}, which is outside its folder",
            fix="do not use this run, because its files were altered",
        )
    return parts


def refuse_special_files(run: Path) -> None:
    """Check that a folder contains only files and folders, so that writes to it stay inside.

    Raises:
        InputError: There is a link, pipe, socket or device; the message names the first one.
    """
    for parent, folders, files in os.walk(run):
        for name in (*folders, *files):
            path = Path(parent) / name
            with suppress(FileNotFoundError):  # another process that has the lock removes it
                mode = os.lstat(path).st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    what = "a link" if stat.S_ISLNK(mode) else "a pipe, a socket or a device"
                    raise InputError(
                        f"{path} is {what}: a run writes only to files of its own folder",
                        fix="remove it, or name another folder",
                    )


MISFITS = (LookupError, TypeError, ValueError, AttributeError, RecursionError, AssertionError)


@contextmanager
def report_misfits(*runs: Path) -> Iterator[None]:
    """Run a block that combines files of runs, and report any misfit as an `InputError`."""
    try:
        yield
    except PipelineError:
        raise
    except MISFITS as error:
        raise InputError(
            f"{' or '.join(map(str, runs))}: its files do not fit together: "
            f"{type(error).__name__}: {shorten(str(error))}",
            fix="run the config again: the files are of several runs, or were damaged",
        ) from error
