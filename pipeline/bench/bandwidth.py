"""Throughput of a machine: input, memory and histogram additions, which bound a stage.

The rates of a CPU are measured here within a second. A GPU's rates are computed from the clocks and
bus widths that its driver reports, because a measurement needs a CUDA context. A machine under
load is slower: the rates give an order of magnitude.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.device.probe import Gpu

SAMPLE = 256 << 20
"""Bytes of the input to read."""
COPIED = 32 << 20
"""Bytes that each thread copies: more than its share of the processor's caches."""
ADDED = 1 << 21
"""Additions to the histogram by one thread."""
BINS = 30 * 256
"""Bins of the histogram: 30 columns of 256 bins."""
TRIES = 3
LANE = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
"""Bytes per second in one direction over one lane of PCI Express, by generation (PCI-SIG)."""
CORES_PER_SM = {(7, 0): 64, (7, 5): 64, (8, 0): 64}
"""Cores per multiprocessor by compute capability; 128 for all others since 8.6 (CUDA C++
Programming Guide)."""
ADDS_PER_CLOCK = 8
"""Atomic additions to shared memory per multiprocessor and clock (an assumption)."""


@dataclass(frozen=True)
class Throughput:
    """A rate and its source."""

    per_second: float
    """Bytes, or additions."""
    source: str
    """Origin of the rate, for the report."""


@dataclass(frozen=True)
class DeviceThroughput:
    """Rates of one device; None: unknown."""

    input: Throughput | None
    """Bytes of the input that reach the decoder."""
    memory: Throughput | None
    """Bytes read and written."""
    updates: Throughput | None
    """Additions to a histogram."""


def measure_cpu(path: Path, cores: int) -> DeviceThroughput:
    """Measure the CPU.

    Args:
        path: the input; it is read from the page cache, as the runs will read it.
        cores: number of threads.
    """
    size = min(SAMPLE, path.stat().st_size)
    buffer = bytearray(min(size, 8 << 20))

    def read() -> float:
        total = 0
        with path.open("rb", buffering=0) as file:
            while total < size and (count := file.readinto(buffer)):
                total += count
        return total

    arrays = [np.ones(COPIED // 8) for _ in range(cores)]
    copies = [np.empty_like(a) for a in arrays]

    def copy() -> float:
        list(pool.map(np.copyto, copies, arrays))
        return 2.0 * COPIED * cores  # each byte is read and written

    codes = np.random.default_rng(0).integers(0, BINS, ADDED)
    weights = np.ones(ADDED)

    def add() -> float:
        np.bincount(codes, weights, BINS)
        return float(ADDED)

    with ThreadPoolExecutor(cores) as pool:
        copied = _best_rate(copy)
    return DeviceThroughput(
        Throughput(
            _best_rate(read), f"measured: {size / 1e6:,.3g} MB of the input read by one thread"
        ),
        Throughput(copied, f"measured: a copy in memory by {cores} threads, both ways"),
        Throughput(
            _best_rate(add) * cores,
            f"measured: NumPy's bincount into {BINS:,} bins by one thread, times {cores} cores",
        ),
    )


def _best_rate(work: Callable[[], float]) -> float:
    """Return the highest amount per second of a few tries: the one with the least interference."""
    best = 0.0
    for _ in range(TRIES):
        started = time.perf_counter()
        amount = work()
        best = max(best, amount / (time.perf_counter() - started))
    return best


def read_gpu_limits(gpus: Sequence[Gpu], nvml: Any = None) -> DeviceThroughput:
    """Compute the rates of GPUs together from what their driver reports.

    Args:
        gpus: one or more GPUs.
        nvml: pynvml or a stand-in.
    """
    nvml = nvml or importlib.import_module("pynvml")
    nvml.nvmlInit()
    try:
        by_gpu = [_gpu_throughput(nvml, gpu) for gpu in gpus]
    finally:
        nvml.nvmlShutdown()
    totals: list[Throughput | None] = []
    for name in DeviceThroughput.__annotations__:
        rates = [rate for gpu in by_gpu if (rate := getattr(gpu, name)) is not None]
        if len(rates) < len(gpus):
            totals.append(None)  # a sum without one of the GPUs would understate the rate
            continue
        times = f", times {len(gpus)} GPUs" if len(gpus) > 1 else ""
        totals.append(Throughput(sum(r.per_second for r in rates), rates[0].source + times))
    return DeviceThroughput(*totals)


def _gpu_throughput(nvml: Any, gpu: Gpu) -> DeviceThroughput:
    handle = nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)

    def read(name: str, *arguments: Any) -> int | None:
        try:
            return int(getattr(nvml, name)(handle, *arguments))
        except nvml.NVMLError:
            return None

    bus = memory = updates = None
    lanes = read("nvmlDeviceGetMaxPcieLinkWidth")
    generation = read("nvmlDeviceGetMaxPcieLinkGeneration")
    if lanes is not None and generation in LANE:
        source = f"PCI Express {generation}.0 x{lanes}, one direction, from the driver"
        bus = Throughput(LANE[generation] * lanes, source)
    clock = read("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_MEM)
    width = read("nvmlDeviceGetMemoryBusWidth")
    if clock is not None and width is not None:
        source = f"memory clock {clock:,} MHz, both edges, {width:,} bits, from the driver"
        memory = Throughput(clock * 1e6 * 2 * width / 8, source)
    ticks = read("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM)
    cores = read("nvmlDeviceGetNumGpuCores")
    if ticks is not None and cores is not None:
        units = cores // CORES_PER_SM.get(gpu.capability, 128)
        source = (
            f"{units} multiprocessors at {ticks:,} MHz, from the driver, times "
            f"{ADDS_PER_CLOCK} additions per clock (assumed)"
        )
        updates = Throughput(units * ticks * 1e6 * ADDS_PER_CLOCK, source)
    return DeviceThroughput(bus, memory, updates)
