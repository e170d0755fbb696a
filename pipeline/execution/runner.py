"""The main job: read, split, features, train, evaluate, refit, report; a run folder is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts.files import lock_folder, write_text
from pipeline.artifacts.ledger import Entry, Fallback, Ledger
from pipeline.artifacts.run_dirs import check_empty, make_run_folder, open_resumed_folder
from pipeline.cluster import remote
from pipeline.cluster.client import connect, is_distributed, worker_threads
from pipeline.config.model import Config
from pipeline.console import signals
from pipeline.device import nvtx_ranges
from pipeline.device.choose import set_memory_limit
from pipeline.execution.context import Listener, RunContext
from pipeline.execution.job import Job, needs_refit, prepare_job
from pipeline.execution.stage_cache import CLEANED, remove_leftovers, resumable, without_stages
from pipeline.ingest.sources import filesystems
from pipeline.matrix import Target
from pipeline.memory.cluster_capacity import check_workers
from pipeline.memory.planner import MemoryPlan, freeze_objects, release_memory
from pipeline.telemetry.gauges import Progress
from pipeline.telemetry.gpu_sampler import record_gpus
from pipeline.telemetry.gpu_timeline import Timeline
from pipeline.telemetry.prometheus import serve_metrics
from pipeline.telemetry.transfer_meters import collect_meters

if TYPE_CHECKING:
    from pipeline.execution.fallback import RunState
    from pipeline.train.fitted_model import FittedModel


@dataclass(frozen=True)
class RunResult:
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
    resumed: Mapping[str, str] = field(default_factory=dict)
    """Why each stage was kept or done again; empty where the run began anew."""
    place: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """``device`` and ``cluster``: what was ``asked``, what was ``chosen``, and the ``reason``."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "run": str(self.folder), "best": self.best, "metrics": self.metrics, **self.place,
            "seconds": self.seconds, "memory": self.memory, "fallbacks": list(self.fallbacks),
            "resumed": dict(self.resumed), "warnings": list(self.warnings),
        }  # fmt: skip


def run(
    config: Config | str | Path, *, out: str | Path | None = None, resume: str | Path | None = None,
    listener: Listener | None = None, serial: bool = False,
) -> RunResult:  # fmt: skip
    """Runs a config from the data to a folder that scores new data.

    Args:
        config: as parsed, or the path of its YAML file.
        out: the run folder, absent or empty; None: ``data/runs/<name>-<time>``.
        resume: instead of ``out``, a folder where a run has stopped or finished: what does not
            change with the config, the data and the program is kept
            (`pipeline.execution.stage_cache`).
        serial: partitions are computed in the calling thread, for profilers that see only that one;
            ``cluster.kind: process`` without a dashboard.

    Raises:
        InputError: config or data are at fault. MachineError: the machine is.
    """
    started = time.perf_counter()
    listener = listener or Listener()
    config = Config.load(config) if isinstance(config, str | Path) else config
    job = _checked(config)
    folder = make_run_folder(config.name, out) if resume is None else open_resumed_folder(resume)
    with lock_folder(folder), resumable(folder, config.cluster.kind):
        cleaned = resume is not None and without_stages(folder)
        if resume is None:
            check_empty(folder)
        else:
            remove_leftovers(folder)
        write_text(folder / "config.yaml", config.to_yaml())
        resumed = resume is not None
        return _run(job, folder, listener, started, resumed=resumed, cleaned=cleaned, serial=serial)


def _run(
    job: Job, folder: Path, listener: Listener, started: float, *, resumed: bool, cleaned: bool,
    serial: bool,
) -> RunResult:  # fmt: skip
    """The run in a folder that is locked."""
    from dask.system import CPU_COUNT

    progress, timeline = Progress(folder.name), Timeline(folder / "gpu.json")
    listener = _heard_by(listener, progress, timeline)
    choice, cluster = job.choice, job.cluster
    ledger = Ledger(
        folder / "ledger.jsonl", choice.requested, choice.name, choice.reason,
        on_stage=listener.stage,
        span=nvtx_ranges.annotate,
    )  # fmt: skip
    if resumed:
        ledger.mark_resumed()
    _say_where(job, folder, listener.say, cleaned=cleaned)
    with (
        signals.removed_on_exit(folder / "tmp"),
        connect(cluster, choice.name, CPU_COUNT, folder / "tmp", serial=serial) as client,
        record_gpus(client, cluster, choice.name, timeline),
        serve_metrics(progress, client, cluster, lambda: timeline.latest) as pages,
        freeze_objects(),
    ):
        for what, url in pages.items():
            listener.say(f"{what} {url}")
        threads = CPU_COUNT
        if is_distributed(client):
            threads = sum(worker_threads(client).values())
            files = [file.path for file in job.contract.files]
            remote.check_paths(
                client, files, job.contract.storage_options, filesystems.check_reachable
            )
        # not earlier: dask-cuda's workers must not find a CUDA context here
        ledger.meter = lambda: {**collect_meters(client, choice.name), **timeline.meter()}
        session = RunContext(
            job, folder, ledger, client, threads, listener, resumed=resumed, recorded=True,
            cleaned=cleaned,
        )  # fmt: skip
        return _stages(session, started)


