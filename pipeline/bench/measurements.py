"""Measurements of a benchmark: one run of the pipeline each, in a fresh process, on one device."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pipeline
from pipeline.bench.process_meter import CommandFailedError, ProcessUsage, run_measured
from pipeline.bench.roofline import WorkItem, read_work
from pipeline.errors import FIX_LABEL
from pipeline.evaluate.metrics import primary_metric

# Without this, idle threads of XGBoost and scikit-learn spin beside the sampler of memory.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}

REST = "start, report"
"""Seconds outside the ledger's stages: imports, the cluster's start, saving, the report."""


@dataclass(frozen=True)
class StageMeasurement:
    """Measurements of one stage, from its line in the ledger."""

    seconds: float
    peak_host: int
    """Bytes."""
    peak_device: int
    """Bytes in use on the GPU by all libraries, from the driver; if the driver does not report
    them, the peak of the memory pool, which does not contain XGBoost's memory."""
    device: str
    busy: float | None = None
    """Mean share of the time in which a kernel ran; None: no GPU, or not reported."""


@dataclass(frozen=True)
class Measurement:
    """Measurements of one run. Memory is in bytes."""

    rows: int
    device: str
    turn: int
    """Repetition, from 0."""
    seconds: float = 0.0
    """Wall time from the start of the process to its end."""
    cpu_seconds: float = 0.0
    peak_host: int = 0
    peak_device: int = 0
    stages: Mapping[str, StageMeasurement] = field(default_factory=dict)
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """Primary metric on the test set, by model."""
    work: Mapping[str, tuple[WorkItem, ...]] = field(default_factory=dict)
    """Minimal work of each stage (`roofline`)."""
    fallbacks: tuple[str, ...] = ()
    """Stages that ran out of GPU memory, each with its fallback level."""
    failed: str | None = None
    """Reason why there are no measurements."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields for ``bench.json``; its summary holds the bounds of ``work``."""
        return {name: value for name, value in asdict(self).items() if name != "work"}


def plan_measurements(
    sizes: Sequence[int], devices: Sequence[str], repeat: int
) -> Iterator[Measurement]:
    """Yield the measurements to take, empty, in their order.

    Within a size the devices alternate, and each repetition reverses their order: a machine whose
    speed drifts slows all devices alike.
    """
    for rows in sizes:
        for turn in range(repeat):
            for device in devices[:: 1 if turn % 2 == 0 else -1]:
                yield Measurement(rows, device, turn)


def measure(
    cell: Measurement,
    config: Path,
    data: Path,
    folder: Path,
    *,
    seed: int,
    limit: float | None = None,
) -> Measurement:
    """Run the pipeline and return the measurement, or the reason why it failed.

    Args:
        cell: the empty measurement.
        config: config of the run, with ``data`` as its data.
        data: the input, a file or a folder.
        folder: receives the run folder and its log, which are removed afterwards.
        seed: seed of the first repetition; each has its own, the same on both devices.
        limit: seconds after which the run is ended.
    """
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    try:
        command = build_command(cell, config, out, seed)
        log = folder / "log.txt"
        usage = run_measured(command, log=log, env=child_environment(), limit=limit)
        return _with_measurements(cell, usage, out, data)
    except CommandFailedError as error:
        return replace(cell, failed=explain_failure(error))
    finally:
        shutil.rmtree(out, ignore_errors=True)


def build_command(cell: Measurement, config: Path, out: Path, seed: int) -> list[str]:
    """Return the command line of a measurement."""
    options = ["--device", cell.device, "--out", str(out), "--set", f"seed={seed + cell.turn}"]
    command = [sys.executable, "-m", "pipeline", "run", str(config), *options]
    return [*command, "--no-dashboard", "--json", "-q"]


def child_environment() -> dict[str, str]:
    """Return the variables to add for the child, so that it imports this very package."""
    paths = [str(Path(pipeline.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}


def _with_measurements(
    cell: Measurement, usage: ProcessUsage, out: Path, data: Path
) -> Measurement:
    summary = json.loads(usage.output)
    stages: dict[str, StageMeasurement] = {}
    for text in (out / "ledger.jsonl").read_text().splitlines():
        line = json.loads(text)
        if "seconds" not in line:
            continue  # an attempt that failed: the stage has another line
        gpu = line.get("gpu", {})
        peak = gpu.get("peak_memory", line["peak_device"])
        stage = StageMeasurement(
            line["seconds"], line["peak_host"], peak, line["device"], gpu.get("mean_busy")
        )
        if before := stages.get(line["stage"]):
            # Several lines of one stage ran one after the other: seconds add up, peaks do not.
            stage = replace(
                stage,
                seconds=round(before.seconds + stage.seconds, 4),
                peak_host=max(before.peak_host, stage.peak_host),
                peak_device=max(before.peak_device, stage.peak_device),
            )
        stages[line["stage"]] = stage
    peak_device = max(stage.peak_device for stage in stages.values())
    rest = usage.seconds - sum(stage.seconds for stage in stages.values())
    stages[REST] = StageMeasurement(round(rest, 3), 0, 0, "cpu")
    metrics = summary["metrics"]
    name = primary_metric(metrics["task"]).name
    files = data.iterdir() if data.is_dir() else [data]
    return replace(
        cell,
        seconds=round(usage.seconds, 3),
        cpu_seconds=round(usage.cpu_seconds, 3),
        peak_host=usage.peak_bytes,
        peak_device=peak_device,
        stages=stages,
        scores={model: by_set["test"].get(name) for model, by_set in metrics["models"].items()},
        work=read_work(out, sum(file.stat().st_size for file in files)),
        fallbacks=tuple(f"{f['stage']}: {f['rung']}" for f in summary.get("fallbacks", ())),
    )


def explain_failure(error: CommandFailedError) -> str:
    """Return why a run failed, in one line: its message, or the meaning of its exit status."""
    lines = [line.strip() for line in error.errors.splitlines() if line.strip()]
    messages = [i for i, line in enumerate(lines) if line.startswith("error:")]
    if messages:
        last = messages[-1]
        fix = [line for line in lines[last + 1 :] if line.startswith(FIX_LABEL)]
        return ". ".join([lines[last].removeprefix("error:").strip(), *fix[:1]])
    if error.status == -signal.SIGKILL:
        return "killed by signal 9: out of memory, most likely (the kernel's log says more)"
    end = f": {lines[-1][:300]}" if lines else ""
    if error.status < 0:
        return f"ended by signal {-error.status} ({signal.Signals(-error.status).name}){end}"
    return f"ended with status {error.status}{end}"
