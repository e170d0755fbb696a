"""Named ranges on NVIDIA's time line (NVTX): stages, and ops on each partition.

They are off unless `VARIABLE` is set, as `run --profile nsys` sets it.
"""

from __future__ import annotations

import importlib
import os
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

VARIABLE = "PIPELINE_NVTX"
DOMAIN = "pipeline"

_OFF: AbstractContextManager[Any] = nullcontext()


def annotate(name: str) -> AbstractContextManager[Any]:
    """Return a block that has this name in a profiler; within one thread."""
    nvtx = _load_nvtx()
    # ops call this for each partition: without a profiler it must cost nothing
    return _OFF if nvtx is None else nvtx.annotate(name, domain=DOMAIN)


@cache
def _load_nvtx() -> ModuleType | None:
    """Return the library (it comes with cuDF), or None if it is not used or not installed."""
    if not os.environ.get(VARIABLE):
        return None
    try:
        return importlib.import_module("nvtx")
    except ModuleNotFoundError:
        return None
