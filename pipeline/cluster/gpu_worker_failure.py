"""Workers whose CUDA context is lost: they end, and their nanny starts others."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pipeline.console.terminal import print_stderr
from pipeline.errors import DeviceFull, DeviceLost, PipelineError

T = TypeVar("T")
STATUS = 3
"""Of such a process, in the log."""


def run_guarded(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function in a task; end this worker if its error means that the GPU is lost."""
    try:
        return function(*arguments)
    except Exception as error:
        exit_if_gpu_lost(error)
        raise


def find_root_cause(errors: Sequence[BaseException]) -> BaseException | None:
    """Of errors of tasks that worked together, the one that tells what was the matter.

    Our own first, then a full GPU, then what else a library says of a GPU: the others may only say
    that one of them is gone. None where that is all.
    """
    from pipeline.device.gpu.errors import translate_error

    said = [(error, translate_error(error)) for error in errors]
    of_ours = [error for error in errors if isinstance(error, PipelineError)]
    full = [error for error, what in said if isinstance(what, DeviceFull)]
    return next(iter([*of_ours, *full, *(error for error, what in said if what is not None)]), None)


def exit_if_gpu_lost(error: BaseException) -> None:
    """Ends this worker's process if the error means that its GPU's context is lost.

    The scheduler gives the task, and what the worker held, to the others and to the worker that the
    nanny starts; after three such ends (`distributed.scheduler.allowed-failures`) the run ends. A
    worker without a nanny, such as that of a single process, stays: the run ends at once.
    """
    if "pipeline.device.gpu.frames" not in sys.modules:
        return
    from distributed import get_worker

    from pipeline.device.gpu.errors import translate_error

    try:
        has_nanny = get_worker().nanny is not None
    except ValueError:  # no worker
        return
    if has_nanny and isinstance(found := translate_error(error), DeviceLost):
        print_stderr(f"{found.message}: this worker ends, its nanny starts another")
        os._exit(STATUS)
