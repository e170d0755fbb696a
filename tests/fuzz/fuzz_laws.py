"""What all targets share: a folder to write to, and which errors may come out."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import InputError

SCRATCH = tempfile.mkdtemp(prefix="fuzz-")
"""Removed at the end of the process that made it."""
MAX_LINES = 12


def _remove(owner: int = os.getpid()) -> None:
    if os.getpid() == owner:
        shutil.rmtree(SCRATCH, ignore_errors=True)


atexit.register(_remove)


@contextmanager
def refused() -> Iterator[None]:
    """Lets an `InputError` pass, whose message is short; nothing else."""
    try:
        yield
    except InputError as error:
        assert str(error).count("\n") < MAX_LINES, "the message is too long"
