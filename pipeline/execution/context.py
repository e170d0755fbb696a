"""What the stages of one run share, and the block that each stage is."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifacts.ledger import Entry, Ledger
from pipeline.cluster.client import is_distributed
from pipeline.execution.fingerprints import bases, digest
from pipeline.execution.job import Job, needs_refit
from pipeline.execution.planning import concurrent_partitions
from pipeline.execution.stage_cache import CacheDecision, StageCache, StageRecord, slug
from pipeline.ingest.labels.label_state import LabelState
from pipeline.memory.planner import PLANNED, FallbackLevel, MemoryPlan


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
class StageRun:
    """A stage at hand."""

    entry: Entry
    """Its line in the ledger; rows and notes of a kept stage are those that it had."""
    place: Path
    """Its folder, for what it makes."""
    _stages: StageCache
    name: str
    found: dict[str, Any] = field(default_factory=dict)
    """JSON that the stage finds and leaves in no file."""
    files: Sequence[Path] = ()
    """What it leaves."""
    told: list[str] = field(default_factory=list)
    """Notes of what this process did, which another need not have done; not recorded."""
    spare: Path | None = None
    """A folder that nobody needs once the stage has ended."""

    @property
    def kept(self) -> Mapping[str, Any] | None:
        """What it found when it was done, if it is kept: then it makes nothing."""
        return self._stages.found(self.name)


@dataclass
class RunContext:
    """What the stages of one run share."""

    job: Job
    folder: Path
    ledger: Ledger
    client: Any
    threads: int
    listener: Listener
    warned: list[tuple[str, str]] = field(default_factory=list)
    """The stage and the text of each warning."""
    rung: FallbackLevel = PLANNED
    """How much the run has given up for want of GPU memory (`pipeline.execution.fallback`)."""
    partitions: int = 0
    """Into how many the rows were divided last."""
    resumed: bool = False
    """It goes on in a folder that a run has left."""
    recorded: bool = False
    """Its stages leave records, so that it can go on."""
    cleaned: bool = False
    """It goes on in a folder whose stages were cleaned."""

    def __post_init__(self) -> None:
        self.device = self.job.choice.name
        """Where the stage at hand runs: the run's device, or the CPU in its place."""
        self.kept = StageCache(self.folder, self.resumed, self.cleaned)
        """What need not be done again."""

    @property
    def concurrent_partitions(self) -> int:
        """Partitions that are worked on at a time."""
        return (
            self.threads
            if is_distributed(self.client)
            else concurrent_partitions(self.job, self.threads)
        )

    def runs_on(self, device: str, reason: str = "") -> None:
        """Says where the stage at hand runs, and why if not on the run's device."""
        self.device = device
        self.ledger.device = device
        self.ledger.reason = reason or self.job.choice.reason

    def warn(self, text: str) -> None:
        """A line for the user, the report and the manifest."""
        self.warned.append((self.ledger.current, text))
        self.listener.say(f"warning: {text}")

    @property
    def warnings(self) -> list[str]:
        """The warnings so far."""
        return [text for _, text in self.warned]

    def decide(self, plan: MemoryPlan) -> None:
        """Settles which stages are kept, once the memory plan is known."""
        if self.recorded:
            choice = self.job.choice
            # what a GPU has done is kept by a run that goes on without it, as it lost it
            devices = [choice.name, *(["gpu"] if choice.gpu_lost else [])]
            self.kept.decide(bases(self.job, plan), devices)
            if (split := self.kept.found("split")) is not None:
                rows = sum(LabelState.from_json(split).counts.rows.values())
                if not needs_refit(self.job.config, rows):
                    self.kept.without("refit")

    @contextmanager
    def stage(self, name: str) -> Iterator[StageRun]:
        """A stage as a line of the ledger; when it has ended, it has a record.

        What it leaves is as complete when the block ends as it will ever be.
        """
        with self.ledger.stage(name) as entry:
            doing = StageRun(entry, self.kept.place(name), self.kept, name)
            yield doing
            decision = self.kept.of(name)
            if decision is not None:
                entry.resume = decision.why
                if decision.kept is not None:
                    self._recall(entry, decision.kept)
            notes, entry.notes = entry.notes, [*doing.told, *entry.notes]
        if decision is not None and decision.kept is None:
            self._record(doing, decision, notes)
        if doing.spare is not None:
            shutil.rmtree(doing.spare, ignore_errors=True)

    def rows_key(self, stage: str) -> str:
        """The key of the rows that the stage works on."""
        split = self.kept.of("split")
        return digest([stage, None if split is None else split.key])

    def segments(self, stage: str) -> Path:
        """The folder of the stage's checkpoints; those of another key are removed."""
        decision, own = self.kept.of(stage), slug(stage)
        folder = self.folder / "train" / "segments"
        name = own if decision is None else f"{own}-{decision.key[:16]}"
        for old in folder.glob(f"{own}*"):
            if old.name != name:
                shutil.rmtree(old, ignore_errors=True)
        return folder / name

    def _recall(self, entry: Entry, record: StageRecord) -> None:
        entry.rows, entry.notes = record.rows, list(record.notes)
        for text in record.warnings:
            self.warn(text)
        for fallback in record.fallbacks:
            self.ledger.replay_fallback(fallback)

    def _record(self, doing: StageRun, decision: CacheDecision, notes: list[str]) -> None:
        name = doing.name
        self.kept.record(
            name,
            StageRecord(
                decision.key, decision.device, decision.facts, self.kept.hashes(doing.files),
                doing.found, doing.entry.rows, notes,
                [text for stage, text in self.warned if stage == name],
                [f for f in self.ledger.fallbacks if f["stage"] == name],
            ),
        )  # fmt: skip
