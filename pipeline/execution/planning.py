"""The parts that a run reads at a time, and the memory plan that they give."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pipeline.config.model import Memory
from pipeline.errors import MachineError
from pipeline.execution.job import Job
from pipeline.execution.memory_inputs import collect_sizes
from pipeline.ingest import partitions
from pipeline.ingest.blocks import BlockGroup
from pipeline.memory import planner
from pipeline.memory.planner import LEAST_ROWS, PLANNED, FallbackLevel, MemoryPlan

Planner = Callable[[Memory, int | None], tuple[list[BlockGroup], MemoryPlan]]
"""Plans the run within other limits: of the host (and the GPU's block size), and of the GPUs."""
WORKERS = {"memory.host": "the workers' memory", "memory.gpu": "the workers' GPU memory"}


def concurrent_partitions(job: Job, threads: int) -> int:
    """Partitions that this process works on at a time: one on a GPU."""
    return 1 if job.choice.name == "gpu" else threads


def plan_parts(
    job: Job, threads: int, folder: Path | None, shared: int | None = None, *,
    device: int | None = None, rung: FallbackLevel = PLANNED, train_rows: int | None = None,
) -> tuple[list[BlockGroup], MemoryPlan]:  # fmt: skip
    """The parts of the run, and what their rows will hold in memory.

    Args:
        job: the run.
        threads: of all workers.
        folder: the run's, where CSV would be staged; it need not be there yet. None: nowhere.
        shared: what the workers of a cluster may hold together, instead of ``memory.host``.
        device: what the GPUs may hold together.
        rung: what gives way in any case.
        train_rows: the training rows, once they are counted; None: as estimated.

    Raises:
        MachineError: too few rows to train on fit; the message says what they need.
    """

    def planned(memory_of: Memory, device: int | None) -> tuple[list[BlockGroup], MemoryPlan]:
        asked = replace(job, config=job.config.model_copy(update={"memory": memory_of}))
        parts = divide_into_parts(asked, threads, rung)
        free = 0 if folder is None else free_disk_at(folder)
        sizes = collect_sizes(asked, parts, threads, device)
        return parts, planner.plan_memory(
            memory_of, sizes, free=free, shared=shared, device=device, level=rung,
            train_rows=train_rows,
        )  # fmt: skip

    parts, plan = planned(job.config.memory, device)
    if not plan.has_enough_rows:
        least = _enough(plan, job.config.memory, planned, shared)
        everything = job.config.memory.model_copy(update={"sample": "never"})
        full = _enough(planned(everything, device)[1], everything, planned, shared)
        raise _too_little(job, plan, least, full, rows=train_rows or full.train_rows, shared=shared)
    return parts, plan


def _enough(plan: MemoryPlan, asked: Memory, planned: Planner, shared: int | None) -> MemoryPlan:
    """The plan within the least limits that are enough, to 10 MB; of workers, what they need.

    Larger limits make larger blocks, which need more in turn.
    """
    while not plan.has_enough_rows and shared is None:
        limits = {"host": max(plan.limit, _rounded(plan.host_peak))}
        if plan.device_limit is not None:
            limits["gpu"] = max(plan.device_limit, _rounded(plan.device))
        plan = planned(asked.model_copy(update=limits), limits.get("gpu"))[1]
    return plan


def _too_little(
    job: Job, plan: MemoryPlan, least: MemoryPlan, full: MemoryPlan, *, rows: int,
    shared: int | None,
) -> MachineError:  # fmt: skip
    """The error that names each limit that is too small, and what would be enough."""
    some, never = min(LEAST_ROWS, rows), job.config.memory.sample == "never"
    messages, fixes = [], []
    for key, limit in (("memory.host", plan.limit), ("memory.gpu", plan.device_limit)):
        need, whole = (_limit(found, key, shared) for found in (least, full))
        if limit is None or need <= limit:
            continue
        whose = key if shared is None else WORKERS[key]
        what = f"{whose}: {limit // 10**7 / 100:.2f} GB are allowed, {_gb(need)} GB are needed "
        partly = f"to train on {some:,} of {rows:,} training rows, {_gb(whole)} GB on all of them"
        messages.append(what + (f"for {rows:,} training rows" if never or some == rows else partly))
        fixes.append(f"{key}: {_gb(need)}GB")
    fix = " and ".join(fixes) if shared is None else _more_for_workers(job, least.host_peak, shared)
    if fix.startswith("memory.host") and job.config.memory.host is None:
        fix += " (auto is 0.7 of the machine's memory, or what ulimit -v leaves)"
    if never:
        fix += ", or memory.sample: auto to train on those that fit"
    return MachineError("; ".join(messages), fix=fix)


def _limit(found: MemoryPlan, key: str, shared: int | None) -> int:
    """The limit that is enough for a plan of `_enough`."""
    if key == "memory.host":
        return found.limit if shared is None else found.host_peak
    return (found.device_limit or 0) if shared is None else found.device


def _more_for_workers(job: Job, need: int, shared: int) -> str:
    asked = job.config.memory
    if job.cluster.is_address:
        return "more workers, or more memory for each (dask worker --memory-limit)"
    others = planner.host_limit(asked) - shared  # what the other workers' libraries take
    key = f"memory.host: {_gb(need + others)}GB, " if asked.host is not None else ""
    return f"{key}fewer cluster.workers, or cluster: process"


def _rounded(size: int) -> int:
    """The size, rounded up to what `_gb` shows of it."""
    return -(-size // 10**7) * 10**7


def _gb(size: int) -> str:
    return f"{_rounded(size) / 1e9:.2f}"


def divide_into_parts(job: Job, threads: int, rung: FallbackLevel) -> list[BlockGroup]:
    """What the run reads at a time on this rung."""
    limit = planner.host_limit(job.config.memory)
    size = planner.choose_block_bytes(limit, job.device_limit) // rung.smaller
    return partitions.plan_partitions(job.contract, job.config.data.rows, threads, size)


def free_disk_at(folder: Path) -> int:
    """Bytes free on the disk where the folder is or will be."""
    there = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(there).free


def describe_plan(plan: MemoryPlan, csv: bool, workers: bool) -> list[str]:
    """What the ledger says of a plan that does not simply hold all rows."""
    if plan.in_memory:
        return []
    held, limit = plan.in_memory_peak / 1e9, plan.limit / 1e9
    whose = "the workers' limit" if workers else "the limit"
    found = [f"streaming: held rows would take {held:.1f} GB, {whose} is {limit:.1f} GB"]
    if csv and not plan.staging:
        why = "the workers share no disk" if workers else "the disk has no room"
        found.append(f"CSV read again in each pass: {why} for staging it")
    return found
