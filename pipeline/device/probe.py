"""Which GPUs this machine offers to this process, asked of the driver's NVML alone.

NVML makes no CUDA context and loads no RAPIDS library, so looking costs milliseconds and leaves the
process free to run on the CPU or to start workers. NVML does not know ``CUDA_VISIBLE_DEVICES``:
its rules (CUDA C++ Programming Guide, "CUDA Environment Variables") are applied here. Numbers count
as NVML does, by PCI bus; CUDA does the same only with ``CUDA_DEVICE_ORDER=PCI_BUS_ID``, which makes
a difference only where the GPUs of a host are of different models.
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
"""What those drivers run: 12020 is CUDA 12.2."""
VISIBLE = "CUDA_VISIBLE_DEVICES"
HIDDEN = ("", "-1", "NoDevFiles")
NO_SLICE = "every GPU is in MIG mode and none has a slice"
UNSLICED = "make a slice (sudo nvidia-smi mig -cgi 0 -C), or turn MIG off (sudo nvidia-smi -mig 0)"
ANSWERS = {
    "NVMLError_LibRmVersionMismatch": "restart the machine: the driver was updated while it ran",
    "NVMLError_DriverNotLoaded": "load the driver's kernel module: sudo modprobe nvidia",
    "NVMLError_NoPermission": "let this user open /dev/nvidia* (ls -l /dev/nvidia*)",
    "NVMLError_GpuIsLost": "restart the machine; a GPU that is lost again is defective",
}
"""What to do, by NVML's error."""


@dataclass(frozen=True)
class Gpu:
    """One GPU, or the MIG slice of one that CUDA would use."""

    index: int
    uuid: str
    name: str
    memory: int
    """Total bytes."""
    free: int
    """Free bytes when asked."""
    capability: tuple[int, int]


@dataclass(frozen=True)
class Driver:
    """What NVML tells of the driver and of every GPU, whatever the environment hides."""

    version: str
    cuda: int
    """The newest CUDA version that it runs: 13000 is 13.0."""
    gpus: tuple[Gpu, ...]
    slices: Mapping[int, tuple[Gpu, ...]]
    """MIG slices by index of each GPU in MIG mode: it is used through one slice, or not at all."""


@dataclass(frozen=True)
class Probe:
    """The GPUs that can be used, or why there is none."""

    gpus: tuple[Gpu, ...]
    reason: str | None
    """Why the GPU cannot be used; None when it can, as far as can be told without using it."""
    fix: str = ""
    driver: str = ""
    cuda: int = 0


class NoDriver(Exception):
    """NVML does not answer; the message says why, ``fix`` what to do."""

    def __init__(self, reason: str, fix: str = "") -> None:
        super().__init__(reason)
        self.fix = fix or "check that nvidia-smi works; restarting the machine resets the driver"


class Hardware(Protocol):
    """What `probe_gpus` asks: the real thing is `Machine`, tests have fakes."""

    def driver(self) -> Driver:
        """The driver and its GPUs; raises `NoDriver`."""

    def missing(self) -> list[str]:
        """Names of the needed libraries that are not installed."""

    def cuda_major(self) -> int:
        """The CUDA major version that the installed libraries were built for."""


class Machine:
    """This machine, through nvidia-ml-py and the metadata of installed packages."""

    def driver(self) -> Driver:
        """As `Hardware.driver`."""
        with open_nvml() as nvml:
            return _read(nvml)

    def missing(self) -> list[str]:
        """As `Hardware.missing`; nothing is imported."""
        return [name for name in NEEDED if find_spec(name) is None]

    def cuda_major(self) -> int:
        """As `Hardware.cuda_major`; 13 when nothing says otherwise."""
        try:
            version("cudf-cu12")
        except PackageNotFoundError:
            return 13
        return 12


@contextmanager
def open_nvml() -> Iterator[Any]:
    """The module pynvml while NVML is open; raises `NoDriver`."""
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
            raise NoDriver("no NVIDIA driver: NVML library not found", _install()) from None
        reason = f"the NVIDIA driver does not answer: {error}"
        raise NoDriver(reason, ANSWERS.get(kind, "")) from None


def _install() -> str:
    """How a driver gets here: into a container and into WSL, not by installing it there."""
    if Path("/.dockerenv").exists() or "KUBERNETES_SERVICE_HOST" in os.environ:
        return "docker run --gpus all, on a machine with NVIDIA's driver and container toolkit"
    if "microsoft" in platform.release().lower():
        return "install NVIDIA's driver in Windows, not in WSL"
    return "install NVIDIA's driver, on a machine that has its GPU"


