"""Cells of a benchmark: one run of the pipeline each, in a fresh process, on one device."""

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

ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}
"""Else threads of XGBoost and scikit-learn spin while they wait, beside what we sample with."""

REST = "start, report"
"""What no stage of the ledger takes: imports, the cluster's start, the saving, the report."""


@dataclass(frozen=True)
class StageMeasurement:
    """A stage's line of the ledger."""

    seconds: float
    peak_host: int
    peak_device: int
    """Bytes in use on the GPU, by whichever library, as the driver tells; else those of the pool,
    which XGBoost's are not in."""
    device: str
    busy: float | None = None
    """Mean share of the time in which a kernel ran; None: no GPU, or its driver does not tell."""


@dataclass(frozen=True)
class Measurement:
    """What one run took. Bytes are integers."""

    rows: int
    device: str
    turn: int
    """From 0."""
    seconds: float = 0.0
    """From the start of the process to its end."""
    cpu_seconds: float = 0.0
    peak_host: int = 0
    peak_device: int = 0
    stages: Mapping[str, StageMeasurement] = field(default_factory=dict)
    scores: Mapping[str, float | None] = field(default_factory=dict)
    """The primary metric of the test set, by model."""
    work: Mapping[str, tuple[WorkItem, ...]] = field(default_factory=dict)
    """What each stage cannot do without (`bounds`)."""
    fallbacks: tuple[str, ...] = ()
    """Stages that the GPU could not end as planned, with what each went on with."""
    failed: str | None = None
    """Why there are no figures."""

    def to_json(self) -> dict[str, Any]:
        """For ``bench.json``, whose summary tells the bounds."""
        return {name: value for name, value in asdict(self).items() if name != "work"}


def plan_measurements(
    sizes: Sequence[int], devices: Sequence[str], repeat: int
) -> Iterator[Measurement]:
    """The cells that are to be run, without figures.

    Within a size the devices take turns, and each turn goes through them the other way round: a
    machine whose speed drifts slows all of them.
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
    """The cell with its figures, or with why it failed.

    Args:
        config: of the run, with ``data`` as its data.
        seed: of the first turn; each has its own, the same on both devices.
        limit: seconds that it may take.
        folder: for the run folder and its log, of which nothing stays.
    """
    out = folder / "run"
    shutil.rmtree(out, ignore_errors=True)
    try:
        asked, log = build_command(cell, config, out, seed), folder / "log.txt"
        done = run_measured(asked, log=log, env=child_environment(), limit=limit)
        return _with_figures(cell, done, out, data)
    except CommandFailedError as error:
        return replace(cell, failed=explain_failure(error))
    finally:
        shutil.rmtree(out, ignore_errors=True)


def build_command(cell: Measurement, config: Path, out: Path, seed: int) -> list[str]:
    """The cell's command line."""
    return [
        sys.executable, "-m", "pipeline", "run", str(config), "--device", cell.device,
        "--out", str(out), "--set", f"seed={seed + cell.turn}", "--no-dashboard", "--json", "-q",
    ]  # fmt: skip


def child_environment() -> dict[str, str]:
    """The child's additions: it runs this very package, wherever the command is started."""
    paths = [str(Path(pipeline.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}


def _with_figures(cell: Measurement, done: ProcessUsage, out: Path, data: Path) -> Measurement:
    told = json.loads(done.output)
    lines = [json.loads(line) for line in (out / "ledger.jsonl").read_text().splitlines()]
    stages: dict[str, StageMeasurement] = {}
    for line in lines:
        if "seconds" not in line:  # an attempt that was given up: of a stage that has its own line
            continue
        stages[line["stage"]] = _stage(line, stages.get(line["stage"]))
    peak_device = max(stage.peak_device for stage in stages.values())
    rest = done.seconds - sum(stage.seconds for stage in stages.values())
    stages[REST] = StageMeasurement(round(rest, 3), 0, 0, "cpu")
    return replace(
        cell, seconds=round(done.seconds, 3), cpu_seconds=round(done.cpu_seconds, 3),
        peak_host=done.peak_bytes, peak_device=peak_device, stages=stages,
        scores=_scores(told["metrics"]), work=read_work(out, _bytes(data)),
        fallbacks=tuple(f"{fell['stage']}: {fell['rung']}" for fell in told.get("fallbacks", ())),
    )  # fmt: skip


def _bytes(data: Path) -> int:
    files = data.iterdir() if data.is_dir() else [data]
    return sum(file.stat().st_size for file in files)


def _stage(line: Mapping[str, Any], before: StageMeasurement | None) -> StageMeasurement:
    """Of a line of the ledger, and of an earlier one of a stage that was tried again."""
    gpu = line.get("gpu", {})
    peak = gpu.get("peak_memory", line["peak_device"])
    own = StageMeasurement(
        line["seconds"], line["peak_host"], peak, line["device"], gpu.get("mean_busy")
    )
    if before is None:
        return own
    return replace(
        own, seconds=round(before.seconds + own.seconds, 4),
        peak_host=max(before.peak_host, own.peak_host),
        peak_device=max(before.peak_device, own.peak_device),
    )  # fmt: skip


def _scores(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    from pipeline.evaluate.metrics import primary_metric

    name = primary_metric(metrics["task"]).name
    return {model: found["test"].get(name) for model, found in metrics["models"].items()}


def explain_failure(error: CommandFailedError) -> str:
    """Why a run failed, in a line: its own message, or what its exit status means."""
    lines = [line.strip() for line in error.errors.splitlines() if line.strip()]
    told = [i for i, line in enumerate(lines) if line.startswith("error:")]
    if told:
        fix = [line for line in lines[told[-1] + 1 :] if line.startswith("→")]
        return " ".join([lines[told[-1]].removeprefix("error:").strip(), *fix[:1]])
    if error.status == -signal.SIGKILL:
        return "killed by signal 9: out of memory, most likely (the kernel's log says more)"
    last = f": {lines[-1][:300]}" if lines else ""
    if error.status < 0:
        return f"ended by signal {-error.status} ({signal.Signals(-error.status).name}){last}"
    return f"ended with status {error.status}{last}"
