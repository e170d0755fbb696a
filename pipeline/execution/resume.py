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
    """Return whether a finished run has lost its ``stages/``: cleaned, or left out of a copy."""
    return (folder / MANIFEST).is_file() and not (folder / STAGES).exists()


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of a killed process, and the manifest: the run is unfinished again.

    Raises:
        MachineError: the manifest cannot be removed.
    """
    for path in (folder / MANIFEST, folder / "tmp", *folder.rglob(".*.tmp")):
        signals.remove_path(path)
    # With an old manifest the folder would pass for finished, with files of two runs.
    if os.path.lexists(folder / MANIFEST):
        raise MachineError(
            f"{folder / MANIFEST} cannot be removed, and the run is not finished any more",
            fix="name a folder that you may write to, such as a copy of this one (cp -a)",
        )


@contextmanager
def name_resume_command(folder: Path, cluster: str = "") -> Iterator[None]:
    """Add the command that resumes the run to all errors and signals in the block.

    Args:
        folder: the run's folder.
        cluster: the kind of its cluster.

    Raises:
        MachineError: the disk is full, or read-only.
    """
    note = f"resume with: {resume_command(folder, cluster)}"
    with signals.add_stop_note(note):
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                error.add_note(note)
                raise
            full = MachineError(
                f"the run folder {folder} cannot be written to: {error.strerror}",
                fix="free some space",
            )
            full.add_note(note)
            raise full from error
        except Exception as error:
            error.add_note(note)
            raise


def resume_command(folder: Path, cluster: str = "") -> str:
    """Return the command that resumes the run in a folder."""
    command = f"python -m pipeline run --resume {quote_path(folder)}"
    command += "".join(f" --allow-protocol {name}" for name in sorted(allowed_protocols()))
    if cluster not in ("", *LOCAL_KINDS):
        # The config does not have the address of a scheduler, so it has to be repeated.
        command += f" --cluster {shlex.quote(cluster)}"
    return command
