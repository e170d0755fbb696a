"""Runs the command again on the CPU, in the place of the process whose GPU was lost.

A CUDA context that has failed stays in its process until that ends, so the process replaces itself.
``--resume`` does not exist yet: the new run starts from the data.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

from pipeline.device.choose import LOST
from pipeline.errors import DeviceLost


def on_cpu(lost: DeviceLost) -> NoReturn:
    """Replaces this process by one with the same command line, in which ``auto`` is the CPU.

    What the lost run has written goes; the ledger, the report and the manifest of the new one say
    why it runs on the CPU.
    """
    sys.stderr.write(f"warning: {lost.message}; running again from the start on the CPU\n")
    if lost.folder is not None:
        _emptied(lost.folder)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execve(
        sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, LOST: lost.message}
    )


def _emptied(folder: Path) -> None:
    """The run folder as it was before: empty, or not there."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    folder.rmdir()
