"""`plan`: what a config would do here, told before anything runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pipeline.cluster.memory import available
from pipeline.config import Config
from pipeline.features.chain import Step
from pipeline.features.plan import model_columns, next_phase, pruned, walk
from pipeline.job import Job, prepare
from pipeline.reading import planned_blocks


def describe(config: Config) -> dict[str, Any]:
    """The plan as JSON: device, input, ops by phase, models, memory.

    Raises:
        InputError, DeviceError: what would stop the run before its first row.
    """
    from dask.system import CPU_COUNT

    job = prepare(config)
    blocks, memory = planned_blocks(job, CPU_COUNT)
    rows = sum(block.rows for block in blocks)
    phases, features = _phases(job)
    return {
        "name": config.name,
        "device": {
            "asked": job.choice.asked, "chosen": job.choice.name, "reason": job.choice.reason,
        },
        "cluster": config.cluster.kind,
        "threads": CPU_COUNT,
        "input": {
            "files": len(job.contract.files), "rows": rows, "partitions": len(blocks),
            "columns_read": list(job.reads), "columns_in_files": len(job.source.names),
        },
        "target": {"expression": config.data.target, "task": config.data.task},
        "split": config.split.model_dump(),
        "features": {
            "passes": len(phases) if job.ops is not None else None,
            "phases": phases,
            "matrix": features,
        },
        "models": {n: p.model_dump(mode="json", by_alias=True) for n, p in job.models.items()},
        "memory": {**asdict(memory), "total": memory.total, "available": available()},
    }  # fmt: skip


def _phases(job: Job) -> tuple[list[list[str]], list[str]]:
    """Ops fitted in each pass over the rows, and the matrix's columns as far as they are known."""
    if job.ops is None:
        return [], []
    walked = walk(job.ops, job.source)
    kept = pruned(walked, job.source, job.left_out)
    steps = [
        Step(op, schema, {}, done=not op.fitted)
        for op, schema, lives in zip(kept.walked.ops, kept.walked.schemas, kept.alive, strict=False)
        if lives
    ]
    phases = []
    base = 0
    while base < len(steps):
        _, pending, boundary = next_phase(steps[base:])
        if pending:
            phases.append([steps[base + i].op.name for i in pending])
            for i in pending:
                step = steps[base + i]
                steps[base + i] = Step(step.op, step.schema, {}, done=True)
        elif boundary:
            base = next(i for i in range(base + 1, len(steps)) if steps[i].op.regroup())
        else:
            break
    features = [] if walked.open_from else [f.name for f in model_columns(walked, job.left_out)]
    return phases, features


def print_plan(plan: dict[str, Any]) -> None:
    """The plan for people, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, text in _lines(plan):
        table.add_row(label, text)
    Console(highlight=False, markup=False).print(table)


def _lines(plan: dict[str, Any]) -> list[tuple[str, str]]:
    device, given, memory = plan["device"], plan["input"], plan["memory"]
    features = plan["features"]
    lines = [
        ("device", f"{device['chosen']} ({device['reason']})"),
        ("cluster", f"{plan['cluster']}, {plan['threads']} threads"),
        (
            "input",
            f"{given['rows']:,} rows in {given['files']} files, {given['partitions']} partitions; "
            f"{len(given['columns_read'])} of {given['columns_in_files']} columns are read",
        ),
        ("target", plan["target"]["expression"]),
    ]
    if features["passes"] is None:
        lines.append(("features", "chosen from the columns once they are read"))
    for number, ops in enumerate(features["phases"], start=1):
        lines.append((f"pass {number}", "fits " + ", ".join(ops)))
    if features["matrix"]:
        lines.append(("matrix", f"{len(features['matrix'])} columns of float32"))
    lines.append(("models", ", ".join(plan["models"])))
    rows = "held" if memory["hold"] else "streamed: read again at each pass"
    lines.append(("rows", rows))
    if memory["train_rate"] < 1:
        lines.append(("sample", f"XGBoost trains on {memory['train_rate']:.1%} of its rows"))
    for part in ("imports", "frames", "matrix", "training", "in_flight", "total", "limit"):
        lines.append((f"memory {part}", f"{memory[part] / 1e9:.2f} GB"))
    return lines
