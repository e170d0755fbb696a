"""The current usage of GPUs, read from NVML, which creates no CUDA context."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pipeline.device.probe import Gpu

UsageSampler = Callable[[], "Sequence[GpuUsage]"]
"""Reads the current usage of all GPUs of a run."""


@dataclass(frozen=True)
class GpuUsage:
    """The usage of one GPU; None for what the driver does not report.

    For a MIG slice the driver reports its memory only.
    """

    gpu: str
    """Number of the GPU, or address of the worker that has it."""
    name: str
    used: int | None = None
    """Bytes of its memory in use by all processes."""
    memory: int | None = None
    """Total bytes."""
    busy: float | None = None
    """Share of the last moments (up to a second) in which a kernel ran."""
    watts: float | None = None
    celsius: int | None = None
    received: int | None = None
    """Bytes per second over PCIe from the host, in the last 20 ms."""
    sent: int | None = None
    """Bytes per second over PCIe to the host."""


@contextmanager
def open_sampler(gpus: Sequence[Gpu], nvml: Any = None) -> Iterator[UsageSampler]:
    """Yield a function that samples these GPUs while the block runs.

    A sample takes about 40 ms per GPU: NVML counts the bytes over PCIe for 20 ms per direction.
    """
    if not gpus:  # a machine without a driver has no NVML either
        yield list
        return
    nvml = nvml or importlib.import_module("pynvml")
    nvml.nvmlInit()
    try:
        handles = [(gpu, nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)) for gpu in gpus]
        yield lambda: [_read_usage(nvml, gpu, handle) for gpu, handle in handles]
    finally:
        nvml.nvmlShutdown()


def _read_usage(nvml: Any, gpu: Gpu, handle: Any) -> GpuUsage:
    def read(counter: str, *arguments: Any) -> Any:
        """Return a counter; None if this GPU has none, or has failed."""
        try:
            return getattr(nvml, counter)(handle, *arguments)
        except nvml.NVMLError:
            return None

    memory, rates = read("nvmlDeviceGetMemoryInfo"), read("nvmlDeviceGetUtilizationRates")
    milliwatts = read("nvmlDeviceGetPowerUsage")
    received = read("nvmlDeviceGetPcieThroughput", nvml.NVML_PCIE_UTIL_RX_BYTES)
    sent = read("nvmlDeviceGetPcieThroughput", nvml.NVML_PCIE_UTIL_TX_BYTES)
    return GpuUsage(
        str(gpu.index),
        gpu.name,
        used=None if memory is None else int(memory.used),
        memory=None if memory is None else int(memory.total),
        busy=None if rates is None else rates.gpu / 100,
        watts=None if milliwatts is None else milliwatts / 1000,
        celsius=read("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU),
        received=None if received is None else received * 1000,  # NVML's unit is KB/s
        sent=None if sent is None else sent * 1000,
    )
