"""The context of a run: its job, folder, ledger, client and cache, shared by all stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.artifacts.ledger import Entry, Ledger
from pipeline.artifacts.stage_id import SPLIT, StageId
from pipeline.cluster.client import is_distributed
from pipeline.execution.job import Job
from pipeline.execution.memory_inputs import concurrent_partitions
from pipeline.execution.stage_cache import StageCache
from pipeline.ingest.labels.label_state import LabelState
from pipeline.memory.planner import PLANNED, FallbackLevel, MemoryPlan

if TYPE_CHECKING:
    from distributed import Client

    from pipeline.execution.stage import Stage
    from pipeline.features.column_summary import ColumnSummary
    from pipeline.ingest.reading_note import ReadingNote


@dataclass(frozen=True)
class Listener:
    """Callbacks that receive the progress of a run; the command line prints it."""

    stage: Callable[[Entry, bool], None] = lambda entry, ended: None
    """Called with a stage's ledger entry when it starts (False) and ends (True)."""
    say: Callable[[str], None] = lambda text: None
    """Called with a line for the user."""
    progress: Callable[[str, int, int], None] = lambda what, done, planned: None
    """Called as models train, with the rounds or trees so far, and those planned."""
    passes: Callable[[int, int, int], None] = lambda number, done, planned: None
    """Called as partitions are finished, perhaps by another thread: the number of the stage's pass,
    its partitions so far, and all."""
    pages: Callable[[Mapping[str, str]], None] = lambda pages: None
    """Called with the URLs of the dashboard and the metrics when they are served, and with none
    when they are gone."""
    columns: Callable[[Sequence[ColumnSummary], int, Sequence[ReadingNote]], None] = (
        lambda columns, rows, notes: None
    )
    """Called once with the columns, the number of rows read, and the notes on reading."""
    planned: Callable[[MemoryPlan, Sequence[int]], None] = lambda plan, rows: None
    """Called once with the memory plan and the rows of each partition."""


@dataclass
class RunContext:
    """The parts of a run that all stages share, apart from the data."""

    job: Job
    folder: Path
    ledger: Ledger
    client: Client
    threads: int
    """Threads of this process, or of all workers together."""
    listener: Listener
    cache: StageCache
    stages: Sequence[Stage] = ()
    """All stages of the run, in order."""
    stage_warnings: list[tuple[str, str]] = field(default_factory=list)
    """The stage and the text of each warning."""
    level: FallbackLevel = PLANNED
    """The fallback level that the run has come down to (`pipeline.execution.fallback`)."""
    partitions: int = 0
    """Number of partitions that the rows were last divided into."""

    def __post_init__(self) -> None:
        self.device = self.job.choice.name
        """The device of the current stage: the run's, or the CPU in its place."""

    @property
    def concurrent_partitions(self) -> int:
        """Number of partitions that are worked on at a time."""
        if is_distributed(self.client):
            return self.threads
        return concurrent_partitions(self.job, self.threads)

    @property
    def warnings(self) -> list[str]:
        """The warnings so far."""
        return [text for _, text in self.stage_warnings]

    def run_on(self, device: str, reason: str = "") -> None:
        """Set the device of the current stage, and the reason if it is not the run's device."""
        self.device = device
        self.ledger.device = device
        self.ledger.reason = reason or self.job.choice.reason

    def warn(self, text: str) -> None:
        """Add a line for the user, the report and the manifest."""
        # The run's result has further ones, which the evaluation finds (`evaluate.run_warnings`).
        self.stage_warnings.append((self.ledger.current, text))
        self.listener.say(f"warning: {text}")

    def search_cache(self, plan: MemoryPlan) -> None:
        """Decide which stages are reused, once the memory plan is known."""
        if not self.cache.records:
            return
        choice = self.job.choice
        # Results of a GPU that was lost are as good as those of the CPU that takes over.
        devices = [choice.name, *(["gpu"] if choice.gpu_lost else [])]
        inputs = {stage.id: stage.inputs(self.job, plan) for stage in self.stages}
        self.cache.decide(inputs, devices)
        if (split := self.cache.restored_results(SPLIT)) is not None:
            rows = sum(LabelState.from_json(split).counts.rows.values())
            self.cache.forget({s.id for s in self.stages if not s.applies(self.job, rows)})

    def needs_data_of(self, stage_id: StageId) -> bool:
        """Return whether any stage to compute works on the data that this stage makes.

        A reused stage makes its data for the stages that use them, so their needs count too.
        """
        if not self.cache.decisions:
            return True
        users = [s.id for s in self.stages if stage_id in s.uses and s.id in self.cache.decisions]
        return any(not self.cache.is_reused(user) or self.needs_data_of(user) for user in users)
