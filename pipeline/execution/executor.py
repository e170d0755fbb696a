"""The one way to run a stage: search the cache, run with fallback, write the ledger, record."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pipeline.artifacts.ledger import Ledger
from pipeline.artifacts.stage_id import StageId
from pipeline.cluster.client import connect
from pipeline.device.choose import frames_of
from pipeline.execution.context import Listener, RunContext
from pipeline.execution.fallback import run_with_fallback
from pipeline.execution.job import Job
from pipeline.execution.run_state import RunState
from pipeline.execution.stage import Stage, StageRun
from pipeline.execution.stage_cache import StageCache, StageRecord
from pipeline.memory.release import release_memory
from pipeline.telemetry.transfer_meters import release_tables


@dataclass
class Executor:
    """The completed and the pending stages of a run, and the means to execute them."""

    state: RunState
    pending: list[Stage]
    completed: list[Stage] = field(default_factory=list)

    def run_all(self) -> None:
        """Execute all stages that are left."""
        while self.pending:
            self.execute(self.pending.pop(0))

    def run_through(self, last: StageId) -> None:
        """Execute the stages that are left, up to and including ``last``."""
        while self.pending:
            stage = self.pending.pop(0)
            self.execute(stage)
            if stage.id == last:
                return

    def execute(self, stage: Stage) -> None:
        """Execute one stage, unless the run is one that does not have it.

        Raises:
            DeviceError: the GPU cannot complete the stage, and no fallback level is left.
        """
        rows = self.state.rows
        if rows is not None and not stage.applies(self.state.context.job, rows.total):
            return
        run_with_fallback(self.state, stage.id, partial(self._attempt, stage), self.rebuild)
        self.completed.append(stage)
        stage.release(self.state)
        release_memory()

    def _attempt(self, stage: Stage) -> None:
        """Restore the stage from the cache, or run it and write its record."""
        context, cache, name = self.state.context, self.state.context.cache, str(stage.id)
        with context.ledger.stage(name) as entry:
            run = StageRun(self.state, entry, cache.folder_of(stage.id))
            stage.prepare(self.state)
            decision = cache.decisions.get(stage.id)
            record = None if decision is None else decision.record
            if record is None:
                stage.run(run)
            else:
                stage.restore(run, record.results)
                # Report once more what the computation had reported.
                entry.rows, entry.notes = record.rows, list(record.notes)
                for text in record.warnings:
                    context.warn(text)
                for fallback in record.fallbacks:
                    context.ledger.replay_fallback(fallback)
            if decision is not None:
                entry.resume = decision.reason
            notes, entry.notes = entry.notes, [*run.process_notes, *entry.notes]
        # The record comes last: a process that is killed before this line computes the stage anew.
        if decision is not None and record is None:
            record = StageRecord(
                key=decision.key,
                device=decision.device,
                inputs=decision.inputs,
                files=cache.hash_files(run.files),
                results=run.results,
                rows=entry.rows,
                notes=notes,
                warnings=[
                    text for stage_name, text in context.stage_warnings if stage_name == name
                ],
                fallbacks=[f for f in context.ledger.fallbacks if f["stage"] == name],
            )
            cache.write_record(stage.id, record)
        if run.scratch is not None:
            shutil.rmtree(run.scratch, ignore_errors=True)

    def rebuild(self, device: str | None = None) -> None:
        """Release all data in memory and make them once more, on the run's fallback level.

        Args:
            device: the device that makes them; None: the one that made them before.
        """
        state = self.state
        state.stale = True
        state.release_data()
        release_tables(state.context.client, state.context.job.choice.name)
        release_memory()
        for stage in self.completed:
            stage.rebuild(state, device)
        state.stale = False


@contextmanager
def open_scratch_run(
    job: Job, folder: Path, stages: Sequence[Stage], listener: Listener, *, serial: bool = False
) -> Iterator[Executor]:
    """Open a run whose stages leave no records, with a Dask client of its own in this process.

    Args:
        job: its device is the only one that the run uses.
        folder: absent; it holds files that nobody needs afterwards.
        stages: the stages, of which the caller may execute some.
        listener: receives the progress of the stages.
        serial: partitions are computed in the calling thread.
    """
    from dask.system import CPU_COUNT

    folder.mkdir(parents=True)
    choice = job.choice
    ledger = Ledger(
        folder / "ledger.jsonl", choice.requested, choice.name, choice.reason,
        on_stage=listener.stage, meter=lambda: frames_of(choice.name).read_meter(),
    )  # fmt: skip
    tmp = folder / "tmp"
    with connect(job.cluster, choice.name, CPU_COUNT, tmp, serial=serial) as client:
        cache = StageCache(folder, records=False)
        context = RunContext(job, folder, ledger, client, CPU_COUNT, listener, cache)
        yield Executor(RunState(context), list(stages))
