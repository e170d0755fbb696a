"""Checks of the GPUs: driver, properties and faults, computation, and peer access."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from pipeline.console.plural import quantify
from pipeline.device.probe import VISIBLE, Probe, cuda_text
from pipeline.doctor.finding import GIB, Finding, Status, format_gib
from pipeline.doctor.health import GpuCondition, Health
from pipeline.doctor.host import Host

DRIVER_REASONS = ("no NVIDIA driver", "driver too old", "the NVIDIA driver")
"""Beginnings of a probe's reasons that concern the driver."""
AT_ONCE = 4
"""Number of processes that compute at a time: each imports RAPIDS, 0.7 GB of the host's memory."""
HINTS = {
    r"no module named|cannot open shared object|undefined symbol":
        'reinstall it in a new environment: pip install -c constraints.txt ".[gpu]"',
    r"cpu build": "install the package that the line on XGBoost names",
    r"out.of.memory|memory allocation|bad_alloc":
        "end the processes that nvidia-smi lists for this GPU",
    r"no answer": "end other programs that use the GPU (nvidia-smi), or restart the machine",
    r"insufficient|no kernel image":
        "update the driver, or install older libraries: see the lines on driver and RAPIDS",
}  # fmt: skip
"""Fixes by a pattern of the library's error."""
WHOLE_ERROR = "see the whole error: python -c 'import cudf; print(cudf.Series([1, 2]).sum())'"


def check_driver(probe: Probe) -> Finding:
    """Check NVIDIA's driver."""
    # A driver may work while no GPU is usable: then the line on GPUs has the reason.
    if probe.reason and (not probe.driver or probe.reason.startswith(DRIVER_REASONS)):
        return Finding("driver", "warn", probe.reason, probe.fix)
    return Finding("driver", "ok", f"{probe.driver}, up to CUDA {cuda_text(probe.cuda)}")


def check_gpus(probe: Probe, health: Health) -> list[Finding]:
    """Describe each GPU that can be used, or report why there is none."""
    if probe.reason:
        return [Finding("GPU", "warn", f"none: {probe.reason}", probe.fix)]
    findings = []
    for gpu in probe.gpus:
        condition = health.gpus.get(gpu.index, GpuCondition())
        parts = [
            gpu.name,
            f"{format_gib(gpu.free)} of {format_gib(gpu.memory)} free",
            f"compute capability {gpu.capability[0]}.{gpu.capability[1]}",
        ]
        if condition.mig:
            parts.append(f"MIG: a process uses one of {condition.slices} slices")
        if condition.ecc is not None:
            parts.append(f"ECC {'on' if condition.ecc else 'off'}")
        if condition.pcie:
            parts.append(f"PCIe {condition.pcie[0]} × {condition.pcie[1]}")
        if condition.links:
            parts.append(f"{sum(condition.links)} NVLinks")
        name, detail = f"GPU {gpu.index}", ", ".join(parts)
        if 2 * gpu.free < gpu.memory:
            detail += ": other processes use most of its memory"
            fix = "end the processes that nvidia-smi lists for this GPU, or choose another GPU"
            findings.append(Finding(name, "warn", detail, fix))
        else:
            findings.append(Finding(name, "ok", detail))
    return findings


def check_conditions(probe: Probe, health: Health) -> list[Finding]:
    """Check GPUs for faults, and for modes that exclude runs."""
    # Without a usable GPU, a fault of any of them may be the reason.
    used = {gpu.index for gpu in probe.gpus} or set(health.gpus)
    return [
        Finding(f"GPU {index}", status, detail, fix)
        for index, condition in health.gpus.items()
        if index in used
        for status, detail, fix in (*_list_modes(index, condition), *_list_faults(index, condition))
    ]


Problem = tuple[Status, str, str]
"""Status, detail and fix."""


def _list_modes(index: int, c: GpuCondition) -> Iterator[Problem]:
    """Yield the settings that keep runs from a GPU."""
    default = f"sudo nvidia-smi -i {index} -c DEFAULT"
    if c.mig and not c.slices:
        fix = f"sudo nvidia-smi mig -i {index} -cgi 0 -C, or sudo nvidia-smi -i {index} -mig 0"
        yield "warn", "in MIG mode without a slice: nothing can use it", fix
    if c.mode == "prohibited":
        yield "fail", "its compute mode allows no process to use it", default
    if c.mode == "exclusive":
        yield "warn", "its compute mode allows only one process at a time", default
    if c.ecc is not c.ecc_next:
        mode = "on" if c.ecc_next else "off"
        yield "warn", f"ECC will be {mode} after a reset", _describe_reset(index)


