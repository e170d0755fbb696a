"""The run folder's files: written beside and renamed, hashed in a manifest (`sealed` checks it)."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.artifacts import manifest
from pipeline.artifacts.manifest import MANIFEST
from pipeline.console import signals
from pipeline.errors import InputError, MachineError

LOCK = ".lock"
MAX_OWNER = 64
"""Bytes of a lock that are read: ``process`` and a number."""
SCRATCH = "tmp"
"""The folder of a run's temporary files."""
STAGES = "stages"
"""The folder of what each stage left (`pipeline.execution.stage_cache`), with hashes of its own."""
# Not artefacts: they grow while the run goes on, or are made again from the others.
UNHASHED = frozenset({MANIFEST, "log.txt", "gpu.json", "report.html", "audit.json"})


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; it becomes ``path`` only if the block succeeds.

    Raises:
        MachineError: the disk is full or the folder cannot be written to.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)  # a link that somebody put there
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise MachineError(
            f"{path} cannot be written: {error.strerror or error}", fix=_writable_fix(error)
        ) from error
    finally:
        with suppress(OSError):  # renamed, or never made
            beside.unlink()


def _writable_fix(error: OSError) -> str:
    """Say what to do about a file that cannot be written."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "name a folder that you may write to, such as a copy of this one (cp -a)"
    return "free some space, or name another folder"


def hard_link(source: Path, path: Path) -> None:
    """``path`` as another name of a finished file, which nobody changes; a copy where links fail.

    Raises:
        MachineError: the disk is full or the folder cannot be written to.
    """
    with atomic_write(path) as beside:
        try:
            os.link(source, beside)
        except OSError:  # a file system without links
            shutil.copyfile(source, beside)


def list_files(folder: Path) -> list[Path]:
    """All files below a folder."""
    return sorted(p for p in folder.rglob("*") if p.is_file())


def publish(place: Path, folder: Path) -> None:
    """Makes the files below ``place`` also those of ``folder``."""
    for path in list_files(place):
        hard_link(path, folder / path.relative_to(place))


def open_to_append(path: Path) -> BinaryIO:
    """Open a file of a run for appending and reading; nothing but this one name is changed.

    A file with a second name, as in a copy made of hard links (``cp -al``), is first replaced by a
    copy of its own.

    Raises:
        InputError: it is not a regular file, or keeps its second name.
        MachineError: it cannot be opened or copied.
    """
    for _ in range(2):
        try:
            handle = _open_regular(path, os.O_APPEND)
        except OSError as error:
            raise MachineError(
                f"{path} cannot be written: {error.strerror}", fix=_writable_fix(error)
            ) from error
        file = open(handle, "a+b")  # noqa: SIM115  # the caller closes it
        if os.fstat(handle).st_nlink <= 1:
            return file
        with file, atomic_write(path) as beside, beside.open("xb") as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy)
    raise InputError(
        f"{path} has a second name (a hard link), and what is appended would be in both",
        fix="copy the folder without links: cp -a",
    )


def _open_regular(path: Path, flags: int) -> int:
    """Open or create a regular file for reading and writing; nothing waits for a pipe's other end.

    Raises:
        InputError: a link, a folder, a pipe, a socket or a device has the name.
        OSError: the file system refuses.
    """
    refused = InputError(
        f"{path} is not a regular file: a run appends to no link, folder, pipe or device",
        fix="remove it, or name another folder",
    )
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise refused  # before it is opened: to open a device may have effects
    handle = os.open(path, flags | os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise refused
    return handle


@contextmanager
def lock_folder(run: Path) -> Iterator[None]:
    """A block during which no other process works in the run folder.

    The lock is the kernel's: it ends with the process, however that ends.

    Raises:
        InputError: another process has it; names that process. Or the folder holds a link, a pipe
            or a device.
        MachineError: the file system refuses.
    """
    manifest.refuse_special_files(run)
    path = run / LOCK
    with _lock(path, run) as file, signals.removed_on_exit(path):
        file.truncate(0)
        file.write(f"process {os.getpid()}".encode())
        file.flush()
        yield


def _lock(path: Path, run: Path) -> BinaryIO:
    """Lock the lock's file; that of a process which ends just now is gone from its path."""
    import fcntl

    while True:
        try:
            file = open(_open_regular(path, 0), "r+b")  # noqa: SIM115  # the caller closes it
        except OSError as error:
            raise MachineError(
                f"{run} cannot be written to: {error.strerror}", fix=_writable_fix(error)
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)  # not read by its path, which its owner may remove just now
                owner = file.read(MAX_OWNER).decode("utf-8", "replace").strip()
            raise InputError(
                f"{run} is in use by another process" + (f" ({owner})" if owner else ""),
                fix="wait for it, stop it, or name another folder",
            ) from None
        except OSError as error:
            file.close()
            raise MachineError(
                f"{run} cannot be locked: {error.strerror}",
                fix="choose a folder of another file system with --out",
            ) from None
        if _is_at(path, file):
            if os.fstat(file.fileno()).st_nlink == 1:
                return file
            path.unlink()  # another folder's lock, or any file, under a second name: left as it is
        file.close()


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False


def is_in_use(run: Path) -> bool:
    """Whether a process works in the run folder; its lock is not touched."""
    import fcntl

    try:
        handle = os.open(run / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb"):
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock, or a folder that cannot be read
        return False
    return False


def write_text(path: Path, text: str) -> None:
    """The text in ``path``, complete or not there."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """JSON in ``path``; NaN and infinities are a bug, not JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file of a run folder.

    Raises:
        InputError: there is no such file, it is a link, or it is not JSON.
    """
    return manifest.parse_json(manifest.read_unverified(path), path)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_artefacts(run: Path) -> list[Path]:
    """Every finished file of a run that the manifest answers for, sorted by name."""
    found = (p for p in run.rglob("*") if p.is_file() and not p.is_symlink())
    return sorted(
        p
        for p in found
        if p.name not in UNHASHED
        and not p.name.startswith(".")
        and p.relative_to(run).parts[0] not in (SCRATCH, STAGES)
    )


def write_manifest(run: Path, facts: Mapping[str, Any]) -> None:
    """``manifest.json``: the facts, and a hash of every artefact."""
    files = {p.relative_to(run).as_posix(): hash_file(p) for p in list_artefacts(run)}
    write_json(run / MANIFEST, {**facts, "files": files})
