"""Run folders: a new one for each run, or an existing one to resume."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from pipeline.artifacts.files import FRAMES, LOCK
from pipeline.errors import InputError, MachineError, check_utf8, quote_path

RUNS = Path("data/runs")
CONFIG = "config.yaml"


def make_run_folder(name: str, out: str | Path | None, root: Path = RUNS) -> Path:
    """Create the folder of a new run: ``out``, or else a new folder below ``root``.

    Raises:
        InputError: ``out`` is a URL, a file, or a folder that is not empty.
        MachineError: The folder cannot be created.
    """
    if out is not None and re.match(r"[a-z0-9]+:/", str(out)):  # a `Path` has lost one slash
        raise InputError(
            f"--out {str(out)!r} is a URL: a run folder is local",
            fix="name a local folder, and copy it after the run",
        )
    check_utf8(str(out or ""), "--out")
    try:
        if out is None:
            return _create_new(name, root)
        folder = Path(out).expanduser()
        if folder.is_file():
            raise _not_empty_error(folder)
        if folder.is_dir():
            check_empty(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder
    except OSError as error:
        raise MachineError(
            f"the run folder cannot be created: {error.strerror}: {error.filename}",
            fix="choose another one with --out",
        ) from None


def _create_new(name: str, root: Path) -> Path:
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    number = 0
    while True:
        folder = root / (f"{stem}-{number}" if number else stem)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:  # another run started within the same second
            number += 1
        else:
            return folder


def check_empty(folder: Path) -> None:
    """Check that a folder contains nothing but a lock.

    Raises:
        InputError: The folder contains files; for those of a run, the fix is to resume it.
    """
    if any(path.name != LOCK for path in folder.iterdir()):
        raise _not_empty_error(folder)


def _not_empty_error(folder: Path) -> InputError:
    fix = "name a folder that is absent or empty"
    if (folder / CONFIG).is_file():
        fix += f"; or resume the run in this folder: --resume {quote_path(folder)}"
    return InputError(f"--out {str(folder)!r} is not empty", fix=fix)


def open_resumed_folder(given: str | Path) -> Path:
    """Return the folder of a run to resume, and create it if it is absent.

    Raises:
        InputError: The path is not a run folder.
        MachineError: The folder cannot be created.
    """
    # An absent folder is allowed, so that a script can repeat one command until the run is done.
    folder = Path(given).expanduser()
    check_utf8(str(folder), "--resume")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = [path.name for path in folder.iterdir()]
        # A run that was killed before it wrote its config leaves only such files.
        has_only_leftovers = all(
            n.startswith(".") or n in ("log.txt", "tmp", FRAMES) for n in names
        )
        if has_only_leftovers or (folder / CONFIG).is_file():
            return folder
    except FileExistsError:
        pass  # a file has this name, which is reported below
    except OSError as error:
        raise MachineError(
            f"the run folder cannot be created: {error.strerror}: {error.filename}",
            fix="name another one with --resume",
        ) from None
    raise InputError(
        f"--resume {str(given)!r} is not a run folder: it has no {CONFIG}",
        fix="name a folder that `python -m pipeline run` created, or one that is absent or empty",
    )
