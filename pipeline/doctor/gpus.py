"""The GPUs: driver, what each is and lacks, whether it computes, and how they reach each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from pipeline.device.probe import VISIBLE, Gpu, Probe, cuda_text
from pipeline.doctor.finding import Finding, Status, format_gib
from pipeline.doctor.health import GpuCondition, Health
from pipeline.doctor.host import Host

TOLD = ("no NVIDIA driver", "driver too old", "the NVIDIA driver")
"""How reasons begin that lie in the driver."""
AT_ONCE = 4
"""Processes that compute at a time: each imports RAPIDS, 0.7 GB of the host's memory."""


def check_driver(found: Probe) -> Finding:
    """NVIDIA's driver."""
    if found.reason and (not found.driver or found.reason.startswith(TOLD)):
        return Finding("driver", "warn", found.reason, found.fix)
    return Finding("driver", "ok", f"{found.driver}, up to CUDA {cuda_text(found.cuda)}")


def check_gpus(found: Probe, health: Health) -> list[Finding]:
    """A line per GPU that can be used, or why there is none."""
    if found.reason:
        return [Finding("GPU", "warn", f"none: {found.reason}", found.fix)]
    return [_gpu(gpu, health.gpus.get(gpu.index, GpuCondition())) for gpu in found.gpus]


def _gpu(gpu: Gpu, condition: GpuCondition) -> Finding:
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
        fix = "nvidia-smi shows which processes hold its memory: end them, or choose another GPU"
        return Finding(name, "warn", f"{detail}: others hold most of it", fix)
    return Finding(name, "ok", detail)


def check_conditions(found: Probe, health: Health) -> list[Finding]:
    """Faults and modes that keep runs from a GPU or break them: of those in use, or else of all."""
    used = {gpu.index for gpu in found.gpus} or set(health.gpus)
    return [
        Finding(f"GPU {index}", status, detail, fix)
        for index, condition in health.gpus.items()
        if index in used
        for status, detail, fix in (*_modes(index, condition), *_faults(index, condition))
    ]


Trouble = tuple[Status, str, str]
"""Status, detail, fix."""


def _modes(index: int, c: GpuCondition) -> Iterator[Trouble]:
    """How it is set."""
    default = f"sudo nvidia-smi -i {index} -c DEFAULT"
    if c.mig and not c.slices:
        fix = f"sudo nvidia-smi mig -i {index} -cgi 0 -C, or sudo nvidia-smi -i {index} -mig 0"
        yield "warn", "in MIG mode without a slice: nothing can use it", fix
    if c.mode == "prohibited":
        yield "fail", "its compute mode lets no process use it", default
    if c.mode == "exclusive":
        yield "warn", "its compute mode lets one process use it at a time", default
    if c.ecc is not c.ecc_next:
        now = "on" if c.ecc_next else "off"
        yield "warn", f"ECC will be {now} after a reset", _reset(index)


def _faults(index: int, c: GpuCondition) -> Iterator[Trouble]:
    """What is broken."""
    if c.remap_failed:
        yield "fail", "rows of its memory are defective and no spare is left", "replace this GPU"
    if c.remap_waits:
        yield "warn", "a defective row of its memory waits for a reset", _reset(index)
    if c.uncorrected:
        detail = f"{c.uncorrected:,} memory errors that ECC could not mend"
        yield "warn", detail, f"{_reset(index)}; if they come again, replace this GPU"
    if c.slowed:
        fix = "check fans, dust and power supply (nvidia-smi -q -d PERFORMANCE)"
        yield "warn", f"slowed down by {' and '.join(c.slowed)}", fix
    if down := sum(not up for up in c.links):
        fix = "nvidia-smi nvlink -s shows which; reseat the bridge, or restart nvidia-fabricmanager"
        yield "warn", f"{down} of {len(c.links)} NVLinks are down", fix


def _reset(index: int) -> str:
    return f"end its processes, then sudo nvidia-smi -i {index} --gpu-reset (or restart)"


