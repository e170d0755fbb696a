"""The run of a config: prepares the job and its context, executes all stages, and saves them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from pipeline.artifacts.files import lock_folder, write_text
from pipeline.artifacts.ledger import Entry, Fallback, Ledger
from pipeline.artifacts.run_dirs import check_empty, make_run_folder, open_resumed_folder
from pipeline.cluster import remote, task_events
from pipeline.cluster.client import connect, is_distributed, worker_threads
from pipeline.config.model import Config
from pipeline.console import signals
from pipeline.device import nvtx_ranges
from pipeline.device.choose import set_memory_limit
from pipeline.errors import quote_path
from pipeline.evaluate.run_warnings import RunWarning
from pipeline.execution.announce import describe_data
from pipeline.execution.arguments import Paths, read_arguments
from pipeline.execution.context import Listener, RunContext
from pipeline.execution.frame_input import prepare_frame
from pipeline.execution.job import Job, prepare_job
from pipeline.execution.resume import is_cleaned, name_resume_command, remove_leftovers
from pipeline.execution.stage_cache import CLEANED, StageCache
from pipeline.features.column_summary import ColumnSummary
from pipeline.ingest.reading_note import ReadingNote
from pipeline.ingest.sources import filesystems
from pipeline.matrix import Target
from pipeline.memory.cluster_capacity import check_workers
from pipeline.memory.planner import MemoryPlan
from pipeline.memory.release import freeze_objects
from pipeline.telemetry.gauges import RunGauges
from pipeline.telemetry.gpu_sampler import record_gpus
from pipeline.telemetry.gpu_timeline import Timeline
from pipeline.telemetry.prometheus import serve_metrics
from pipeline.telemetry.transfer_meters import collect_meters


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    folder: Path
    metrics: dict[str, Any]
    best: str
    """The model with the best primary metric on valid; the first if there is no valid set."""
    seconds: float
    """The total that ledger, report and summary show: from the start to the manifest."""
    target: Target
    warnings: tuple[RunWarning, ...]
    """Warnings about the result, the most important first, then those of the stages."""
    memory: dict[str, Any]
    """Bytes on the host: the limit, planned and metered, in total and by stage; also those of the
    GPU (``device``), if the run uses one."""
    fallbacks: tuple[Fallback, ...] = ()
    """Stages that the GPU could not complete as planned, with their fallback levels."""
    resumed: Mapping[str, str] = field(default_factory=dict)
    """Reason why each stage was reused or recomputed; empty if the run began anew."""
    place: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """``device`` and ``cluster``: what was ``asked``, what was ``chosen``, and the ``reason``."""
    columns: tuple[ColumnSummary, ...] = ()
    """The type of each column as read, and what the features make of it."""
    notes: tuple[ReadingNote, ...] = ()
    """Notes on lines, words and formats that reading skipped, replaced or decided on."""

    def to_json(self) -> dict[str, Any]:
        """Return the result as ``--json`` prints it."""
        return {
            "run": str(self.folder),
            "warnings": [
                {**asdict(warning), "fix": warning.fix_in(quote_path(self.folder)) or None}
                for warning in self.warnings
            ],
            "best": self.best, "metrics": self.metrics, **self.place, "seconds": self.seconds,
            "memory": self.memory, "fallbacks": list(self.fallbacks),
            "resumed": dict(self.resumed), "columns": [asdict(c) for c in self.columns],
            "notes": [note.to_json() for note in self.notes],
        }  # fmt: skip


def run(
    config: Any = None,
    *,
    data: Paths | Mapping[str, Any] | None = None,
    target: str | int | None = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    listener: Listener | None = None,
    serial: bool = False,
    **keys: Any,
) -> RunResult:
    """Run a config, files or a frame from the data to a folder that scores new data.

    Examples: ``run("sales.yaml")``, ``run(frame, target="y", models={"xgboost": {}})``,
    ``run(data="x.csv", target="y", device="cpu")``.

    Args:
        config: a `Config`, the path of a YAML file, or a frame: any object with
            ``__arrow_c_stream__`` (pandas, Polars, pyarrow, …) or a cuDF frame, whose rows are
            copied to the run folder. None: the config consists of ``data``, ``target`` and ``keys``
            (in a resumed run: of its own config and these).
        data: paths or URLs of files; or a mapping of the keys of ``data`` in YAML, such as
            ``{"weight": "w"}``.
        target: the column to predict, or an expression.
        out: the run folder, absent or empty; None: ``data/runs/<name>-<time>``.
        resume: instead of ``out``, the folder of a run that stopped or finished. Stages whose
            config, data and code are unchanged are reused; a frame counts by its content.
        listener: receives the progress of the run.
        serial: partitions are computed in the calling thread, for profilers of one thread; only
            with ``cluster.kind: process`` and without a dashboard.
        keys: other keys of the config with their values as in YAML. They replace those of a file.

    Raises:
        InputError: config or data are invalid.
        MachineError: the machine lacks memory, disk space or permissions.
    """
    started = time.perf_counter()
    listener = listener or Listener()
    request = read_arguments(config, data, target, resume, keys)
    job = _prepare_on_device(request.config) if request.frame is None else None
    is_new = resume is None and (out is None or not Path(out).expanduser().exists())
    folder = (
        make_run_folder(request.config.name, out) if resume is None else open_resumed_folder(resume)
    )
    with _removed_if_empty(folder if is_new else None), lock_folder(folder):
        stored = None
        if job is None:
            if resume is None:
                check_empty(folder)
            job, stored = prepare_frame(request, folder, _prepare_on_device, listener.say)
        with name_resume_command(folder, job.config.cluster.kind):
            cache = StageCache(folder)
            if resume is not None:
                # A cleaned run still has its manifest, so `is_cleaned` comes before the removal.
                cache = StageCache(folder, resumed=True, cleaned=is_cleaned(folder))
                remove_leftovers(folder)
            elif stored is None:
                check_empty(folder)
            write_text(folder / "config.yaml", job.config.to_yaml())
            if stored is not None:
                stored.remove_others()
            return _run_locked(job, cache, listener, started, serial=serial)


@contextmanager
def _removed_if_empty(folder: Path | None) -> Iterator[None]:
    """Remove a folder on an error that left nothing in it."""
    try:
        yield
    except BaseException:
        with suppress(OSError):  # it has the files of a run
            if folder is not None:
                folder.rmdir()
        raise


def _run_locked(
    job: Job, cache: StageCache, listener: Listener, started: float, *, serial: bool
) -> RunResult:
    """Run the job in a folder that is locked."""
    from dask.system import CPU_COUNT

    from pipeline.execution.run_stages import list_stages

    folder, choice, cluster = cache.folder, job.choice, job.cluster
    progress, timeline = RunGauges(folder.name), Timeline(folder / "gpu.json")
    listener = _with_telemetry(listener, progress, timeline)
    ledger = Ledger(
        folder / "ledger.jsonl",
        choice.requested,
        choice.name,
        choice.reason,
        on_stage=listener.stage,
        span=nvtx_ranges.annotate,
    )
    if cache.resumed:
        ledger.mark_resumed()
    if cache.cleaned:
        listener.say(f"{CLEANED}: every stage is recomputed")
    listener.say(describe_data(job))
    listener.say(f"run folder {folder}")
    listener.say(f"device {choice.name}: {choice.reason}")
    if job.cluster_reason:
        listener.say(f"cluster {cluster.kind} {job.cluster_reason}")
    with (
        signals.removed_on_exit(folder / "tmp"),
        connect(cluster, choice.name, CPU_COUNT, folder / "tmp", serial=serial) as client,
        record_gpus(client, cluster, choice.name, timeline),
        task_events.subscribe(client, _count_partitions(listener, progress)),
        serve_metrics(progress, client, cluster, lambda: timeline.latest) as pages,
        _announce(listener, pages),
        freeze_objects(),
    ):
        threads = CPU_COUNT
        if is_distributed(client):
            threads = sum(worker_threads(client).values())
            files = [file.path for file in job.contract.files]
            remote.check_paths(
                client, files, job.contract.storage_options, filesystems.check_reachable
            )
        # Not earlier: dask-cuda's workers must not find a CUDA context in this process.
        ledger.meter = lambda: {**collect_meters(client, choice.name), **timeline.take_summary()}
        stages = list_stages(job)
        context = RunContext(job, folder, ledger, client, threads, listener, cache, stages)
        return _run_stages(context, started)


def _prepare_on_device(config: Config) -> Job:
    """Return the job on the device that it will use; nothing is allocated on that device yet."""
    from dask.system import CPU_COUNT

    job = prepare_job(config)
    check_workers(job.cluster, config.memory, CPU_COUNT)
    if job.cluster.is_address:
        job = replace(job, choice=remote.choose_worker_device(job.cluster, job.choice))
    if job.cluster.kind == "process":
        set_memory_limit(job.choice.name, config.memory.gpu)
    return job


def _with_telemetry(listener: Listener, progress: RunGauges, timeline: Timeline) -> Listener:
    """Return a listener that also informs the gauges and the GPUs' timeline, and those first."""

    def stage(entry: Entry, ended: bool) -> None:
        progress.on_stage(entry, ended)
        timeline.on_stage(entry.stage, ended)
        listener.stage(entry, ended)

    def training(what: str, done: int, planned: int) -> None:
        progress.on_training(what, done, planned)
        listener.progress(what, done, planned)

    def planned(plan: MemoryPlan, rows: Sequence[int]) -> None:
        progress.on_plan(plan, rows)
        listener.planned(plan, rows)

    return replace(listener, stage=stage, progress=training, planned=planned)


