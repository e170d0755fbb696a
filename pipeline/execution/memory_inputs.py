"""The memory plan of a run: its inputs from the job and a sample, and the parts it leads to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.config.cluster import Memory
from pipeline.errors import ConfigError, MachineError
from pipeline.execution.job import Job, needs_refit
from pipeline.features.ops.categorify import Categorify
from pipeline.features.ops.hash import Hash
from pipeline.ingest import partitions
from pipeline.ingest.blocks import BlockGroup
from pipeline.ingest.sample import DataSample, sample_rows
from pipeline.memory import planner
from pipeline.memory.booster_bytes import TreeGrowth, histogram_bytes, tree_bytes
from pipeline.memory.estimate import WIDTH, Sizes
from pipeline.memory.planner import LEAST_ROWS, PLANNED, FallbackLevel, MemoryPlan
from pipeline.memory.text_bytes import summary_bytes, text_bytes
from pipeline.train.forest.train import MATRIX_ROWS, estimate_nodes
from pipeline.train.model import sort_for_training
from pipeline.train.params import ForestParams, XGBoostParams

Planner = Callable[[Memory, int | None], tuple[list[BlockGroup], MemoryPlan]]
"""A function that plans the run within other limits of the host, and of the GPUs together."""
WORKERS = {"memory.host": "the workers' memory", "memory.gpu": "the workers' GPU memory"}


def concurrent_partitions(job: Job, threads: int) -> int:
    """Return how many partitions this process works on at a time: one on a GPU."""
    return 1 if job.choice.name == "gpu" else threads


def plan_parts(
    job: Job,
    threads: int,
    folder: Path | None,
    shared: int | None = None,
    *,
    device: int | None = None,
    level: FallbackLevel = PLANNED,
    train_rows: int | None = None,
) -> tuple[list[BlockGroup], MemoryPlan]:
    """Divide the input into parts, and plan the memory for their rows.

    Args:
        job: the run's job.
        threads: threads of all workers.
        folder: the run's folder, where CSV would be staged, or None; it need not exist yet.
        shared: bytes for the workers of a cluster together, instead of ``memory.host``.
        device: bytes for all GPUs together.
        level: the run's fallback level.
        train_rows: the number of training rows, once they are counted; None: as estimated.

    Raises:
        MachineError: too few rows to train on fit; the message names the memory that they need.
    """

    def plan_within(memory: Memory, device: int | None) -> tuple[list[BlockGroup], MemoryPlan]:
        limited = replace(job, config=job.config.model_copy(update={"memory": memory}))
        parts = divide_into_parts(limited, threads, level)
        plan = planner.plan_memory(
            memory,
            collect_sizes(limited, parts, threads, device),
            free=0 if folder is None else free_disk_at(folder),
            shared=shared,
            device=device,
            level=level,
            train_rows=train_rows,
        )
        return parts, plan

    parts, plan = plan_within(job.config.memory, device)
    if not plan.has_enough_rows:
        least = _find_enough(plan, job.config.memory, plan_within, shared)
        everything = job.config.memory.model_copy(update={"sample": "never"})
        full = _find_enough(plan_within(everything, device)[1], everything, plan_within, shared)
        rows = train_rows or full.train_rows
        raise _explain_too_little(job, plan, least, full, rows=rows, shared=shared)
    return parts, plan


def _find_enough(
    plan: MemoryPlan, memory: Memory, plan_within: Planner, shared: int | None
) -> MemoryPlan:
    """Return the plan within the smallest limits that are enough, to 10 MB.

    The limits of workers are not raised: their plan already names what they need.
    """
    # Larger limits make larger blocks, which need more memory in turn.
    while not plan.has_enough_rows and shared is None:
        limits = {"host": max(plan.limit, _round_up(plan.host_peak))}
        if plan.device_limit is not None:
            limits["gpu"] = max(plan.device_limit, _round_up(plan.device))
        plan = plan_within(memory.model_copy(update=limits), limits.get("gpu"))[1]
    return plan


def _explain_too_little(
    job: Job,
    plan: MemoryPlan,
    least: MemoryPlan,
    full: MemoryPlan,
    *,
    rows: int,
    shared: int | None,
) -> MachineError:
    """Return the error that names each limit that is too small, and what would be enough."""
    some, never = min(LEAST_ROWS, rows), job.config.memory.sample == "never"
    messages, fixes = [], []
    for key, limit in (("memory.host", plan.limit), ("memory.gpu", plan.device_limit)):
        if shared is not None:
            need, whole = (
                (p.host_peak if key == "memory.host" else p.device) for p in (least, full)
            )
        elif key == "memory.host":
            need, whole = least.limit, full.limit
        else:
            need, whole = least.device_limit or 0, full.device_limit or 0
        if limit is None or need <= limit:
            continue
        whose = key if shared is None else WORKERS[key]
        what = f"{whose}: {limit // 10**7 / 100:.2f} GB are allowed, {_gb(need)} GB are needed "
        partly = f"to train on {some:,} of {rows:,} training rows, {_gb(whole)} GB on all of them"
        messages.append(what + (f"for {rows:,} training rows" if never or some == rows else partly))
        fixes.append(f"{key}: {_gb(need)}GB")
    fix, memory = f"set {' and '.join(fixes)}", job.config.memory
    if job.cluster.is_address and shared is not None:
        fix = "use more workers, or more memory for each (dask worker --memory-limit)"
    elif shared is not None:
        # The libraries of the other workers take this much of the limit.
        others = planner.host_limit(memory) - shared
        fix = "use fewer cluster.workers, or cluster: process"
        if memory.host is not None:
            fix = f"set memory.host: {_gb(least.host_peak + others)}GB; or {fix}"
    if fix.startswith("set memory.host") and memory.host is None:
        fix += " (auto is 0.7 of the machine's memory, or what ulimit -v leaves)"
    if never:
        fix += "; or set memory.sample: auto to train on the rows that fit"
    return MachineError("; ".join(messages), fix=fix)


def _round_up(size: int) -> int:
    """Return the size rounded up to the digits that `_gb` shows."""
    return -(-size // 10**7) * 10**7


def _gb(size: int) -> str:
    return f"{_round_up(size) / 1e9:.2f}"


def divide_into_parts(job: Job, threads: int, level: FallbackLevel) -> list[BlockGroup]:
    """Return the parts that the run reads at a time on a fallback level."""
    limit = planner.host_limit(job.config.memory)
    size = planner.choose_block_bytes(limit, job.device_limit) // level.smaller
    return partitions.plan_partitions(job.contract, job.config.data.rows, threads, size)


def free_disk_at(folder: Path) -> int:
    """Return the bytes free on the disk where the folder is or will be."""
    existing = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    return shutil.disk_usage(existing).free


def describe_plan(plan: MemoryPlan, csv: bool, workers: bool) -> list[str]:
    """Return the ledger's notes on rows that are not kept in memory, and on trees without room."""
    whose = "the workers' limit" if workers else "the limit"
    notes = []
    # less than a quarter is within the accuracy of the plan
    if plan.peak_of_all_rounds > plan.limit and plan.more_trees > plan.limit / 4:
        notes.append(
            f"trees: unless early stopping ends the training, XGBoost takes up to "
            f"{plan.peak_of_all_rounds / 1e9:.1f} GB, {whose} is {plan.limit / 1e9:.1f} GB; "
            "models.xgboost.rounds or max_depth limits it"
        )
    if plan.in_memory:
        return notes
    notes += [
        f"streaming: all rows in memory would take {plan.in_memory_peak / 1e9:.1f} GB, "
        f"{whose} is {plan.limit / 1e9:.1f} GB"
    ]
    if csv and not plan.staging:
        why = "the workers share no disk" if workers else "the disk has no room"
        notes.append(f"CSV is parsed in each pass: {why} for staging it")
    return notes


