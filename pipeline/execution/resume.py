"""Resuming a run: the folder that it stopped in, and the command that resumes it."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.artifacts.files import STAGES
from pipeline.artifacts.manifest import MANIFEST
from pipeline.config.scheduler import LOCAL_KINDS
from pipeline.config.urls import allowed_protocols
from pipeline.console import signals
from pipeline.errors import MachineError, quote_path

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors of a disk that is full, over the user's quota, or read-only."""


def is_cleaned(folder: Path) -> bool:
    """Whether a run has finished there whose ``stages/`` was cleaned, or not copied with it."""
    return (folder / MANIFEST).is_file() and not (folder / STAGES).exists()


def remove_leftovers(folder: Path) -> None:
    """Removes what a process left that was killed, and the manifest: the run is not finished."""
    for path in (folder / MANIFEST, folder / "tmp", *folder.rglob(".*.tmp")):
        signals.remove_path(path)
    if os.path.lexists(folder / MANIFEST):
        raise MachineError(
            f"{folder / MANIFEST} cannot be removed, and the run is not finished any more",
            fix="name a folder that you may write to, such as a copy of this one (cp -a)",
        )


@contextmanager
def resumable(folder: Path, cluster: str = "") -> Iterator[None]:
    """A block that says how to go on with the run in the folder, if it does not end.

    Args:
        folder: the run's.
        cluster: its kind.

    Raises:
        MachineError: the disk is full, or may not be written to.
    """
    told = f"go on with: {resume_command(folder, cluster)}"
    with signals.add_stop_note(told):
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                error.add_note(told)
                raise
            found = MachineError(
                f"the run folder {folder} cannot be written to: {error.strerror}",
                fix="free some space",
            )
            found.add_note(told)
            raise found from error
        except Exception as error:
            error.add_note(told)
            raise


def resume_command(folder: Path, cluster: str = "") -> str:
    """What goes on with the run in the folder; a scheduler's address is said again."""
    own = f"python -m pipeline run --resume {quote_path(folder)}"
    own += "".join(f" --allow-protocol {name}" for name in sorted(allowed_protocols()))
    return own if cluster in ("", *LOCAL_KINDS) else f"{own} --cluster {shlex.quote(cluster)}"
