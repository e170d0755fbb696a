"""The protocol that every stage of a run follows, and one execution of a stage."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipeline.artifacts.ledger import Entry
from pipeline.artifacts.stage_id import StageId
from pipeline.execution.context import RunContext
from pipeline.execution.fingerprints import StageInputs
from pipeline.execution.job import Job
from pipeline.execution.run_state import RunState
from pipeline.execution.stage_cache import Results
from pipeline.memory.planner import MemoryPlan


@dataclass
class StageRun:
    """One execution of a stage: what it works on, and what it leaves for its record."""

    state: RunState
    entry: Entry
    """The stage's line in the ledger; a restored stage gets the rows and notes of its record."""
    folder: Path
    """The stage's own folder for files."""
    results: Results = field(default_factory=dict)
    """JSON for the record."""
    files: Sequence[Path] = ()
    """Files that the stage leaves; the record keeps their hashes."""
    process_notes: list[str] = field(default_factory=list)
    """Notes about this process alone; they go to the ledger but not into the record."""
    scratch: Path | None = None
    """A folder to remove once the record is written."""

    @property
    def context(self) -> RunContext:
        """The run's context."""
        return self.state.context


class Stage(Protocol):
    """A stage of a run; subclasses override the hooks that do nothing here.

    `run` and `restore` leave their results in the run's state, and only when they are complete: a
    stage that fails on a GPU is called again.
    """

    uses: tuple[StageId, ...] = ()
    """Stages whose data in memory this stage works on."""

    @property
    def id(self) -> StageId:
        """The stage's name in the ledger and the run folder."""
        ...

    def inputs(self, job: Job, plan: MemoryPlan) -> StageInputs:
        """Return what the stage's results depend on."""
        ...

    def run(self, run: StageRun) -> None:
        """Compute the results."""
        ...

    def restore(self, run: StageRun, results: Results) -> None:
        """Load the results that an earlier process left, from its record and its files."""
        ...

    def applies(self, job: Job, rows: int) -> bool:
        """Return whether a run of so many rows has the stage."""
        return True

    def prepare(self, state: RunState) -> None:
        """Do what must be done before the cache can be searched."""
        return

    def rebuild(self, state: RunState, device: str | None) -> None:
        """Make the stage's data in memory once more, with what is fitted.

        Args:
            device: the device that makes them; None: the one that made them before.
        """
        return

    def release(self, state: RunState) -> None:
        """Release what no later stage needs."""
        return