def check_same_model(found: Probe) -> list[Finding]:
    """Several GPUs are of one kind: the smallest sets the plan, the slowest the pace."""
    if len(found.gpus) < 2:
        return []
    kinds = {(gpu.name, round(gpu.memory / 2**30)) for gpu in found.gpus}
    names = ", ".join(f"{gpu.index}: {gpu.name} {format_gib(gpu.memory)}" for gpu in found.gpus)
    if len(kinds) == 1:
        return [Finding("GPUs alike", "ok", f"{len(found.gpus)} × {found.gpus[0].name}")]
    best = max(found.gpus, key=lambda gpu: (gpu.memory, gpu.capability))
    same = [g for g in found.gpus if (g.name, g.memory) == (best.name, best.memory)]
    chosen = ",".join(g.uuid for g in same)
    detail = f"{names}: rows are dealt out evenly, so the smallest is full first"
    return [Finding("GPUs alike", "warn", detail, f"export {VISIBLE}={chosen}")]


def check_peer_access(found: Probe, health: Health) -> list[Finding]:
    """Several GPUs read each other's memory, rather than through the host's."""
    if len(found.gpus) < 2:
        return []
    used = {gpu.index for gpu in found.gpus}
    apart = sorted(pair for pair in health.apart if used.issuperset(pair))
    if not apart:
        return [Finding("between GPUs", "ok", "each reads the others' memory")]
    pairs = ", ".join(f"{a} and {b}" for a, b in apart[:3]) + (", …" if len(apart) > 3 else "")
    detail = f"no peer access between {pairs}: their copies pass through the host's memory"
    fix = "nvidia-smi topo -p2p r says why; most often IOMMU or ACS, to be turned off in the BIOS"
    return [Finding("between GPUs", "warn", detail, fix)]


def check_spill_room(found: Probe, host_memory: int) -> list[Finding]:
    """The host has room for what spills from a GPU."""
    if not found.gpus:
        return []
    largest = max(gpu.memory for gpu in found.gpus)
    detail = f"{format_gib(host_memory)} on the host for {format_gib(largest)} on the largest GPU"
    if host_memory < largest:
        fix = "raise the container's limit (docker run --memory); a smaller one streams sooner"
        return [Finding("room to spill", "warn", detail, fix)]
    return [Finding("room to spill", "ok", detail)]


def check_computation(host: Host, found: Probe) -> list[Finding]:
    """Each GPU computes with each library, in a process of its own; several add up by NCCL."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        problems = list(pool.map(host.try_gpu, found.gpus))
    findings = [_computed(gpu, problem) for gpu, problem in zip(found.gpus, problems, strict=True)]
    if len(found.gpus) > 1 and not any(problems):
        findings.append(_added_up(found.gpus, host.try_nccl(found.gpus)))
    return findings


def _computed(gpu: Gpu, problem: str | None) -> Finding:
    name = f"GPU {gpu.index} computes"
    if problem is None:
        return Finding(name, "ok", "CuPy, cuDF, XGBoost and cuML")
    return Finding(name, "fail", problem, _mended(problem))


HINTS = {
    r"no module named|cannot open shared object|undefined symbol":
        'install it again in a new environment: pip install -c constraints.txt ".[gpu]"',
    r"cpu build": "pip uninstall -y xgboost-cpu && pip install xgboost-cu13==3.2.*",
    r"out.of.memory|memory allocation|bad_alloc":
        "nvidia-smi shows which processes hold its memory: end them",
    r"no answer": "end other programs that hold the GPU (nvidia-smi), or restart the machine",
    r"insufficient|no kernel image":
        "driver or GPU are too old for what is installed: see the lines on driver and RAPIDS",
}  # fmt: skip
"""What to try, by what a library said."""


def _mended(problem: str) -> str:
    known = (fix for said, fix in HINTS.items() if re.search(said, problem, re.IGNORECASE))
    return next(known, "python -c 'import cudf; print(cudf.Series([1, 2]).sum())' shows all of it")


def _added_up(used: Sequence[Gpu], problem: str | None) -> Finding:
    if problem is None:
        return Finding("GPUs together", "ok", f"NCCL adds over {len(used)} GPUs")
    fix = (
        "NCCL_DEBUG=INFO says where; NCCL_P2P_DISABLE=1 goes round broken peer access; in a "
        "container --shm-size=1g --ulimit memlock=-1"
    )
    return Finding("GPUs together", "fail", problem, fix)
