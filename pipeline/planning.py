"""The parts that a run reads at a time, and the memory plan that they give."""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.cluster import memory
from pipeline.cluster.memory import PLANNED, MemoryPlan, Rung
from pipeline.ingest import load
from pipeline.ingest.blocks import Part
from pipeline.job import Job
from pipeline.sizing import sizes_of


def at_once(job: Job, threads: int) -> int:
    """Partitions that this process works on at a time: one on a GPU."""
    return 1 if job.choice.name == "gpu" else threads


def planned_parts(
    job: Job, threads: int, folder: Path | None, shared: int | None = None, *,
    device: int | None = None, rung: Rung = PLANNED,
) -> tuple[list[Part], MemoryPlan]:  # fmt: skip
    """The parts of the run, and what their rows will hold in memory.

    Args:
        job: the run.
        threads: of all workers.
        folder: the run's, where CSV would be staged; it need not be there yet. None: nowhere.
        shared: what the workers of a cluster may hold together, instead of ``memory.host``.
        device: what the GPUs may hold together.
        rung: what gives way in any case.

    Raises:
        MachineError: the rows cannot be trained on within it.
    """
    parts = parts_of(job, threads, rung)
    free = 0 if folder is None else free_at(folder)
    sizes = sizes_of(job, parts, threads, device)
    asked = job.config.memory
    return parts, memory.plan(asked, sizes, free=free, shared=shared, device=device, rung=rung)


def parts_of(job: Job, threads: int, rung: Rung) -> list[Part]:
    """What the run reads at a time on this rung."""
    limit = memory.limit_of(job.config.memory)
    size = memory.block_bytes(limit, job.device_limit) // rung.smaller
    return load.planned(job.contract, job.config.data.rows, threads, size)


def free_at(folder: Path) -> int:
    """Bytes free on the disk where the folder is or will be."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


def plan_notes(plan: MemoryPlan, csv: bool, workers: bool) -> list[str]:
    """What the ledger says of a plan that does not simply hold all rows."""
    if plan.hold:
        return []
    held, limit = plan.held / 1e9, plan.limit / 1e9
    whose = "the workers' limit" if workers else "the limit"
    found = [f"streaming: held rows would take {held:.1f} GB, {whose} is {limit:.1f} GB"]
    if csv and not plan.staging:
        why = "the workers share no disk" if workers else "the disk has no room"
        found.append(f"CSV read again in each pass: {why} for staging it")
    return found
