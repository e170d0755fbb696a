"""What NVML knows of the state of GPUs beyond their memory: faults, modes, links between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

SLOWED = {
    "nvmlClocksThrottleReasonHwThermalSlowdown": "heat",
    "nvmlClocksThrottleReasonSwThermalSlowdown": "heat",
    "nvmlClocksThrottleReasonHwPowerBrakeSlowdown": "its power supply",
}
"""Reasons for a lower clock that are faults; a power cap and an idle GPU are not."""


@dataclass(frozen=True)
class GpuCondition:
    """One GPU, whole; what it does not tell is None or empty."""

    mig: bool | None = None
    slices: int = 0
    ecc: bool | None = None
    ecc_next: bool | None = None
    """After the next restart."""
    uncorrected: int = 0
    """Memory errors that ECC could not mend, since the driver was loaded."""
    remap_waits: bool = False
    """A bad row of memory is replaced at the next reset; ``remap_failed``: there is no spare."""
    remap_failed: bool = False
    links: tuple[bool, ...] = ()
    """NVLinks, whether each is up."""
    mode: str = "default"
    """Processes allowed: ``default`` (any number), ``exclusive`` (one) or ``prohibited``."""
    slowed: tuple[str, ...] = ()
    pcie: tuple[int, int] | None = None
    """(generation, lanes) that GPU and slot are capable of."""


@dataclass(frozen=True)
class Health:
    """The GPUs of the machine, whatever the environment hides, by NVML's number."""

    gpus: Mapping[int, GpuCondition] = field(default_factory=dict)
    apart: frozenset[tuple[int, int]] = frozenset()
    """Pairs that cannot read each other's memory: their copies pass through the host's."""


def read_health(nvml: Any) -> Health:
    """Asks an open NVML (`pipeline.device.probe.open_nvml`) about every GPU."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    return Health(
        {i: _condition(nvml, handle) for i, handle in enumerate(handles)},
        frozenset(
            (a, b)
            for a, b in combinations(range(len(handles)), 2)
            if _apart(nvml, handles[a], handles[b])
        ),
    )


def _condition(nvml: Any, handle: Any) -> GpuCondition:
    def told(question: str, *more: Any) -> Any:
        return _answer(nvml, question, handle, *more)

    mig, ecc = told("nvmlDeviceGetMigMode"), told("nvmlDeviceGetEccMode")
    rows = told("nvmlDeviceGetRemappedRows") or (0, 0, 0, 0)
    kinds = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
    modes = {
        nvml.NVML_COMPUTEMODE_PROHIBITED: "prohibited",
        nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive",
    }
    lowered = told("nvmlDeviceGetCurrentClocksThrottleReasons") or 0
    generation = told("nvmlDeviceGetMaxPcieLinkGeneration")
    lanes = told("nvmlDeviceGetMaxPcieLinkWidth")
    return GpuCondition(
        mig=None if mig is None else bool(mig[0]),
        slices=_slices(nvml, handle) if mig and mig[0] else 0,
        ecc=None if ecc is None else bool(ecc[0]),
        ecc_next=None if ecc is None else bool(ecc[1]),
        uncorrected=told("nvmlDeviceGetTotalEccErrors", *kinds) or 0,
        remap_waits=bool(rows[2]),
        remap_failed=bool(rows[3]),
        links=_links(nvml, handle),
        mode=modes.get(told("nvmlDeviceGetComputeMode"), "default"),
        slowed=tuple(sorted({why for bit, why in SLOWED.items() if lowered & getattr(nvml, bit)})),
        pcie=None if generation is None or lanes is None else (generation, lanes),
    )


def _slices(nvml: Any, handle: Any) -> int:
    places = range(_answer(nvml, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0)
    question = "nvmlDeviceGetMigDeviceHandleByIndex"
    return sum(_answer(nvml, question, handle, place) is not None for place in places)


def _links(nvml: Any, handle: Any) -> tuple[bool, ...]:
    found = []
    for number in range(nvml.NVML_NVLINK_MAX_LINKS):
        state = _answer(nvml, "nvmlDeviceGetNvLinkState", handle, number)
        if state is None:  # no such link
            break
        found.append(bool(state))
    return tuple(found)


def _apart(nvml: Any, a: Any, b: Any) -> bool:
    """Whether NVML says so; not where it does not tell."""
    told = _answer(nvml, "nvmlDeviceGetP2PStatus", a, b, nvml.NVML_P2P_CAPS_INDEX_READ)
    return told is not None and told != nvml.NVML_P2P_STATUS_OK


def _answer(nvml: Any, question: str, *about: Any) -> Any:
    """None where this GPU cannot tell."""
    try:
        return getattr(nvml, question)(*about)
    except nvml.NVMLError:
        return None
