"""The main job: read, split, features, train, evaluate, refit, report; a run folder is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pipeline import signals
from pipeline.artifacts import write_text
from pipeline.cluster import remote
from pipeline.cluster.client import check, connected, spread, workers
from pipeline.cluster.gauges import Progress
from pipeline.cluster.memory import MemoryPlan, give_back
from pipeline.cluster.meters import metered
from pipeline.cluster.prometheus import published
from pipeline.cluster.sampling import recorded
from pipeline.config import Config
from pipeline.device import ranges
from pipeline.device.timeline import Timeline
from pipeline.errors import InputError, MachineError
from pipeline.ingest import stores
from pipeline.job import Job, prepare, refitted
from pipeline.ledger import Entry, Ledger
from pipeline.matrix import Target

RUNS = Path("data/runs")


@dataclass(frozen=True)
class Listener:
    """Hears how a run goes; the command line prints it."""

    stage: Callable[[Entry, bool], None] = lambda entry, ended: None
    """Called with a stage's ledger entry when it starts (False) and ends (True)."""
    say: Callable[[str], None] = lambda text: None
    """Called with a line for the user."""
    progress: Callable[[str, int, int], None] = lambda what, done, planned: None
    """Called as models train, with the rounds or trees so far, and those planned."""
    planned: Callable[[MemoryPlan, Sequence[int]], None] = lambda plan, rows: None
    """Called once with the memory plan and the rows of each partition."""


@dataclass
class Session:
    """What the stages of one run share."""

    job: Job
    folder: Path
    ledger: Ledger
    client: Any
    threads: int
    listener: Listener
    warnings: list[str] = field(default_factory=list)

    def warn(self, text: str) -> None:
        """A line for the user, the report and the manifest."""
        self.warnings.append(text)
        self.listener.say(f"warning: {text}")


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    folder: Path
    metrics: dict[str, Any]
    best: str
    """The model with the best primary metric on valid; the first where nothing decides."""
    seconds: float
    target: Target
    warnings: tuple[str, ...]
    memory: dict[str, Any]
    """Bytes on the host as planned and as metered, in all (``limit`` is allowed) and by stage."""


def run(
    config: Config, *, out: str | Path | None = None, listener: Listener | None = None,
    serial: bool = False,
) -> Outcome:  # fmt: skip
    """Runs a config from the data to a folder that scores new data.

    Args:
        out: the run folder, absent or empty; None: ``data/runs/<name>-<time>``.
        serial: partitions are computed in the calling thread, for profilers that see only that one;
            ``cluster.kind: process`` without a dashboard.

    Raises:
        InputError: config or data are at fault. MachineError: the machine is.
    """
    from dask.system import CPU_COUNT

    started = time.perf_counter()
    listener = listener or Listener()
    job = _checked(config)
    folder = run_folder(config.name, out)
    progress, timeline = Progress(folder.name), Timeline(folder / "gpu.json")
    listener = _heard_by(listener, progress, timeline)
    write_text(folder / "config.yaml", config.to_yaml())
    choice = job.choice
    ledger = Ledger(
        folder / "ledger.jsonl", choice.asked, choice.name, choice.reason,
        on_stage=listener.stage,
        span=ranges.span,
    )  # fmt: skip
    listener.say(f"run folder {folder}")
    listener.say(f"device {choice.name}: {choice.reason}")
    with (
        signals.discarded(folder / "tmp"),
        connected(config.cluster, choice.name, CPU_COUNT, folder / "tmp", serial=serial) as client,
        recorded(client, config.cluster, choice.name, timeline),
        published(progress, client, config.cluster, lambda: timeline.latest) as pages,
    ):
        for what, url in pages.items():
            listener.say(f"{what} {url}")
        threads = CPU_COUNT
        if spread(client):
            threads = sum(workers(client).values())
            files = [file.path for file in job.contract.files]
            remote.check_paths(client, files, job.contract.storage_options, stores.reached)
        # not earlier: dask-cuda's workers must not find a CUDA context here
        ledger.meter = lambda: {**metered(client, choice.name), **timeline.meter()}
        session = Session(job, folder, ledger, client, threads, listener)
        return _stages(session, started)


def _checked(config: Config) -> Job:
    """The run, on the device that it will use; nothing of that device is in use yet."""
    job = prepare(config)
    if config.cluster.is_address:
        job = replace(job, choice=remote.of_workers(config.cluster, job.choice))
    check(config.cluster, job.choice.name)
    return job


def _heard_by(listener: Listener, progress: Progress, timeline: Timeline) -> Listener:
    """A listener that tells the progress, and the GPUs' time line, first."""

    def stage(entry: Entry, ended: bool) -> None:
        progress.stage(entry, ended)
        timeline.stage(entry.stage, ended)
        listener.stage(entry, ended)

    def training(what: str, done: int, planned: int) -> None:
        progress.training(what, done, planned)
        listener.progress(what, done, planned)

    def planned(plan: MemoryPlan, rows: Sequence[int]) -> None:
        progress.planned(plan, rows)
        listener.planned(plan, rows)

    return replace(listener, stage=stage, progress=training, planned=planned)


def run_folder(name: str, out: str | Path | None, root: Path = RUNS) -> Path:
    """A new folder for a run, below ``root``; never one that another run has just made.

    Raises:
        InputError: ``out`` is a file, or a folder with something in it.
        MachineError: the folder cannot be made.
    """
    if out is not None and "://" in str(out):
        raise InputError(
            f"--out {str(out)!r} is a URL: a run folder is local",
            fix="name a folder, and copy it once the run has finished",
        )
    try:
        return _new_folder(name, root) if out is None else _given_folder(Path(out))
    except OSError as error:
        raise MachineError(
            f"the run folder cannot be made: {error.strerror}: {error.filename}",
            fix="choose another one with --out",
        ) from None


def _new_folder(name: str, root: Path) -> Path:
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    number = 0
    while True:
        folder = root / (f"{stem}-{number}" if number else stem)
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder


def _given_folder(folder: Path) -> Path:
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise InputError(
            f"--out {str(folder)!r} is not empty", fix="name a folder that is absent or empty"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _stages(session: Session, started: float) -> Outcome:
    from pipeline import reading, results, stages
    from pipeline.report.page import write_report

    config = session.job.config
    rows = reading.read(session)
    give_back()
    again = refitted(config, sum(rows.counts.rows.values()))
    last = not again and not config.evaluate.slices
    built = stages.features(session, rows, last=last)
    give_back()
    models = stages.train(session, rows, built)
    metrics, best = results.evaluate(session, rows, built, models)
    if again:
        choice, rounds = built.choice, {name: model.rounds for name, model in models.items()}
        del built, models  # they go before the new ones come
        give_back()
        built, models = stages.refit(session, rows, choice, rounds)
    results.save(session, rows, built, models, best)
    write_report(session.folder)
    seconds = time.perf_counter() - started
    return Outcome(
        session.folder, metrics, best, round(seconds, 3), rows.target, tuple(session.warnings),
        memory_of(rows.plan, session.ledger.entries),
    )  # fmt: skip


def memory_of(plan: MemoryPlan, entries: Sequence[Entry]) -> dict[str, Any]:
    """What was planned and what was metered, for `Outcome`."""
    return {
        "limit": plan.limit,
        "planned": max(e.planned_host for e in entries),
        "measured": max(e.peak_host for e in entries),
        "held": plan.hold,
        "train_rate": plan.train_rate,
        "stages": [
            {"stage": e.stage, "planned": e.planned_host, "measured": e.peak_host} for e in entries
        ],
    }
