"""Files of a run folder: atomic writes, appends, the lock, and the hashes in the manifest."""

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
"""Bytes of a lock file that are read; it holds ``process`` and a number."""
SCRATCH = "tmp"
"""Folder of a run's temporary files."""
STAGES = "stages"
"""Folder of the cached results of stages (`pipeline.execution.stage_cache`), hashed separately."""
FRAMES = "frame"
"""Folder of the frame that `run` was given, as a file whose name is its SHA-256."""
# Not artefacts: they grow during the run, or are created again from the other files.
UNHASHED = frozenset({MANIFEST, "log.txt", "gpu.json", "report.html", "audit.json"})


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to ``path`` if the block succeeds.

    Raises:
        MachineError: The disk is full or the folder is not writable.
    """
    # In the same folder, because a rename is atomic only within a file system.
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)  # it may be a link that leads elsewhere
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise MachineError(
            f"{path} cannot be written: {error.strerror or error}", fix=_fix_unwritable(error)
        ) from error
    finally:
        with suppress(OSError):  # already renamed, or never created
            beside.unlink()


def _fix_unwritable(error: OSError) -> str:
    """Return what to do about a file that cannot be written."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "name a folder that you may write to, such as a copy of this one (cp -a)"
    return "free some space, or name another folder"


def hard_link(source: Path, path: Path) -> None:
    """Make ``path`` a second name of a finished file, or a copy if the file system has no links.

    Raises:
        MachineError: The disk is full or the folder is not writable.
    """
    with atomic_write(path) as beside:
        try:
            os.link(source, beside)
        except OSError:  # a file system without links
            shutil.copyfile(source, beside)


def list_files(folder: Path) -> list[Path]:
    """List all files below a folder, sorted by path."""
    return sorted(p for p in folder.rglob("*") if p.is_file())


def publish(source: Path, folder: Path) -> None:
    """Link all files below ``source`` into ``folder``, under the same relative paths."""
    for path in list_files(source):
        hard_link(path, folder / path.relative_to(source))


def open_to_append(path: Path) -> BinaryIO:
    """Open a file of a run for appending and reading, without changing any other file.

    Raises:
        InputError: The file is not a regular file, or keeps a second name.
        MachineError: The file cannot be opened or copied.
    """
    # A copy of a run made of hard links (``cp -al``) shares this file with the original, so the
    # first round replaces it by a copy, and the second round opens that.
    for _ in range(2):
        try:
            handle = _open_regular(path, os.O_APPEND)
        except OSError as error:
            raise MachineError(
                f"{path} cannot be written: {error.strerror}", fix=_fix_unwritable(error)
            ) from error
        file = open(handle, "a+b")  # noqa: SIM115  # the caller closes it
        if os.fstat(handle).st_nlink <= 1:
            return file
        with file, atomic_write(path) as beside, beside.open("xb") as copy:
            file.seek(0)
            shutil.copyfileobj(file, copy)
    raise InputError(
        f"{path} has a second name (a hard link), so lines would be appended to both",
        fix="copy the folder without links: cp -a",
    )


def _open_regular(path: Path, flags: int) -> int:
    """Open or create a regular file for reading and writing.

    Raises:
        InputError: A link, a folder, a pipe, a socket or a device has the name.
        OSError: The file system refuses.
    """
    refused = InputError(
        f"{path} is not a regular file: a run never appends to a link, folder, pipe or device",
        fix="remove it, or name another folder",
    )
    if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
        raise refused  # before it is opened, because opening a device may have effects
    # O_NONBLOCK: if it became a pipe meanwhile, opening must not wait for its other end.
    handle = os.open(path, flags | os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise refused
    return handle


@contextmanager
def lock_folder(run: Path) -> Iterator[None]:
    """Run a block while no other process works in the run folder.

    The kernel holds the lock, so it ends with the process however that ends.

    Raises:
        InputError: Another process has the lock; the message names it. Or the folder contains a
            link, a pipe or a device.
        MachineError: The file system refuses.
    """
    manifest.refuse_special_files(run)
    path = run / LOCK
    with _acquire_lock(path, run) as file, signals.removed_on_exit(path):
        file.truncate(0)
        file.write(f"process {os.getpid()}".encode())
        file.flush()
        yield


def _acquire_lock(path: Path, run: Path) -> BinaryIO:
    """Lock the lock file of a run folder and return it open."""
    import fcntl

    while True:
        try:
            file = open(_open_regular(path, 0), "r+b")  # noqa: SIM115  # the caller closes it
        except OSError as error:
            raise MachineError(
                f"{run} is not writable: {error.strerror}", fix=_fix_unwritable(error)
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)  # read through the handle: the owner may remove the path now
                owner = file.read(MAX_OWNER).decode("utf-8", "replace").strip()
            raise InputError(
                f"{run} is in use by another process" + (f" ({owner})" if owner else ""),
                fix="wait for that process, stop it, or name another folder",
            ) from None
        except OSError as error:
            file.close()
            raise MachineError(
                f"{run} cannot be locked: {error.strerror}",
                fix="choose a folder of another file system with --out",
            ) from None
        # A process that ends now removes its lock file: then the lock is on a file without a path.
        if _is_at(path, file):
            if os.fstat(file.fileno()).st_nlink == 1:
                return file
            path.unlink()  # a second name of another file, which must stay unlocked and unchanged
        file.close()


def _is_at(path: Path, file: BinaryIO) -> bool:
    """Return whether the path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False


def is_in_use(run: Path) -> bool:
    """Return whether a process works in the run folder, without changing its lock."""
    import fcntl

    try:
        handle = os.open(run / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb"):
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # there is no lock, or the folder is not readable
        return False
    return False


def write_text(path: Path, text: str) -> None:
    """Write a text to ``path`` atomically, as UTF-8."""
    with atomic_write(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a value to ``path`` as JSON, atomically."""
    # NaN and infinity are not JSON: to have one here is a bug.
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read the value in a JSON file of a run folder.

    Raises:
        InputError: The file is missing, a link, or not JSON.
    """
    return manifest.parse_json(manifest.read_unverified(path), path)


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_artefacts(run: Path) -> list[Path]:
    """List the finished files of a run that the manifest must hash, sorted by path."""
    paths = (p for p in run.rglob("*") if p.is_file() and not p.is_symlink())
    return sorted(
        p
        for p in paths
        if p.name not in UNHASHED
        and not p.name.startswith(".")
        and p.relative_to(run).parts[0] not in (SCRATCH, STAGES, FRAMES)
    )


def write_manifest(run: Path, fields: Mapping[str, Any]) -> None:
    """Write ``manifest.json`` with the fields and the hash of every artefact."""
    files = {p.relative_to(run).as_posix(): hash_file(p) for p in list_artefacts(run)}
    write_json(run / MANIFEST, {**fields, "files": files})