def _read(nvml: Any) -> Driver:
    gpus, slices = [], {}
    for index in range(nvml.nvmlDeviceGetCount()):
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        gpu = _gpu(nvml, handle, index, nvml.nvmlDeviceGetCudaComputeCapability(handle))
        gpus.append(gpu)
        if (parts := _slices(nvml, handle, gpu)) is not None:
            slices[index] = parts
    return Driver(
        _text(nvml.nvmlSystemGetDriverVersion()),
        nvml.nvmlSystemGetCudaDriverVersion_v2(),
        tuple(gpus),
        slices,
    )


def _gpu(nvml: Any, handle: Any, index: int, capability: Sequence[int]) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return Gpu(
        index, _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle)),
        int(memory.total), int(memory.free), (int(capability[0]), int(capability[1])),
    )  # fmt: skip


def _slices(nvml: Any, handle: Any, gpu: Gpu) -> tuple[Gpu, ...] | None:
    """The slices of a GPU in MIG mode; None of another."""
    try:
        if not nvml.nvmlDeviceGetMigMode(handle)[0]:
            return None
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:  # a GPU without MIG says "not supported"
        return None
    found = []
    for place in range(count):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
        except nvml.NVMLError:  # no slice at this place
            continue
        found.append(_gpu(nvml, part, gpu.index, gpu.capability))
    return tuple(found)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def probe_gpus(hardware: Hardware | None = None, environ: Mapping[str, str] | None = None) -> Probe:
    """What GPUs there are for this process, or the first reason why there is none.

    Args:
        hardware: what to ask; this machine by default.
        environ: where ``CUDA_VISIBLE_DEVICES`` is looked up; ``os.environ`` by default.
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
    told = Probe((), None, driver=driver.version, cuda=driver.cuda)
    if not driver.gpus:
        return replace(told, reason="the NVIDIA driver sees no GPU", fix="check nvidia-smi")
    gpus, problem = visible_gpus(driver, chosen)
    if problem:
        fix = f"unset {VISIBLE}, or name what nvidia-smi -L shows"
        return replace(told, reason=problem, fix=UNSLICED if problem == NO_SLICE else fix)
    return _usable(replace(told, gpus=gpus), hardware)


def visible_gpus(driver: Driver, chosen: str | None) -> tuple[tuple[Gpu, ...], str]:
    """(the GPUs that CUDA would show, why there is none).

    Entries are numbers, UUIDs or beginnings of UUIDs; those after the first that names nothing do
    not count. A GPU in MIG mode shows one slice, and a process sees one slice at most.
    """
    if chosen is None:
        shown = tuple(part for g in driver.gpus for part in driver.slices.get(g.index, (g,))[:1])
        return shown, "" if shown else NO_SLICE
    found: list[Gpu] = []
    for entry in (e.strip() for e in chosen.split(",")):
        gpu = _named(driver, entry)
        if gpu is None:
            break
        if gpu in found:
            return (), f"{VISIBLE}={chosen} names a GPU twice: CUDA then shows none"
        found.append(gpu)
    return tuple(found), "" if found else f"{VISIBLE}={chosen} names no GPU of this machine"


def _named(driver: Driver, entry: str) -> Gpu | None:
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


def _usable(found: Probe, hardware: Hardware) -> Probe:
    """The probe less GPUs that RAPIDS cannot use, with the reason when none is left."""
    if missing := hardware.missing():
        verb = "is" if len(missing) == 1 else "are"
        reason = f"{', '.join(missing)} {verb} not installed: pip install pipeline[gpu]"
        return replace(found, gpus=(), reason=reason, fix='pip install -c constraints.txt ".[gpu]"')
    major = hardware.cuda_major()
    if found.cuda < CUDA[major]:
        return replace(
            found, gpus=(),
            reason=f"driver too old: {found.driver} runs CUDA {cuda_text(found.cuda)}, the "
            f"installed libraries need CUDA {cuda_text(CUDA[major])}",
            fix=f"install driver {DRIVER[major]} or newer"
            + (', or pip install ".[gpu-cu12]"' if major == 13 and found.cuda >= CUDA[12] else ""),
        )  # fmt: skip
    least = CAPABILITY[major]
    able = tuple(g for g in found.gpus if g.capability >= least)
    if not able:
        best = max(found.gpus, key=lambda g: g.capability)
        return replace(
            found, gpus=(),
            reason=f"{best.name} has compute capability {_dotted(best.capability)}, RAPIDS for "
            f"CUDA {major} needs {_dotted(least)}",
            fix="use a newer GPU" + (', or pip install ".[gpu-cu12]"' if best.capability >= (7, 0)
                                     and major == 13 else ""),
        )  # fmt: skip
    return replace(found, gpus=able)


def cuda_text(number: int) -> str:
    """``12.2`` for 12020."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
