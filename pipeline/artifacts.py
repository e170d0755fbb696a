"""The run folder's files: written beside and renamed, hashed in a manifest (`sealed` checks it)."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from pipeline import sealed
from pipeline.errors import InputError, MachineError
from pipeline.sealed import MANIFEST

LOCK = ".lock"
STAGES = "stages"
"""The folder of what each stage left (`pipeline.resume`), with hashes of its own."""
# Not artefacts: they grow while the run goes on, or are made again from the others.
UNHASHED = frozenset({MANIFEST, "log.txt", "gpu.json", "report.html", "audit.json"})


@contextmanager
def written(path: Path) -> Iterator[Path]:
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
            f"{path} cannot be written: {error.strerror or error}",
            fix="free some space or choose another folder with --out",
        ) from error
    finally:
        with suppress(OSError):  # renamed, or never made
            beside.unlink()


def linked(source: Path, path: Path) -> None:
    """``path`` as another name of a finished file, which nobody changes; a copy where links fail.

    Raises:
        MachineError: the disk is full or the folder cannot be written to.
    """
    with written(path) as beside:
        try:
            os.link(source, beside)
        except OSError:  # a file system without links
            shutil.copyfile(source, beside)


def below(folder: Path) -> list[Path]:
    """All files below a folder."""
    return sorted(p for p in folder.rglob("*") if p.is_file())


def published(place: Path, folder: Path) -> None:
    """Makes the files below ``place`` also those of ``folder``."""
    for path in below(place):
        linked(path, folder / path.relative_to(place))


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """A block during which no other process works in the run folder.

    The lock is the kernel's: it ends with the process, however that ends.

    Raises:
        InputError: another process has it; names that process. Or a link in it leads elsewhere.
        MachineError: the file system refuses.
    """
    sealed.refuse_links(run)
    path = run / LOCK
    with _lock(path, run) as file:
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink()


def _lock(path: Path, run: Path) -> TextIO:
    """The lock's file, locked; that of a process which ends just now is gone from its path."""
    import fcntl

    while True:
        try:
            file = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise MachineError(
                f"{run} cannot be written to: {error.strerror}",
                fix="choose another folder with --out",
            ) from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)  # not read by its path, which its owner may remove just now
                owner = file.read().strip()
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
            return file
        file.close()


def _is_at(path: Path, file: TextIO) -> bool:
    """Whether the path still leads to the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def in_use(run: Path) -> bool:
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
    with written(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """JSON in ``path``; NaN and infinities are a bug, not JSON."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file of a run folder.

    Raises:
        InputError: there is no such file, it is a link, or it is not JSON.
    """
    return sealed.parsed(sealed.plain(path), path)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def artefacts(run: Path) -> list[Path]:
    """Every finished file of a run that the manifest answers for, sorted by name."""
    found = (p for p in run.rglob("*") if p.is_file() and not p.is_symlink())
    return sorted(
        p
        for p in found
        if p.name not in UNHASHED
        and not p.name.startswith(".")
        and p.relative_to(run).parts[0] not in ("tmp", STAGES)
    )


def write_manifest(run: Path, facts: Mapping[str, Any]) -> None:
    """``manifest.json``: the facts, and a hash of every artefact."""
    files = {p.relative_to(run).as_posix(): file_hash(p) for p in artefacts(run)}
    write_json(run / MANIFEST, {**facts, "files": files})
