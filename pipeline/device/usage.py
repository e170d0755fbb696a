"""What GPUs are doing at this moment, asked of NVML, which makes no CUDA context."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.device.probe import Gpu


@dataclass(frozen=True)
class Usage:
    """One GPU; what the driver does not tell of it is None."""

    gpu: str
    """Its number, or the worker that has it."""
    name: str
    used: int | None = None
    """Bytes of its memory, by whichever process."""
    memory: int | None = None
    """Total bytes."""
    busy: float | None = None
    """Share of the last moments (up to a second) in which a kernel ran. A MIG slice has none."""


@contextmanager
def watching(gpus: Sequence[Gpu], nvml: Any = None) -> Iterator[Callable[[], list[Usage]]]:
    """A function that samples these GPUs while the block runs; of no GPU, nothing."""
    if not gpus:
        yield list
        return
    nvml = nvml or importlib.import_module("pynvml")
    nvml.nvmlInit()
    try:
        handles = [(gpu, nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)) for gpu in gpus]
        yield lambda: [_usage(nvml, gpu, handle) for gpu, handle in handles]
    finally:
        nvml.nvmlShutdown()


def _usage(nvml: Any, gpu: Gpu, handle: Any) -> Usage:
    memory = _answer(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    rates = _answer(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    return Usage(
        str(gpu.index), gpu.name,
        used=None if memory is None else int(memory.used),
        memory=None if memory is None else int(memory.total),
        busy=None if rates is None else rates.gpu / 100,
    )  # fmt: skip


def _answer(nvml: Any, question: Callable[[Any], Any], handle: Any) -> Any:
    """None where this GPU has no such counter, or has gone."""
    try:
        return question(handle)
    except nvml.NVMLError:
        return None