# -- inputs of the estimates -----------------------------------------------------------------------


def collect_sizes(
    job: Job, parts: Sequence[BlockGroup], threads: int, device: int | None = None
) -> Sizes:
    """Return the inputs of the memory estimates, from the job and a sample of the rows.

    Args:
        threads: partitions that are worked on at a time.
        device: bytes for all GPUs together.
    """
    rows = sum(part.rows for part in parts)
    blocks = [block for part in parts for block in part.blocks]
    sample = sample_rows(job.contract, blocks, job.reads, target=job.target, data=job.config.data)
    split, most = job.config.split, max((part.rows for part in parts), default=0)

    def row_bytes(names: Sequence[str], packed: Mapping[str, float]) -> float:
        texts = [sample.text_columns[n] for n in names if n in sample.text_columns]
        others = [c for c in job.source.select(names) if c.name not in sample.text_columns]
        codes = [text_bytes(w.estimate_distinct(most), w.mean_bytes, most) for w in texts]
        return sum(packed.get(c.name, WIDTH[c.dtype]) for c in others) + sum(codes)

    texts = [sample.text_columns[n] for n in job.features if n in sample.text_columns]
    csv = job.contract.format == "csv"
    refit = needs_refit(job.config, rows)
    fitted = int(most * (1 - split.valid - split.test))
    forest = job.models.get("forest")
    # Only `max_samples: auto` limits the rows that the forest draws from.
    limited = getattr(forest, "max_samples", "auto") == "auto"
    histograms, trees, more = _boosting_bytes(job, rows, sample)
    return Sizes(
        rows=rows,
        train=1 - split.valid - split.test,
        valid=split.valid,
        read_row=row_bytes(job.reads, {}),
        packed_row=row_bytes(job.reads, sample.packed_bytes),
        feature_row=row_bytes(job.frame_columns, sample.packed_bytes),
        staged_row=sample.staged_row_bytes,
        block_rows=most,
        threads=min(threads, len(parts)),
        features=job.width,
        block_bytes=max((part.size for part in parts), default=0) if csv else 0,
        present=_estimate_present(job, sample.missing),
        distinct_texts=sum(
            summary_bytes(w.estimate_distinct, w.mean_bytes, fitted, len(parts)) for w in texts
        ),
        scores=sample.predictions_per_row,
        forest_rows=MATRIX_ROWS if limited else rows,
        forest_nodes=estimate_nodes(forest, rows) if isinstance(forest, ForestParams) else 0,
        models=sort_for_training(job.models),
        refit=refit,
        keep_frames=refit or bool(job.config.evaluate.slices),
        device=job.choice.name,
        device_memory=device or 0,
        histograms=histograms,
        boosted_trees=trees,
        more_trees=more,
    )


