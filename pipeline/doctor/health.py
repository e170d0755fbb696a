"""Health of the GPUs as NVML reports it: faults, modes, and links between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
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
    """Condition of a whole GPU; what NVML does not report is None or empty."""

    mig: bool | None = None
    slices: int = 0
    ecc: bool | None = None
    ecc_next: bool | None = None
    """The mode after the next restart."""
    uncorrected: int = 0
    """Memory errors that ECC could not correct, since the driver was loaded."""
    remap_waits: bool = False
    """A defective row of memory will be replaced at the next reset."""
    remap_failed: bool = False
    """A defective row of memory cannot be replaced: no spare row is left."""
    links: tuple[bool, ...] = ()
    """Per NVLink, whether it is up."""
    mode: str = "default"
    """Processes allowed: ``default`` (any number), ``exclusive`` (one) or ``prohibited``."""
    slowed: tuple[str, ...] = ()
    pcie: tuple[int, int] | None = None
    """(generation, lanes) that both GPU and slot support."""


@dataclass(frozen=True)
class Health:
    """Health of all GPUs of the machine, including those that the environment hides."""

    gpus: Mapping[int, GpuCondition] = field(default_factory=dict)
    """Per number that NVML gives the GPU."""
    apart: frozenset[tuple[int, int]] = frozenset()
    """Pairs that cannot read each other's memory: their copies pass through the host's."""


def read_health(nvml: Any) -> Health:
    """Query an open NVML (`pipeline.device.probe.open_nvml`) about every GPU."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    apart = set()
    for a, b in combinations(range(len(handles)), 2):
        pair, index = (handles[a], handles[b]), nvml.NVML_P2P_CAPS_INDEX_READ
        status = _query(nvml, "nvmlDeviceGetP2PStatus", *pair, index)
        # Without an answer, the pair is not reported: it may be well.
        if status is not None and status != nvml.NVML_P2P_STATUS_OK:
            apart.add((a, b))
    return Health({i: _read_condition(nvml, h) for i, h in enumerate(handles)}, frozenset(apart))


def _read_condition(nvml: Any, handle: Any) -> GpuCondition:
    query = partial(_query, nvml)
    mig, ecc = query("nvmlDeviceGetMigMode", handle), query("nvmlDeviceGetEccMode", handle)
    rows = query("nvmlDeviceGetRemappedRows", handle) or (0, 0, 0, 0)
    kinds = nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, nvml.NVML_VOLATILE_ECC
    modes = {
        nvml.NVML_COMPUTEMODE_PROHIBITED: "prohibited",
        nvml.NVML_COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive",
    }
    lowered = query("nvmlDeviceGetCurrentClocksThrottleReasons", handle) or 0
    generation = query("nvmlDeviceGetMaxPcieLinkGeneration", handle)
    lanes = query("nvmlDeviceGetMaxPcieLinkWidth", handle)
    slices = 0
    if mig and mig[0]:
        places = range(query("nvmlDeviceGetMaxMigDeviceCount", handle) or 0)
        get_slice = "nvmlDeviceGetMigDeviceHandleByIndex"
        slices = sum(query(get_slice, handle, place) is not None for place in places)
    links = []
    for number in range(nvml.NVML_NVLINK_MAX_LINKS):
        state = query("nvmlDeviceGetNvLinkState", handle, number)
        # Links are numbered from 0 without gaps: no answer means that there are no more.
        if state is None:
            break
        links.append(bool(state))
    return GpuCondition(
        mig=None if mig is None else bool(mig[0]),
        slices=slices,
        ecc=None if ecc is None else bool(ecc[0]),
        ecc_next=None if ecc is None else bool(ecc[1]),
        uncorrected=query("nvmlDeviceGetTotalEccErrors", handle, *kinds) or 0,
        remap_waits=bool(rows[2]),
        remap_failed=bool(rows[3]),
        links=tuple(links),
        mode=modes.get(query("nvmlDeviceGetComputeMode", handle), "default"),
        slowed=tuple(sorted({why for bit, why in SLOWED.items() if lowered & getattr(nvml, bit)})),
        pcie=None if generation is None or lanes is None else (generation, lanes),
    )


def _query(nvml: Any, function: str, *arguments: Any) -> Any:
    """Call a function of NVML; None if it is not supported for this GPU."""
    try:
        return getattr(nvml, function)(*arguments)
    except nvml.NVMLError:
        return None