def _list_faults(index: int, c: GpuCondition) -> Iterator[Problem]:
    """Yield the defects of a GPU."""
    if c.remap_failed:
        yield "fail", "its memory has defective rows, and no spare is left", "replace this GPU"
    if c.remap_waits:
        detail = "its memory has a defective row that waits for a reset"
        yield "warn", detail, _describe_reset(index)
    if c.uncorrected:
        detail = f"{c.uncorrected:,} memory errors that ECC could not correct"
        yield "warn", detail, f"{_describe_reset(index)}; if they recur, replace this GPU"
    if c.slowed:
        fix = "check fans, dust and power supply (nvidia-smi -q -d PERFORMANCE)"
        yield "warn", f"slowed down by {' and '.join(c.slowed)}", fix
    if down := sum(not up for up in c.links):
        fix = (
            "find the links with nvidia-smi nvlink -s, then reseat the bridge or restart "
            "nvidia-fabricmanager"
        )
        yield "warn", f"{down} of {len(c.links)} NVLinks are down", fix


def _describe_reset(index: int) -> str:
    return f"end its processes, then sudo nvidia-smi -i {index} --gpu-reset (or restart)"


def check_same_model(probe: Probe) -> list[Finding]:
    """Check that all GPUs are of one model: the smallest limits the plan, the slowest the speed."""
    if len(probe.gpus) < 2:
        return []
    models = {(gpu.name, round(gpu.memory / GIB)) for gpu in probe.gpus}
    if len(models) == 1:
        return [Finding("GPUs alike", "ok", f"{len(probe.gpus)} × {probe.gpus[0].name}")]
    names = ", ".join(f"{gpu.index}: {gpu.name} {format_gib(gpu.memory)}" for gpu in probe.gpus)
    # The fix selects the GPUs of the best model by UUID: numbers change with the environment.
    best = max(probe.gpus, key=lambda gpu: (gpu.memory, gpu.capability))
    same = [g for g in probe.gpus if (g.name, g.memory) == (best.name, best.memory)]
    detail = f"{names}: rows are distributed evenly, so the smallest GPU is full first"
    fix = f"export {VISIBLE}={','.join(g.uuid for g in same)}"
    return [Finding("GPUs alike", "warn", detail, fix)]


def check_peer_access(probe: Probe, health: Health) -> list[Finding]:
    """Check that GPUs read each other's memory directly, not through the host's."""
    if len(probe.gpus) < 2:
        return []
    used = {gpu.index for gpu in probe.gpus}
    apart = sorted(pair for pair in health.apart if used.issuperset(pair))
    if not apart:
        return [Finding("between GPUs", "ok", "each GPU can read the others' memory")]
    pairs = ", ".join(f"{a} and {b}" for a, b in apart[:3]) + (", …" if len(apart) > 3 else "")
    detail = f"no peer access between {pairs}: their copies pass through the host's memory"
    fix = (
        "see the reason with nvidia-smi topo -p2p r; mostly IOMMU or ACS must be turned off in the "
        "BIOS"
    )
    return [Finding("between GPUs", "warn", detail, fix)]


def check_spill_room(probe: Probe, host_memory: int) -> list[Finding]:
    """Check that the host has room for data spilled from a GPU."""
    if not probe.gpus:
        return []
    largest = max(gpu.memory for gpu in probe.gpus)
    detail = f"{format_gib(host_memory)} on the host for {format_gib(largest)} on the largest GPU"
    if host_memory < largest:
        fix = "raise the container's limit (docker run --memory); with less, runs stream sooner"
        return [Finding("room to spill", "warn", detail, fix)]
    return [Finding("room to spill", "ok", detail)]


def check_computation(host: Host, probe: Probe) -> list[Finding]:
    """Compute on each GPU with each library in a process of its own; sum over several by NCCL."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        problems = list(pool.map(host.try_gpu, probe.gpus))
    findings = []
    for gpu, problem in zip(probe.gpus, problems, strict=True):
        name = f"GPU {gpu.index} computes"
        if problem is None:
            findings.append(Finding(name, "ok", "CuPy, cuDF, XGBoost and cuML"))
        else:
            fixes = [fix for text, fix in HINTS.items() if re.search(text, problem, re.IGNORECASE)]
            findings.append(Finding(name, "fail", problem, fixes[0] if fixes else WHOLE_ERROR))
    # A GPU that fails alone would fail NCCL too, with a message that hides the cause.
    if len(probe.gpus) > 1 and not any(problems):
        problem = host.try_nccl(probe.gpus)
        detail = problem or f"NCCL sums over {quantify(len(probe.gpus), 'GPU')}"
        fix = (
            "run with NCCL_DEBUG=INFO to see where; NCCL_P2P_DISABLE=1 avoids broken peer access; "
            "containers need --shm-size=1g --ulimit memlock=-1"
        )
        if problem is None:
            findings.append(Finding("GPUs together", "ok", detail))
        else:
            findings.append(Finding("GPUs together", "fail", detail, fix))
    return findings
