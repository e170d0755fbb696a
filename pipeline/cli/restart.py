"""Goes on with the run on the CPU, in the place of the process whose GPU was lost.

A CUDA context that has failed stays in its process until that ends, so the process replaces itself.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from pipeline.console.terminal import print_stderr
from pipeline.device.choose import GPU_LOST_VARIABLE
from pipeline.errors import DeviceLost


def restart_on_cpu(lost: DeviceLost) -> NoReturn:
    """Replaces this process by one with the same command line, in which ``auto`` is the CPU.

    It goes on in the folder of the run, with the stage that the GPU did not end; the ledger, the
    report and the manifest say why it runs on the CPU.
    """
    print_stderr(f"warning: {lost.message}; going on with it on the CPU")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    arguments = sys.orig_argv[1:]
    if lost.folder is not None:
        arguments = [*arguments, "--resume", str(lost.folder)]
    os.execve(
        sys.executable,
        [sys.executable, *arguments],
        {**os.environ, GPU_LOST_VARIABLE: lost.message},
    )
