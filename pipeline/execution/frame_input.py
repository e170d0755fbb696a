"""The job of a run whose data are a frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pipeline.config.model import Config
from pipeline.execution.arguments import RunRequest
from pipeline.execution.job import Job
from pipeline.ingest.frame_file import StoredFrame, store_frame

SHOWN = 5
"""Number of names that a message lists."""


def prepare_frame(
    request: RunRequest,
    folder: Path,
    prepare: Callable[[Config], Job],
    say: Callable[[str], None],
) -> tuple[Job, StoredFrame]:
    """Store the frame in the run folder, and prepare the job that reads it there.

    Raises:
        InputError: frame and config do not fit together; nothing is left in the folder.
        MachineError: the disk is full or the folder is not writable.
    """
    stored = store_frame(request.frame, folder)
    try:
        section = request.config.data.model_copy(update={"path": (str(stored.path),)})
        job = prepare(request.config.model_copy(update={"data": section}))
    except BaseException:
        stored.discard()
        raise
    where = "stored in" if stored.is_new else "already stored in"
    say(f"frame of {stored.rows:,} rows {where} {stored.path}")
    if stored.renamed:
        more = ", …" if len(stored.renamed) > SHOWN else ""
        shown = ", ".join(map(repr, stored.renamed[:SHOWN]))
        say(f"warning: column names became text: {shown}{more}")
    return job, stored
