"""The GPUs that this machine offers to this process, as the driver's NVML reports them.

NVML creates no CUDA context and loads no RAPIDS library. So a probe takes milliseconds, and the
process can still run on the CPU or start workers. NVML ignores ``CUDA_VISIBLE_DEVICES``, so its
rules (CUDA C++ Programming Guide, "CUDA Environment Variables") are applied here. GPUs are numbered
as in NVML, by PCI bus. CUDA does the same only with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``, which matters
only if the GPUs of a host are of different models.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

NEEDED = ("cudf", "cupy", "cuml", "rmm")
CAPABILITY = {12: (7, 0), 13: (7, 5)}
"""Least compute capability by CUDA major version (RAPIDS platform support, 26.10)."""
DRIVER = {12: "535", 13: "580"}
CUDA = {12: 12020, 13: 13000}
"""CUDA versions of those drivers: 12020 is CUDA 12.2."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
HIDDEN = ("", "-1", "NoDevFiles")
NO_SLICE = "every GPU is in MIG mode and none has a slice"
UNSLICED = "make a slice (sudo nvidia-smi mig -cgi 0 -C), or turn MIG off (sudo nvidia-smi -mig 0)"
DRIVER_FIXES = {
    "NVMLError_LibRmVersionMismatch": "restart the machine: the driver was updated while it ran",
    "NVMLError_DriverNotLoaded": "load the driver's kernel module: sudo modprobe nvidia",
    "NVMLError_NoPermission": "let this user open /dev/nvidia* (ls -l /dev/nvidia*)",
    "NVMLError_GpuIsLost": "restart the machine; a GPU that is lost again is defective",
}
"""The fix for each of NVML's errors."""


@dataclass(frozen=True)
class Gpu:
    """One GPU, or the MIG slice of one that CUDA would use."""

    index: int
    uuid: str
    name: str
    memory: int
    """Total bytes."""
    free: int
    """Free bytes at the time of the probe."""
    capability: tuple[int, int]


@dataclass(frozen=True)
class Driver:
    """The driver and every GPU, also those that the environment hides."""

    version: str
    cuda: int
    """Newest CUDA version that it supports: 13000 is 13.0."""
    gpus: tuple[Gpu, ...]
    slices: Mapping[int, tuple[Gpu, ...]]
    """MIG slices by index of each GPU in MIG mode, which works only through one slice."""


@dataclass(frozen=True)
class Probe:
    """The usable GPUs, or the reason why there is none."""

    gpus: tuple[Gpu, ...]
    reason: str | None
    """The problem; None if there is none, as far as it shows without using the GPU."""
    fix: str = ""
    driver: str = ""
    cuda: int = 0


