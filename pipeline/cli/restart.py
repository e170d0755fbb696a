"""Restart of a run on the CPU after its process has lost the GPU.

A failed CUDA context stays in its process until that ends, so the process replaces itself.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from pipeline.console.terminal import print_stderr
from pipeline.device.choose import GPU_LOST_VARIABLE
from pipeline.errors import DeviceLost


def restart_on_cpu(error: DeviceLost) -> NoReturn:
    """Replace this process by one with the same command line, in which ``auto`` is the CPU.

    The new process resumes the run at the stage that the GPU did not complete. The ledger, the
    report and the manifest give the reason for the CPU.
    """
    print_stderr(f"warning: {error.message}; resuming the run on the CPU")
    # ``execve`` discards what is still in a buffer.
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    arguments = sys.orig_argv[1:]
    if error.folder is not None:
        arguments = [*arguments, "--resume", str(error.folder)]
    os.execve(
        sys.executable,
        [sys.executable, *arguments],
        {**os.environ, GPU_LOST_VARIABLE: error.message},
    )
