"""The memory plan of a run: its inputs from the job and a sample, and the parts it leads to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.config.model import Memory
from pipeline.errors import ConfigError, MachineError
from pipeline.execution.job import Job, needs_refit
from pipeline.features.ops.categorify import Categorify
from pipeline.features.ops.hash import Hash
from pipeline.ingest import partitions
from pipeline.ingest.blocks import BlockGroup
from pipeline.ingest.sample import DataSample, sample_rows
from pipeline.memory import planner
from pipeline.memory.booster_bytes import TreeGrowth, histogram_bytes, tree_bytes
from pipeline.memory.estimate import WIDTH, Sizes, summary_bytes, text_bytes
from pipeline.memory.planner import LEAST_ROWS, PLANNED, FallbackLevel, MemoryPlan
from pipeline.train.forest.train import MATRIX_ROWS, estimate_nodes
from pipeline.train.model import sort_for_training
from pipeline.train.params import ForestParams, XGBoostParams

Planner = Callable[[Memory, int | None], tuple[list[BlockGroup], MemoryPlan]]
"""Plans the run within other limits: of the host (and the GPU's block size), and of the GPUs."""
WORKERS = {"memory.host": "the workers' memory", "memory.gpu": "the workers' GPU memory"}


def concurrent_partitions(job: Job, threads: int) -> int:
    """Partitions that this process works on at a time: one on a GPU."""
    return 1 if job.choice.name == "gpu" else threads


def plan_parts(
    job: Job, threads: int, folder: Path | None, shared: int | None = None, *,
    device: int | None = None, level: FallbackLevel = PLANNED, train_rows: int | None = None,
) -> tuple[list[BlockGroup], MemoryPlan]:  # fmt: skip
    """The parts of the run, and what their rows will hold in memory.

    Args:
        job: the run.
        threads: of all workers.
        folder: the run's, where CSV would be staged; it need not be there yet. None: nowhere.
        shared: what the workers of a cluster may hold together, instead of ``memory.host``.
        device: what the GPUs may hold together.
        level: what gives way in any case.
        train_rows: the training rows, once they are counted; None: as estimated.

    Raises:
        MachineError: too few rows to train on fit; the message says what they need.
    """

    def planned(memory_of: Memory, device: int | None) -> tuple[list[BlockGroup], MemoryPlan]:
        asked = replace(job, config=job.config.model_copy(update={"memory": memory_of}))
        parts = divide_into_parts(asked, threads, level)
        free = 0 if folder is None else free_disk_at(folder)
        sizes = collect_sizes(asked, parts, threads, device)
        return parts, planner.plan_memory(
            memory_of, sizes, free=free, shared=shared, device=device, level=level,
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


def divide_into_parts(job: Job, threads: int, level: FallbackLevel) -> list[BlockGroup]:
    """What the run reads at a time on this fallback level."""
    limit = planner.host_limit(job.config.memory)
    size = planner.choose_block_bytes(limit, job.device_limit) // level.smaller
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


# -- what the estimates are made of ---------------------------------------------------------------


def collect_sizes(
    job: Job, parts: Sequence[BlockGroup], threads: int, device: int | None = None
) -> Sizes:
    """What the estimates are made of; reads a sample.

    Args:
        threads: partitions that are worked on at a time.
        device: what the GPUs may hold together.
    """
    rows = sum(part.rows for part in parts)
    blocks = [block for part in parts for block in part.blocks]
    found = sample_rows(job.contract, blocks, job.reads, target=job.target, data=job.config.data)
    split, most = job.config.split, max((part.rows for part in parts), default=0)

    def row(names: Sequence[str], packed: Mapping[str, float]) -> float:
        texts = [found.text_columns[n] for n in names if n in found.text_columns]
        others = [c for c in job.source.select(names) if c.name not in found.text_columns]
        codes = [text_bytes(w.estimate_distinct(most), w.mean_bytes, most) for w in texts]
        return sum(packed.get(c.name, WIDTH[c.dtype]) for c in others) + sum(codes)

    texts = [found.text_columns[n] for n in job.features if n in found.text_columns]
    csv = job.contract.format == "csv"
    again = needs_refit(job.config, rows)
    learnt = int(most * (1 - split.valid - split.test))
    histograms, trees = _boosting(job, rows, found)
    return Sizes(
        rows=rows, train=1 - split.valid - split.test, valid=split.valid,
        read_row=row(job.reads, {}), packed_row=row(job.reads, found.packed_bytes),
        feature_row=row(job.frame_columns, found.packed_bytes),
        staged_row=found.staged_row_bytes,
        block_rows=most, threads=min(threads, len(parts)), features=job.width,
        block_bytes=max((part.size for part in parts), default=0) if csv else 0,
        present=_present(job, found.missing),
        distinct_texts=sum(
            summary_bytes(w.estimate_distinct, w.mean_bytes, learnt, len(parts)) for w in texts
        ),
        scores=found.predictions_per_row,
        forest_rows=_forest_rows(job, rows), forest_nodes=_forest_nodes(job, rows),
        models=sort_for_training(job.models), refit=again,
        keep_frames=again or bool(job.config.evaluate.slices), device=job.choice.name,
        device_memory=device or 0, histograms=histograms, boosted_trees=trees,
    )  # fmt: skip


def _forest_rows(job: Job, rows: int) -> int:
    forest = job.models.get("forest")
    return MATRIX_ROWS if getattr(forest, "max_samples", "auto") == "auto" else rows


def _forest_nodes(job: Job, rows: int) -> int:
    forest = job.models.get("forest")
    return estimate_nodes(forest, rows) if isinstance(forest, ForestParams) else 0


def _boosting(job: Job, rows: int, found: DataSample) -> tuple[int, int]:
    """Bytes of XGBoost's histograms and trees.

    A column of codes has as many bins as values, whatever ``max_bin`` is. Where early stopping may
    end the training, the trees are those that it surely grows.
    """
    xgboost, split = job.models.get("xgboost"), job.config.split
    if not isinstance(xgboost, XGBoostParams):
        return 0, 0
    own = xgboost.resolve_auto(rows)
    assert own.max_depth != "auto"
    codes = _categories(job, int(rows * (1 - split.valid - split.test)), found)
    bins = sum(codes) + max(job.width - len(codes), 0) * min(own.max_bin, rows)
    growth = TreeGrowth(own.max_depth, own.max_leaves)
    stops = own.early_stopping if split.valid else 0
    rounds = min(own.rounds, stops or own.rounds)
    trees = rounds * own.num_parallel_tree * found.predictions_per_row
    return histogram_bytes(int(bins), growth, rows), tree_bytes(trees, growth, rows)


def _categories(job: Job, rows: int, found: DataSample) -> list[float]:
    """The codes of each column that `hash` makes, or `categorify` of a text of the data; about."""
    made: list[float] = []
    for op in job.ops or ():
        if not isinstance(op, Categorify | Hash):
            continue
        try:
            names = op.reads(job.source)
        except ConfigError:
            continue  # columns of earlier ops: nobody knows their values yet
        if isinstance(op, Hash):
            made += [float(op.size)] * len(names)
            continue
        most = min(rows / op.min_count, op.max_size or rows)
        made += [
            min(found.text_columns[n].estimate_distinct(rows), most)
            for n in names
            if n in found.text_columns
        ]
    return made


def _present(job: Job, missing: Mapping[str, float]) -> float:
    """The share of the matrix that is likely not to be missing."""
    names = {op.name for op in job.ops or ()}
    if "fill" in names or not job.features:
        return 1.0
    share = sum(missing.get(n, 0.0) for n in job.features) / len(job.features)
    return 1.0 - max(share, 0.01 if names & {"join", "lag"} else 0.0)