def _count_partitions(listener: Listener, progress: RunGauges) -> Callable[[str, int], None]:
    """Return a function that counts a finished partition for the gauges and the listener."""

    def count(name: str, position: int) -> None:
        progress.on_partition(name, position)
        # A late event of a stage that has ended belongs to no pass.
        if (finished := progress.finished.get(name)) is not None:
            listener.passes(len(progress.finished), len(finished), len(progress.rows))

    return count


@contextmanager
def _announce(listener: Listener, pages: Mapping[str, str]) -> Iterator[None]:
    """Pass the pages' URLs to the listener while they are served."""
    listener.pages(pages)
    try:
        yield
    finally:
        listener.pages({})


def _run_stages(context: RunContext, started: float) -> RunResult:
    from pipeline.execution.executor import Executor
    from pipeline.execution.run_state import RunState
    from pipeline.execution.stages.save import save_run
    from pipeline.report.page import write_report

    state = RunState(context)
    Executor(state, list(context.stages)).run_all()
    seconds = save_run(state, started)
    write_report(context.folder)
    rows, entries = state.labeled, context.ledger.entries
    return RunResult(
        folder=context.folder,
        metrics=state.metrics,
        best=state.best,
        seconds=seconds,
        target=rows.target,
        warnings=(*state.warnings, *(RunWarning("run", text) for text in context.warnings)),
        columns=tuple(state.columns),
        notes=context.job.contract.notes,
        memory=memory_of(rows.plan, entries),
        fallbacks=tuple(context.ledger.fallbacks),
        resumed={entry.stage: entry.resume for entry in entries if entry.resume},
        place=context.job.place,
    )


def memory_of(plan: MemoryPlan, entries: Sequence[Entry]) -> dict[str, Any]:
    """Return planned and metered memory, for `RunResult`."""
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
