"""The choice of the device of a run, and the reason for it."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import cast

from pipeline.device import Frames
from pipeline.device.probe import Gpu, Probe, probe_gpus
from pipeline.device.self_test import check_gpu
from pipeline.errors import ConfigError, DeviceError, suggest_or_list

DOCTOR = "python -m pipeline doctor"
MODULES = {"cpu": "pipeline.device.cpu", "gpu": "pipeline.device.gpu.frames"}
"""The module of each device that implements `Frames`; tests add devices of their own."""


@dataclass(frozen=True)
class DeviceChoice:
    """The requested device, the device that is used, and the reason."""

    requested: str
    """"auto", "cpu" or "gpu"."""
    name: str
    """"cpu" or "gpu"."""
    reason: str
    gpus: tuple[Gpu, ...] = ()
    """The GPUs that work; empty unless a GPU is used."""
    gpu_lost: bool = False
    """True if the run had a GPU and now continues without it."""


GPU_LOST_VARIABLE = "PIPELINE_DEVICE_LOST"
"""Environment variable: why the run that continues here lost its GPU (`pipeline.cli.restart`)."""


def choose_device(
    requested: str,
    probe: Callable[[], Probe] = probe_gpus,
    check: Callable[[Probe], str | None] = check_gpu,
) -> DeviceChoice:
    """Choose the device of a run. ``cpu`` never probes for a GPU; ``auto`` uses one that works.

    Args:
        requested: "auto", "gpu" or "cpu".
        probe: finds GPUs without using them.
        check: uses the GPU in another process, unless that was done within a day; returns what
            failed, or None.

    Raises:
        DeviceError: ``gpu`` is requested and no GPU works; gives the reason and the fix.
        ConfigError: ``requested`` is something else.
    """
    if requested not in ("auto", "gpu", "cpu"):
        fix = suggest_or_list(requested, ("auto", "gpu", "cpu"))
        raise ConfigError(f"device: {requested!r}", fix=fix)
    if requested == "cpu":
        return DeviceChoice(requested, "cpu", "asked for")
    if requested == "auto" and (why := os.environ.get(GPU_LOST_VARIABLE)):
        return DeviceChoice(requested, "cpu", f"continues on the CPU: {why}", gpu_lost=True)
    machine = probe()
    problem, fix = machine.reason, machine.fix
    if problem is None:
        problem, fix = check(machine), f"run `{DOCTOR}` to examine the installation"
    if problem is None:
        names = ", ".join(gpu.name for gpu in machine.gpus)
        why = "asked for" if requested == "gpu" else "it works"
        return DeviceChoice(requested, "gpu", f"{why}: {names}", machine.gpus)
    if requested == "gpu":
        raise DeviceError(
            f"device: gpu, but {problem}", fix=f"{fix}; or run with --device cpu (or auto)"
        )
    return DeviceChoice(requested, "cpu", f"no GPU: {problem}")


def set_memory_limit(name: str, limit: int | None) -> None:
    """Limit the device's memory that a run may use, before the first `frames_of`.

    Args:
        name: "cpu" or "gpu".
        limit: bytes; None: all of the device's memory.
    """
    if name == "gpu":
        importlib.import_module("pipeline.device.gpu.memory").set_limit(limit)


@cache
def frames_of(name: str) -> Frames:
    """Return a device's module of frame functions; import it on the first call.

    Raises:
        ConfigError: the device does not exist.
    """
    if name not in MODULES:
        raise ConfigError(f"device {name!r} does not exist", fix=suggest_or_list(name, MODULES))
    if name == "gpu":
        # RMM must be the allocator before cuDF or CuPy allocate anything
        importlib.import_module("pipeline.device.gpu.memory").set_up()
    return cast("Frames", importlib.import_module(MODULES[name]))