def _boosting_bytes(job: Job, rows: int, sample: DataSample) -> tuple[int, int, int]:
    """Return the bytes of XGBoost's histograms, its trees, and those that may follow."""
    xgboost, split = job.models.get("xgboost"), job.config.split
    if not isinstance(xgboost, XGBoostParams):
        return 0, 0, 0
    params = xgboost.resolve_auto(rows)
    assert params.max_depth != "auto"
    codes = _estimate_codes(job, int(rows * (1 - split.valid - split.test)), sample)
    # A column of codes has as many bins as values, whatever `max_bin` is.
    bins = sum(codes) + max(job.width - len(codes), 0) * min(params.max_bin, rows)
    growth = TreeGrowth(params.max_depth, params.max_leaves)
    # Early stopping may end the training, so only the rounds before it are certain. With the rest,
    # the plan would refuse trainings that stop early: `describe_plan` names it instead.
    stops = params.early_stopping if split.valid else 0
    rounds = min(params.rounds, stops or params.rounds)
    each = params.num_parallel_tree * sample.predictions_per_row
    trees = tree_bytes(rounds * each, growth, rows)
    more = tree_bytes((params.rounds - rounds) * each, growth, rows)
    return histogram_bytes(int(bins), growth, rows), trees, more


def _estimate_codes(job: Job, rows: int, sample: DataSample) -> list[float]:
    """Return the number of codes of each column that `hash` or `categorify` makes of the data."""
    codes: list[float] = []
    for op in job.ops or ():
        if not isinstance(op, Categorify | Hash):
            continue
        try:
            names = op.reads(job.source)
        except ConfigError:
            continue  # columns of earlier ops, whose values are not known yet
        if isinstance(op, Hash):
            codes += [float(op.size)] * len(names)
            continue
        most = min(rows / op.min_count, op.max_size or rows)
        texts = [sample.text_columns[n] for n in names if n in sample.text_columns]
        codes += [min(text.estimate_distinct(rows), most) for text in texts]
    return codes


def _estimate_present(job: Job, missing: Mapping[str, float]) -> float:
    """Return the share of the matrix that is probably not missing."""
    names = {op.name for op in job.ops or ()}
    if "fill" in names or not job.features:
        return 1.0
    share = sum(missing.get(n, 0.0) for n in job.features) / len(job.features)
    # Joins without a match and the first rows of a series add missing values.
    return 1.0 - max(share, 0.01 if names & {"join", "lag"} else 0.0)
