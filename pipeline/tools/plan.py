"""The plan of a run on this machine, described before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.artifacts.run_dirs import RUNS
from pipeline.artifacts.stage_id import EVALUATE, FEATURES, READ, SPLIT, StageId, train_id
from pipeline.config.model import Config
from pipeline.console.plural import quantify
from pipeline.execution.job import Job, prepare_job
from pipeline.execution.memory_inputs import concurrent_partitions, free_disk_at, plan_parts
from pipeline.features.engine.planner import (
    plan_next_phase,
    prune_ops,
    resolve_ops,
    select_model_columns,
)
from pipeline.features.engine.transform import Step
from pipeline.memory.cluster_capacity import check_workers
from pipeline.memory.planner import MemoryPlan, available_memory, host_limit

PARTS = {
    "libraries": "libraries", "frames": "frames", "matrix": "matrix", "words": "words",
    "training": "model", "bins": "bins", "trees": "trees", "scores": "scores",
    "in_flight": "in flight",
}  # fmt: skip
"""Labels in the table, by the part of a stage's estimate."""
UNKNOWN = 2**62
"""Memory in bytes of workers at a scheduler's address, which only a run asks for theirs."""


def describe_plan(config: Config) -> dict[str, Any]:
    """Describe the plan as JSON: device, input, ops by phase, models, memory.

    Raises:
        InputError, DeviceError: The run would end with this error before its first row.
    """
    from dask.system import CPU_COUNT

    job = prepare_job(config)
    check_workers(job.cluster, config.memory, CPU_COUNT)
    # The hosts and GPUs of a cluster are unknown, so partitions are sized for one GPU.
    parts, memory = plan_parts(
        job, concurrent_partitions(job, CPU_COUNT), RUNS, device=job.device_limit,
        shared=UNKNOWN if job.cluster.is_address else None,
    )  # fmt: skip
    if job.cluster.is_address:
        memory = replace(memory, limit=host_limit(config.memory))
    rows = sum(part.rows for part in parts)
    phases, features = _phases(job)
    return {
        "name": config.name,
        **job.place,
        "threads": CPU_COUNT,
        "input": {
            "files": len(job.contract.files), "rows": rows, "partitions": len(parts),
            "columns_read": list(job.reads), "columns_in_files": len(job.source.names),
        },
        "target": {"expression": job.config.data.target, "task": config.data.task},
        "split": job.config.split.model_dump(),
        "features": {
            "passes": len(phases) if job.ops is not None else None,
            "phases": phases,
            "matrix": features,
        },
        "models": {n: p.model_dump(mode="json", by_alias=True) for n, p in job.models.items()},
        "memory": _memory(job, memory, len(phases)),
    }  # fmt: skip


def _memory(job: Job, memory: MemoryPlan, phases: int) -> dict[str, Any]:
    passed = count_passes(job, memory, phases)
    return {
        "limit": memory.limit, "available": available_memory(), "total": memory.host_peak,
        "device": memory.device, "device_limit": memory.device_limit,
        "held": memory.in_memory_peak, "hold": memory.in_memory,
        "train_rate": memory.train_rate, "train_rows": memory.train_rows,
        "block_bytes": memory.block_bytes, "passes": sum(passed.values()),
        "bins": memory.bins, "cache": memory.cache,
        "csv": _csv(job, memory), "staging": memory.staging, "disk_free": free_disk_at(RUNS),
        "stages": [
            {
                "stage": str(s.stage), "passes": passed.get(s.stage, 0), "host": s.host,
                "device": s.device, "parts": dict(s.parts), "on_device": dict(s.on_device),
            }
            for s in memory.stages
        ],
    }  # fmt: skip


def _csv(job: Job, memory: MemoryPlan) -> str | None:
    """Describe how CSV files are read; None for Parquet."""
    if job.contract.format != "csv":
        return None
    if memory.in_memory:
        return "read once"
    return "staged" if memory.staging else "reread in each pass"


