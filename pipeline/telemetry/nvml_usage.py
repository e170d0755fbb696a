"""What GPUs are doing at this moment, asked of NVML, which makes no CUDA context."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.device.probe import Gpu

UsageSampler = Callable[[], "Sequence[GpuUsage]"]
"""Asks for the usage of all GPUs of a run, now."""


@dataclass(frozen=True)
class GpuUsage:
    """One GPU; what the driver does not tell of it is None: a MIG slice has its memory alone."""

    gpu: str
    """Its number, or the worker that has it."""
    name: str
    used: int | None = None
    """Bytes of its memory, by whichever process."""
    memory: int | None = None
    """Total bytes."""
    busy: float | None = None
    """Share of the last moments (up to a second) in which a kernel ran."""
    watts: float | None = None
    celsius: int | None = None
    received: int | None = None
    """Bytes a second over PCIe from the host, in the 20 ms before; ``sent`` to the host."""
    sent: int | None = None


@contextmanager
def open_sampler(gpus: Sequence[Gpu], nvml: Any = None) -> Iterator[UsageSampler]:
    """A function that samples these GPUs while the block runs; of no GPU, nothing.

    A sample takes some 40 ms a GPU: NVML counts PCIe's bytes for 20 ms in each direction.
    """
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


def _usage(nvml: Any, gpu: Gpu, handle: Any) -> GpuUsage:
    def told(question: str, *more: Any) -> Any:
        return _answer(nvml, question, handle, *more)

    memory, rates = told("nvmlDeviceGetMemoryInfo"), told("nvmlDeviceGetUtilizationRates")
    milliwatts = told("nvmlDeviceGetPowerUsage")
    received = told("nvmlDeviceGetPcieThroughput", nvml.NVML_PCIE_UTIL_RX_BYTES)
    sent = told("nvmlDeviceGetPcieThroughput", nvml.NVML_PCIE_UTIL_TX_BYTES)
    return GpuUsage(
        str(gpu.index), gpu.name,
        used=None if memory is None else int(memory.used),
        memory=None if memory is None else int(memory.total),
        busy=None if rates is None else rates.gpu / 100,
        watts=None if milliwatts is None else milliwatts / 1000,
        celsius=told("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        received=None if received is None else received * 1000,  # NVML's unit is KB/s
        sent=None if sent is None else sent * 1000,
    )  # fmt: skip


def _answer(nvml: Any, question: str, *about: Any) -> Any:
    """None where this GPU has no such counter, or has gone."""
    try:
        return getattr(nvml, question)(*about)
    except nvml.NVMLError:
        return None
