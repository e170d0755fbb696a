"""Which device a run uses, and why."""

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
"""The `Frames` of each device; tests put devices of their own beside them."""


@dataclass(frozen=True)
class DeviceChoice:
    """What was asked for, what is used, and why."""

    asked: str
    name: str
    """"cpu" or "gpu"."""
    reason: str
    gpus: tuple[Gpu, ...] = ()
    """Those that work, when a GPU is used."""
    lost: bool = False
    """The run had a GPU, and goes on without it."""


GPU_LOST_VARIABLE = "PIPELINE_DEVICE_LOST"
"""Environment variable: why the run that goes on here has lost its GPU (`pipeline.cli.restart`)."""


def choose_device(
    asked: str,
    look: Callable[[], Probe] = probe_gpus,
    prove_it: Callable[[], str | None] = check_gpu,
) -> DeviceChoice:
    """The device of a run. ``cpu`` never looks for a GPU; ``auto`` takes one that works.

    Args:
        asked: "auto", "gpu" or "cpu".
        look: finds GPUs without using them.
        prove_it: uses the GPU in another process; returns what went wrong.

    Raises:
        DeviceError: ``gpu`` was asked for and there is none that works; the reason and the fix.
        ConfigError: ``asked`` is something else.
    """
    if asked not in ("auto", "gpu", "cpu"):
        raise ConfigError(f"device: {asked!r}", fix=suggest_or_list(asked, ("auto", "gpu", "cpu")))
    if asked == "cpu":
        return DeviceChoice(asked, "cpu", "asked for")
    if asked == "auto" and (lost := os.environ.get(GPU_LOST_VARIABLE)):
        return DeviceChoice(asked, "cpu", f"goes on with the CPU: {lost}", lost=True)
    found = look()
    reason, fix = found.reason, found.fix
    if reason is None:
        reason, fix = prove_it(), f"`{DOCTOR}` examines the installation"
    if reason is None:
        names = ", ".join(gpu.name for gpu in found.gpus)
        why = f"{'asked for' if asked == 'gpu' else 'it works'}: {names}"
        return DeviceChoice(asked, "gpu", why, found.gpus)
    if asked == "gpu":
        raise DeviceError(
            f"device: gpu, but {reason}", fix=f"{fix}; or run with --device cpu (or auto)"
        )
    return DeviceChoice(asked, "cpu", f"no GPU: {reason}")


def set_memory_limit(name: str, limit: int | None) -> None:
    """Says how much of the device's memory may be used, before the first `frames_of`.

    Args:
        name: "cpu" or "gpu".
        limit: bytes; None: what there is.
    """
    if name == "gpu":
        importlib.import_module("pipeline.device.gpu.memory").set_limit(limit)


@cache
def frames_of(name: str) -> Frames:
    """The module of frame functions of a device, imported when first asked for.

    Raises:
        ConfigError: there is no such device.
    """
    if name not in MODULES:
        raise ConfigError(f"there is no device {name!r}", fix=suggest_or_list(name, MODULES))
    if name == "gpu":
        importlib.import_module("pipeline.device.gpu.memory").set_up()
    return cast("Frames", importlib.import_module(MODULES[name]))
