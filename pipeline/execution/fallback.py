"""The ladder: where a stage goes on when the GPU cannot end it, and what is made again for that.

    as planned → smaller partitions → spill and stream → external memory → this stage on the CPU

A run stays on the rung that it came down to, except for the last one: the next stage returns to
the GPU. What a stage works on is let go and made again from the files, as the rung wants it; what
has been settled and fitted (classes, cuts, encodings, models) is kept. Only ``device: auto`` goes
to the CPU, and only within one process; on ``gpu`` the run ends with status 3 and what to do.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.cluster.client import is_distributed
from pipeline.device.choose import frames_of
from pipeline.errors import DeviceError, DeviceFull, DeviceLost, quote_path
from pipeline.execution import planning
from pipeline.execution.stages import features_and_models, ingest
from pipeline.memory.planner import FALLBACK_LEVELS, FallbackLevel, release_memory
from pipeline.telemetry.transfer_meters import release_tables
from pipeline.train.feed import PersistedMatrices

if TYPE_CHECKING:
    from pipeline.execution.context import RunContext

T = TypeVar("T")
CPU = "the CPU"
ALL = "the CPU, with the rows and features that it works on"


@dataclass
class RunState:
    """What the stages of a run work on."""

    session: RunContext
    read: Any = None
    """`Read`, until there are `rows`."""
    rows: Any = None
    """`RowSet`, once the sets are known."""
    built: Any = None
    """`Built`, once the features are fitted."""
    stale: bool = False
    """Let go, and not made again: that failed."""

    def remade(self, on: str | None = None) -> None:
        """Lets everything go, and makes it again on the session's rung.

        Args:
            on: the device that makes it; None: where it was made.
        """
        session, self.stale = self.session, True
        if self.built is not None:
            self.built.release()
        for held in (self.read, self.rows):
            if held is not None:
                held.parts.release()
        release_tables(session.client, session.job.choice.name)
        release_memory()
        if self.rows is not None:
            self.rows = ingest.rebuild_labeled_data(session, self.rows, on)
        elif self.read is not None:
            self.read = ingest.rebuild_raw_data(session, on or self.read.device)
        if self.rows is not None and self.built is not None:
            self.built = features_and_models.rebuild_feature_set(session, self.rows, self.built, on)
        self.stale = False

    @property
    def uses_gpu(self) -> bool:
        """Whether a GPU makes any of it."""
        rows, built = self.rows, self.built
        made = {self.read.device} if self.read is not None else set()
        made |= {rows.read_on, rows.context.device} if rows is not None else set()
        made |= {built.feed.device} if built is not None else set()
        return "gpu" in made

    @property
    def complete(self) -> bool:
        """Whether the matrices of all sets are still there, or can be made."""
        made = self.built and self.built.feed.parts
        return not self.stale and not (isinstance(made, PersistedMatrices) and made.released)


def run_with_fallback(work: RunState, stage: Callable[[], T]) -> T:
    """What the stage gives, on ever lower rungs as long as the device cannot end it.

    Args:
        stage: reads ``work`` when it is called, each time anew.

    Raises:
        DeviceError: no rung is left; the message names the last reason, and what to do.
    """
    session, home = work.session, work.session.device
    before: Callable[[], None] | None = None
    try:
        while True:
            started = time.perf_counter()
            try:
                if before is not None:
                    before()
                return stage()
            except Exception as error:
                found = frames_of(home).translate_error(error)
                if found is None:
                    raise
                to, before = _lower(work, found, error)
                traceback.clear_frames(error.__traceback__)  # they hold arrays of the device
            fell = session.ledger.record_fallback(to, found.message, time.perf_counter() - started)
            session.warn(f"{fell['stage']}: {fell['reason']}; goes on with: {fell['rung']}")
    finally:
        session.runs_on(home)


def _lower(
    work: RunState, found: DeviceError, error: Exception
) -> tuple[str, Callable[[], None] | None]:
    """(where the stage goes on, what is done before): the next rung that helps, or the CPU.

    Raises:
        DeviceError: there is none, or the context is lost.
    """
    session, stage = work.session, work.session.ledger.current
    if isinstance(found, DeviceLost):
        session.ledger.record_fallback("nothing, the run ends", found.message, 0.0)
        message = f"{stage}: {found.message}; its CUDA context cannot be used again"
        lost = DeviceLost(message, fix=_on_the_cpu(session))
        lost.folder = session.folder
        raise lost from error
    if session.device == "cpu":  # but what it works on comes from the GPU
        if not work.uses_gpu:
            raise error
        return ALL, partial(work.remade, on="cpu")
    if isinstance(found, DeviceFull):
        for rung in FALLBACK_LEVELS[FALLBACK_LEVELS.index(session.rung) + 1 :]:
            if _helps(rung, work, stage):
                session.rung = rung
                return rung.name, work.remade
    if session.job.choice.requested == "auto" and not is_distributed(session.client):
        session.runs_on("cpu", found.message)
        return CPU, None if work.complete else work.remade
    tried = [f["rung"] for f in session.ledger.fallbacks if f["stage"] == stage]
    after = f" (tried: {', '.join(tried)})" if tried else ""
    raise type(found)(
        f"{stage}: {found.message}{after}", fix=f"{_fix(session, found)}; {_on_the_cpu(session)}"
    ) from error


def _fix(session: RunContext, found: DeviceError) -> str:
    """What else helps where no rung is left."""
    if not is_distributed(session.client):
        return found.fix or "a larger GPU, a smaller memory.gpu, or fewer rows (--rows N)"
    fix = found.fix or "more workers, GPUs with more memory, or fewer rows (--rows N)"
    if session.job.choice.requested != "auto":
        return fix
    return f"{fix} (only where there is one process does the CPU take over a stage)"


def _helps(rung: FallbackLevel, work: RunState, stage: str) -> bool:
    """Whether the rung changes anything for the stage."""
    session = work.session
    if rung.external:
        params = session.job.models.get("xgboost")
        grows = (getattr(params, "native", None) or {}).get("grow_policy", "depthwise")
        return (
            stage.endswith("xgboost")
            and grows == "depthwise"
            and not is_distributed(session.client)
        )
    if rung.stream:
        found = work.rows or work.read
        return found is None or found.plan.in_memory
    parts = planning.divide_into_parts(session.job, session.concurrent_partitions, rung)
    return len(parts) > session.partitions


def _on_the_cpu(session: RunContext) -> str:
    config = quote_path(session.folder / "config.yaml")
    return f"the same run on the CPU: python -m pipeline run {config} --device cpu"