def count_passes(job: Job, memory: MemoryPlan, phases: int) -> dict[StageId, int]:
    """Count the passes of each stage over the data or over their staged files."""
    if memory.in_memory:
        return {READ: 1}
    aside = 1 if job.config.data.on_bad_rows == "quarantine" else 0
    chosen = 1 if job.ops is None else 0
    golden = 1 if job.config.golden else 0
    passes = {
        READ: aside + (1 if memory.staging else 0), SPLIT: 2,
        FEATURES: chosen + phases + golden,
    }  # fmt: skip
    for name, params in job.models.items():
        balanced = 1 if getattr(params, "class_weight", None) == "balanced" else 0
        # Passes that fill XGBoost's bins, and one more if the bins must be computed first.
        filled = 3 if memory.bins == "memory" else 2
        passes_of_model = (
            1 + filled + (filled if job.config.split.valid else 0) if name == "xgboost" else 1
        )
        passes[train_id(name)] = balanced + passes_of_model
    passes[EVALUATE] = 1
    return passes


def _phases(job: Job) -> tuple[list[list[str]], list[str]]:
    """List the ops fitted in each pass, and the columns of the matrix if they are known."""
    if job.ops is None:
        return [], []
    walked = resolve_ops(job.ops, job.source)
    pruned = prune_ops(walked, job.source, job.left_out)
    steps = [
        Step(op, schema, {}, done=not op.requires_fit)
        for op, schema, lives in zip(
            pruned.resolved.ops, pruned.resolved.schemas, pruned.used, strict=False
        )
        if lives
    ]
    phases = []
    base = 0
    while base < len(steps):
        _, pending, boundary = plan_next_phase(steps[base:])
        if pending:
            phases.append([steps[base + i].op.name for i in pending])
            for i in pending:
                step = steps[base + i]
                steps[base + i] = Step(step.op, step.schema, {}, done=True)
        elif boundary:
            base = next(i for i in range(base + 1, len(steps)) if steps[i].op.regroup_by())
        else:
            break
    features = (
        []
        if walked.unresolved_from
        else [f.name for f in select_model_columns(walked, job.left_out)]
    )
    return phases, features


def print_plan(plan: dict[str, Any]) -> None:
    """Print the plan for people on standard output."""
    from rich.table import Table

    from pipeline.console.terminal import make_console as plain

    console = plain()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, text in _lines(plan):
        table.add_row(label, text)
    console.print(table)
    _print_stages(console, "memory, GB", plan["memory"]["stages"], "parts", "host")
    if plan["device"]["chosen"] == "gpu":
        _print_stages(console, "GPU memory, GB", plan["memory"]["stages"], "on_device", "device")


def _print_stages(
    console: Any, title: str, stages: list[dict[str, Any]], parts: str, total: str
) -> None:
    """Print a table of the stages' memory by part, without columns of zeros."""
    from rich.table import Table

    lines = tabulate_stages(stages, parts, total, console.width)
    style: dict[str, Any] = {"box": None, "padding": (0, 1, 0, 0), "pad_edge": False}
    table = Table(title=f"\n{title}", title_justify="left", **style)
    for name in lines[0]:
        table.add_column(name, justify="left" if name == "stage" else "right", no_wrap=True)
    for line in lines[1:]:
        table.add_row(*line)
    console.print(table)


