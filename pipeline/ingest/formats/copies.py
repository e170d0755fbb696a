"""The folder of converted files, which exists as long as this process."""

from __future__ import annotations

import atexit
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from uuid import uuid4

from pipeline.artifacts.files import atomic_write
from pipeline.console import signals
from pipeline.errors import MachineError


@contextmanager
def write_copy(ending: str) -> Iterator[tuple[Path, Path]]:
    """Yield a temporary path to write to, and the path that the copy has after the block.

    Raises:
        MachineError: the disk is full or the folder is not writable.
    """
    path = _open_folder() / f"{uuid4().hex}.{ending}"
    try:
        with atomic_write(path) as beside:
            yield beside, path
    except MachineError as error:
        raise MachineError(
            str(error.args[0]),
            fix="set TMPDIR to a folder with room for a copy of the data, or convert them to "
            "Parquet yourself",
        ) from error


@cache
def _open_folder() -> Path:
    """Create the folder, which is removed when this process ends."""
    try:
        folder = Path(tempfile.mkdtemp(prefix="pipeline-converted-"))
    except OSError as error:
        raise MachineError(
            f"no folder for temporary files can be created: {error}",
            fix="set TMPDIR to a folder that you may write to",
        ) from None
    cleanup, owner = ExitStack(), os.getpid()
    cleanup.enter_context(signals.removed_on_exit(folder))
    # A forked child must not remove what its parent reads.
    atexit.register(lambda: cleanup.close() if os.getpid() == owner else None)
    return folder