def _say_where(job: Job, folder: Path, say: Callable[[str], None], *, cleaned: bool) -> None:
    """Folder, device and cluster of the run, and whether it finds what it had left."""
    if cleaned:
        say(f"{CLEANED}: every stage is done again")
    say(f"run folder {folder}")
    say(f"device {job.choice.name}: {job.choice.reason}")
    if job.moved:
        say(f"cluster {job.cluster.kind} {job.moved}")


def _checked(config: Config) -> Job:
    """The run, on the device that it will use; nothing of that device is in use yet."""
    from dask.system import CPU_COUNT

    job = prepare_job(config)
    check_workers(job.cluster, config.memory, CPU_COUNT)
    if job.cluster.is_address:
        job = replace(job, choice=remote.choose_worker_device(job.cluster, job.choice))
    if job.cluster.kind == "process":
        set_memory_limit(job.choice.name, config.memory.gpu)
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


def _stages(session: RunContext, started: float) -> RunResult:
    from pipeline.execution.fallback import RunState, run_with_fallback
    from pipeline.execution.stages import evaluate, features_and_models, ingest
    from pipeline.report.page import write_report

    config, work = session.job.config, RunState(session)
    work.read = run_with_fallback(work, lambda: ingest.read(session))
    work.rows = run_with_fallback(work, lambda: ingest.split_rows(session, work.read))
    work.read = None
    release_memory()
    again = needs_refit(config, sum(work.rows.counts.rows.values()))
    last = not again and not config.evaluate.slices
    work.built = run_with_fallback(
        work, lambda: features_and_models.features(session, work.rows, last=last)
    )
    release_memory()
    models = each_model(work, features_and_models.train)
    metrics, best = run_with_fallback(
        work, lambda: evaluate.evaluate(session, work.rows, work.built, models)
    )
    if again:
        choice, rounds = work.built.choice, {name: model.rounds for name, model in models.items()}
        work.built.release(work.rows)  # which the refit needs
        work.built = None
        del models  # they go before the new ones come
        release_memory()
        work.built = run_with_fallback(
            work, lambda: features_and_models.refit_features(session, work.rows, choice)
        )
        models = each_model(work, partial(features_and_models.refit, rounds=rounds))
    evaluate.save(session, work.rows, work.built, models, best)
    write_report(session.folder)
    seconds = time.perf_counter() - started
    return RunResult(
        session.folder, metrics, best, round(seconds, 3), work.rows.target,
        tuple(session.warnings), memory_of(work.rows.plan, session.ledger.entries),
        tuple(session.ledger.fallbacks),
        {entry.stage: entry.resume for entry in session.ledger.entries if entry.resume},
        session.job.place,
    )  # fmt: skip


def each_model(work: RunState, train: Callable[..., FittedModel]) -> dict[str, FittedModel]:
    """The models of the config, trained one after the other; the last one may free the matrices."""
    from pipeline.execution.fallback import run_with_fallback
    from pipeline.train.model import sort_for_training

    asked = work.session.job.models
    names = sort_for_training(asked)

    def trained(name: str) -> FittedModel:
        return train(work.session, work.rows, work.built, name, last=name == names[-1])

    found = {name: run_with_fallback(work, partial(trained, name)) for name in names}
    return {name: found[name] for name in asked}


def memory_of(plan: MemoryPlan, entries: Sequence[Entry]) -> dict[str, Any]:
    """What was planned and what was metered, for `RunResult`."""
    return {
        "limit": plan.limit,
        "planned": max(e.planned_host for e in entries),
        "measured": max(e.peak_host for e in entries),
        "held": plan.in_memory,
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
