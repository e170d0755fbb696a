"""Handling of workers that lost their CUDA context: they exit, and their nanny starts others."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipeline.console.terminal import print_stderr
from pipeline.errors import DeviceFull, DeviceLost, PipelineError

T = TypeVar("T")
STATUS = 3
"""Exit status of such a process, which the log shows."""


def run_guarded(function: Callable[..., T], *arguments: object) -> T:
    """Call a function in a task; end this worker if its error means that the GPU is lost."""
    try:
        return function(*arguments)
    except Exception as error:
        exit_if_gpu_lost(error)
        raise


def find_root_cause(errors: Sequence[BaseException]) -> BaseException | None:
    """Return the error that explains why tasks that worked together failed.

    Errors of this program come first, then a full GPU, then other GPU errors. Any other error may
    only report that another member is gone, so it is not a cause; without a cause returns None.
    """
    from pipeline.device.gpu.errors import translate_error

    ours = [error for error in errors if isinstance(error, PipelineError)]
    translated = [(error, translate_error(error)) for error in errors]
    full = [error for error, meaning in translated if isinstance(meaning, DeviceFull)]
    gpu = [error for error, meaning in translated if meaning is not None]
    return next(iter([*ours, *full, *gpu]), None)


def exit_if_gpu_lost(error: BaseException) -> None:
    """End this worker's process if the error means that its GPU's context is lost.

    The scheduler gives the task, and the worker's data, to the other workers and to the one that
    the nanny starts. After three such exits (`distributed.scheduler.allowed-failures`) the run
    ends. A worker without a nanny, such as that of a single process, stays: the run ends at once.
    """
    if "pipeline.device.gpu.frames" not in sys.modules:
        return
    from distributed import get_worker

    from pipeline.device.gpu.errors import translate_error

    try:
        has_nanny = get_worker().nanny is not None
    except ValueError:  # not in a worker
        return
    if has_nanny and isinstance(lost := translate_error(error), DeviceLost):
        print_stderr(f"{lost.message}: this worker ends, its nanny starts another one")
        # a lost context stays lost in this process, so nothing can be cleaned up
        os._exit(STATUS)