def tabulate_stages(
    stages: Sequence[Mapping[str, Any]], parts: str, total: str, width: int
) -> list[list[str]]:
    """Return the heads and a line per stage; the smallest parts share a column if they must.

    Args:
        stages: the stages of the plan's memory.
        parts: key of a stage's sizes by part.
        total: key of a stage's peak.
        width: characters of a line, with one between columns.
    """
    largest = {name: max(stage[parts].get(name) or 0 for stage in stages) for name in PARTS}
    shown, others = [name for name in PARTS if largest[name]], list[str]()
    while True:
        heads = ["stage", "passes", *(PARTS[name].replace(" ", "\n") for name in shown)]
        lines = [[*heads, *(["other"] if others else []), "peak"]]
        for stage in stages:
            sizes = [stage[parts].get(name) for name in shown]
            rest = [sum(stage[parts].get(name) or 0 for name in others)] if others else []
            cells = [_gb(size) for size in (*sizes, *rest, stage[total])]
            lines.append([stage["stage"], str(stage["passes"] or "–"), *cells])
        taken = sum(
            1 + max(len(word) for cell in column for word in cell.split("\n"))
            for column in zip(*lines, strict=True)
        )
        if taken <= width or not shown:
            return lines
        smallest = min(shown, key=largest.__getitem__)
        others.append(smallest)
        shown.remove(smallest)


def _gb(size: int | None) -> str:
    return f"{size / 1e9:.2f}" if size else "–"


def _lines(plan: dict[str, Any]) -> list[tuple[str, str]]:
    device, given = plan["device"], plan["input"]
    features = plan["features"]
    lines = [
        ("device", f"{device['chosen']} ({device['reason']})"),
        ("cluster", _cluster(plan)),
        (
            "input",
            f"{quantify(given['rows'], 'row')} in {quantify(given['files'], 'file')}, "
            f"{quantify(given['partitions'], 'partition')}; "
            f"{len(given['columns_read'])} of {given['columns_in_files']} columns are read",
        ),
        ("target", plan["target"]["expression"]),
    ]
    if features["passes"] is None:
        lines.append(("features", "chosen from the columns once they are read"))
    for number, ops in enumerate(features["phases"], start=1):
        lines.append((f"pass {number}", "fits " + ", ".join(ops)))
    if features["matrix"]:
        lines.append(("matrix", f"{quantify(len(features['matrix']), 'column')} of float32"))
    lines.append(("models", ", ".join(plan["models"])))
    if plan["cluster"]["chosen"] != "process":
        size = _gb(plan["memory"]["held"])
        rows = f"persisted on the workers if they have {size} GB together, else streamed"
        return [*lines, ("rows", rows)]
    return [*lines, *_memory_lines(plan["memory"])]


def _cluster(plan: dict[str, Any]) -> str:
    cluster = plan["cluster"]
    if cluster["chosen"] != "process":
        return str(cluster["chosen"])
    moved = f" ({cluster['reason']})" if cluster["asked"] != "process" else ""
    return f"process, {quantify(plan['threads'], 'thread')}{moved}"


def _memory_lines(memory: dict[str, Any]) -> list[tuple[str, str]]:
    peak = f"{_gb(memory['total'])} GB of {_gb(memory['limit'])} GB allowed"
    lines = [("memory", peak)]
    if memory["device_limit"] is not None:
        text = f"{_gb(memory['device'])} GB of {_gb(memory['device_limit'])} GB allowed"
        lines.append(("GPU memory", text))
    if memory["hold"]:
        lines.append(("rows", "kept in memory: the data are read once"))
    else:
        size = _gb(memory["held"])
        text = f"streamed in {memory['passes']} passes; in memory they would take {size} GB"
        lines.append(("rows", text))
    if memory["csv"] and not memory["hold"]:
        disk = f"{_gb(memory['disk_free'])} GB of disk are free"
        text = f"{memory['csv']}: {disk}"
        if memory["staging"]:
            text = f"staged once as Arrow files of about {_gb(memory['staging'])} GB; {disk}"
        lines.append(("CSV", text))
    if memory["bins"] != "memory":
        where = "on disk" if memory["bins"] == "disk" else "on the host, beside the GPU"
        lines.append(("bins", f"XGBoost's {where}, about {_gb(memory['cache'])} GB"))
    if memory["train_rate"] < 1:
        text = (
            f"models train on {memory['train_rows']:,} rows, "
            f"{memory['train_rate']:.1%} of the training rows"
        )
        lines.append(("sample", text))
    return lines
