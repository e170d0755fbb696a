"""How fast a machine can read its input, move memory and add to histograms: what bounds a stage.

A CPU's rates are measured here in a moment; a GPU's are what its driver tells of its clocks and
buses, since measuring them would need a CUDA context. Rates of one machine under load are lower:
they are an order of magnitude, not a promise.
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
"""Bytes of the input that are read."""
COPIED = 32 << 20
"""Bytes that each thread copies: more than its share of the caches."""
ADDED = 1 << 21
"""Additions to a histogram, by one thread."""
BINS = 30 * 256
"""Of that histogram: 30 columns of 256 bins."""
TRIES = 3
LANE = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
"""Bytes a second in one direction over one lane of PCI Express, by generation (PCI-SIG)."""
CORES_PER_SM = {(7, 0): 64, (7, 5): 64, (8, 0): 64}
"""By compute capability; 128 for all others since 8.6 (CUDA C++ Programming Guide)."""
ADDS_PER_CLOCK = 8
"""Atomic additions to shared memory that a multiprocessor is assumed to do in a clock."""


@dataclass(frozen=True)
class Throughput:
    """So many bytes, or additions, a second."""

    per_second: float
    source: str
    """Where the figure comes from."""


@dataclass(frozen=True)
class DeviceThroughput:
    """Of one device; None: not known."""

    input: Throughput | None
    """Bytes of the input that arrive where they are decoded."""
    memory: Throughput | None
    """Bytes read and written."""
    updates: Throughput | None
    """Additions to a histogram."""


def measure_cpu(path: Path, cores: int) -> DeviceThroughput:
    """Measured now, on so many cores.

    Args:
        path: the input, which is read from the page cache as the runs will find it.
    """
    return DeviceThroughput(_reading(path), _copying(cores), _adding(cores))


def _best(work: Callable[[], float]) -> float:
    """Of a few tries, the highest of amount / seconds."""
    best = 0.0
    for _ in range(TRIES):
        started = time.perf_counter()
        amount = work()
        best = max(best, amount / (time.perf_counter() - started))
    return best


def _reading(path: Path) -> Throughput:
    size = min(SAMPLE, path.stat().st_size)
    buffer = bytearray(min(size, 8 << 20))

    def read() -> float:
        done = 0
        with path.open("rb", buffering=0) as file:
            while done < size and (got := file.readinto(buffer)):
                done += got
        return done

    return Throughput(
        _best(read), f"measured: {size / 1e6:,.3g} MB of the input read by one thread"
    )


def _copying(cores: int) -> Throughput:
    arrays = [np.ones(COPIED // 8) for _ in range(cores)]
    others = [np.empty_like(a) for a in arrays]
    with ThreadPoolExecutor(cores) as pool:

        def copy() -> float:
            list(pool.map(np.copyto, others, arrays))
            return 2.0 * COPIED * cores  # read and written

        return Throughput(_best(copy), f"measured: a copy in memory by {cores} threads, both ways")


def _adding(cores: int) -> Throughput:
    codes = np.random.default_rng(0).integers(0, BINS, ADDED)
    weights = np.ones(ADDED)

    def add() -> float:
        np.bincount(codes, weights, BINS)
        return float(ADDED)

    source = f"measured: NumPy's bincount into {BINS:,} bins by one thread, times {cores} cores"
    return Throughput(_best(add) * cores, source)


def read_gpu_limits(gpus: Sequence[Gpu], nvml: Any = None) -> DeviceThroughput:
    """Of these GPUs together, as the driver tells; what it does not tell is None.

    Args:
        gpus: one or more.
        nvml: pynvml, or what stands in for it.
    """
    nvml = nvml or importlib.import_module("pynvml")
    nvml.nvmlInit()
    try:
        found = [_of_gpu(nvml, gpu) for gpu in gpus]
    finally:
        nvml.nvmlShutdown()
    return DeviceThroughput(
        *(_together([getattr(one, n) for one in found]) for n in DeviceThroughput.__annotations__)
    )


def _together(rates: Sequence[Throughput | None]) -> Throughput | None:
    known = [rate for rate in rates if rate is not None]
    if not known or len(known) < len(rates):
        return None
    times = f", times {len(known)} GPUs" if len(known) > 1 else ""
    return Throughput(sum(rate.per_second for rate in known), known[0].source + times)


def _of_gpu(nvml: Any, gpu: Gpu) -> DeviceThroughput:
    handle = nvml.nvmlDeviceGetHandleByUUID(gpu.uuid)

    def told(name: str, *arguments: Any) -> int | None:
        try:
            return int(getattr(nvml, name)(handle, *arguments))
        except nvml.NVMLError:
            return None

    lanes = told("nvmlDeviceGetMaxPcieLinkWidth")
    generation = told("nvmlDeviceGetMaxPcieLinkGeneration")
    clock = told("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_MEM)
    width = told("nvmlDeviceGetMemoryBusWidth")
    ticks = told("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM)
    cores = told("nvmlDeviceGetNumGpuCores")
    return DeviceThroughput(
        _link(lanes, generation), _memory(clock, width), _atomics(ticks, cores, gpu.capability)
    )


def _link(lanes: int | None, generation: int | None) -> Throughput | None:
    if lanes is None or generation not in LANE:
        return None
    source = f"PCI Express {generation}.0 x{lanes}, one direction, as the driver tells"
    return Throughput(LANE[generation] * lanes, source)


def _memory(clock: int | None, width: int | None) -> Throughput | None:
    if clock is None or width is None:
        return None
    source = f"memory clock {clock:,} MHz, both edges, {width:,} bits, as the driver tells"
    return Throughput(clock * 1e6 * 2 * width / 8, source)


def _atomics(
    clock: int | None, cores: int | None, capability: tuple[int, int]
) -> Throughput | None:
    if clock is None or cores is None:
        return None
    units = cores // CORES_PER_SM.get(capability, 128)
    source = (
        f"{units} multiprocessors at {clock:,} MHz, as the driver tells, times "
        f"{ADDS_PER_CLOCK} additions a clock (assumed)"
    )
    return Throughput(units * clock * 1e6 * ADDS_PER_CLOCK, source)
