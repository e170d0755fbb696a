"""Named ranges on NVIDIA's time line (NVTX): stages, and ops on each partition.

Off unless `VARIABLE` is set, as `run --profile nsys` sets it, and then a range is one and the same
empty context. Nothing is imported before a range is asked for.
"""

from __future__ import annotations

import importlib
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

VARIABLE = "PIPELINE_NVTX"
DOMAIN = "pipeline"

_OFF: AbstractContextManager[Any] = nullcontext()


def annotate(name: str) -> AbstractContextManager[Any]:
    """A block that bears this name where a profiler looks; of one thread."""
    nvtx = _nvtx()
    return _OFF if nvtx is None else nvtx.annotate(name, domain=DOMAIN)


@cache
def _nvtx() -> Any:
    """The library (it comes with cuDF), or None: nobody looks, or it is not installed."""
    if not os.environ.get(VARIABLE):
        return None
    try:
        return importlib.import_module("nvtx")
    except ModuleNotFoundError:
        return None