class NoDriver(Exception):
    """An error of NVML: it does not answer. The message gives the reason."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix or "check that nvidia-smi works; restarting the machine resets the driver"


class Hardware(Protocol):
    """The interface to the hardware: `Machine` for the real one; tests have fakes."""

    def driver(self) -> Driver:
        """Return the driver and its GPUs, or raise `NoDriver`."""

    def missing(self) -> list[str]:
        """Return the names of the needed libraries that are not installed."""

    def cuda_major(self) -> int:
        """Return the CUDA major version that the installed libraries were built for."""


class Machine:
    """This machine, through nvidia-ml-py and the metadata of installed packages."""

    def driver(self) -> Driver:
        """Read the driver and its GPUs from NVML, or raise `NoDriver`."""
        with open_nvml() as nvml:
            return _read_driver(nvml)

    def missing(self) -> list[str]:
        """Return the missing libraries, without importing any."""
        return [name for name in NEEDED if find_spec(name) is None]

    def cuda_major(self) -> int:
        """Return 12 if the libraries for CUDA 12 are installed, else 13."""
        try:
            version("cudf-cu12")
        except PackageNotFoundError:
            return 13
        return 12


@contextmanager
def open_nvml() -> Iterator[Any]:
    """Yield the module pynvml while NVML is open, or raise `NoDriver`."""
    try:
        import pynvml
    except ModuleNotFoundError:
        raise NoDriver("nvidia-ml-py is not installed", "pip install nvidia-ml-py") from None
    try:
        pynvml.nvmlInit()
        try:
            yield pynvml
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        kind = type(error).__name__
        if kind == "NVMLError_LibraryNotFound":
            raise NoDriver(
                "no NVIDIA driver: NVML library not found", _suggest_installation()
            ) from None
        reason = f"the NVIDIA driver does not answer: {error}"
        raise NoDriver(reason, DRIVER_FIXES.get(kind, "")) from None


def _suggest_installation() -> str:
    """Return how to install a driver; a container and WSL use the driver of their host."""
    if Path("/.dockerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ:
        return "docker run --gpus all, on a machine with NVIDIA's driver and container toolkit"
    if "microsoft" in platform.release().lower():
        return "install NVIDIA's driver in Windows, not in WSL"
    return "install NVIDIA's driver, on a machine that has its GPU"


def _read_driver(nvml: Any) -> Driver:
    gpus: list[Gpu] = []
    slices: dict[int, tuple[Gpu, ...]] = {}
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        capability = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        gpu = _read_gpu(nvml, handle, index, capability)
        gpus.append(gpu)
        if (parts := _read_slices(nvml, handle, gpu)) is not None:
            slices[index] = parts
    return Driver(
        _decode(nvml.nvmlSystemGetDriverVersion()),
        nvml.nvmlSystemGetCudaDriverVersion_v2(),
        tuple(gpus),
        slices,
    )


def _read_gpu(nvml: Any, handle: Any, index: int, capability: Sequence[int]) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        index,
        _decode(nvml.nvmlDeviceGetUUID(handle)),
        _decode(nvml.nvmlDeviceGetName(handle)),
        int(memory.total),
        int(memory.free),
        (int(capability[0]), int(capability[1])),
    )


def _read_slices(nvml: Any, handle: Any, gpu: Gpu) -> tuple[Gpu, ...] | None:
    """Return the slices of a GPU in MIG mode; None if it is not in this mode."""
    try:
        if not nvml.nvmlDeviceGetMigMode(handle)[0]:
            return None
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # a GPU without MIG reports "not supported"
        return None
    slices = []
    for place in range(count):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except nvml.NVMLError:  # no slice at this place
            continue
        slices.append(_read_gpu(nvml, part, gpu.index, gpu.capability))
    return tuple(slices)


def _decode(value: str | bytes) -> str:  # older versions of pynvml return bytes
    return value.decode() if isinstance(value, bytes) else value


def probe_gpus(hardware: Hardware | None = None, environ: Mapping[str, str] | None = None) -> Probe:
    """Return the GPUs of this process, or the first reason why there is none.

    Args:
        hardware: the hardware to probe; this machine by default.
        environ: the variables, of which ``CUDA_VISIBLE_DEVICES`` counts; ``os.environ`` by default.
    """
    hardware = hardware or Machine()
    chosen = (os.environ if environ is None else environ).get(VISIBLE)
    if chosen is not None and chosen.strip() in HIDDEN:
        what = "is empty" if not chosen.strip() else f"is {chosen.strip()!r}"
        return Probe((), f"{VISIBLE} {what}: every GPU is hidden", f"unset {VISIBLE}")
    try:
        driver = hardware.driver()
    except NoDriver as error:
        return Probe((), str(error), error.fix)
    result = Probe((), None, driver=driver.version, cuda=driver.cuda)
    if not driver.gpus:
        return replace(result, reason="the NVIDIA driver sees no GPU", fix="check nvidia-smi")
    gpus, problem = visible_gpus(driver, chosen)
    if problem:
        fix = f"unset {VISIBLE}, or name what nvidia-smi -L shows"
        return replace(result, reason=problem, fix=UNSLICED if problem == NO_SLICE else fix)
    return _drop_unusable(replace(result, gpus=gpus), hardware)


def visible_gpus(driver: Driver, chosen: str | None) -> tuple[tuple[Gpu, ...], str]:
    """Return (the GPUs that CUDA would show, the reason why there is none).

    Entries are numbers, UUIDs or beginnings of UUIDs. Entries after the first one that names no GPU
    do not count. A GPU in MIG mode shows one slice, and a process sees at most one slice.
    """
    if chosen is None:
        shown = tuple(part for g in driver.gpus for part in driver.slices.get(g.index, (g,))[:1])
        return shown, "" if shown else NO_SLICE
    shown_gpus: list[Gpu] = []
    for entry in (e.strip() for e in chosen.split(",")):
        gpu = _find_gpu(driver, entry)
        if gpu is None:
            break
        if gpu in shown_gpus:
            return (), f"{VISIBLE}={chosen} names a GPU twice: CUDA then shows none"
        shown_gpus.append(gpu)
    return tuple(
        shown_gpus
    ), "" if shown_gpus else f"{VISIBLE}={chosen} names no GPU of this machine"


def _find_gpu(driver: Driver, entry: str) -> Gpu | None:
    """Return the GPU or slice that an entry of the variable names; None if not exactly one."""
    parts = [part for several in driver.slices.values() for part in several]
    if entry.isdecimal():
        named = [g for g in driver.gpus if g.index == int(entry)]
    elif entry.startswith(("GPU-", "MIG-")):
        named = [g for g in (*driver.gpus, *parts) if g.uuid.startswith(entry)]
    else:
        return None
    if len(named) != 1:
        return None
    only = named[0]
    if only not in driver.gpus:
        return only
    return next(iter(driver.slices.get(only.index, (only,))), None)


def _drop_unusable(result: Probe, hardware: Hardware) -> Probe:
    """Drop the GPUs that RAPIDS cannot use, and give the reason if none is left."""
    if missing := hardware.missing():
        verb = "is" if len(missing) == 1 else "are"
        reason = f"{', '.join(missing)} {verb} not installed: pip install pipeline[gpu]"
        return replace(
            result, gpus=(), reason=reason, fix='pip install -c constraints.txt ".[gpu]"'
        )
    major, cu12 = hardware.cuda_major(), ', or pip install ".[gpu-cu12]"'
    if result.cuda < CUDA[major]:
        reason = (
            f"driver too old: {result.driver} runs CUDA {cuda_text(result.cuda)}, the "
            f"installed libraries need CUDA {cuda_text(CUDA[major])}"
        )
        fix = f"install driver {DRIVER[major]} or newer"
        if major == 13 and result.cuda >= CUDA[12]:
            fix += cu12
        return replace(result, gpus=(), reason=reason, fix=fix)
    least = CAPABILITY[major]
    able = tuple(g for g in result.gpus if g.capability >= least)
    if not able:
        best = max(result.gpus, key=lambda g: g.capability)
        has, needs = (".".join(map(str, version)) for version in (best.capability, least))
        reason = f"{best.name} has compute capability {has}, RAPIDS for CUDA {major} needs {needs}"
        fix = "use a newer GPU"
        if major == 13 and best.capability >= CAPABILITY[12]:
            fix += cu12
        return replace(result, gpus=(), reason=reason, fix=fix)
    return replace(result, gpus=able)


def cuda_text(number: int) -> str:
    """Return the version of a number: ``12.2`` of 12020."""
    return f"{number // 1000}.{number % 1000 // 10}"
