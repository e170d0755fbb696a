"""The main job: read, split, features, train, evaluate, refit, report; a run folder is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import signals
from pipeline.artifacts import locked, write_text
from pipeline.cluster import remote
from pipeline.cluster.client import check, connected, spread, workers
from pipeline.cluster.gauges import Progress
from pipeline.cluster.memory import PLANNED, MemoryPlan, Rung, give_back, settled
from pipeline.cluster.meters import metered
from pipeline.cluster.prometheus import published
from pipeline.cluster.sampling import recorded
from pipeline.config import Config
from pipeline.device import ranges
from pipeline.device.choose import settle
from pipeline.device.timeline import Timeline
from pipeline.errors import InputError, MachineError
from pipeline.ingest import stores
from pipeline.job import Job, prepare, refitted
from pipeline.ledger import Entry, Fallback, Ledger
from pipeline.matrix import Target

if TYPE_CHECKING:
    from pipeline.ladder import Work
    from pipeline.train.model import Fitted

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
    rung: Rung = PLANNED
    """How much the run has given up for want of GPU memory (`pipeline.ladder`)."""
    partitions: int = 0
    """Into how many the rows were divided last."""

    def __post_init__(self) -> None:
        self.device = self.job.choice.name
        """Where the stage at hand runs: the run's device, or the CPU in its place."""

    @property
    def at_once(self) -> int:
        """Partitions that are worked on at a time."""
        one = self.job.choice.name == "gpu" and not spread(self.client)
        return 1 if one else self.threads

    def runs_on(self, device: str, reason: str = "") -> None:
        """Says where the stage at hand runs, and why if not on the run's device."""
        self.device = device
        self.ledger.device = device
        self.ledger.reason = reason or self.job.choice.reason

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
    """Bytes on the host as planned and as metered, in all (``limit`` is allowed) and by stage;
    where there is a GPU, also its own (``device``)."""
    fallbacks: tuple[Fallback, ...] = ()
    """Stages that the GPU could not end as planned, and what each went on with."""


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
    choice = job.choice
    ledger = Ledger(
        folder / "ledger.jsonl", choice.asked, choice.name, choice.reason,
        on_stage=listener.stage,
        span=ranges.span,
    )  # fmt: skip
    listener.say(f"run folder {folder}")
    listener.say(f"device {choice.name}: {choice.reason}")
    with (
        locked(folder),
        signals.discarded(folder / "tmp"),
        connected(config.cluster, choice.name, CPU_COUNT, folder / "tmp", serial=serial) as client,
        recorded(client, config.cluster, choice.name, timeline),
        published(progress, client, config.cluster, lambda: timeline.latest) as pages,
        settled(),
    ):
        write_text(folder / "config.yaml", config.to_yaml())
        for what, url in pages.items():
            listener.say(f"{what} {url}")
        threads = CPU_COUNT
        if spread(client):
            threads = sum(workers(client).values())
            files = [file.path for file in job.contract.files]
            remote.check_paths(client, files, job.contract.storage_options, stores.reached)
        # not earlier: dask-cuda's workers must not find a CUDA context here
        ledger.meter = lambda: {**metered(client, choice.name), **timeline.meter()}
        return _stages(Session(job, folder, ledger, client, threads, listener), started)


def _checked(config: Config) -> Job:
    """The run, on the device that it will use; nothing of that device is in use yet."""
    job = prepare(config)
    if config.cluster.is_address:
        job = replace(job, choice=remote.of_workers(config.cluster, job.choice))
    check(config.cluster, job.choice.name)
    if config.cluster.kind == "process":
        settle(job.choice.name, config.memory.gpu)
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
    from pipeline.ladder import Work, climbed
    from pipeline.report.page import write_report

    config, work = session.job.config, Work(session)
    work.read = climbed(work, lambda: reading.read(session))
    work.rows = climbed(work, lambda: reading.split_rows(session, work.read))
    work.read = None
    give_back()
    again = refitted(config, sum(work.rows.counts.rows.values()))
    last = not again and not config.evaluate.slices
    work.built = climbed(work, lambda: stages.features(session, work.rows, last=last))
    give_back()
    models = each_model(work, stages.train)
    metrics, best = climbed(work, lambda: results.evaluate(session, work.rows, work.built, models))
    if again:
        choice, rounds = work.built.choice, {name: model.rounds for name, model in models.items()}
        work.built.let_go(work.rows)  # which the refit needs
        work.built = None
        del models  # they go before the new ones come
        give_back()
        work.built = climbed(work, lambda: stages.refit_features(session, work.rows, choice))
        models = each_model(work, partial(stages.refit, rounds=rounds))
    results.save(session, work.rows, work.built, models, best)
    write_report(session.folder)
    seconds = time.perf_counter() - started
    return Outcome(
        session.folder, metrics, best, round(seconds, 3), work.rows.target,
        tuple(session.warnings), memory_of(work.rows.plan, session.ledger.entries),
        tuple(session.ledger.fallbacks),
    )  # fmt: skip


def each_model(work: Work, train: Callable[..., Fitted]) -> dict[str, Fitted]:
    """The models of the config, trained one after the other; the last one may free the matrices."""
    from pipeline.ladder import climbed
    from pipeline.train.model import ordered

    asked = work.session.job.models
    names = ordered(asked)

    def trained(name: str) -> Fitted:
        return train(work.session, work.rows, work.built, name, last=name == names[-1])

    found = {name: climbed(work, partial(trained, name)) for name in names}
    return {name: found[name] for name in asked}


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
        "device": None
        if plan.device_limit is None
        else {
            "limit": plan.device_limit,
            "planned": max(e.planned_device for e in entries),
            "measured": max(e.peak_device for e in entries),
            "stages": [
                {"stage": e.stage, "planned": e.planned_device, "measured": e.peak_device}
                for e in entries
            ],
        },
    }
