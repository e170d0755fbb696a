"""Run folders: a new one for each run, or one in which a run goes on."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from pipeline.artifacts.files import LOCK
from pipeline.errors import InputError, MachineError, check_utf8, quote_path

RUNS = Path("data/runs")
CONFIG = "config.yaml"


def make_run_folder(name: str, out: str | Path | None, root: Path = RUNS) -> Path:
    """A new folder for a run, below ``root``; never one that another run has just made.

    Raises:
        InputError: ``out`` is a file, or a folder with something in it.
        MachineError: the folder cannot be made.
    """
    if out is not None and re.match(r"[a-z0-9]+:/", str(out)):  # a `Path` has lost one slash
        raise InputError(
            f"--out {str(out)!r} is a URL: a run folder is local",
            fix="name a folder, and copy it once the run has finished",
        )
    check_utf8(str(out or ""), "--out")
    try:
        return _new_folder(name, root) if out is None else _given_folder(Path(out).expanduser())
    except OSError as error:
        raise MachineError(
            f"the run folder cannot be made: {error.strerror}: {error.filename}",
            fix="choose another one with --out",
        ) from None


def _new_folder(name: str, root: Path) -> Path:
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    number = 0
    while True:
        folder = root / (f"{stem}-{number}" if number else stem)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _given_folder(folder: Path) -> Path:
    if folder.is_file():
        raise _not_empty(folder)
    if folder.is_dir():
        check_empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_empty(folder: Path) -> None:
    """Checks that nothing but a lock is in the folder.

    Raises:
        InputError: a run has been there; says how to go on with it.
    """
    if any(path.name != LOCK for path in folder.iterdir()):
        raise _not_empty(folder)


def _not_empty(folder: Path) -> InputError:
    fix = "name a folder that is absent or empty"
    if (folder / CONFIG).is_file():
        fix += f"; or go on with the run that is there: --resume {quote_path(folder)}"
    return InputError(f"--out {str(folder)!r} is not empty", fix=fix)


def open_resumed_folder(given: str | Path) -> Path:
    """The folder of a run that goes on; made where it is absent, for a command that is repeated.

    Raises:
        InputError: what is there is no run folder. MachineError: it cannot be made.
    """
    folder = Path(given).expanduser()
    check_utf8(str(folder), "--resume")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / CONFIG).is_file() or all(_begun(path) for path in folder.iterdir()):
            return folder
    except FileExistsError:
        pass  # a file
    except OSError as error:
        raise MachineError(
            f"the run folder cannot be made: {error.strerror}: {error.filename}",
            fix="name another one with --resume",
        ) from None
    raise InputError(
        f"--resume {str(given)!r} is not a run folder: it has no {CONFIG}",
        fix="name a folder that `python -m pipeline run` made, or one that is absent or empty",
    )


def _begun(path: Path) -> bool:
    """What a run leaves that was killed before it wrote its config."""
    return path.name.startswith(".") or path.name in ("log.txt", "tmp")
