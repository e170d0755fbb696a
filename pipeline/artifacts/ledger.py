"""The ledger: one line a stage, saying which device ran it, why, and what it took.

A stage that the device cannot end has a line for each attempt before: a `Fallback`.
"""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

import psutil
from pydantic import TypeAdapter, model_validator

from pipeline.artifacts.files import open_to_append
from pipeline.config.loader import redact
from pipeline.config.stored import Count, Positive, StoredObject
from pipeline.console.terminal import to_json_line
from pipeline.errors import MachineError

RESUMED = "the run goes on"


@dataclass
class Entry:
    """A stage's line. Bytes and rows are integers, seconds have a float's precision."""

    stage: str
    asked: str
    device: str
    reason: str
    rows: int = 0
    seconds: float = 0.0
    peak_host: int = 0
    """Highest resident memory of this process seen during the stage, in bytes."""
    peak_device: int = 0
    planned_host: int = 0
    """What the memory plan expected as `peak_host`; ``planned_device`` as `peak_device`."""
    planned_device: int = 0
    h2d: int = 0
    """Bytes that passed `Frames.to_device`; ``d2h`` those that passed `Frames.to_host`."""
    d2h: int = 0
    h2d_files: int = 0
    """Of ``h2d``, the bytes of the input files that the device decoded itself."""
    gpu: dict[str, float] = field(default_factory=dict)
    """GPU metrics (`telemetry.gpu_timeline.Timeline.meter`); omitted when no GPU is used."""
    resume: str = ""
    """Why it was kept, or done again; no part of a line of a run that began anew."""
    notes: list[str] = field(default_factory=list)


class Fallback(TypedDict):
    """A stage that did not end where it ran: a line of the ledger without ``seconds``."""

    stage: str
    rung: str
    """What it went on with."""
    reason: str
    lost: float
    """Seconds of the attempt."""


class Ledger:
    """Appends to ``ledger.jsonl`` as stages end; ``on_stage`` hears of starts and ends.

    ``meter`` gives fields of the line since its last call (`pipeline.device.Frames.read_meter`);
    ``span`` names a block for a profiler (`pipeline.device.nvtx_ranges`).
    """

    def __init__(
        self, path: Path, asked: str, device: str, reason: str, *,
        on_stage: Callable[[Entry, bool], None] = lambda entry, ended: None,
        meter: Callable[[], Mapping[str, Any]] = dict,
        span: Callable[[str], AbstractContextManager[Any]] = nullcontext,
    ) -> None:  # fmt: skip
        self.path, self.asked, self.device, self.reason = path, asked, device, reason
        self.on_stage, self.meter, self.span = on_stage, meter, span
        self.entries: list[Entry] = []
        self.planned: Mapping[str, tuple[int, int]] = {}
        """(host, device) bytes by stage, once the memory plan is made."""
        self.current = ""
        """The stage that runs, or ran last."""
        self.fallbacks: list[Fallback] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Entry]:
        """Times the block; the caller fills in rows and notes. A stage that fails is not a line."""
        entry = Entry(name, self.asked, self.device, self.reason)
        self.current = name
        self.on_stage(entry, False)
        self.meter()  # from here on
        started = time.perf_counter()
        with _PeakMemory() as peak, self.span(name):
            yield entry
        entry.seconds = round(time.perf_counter() - started, 4)
        entry.peak_host = peak.bytes
        entry.planned_host, entry.planned_device = self.planned.get(name, (0, 0))
        for what, count in self.meter().items():
            setattr(entry, what, count)
        self.entries.append(entry)
        self._append(asdict(entry))
        self.on_stage(entry, True)

    def record_fallback(self, to: str, reason: str, seconds: float) -> Fallback:
        """Notes that the stage at hand did not end where it ran, and where it goes on.

        Args:
            to: a rung of `pipeline.execution.fallback`, or "the CPU".
            seconds: what the attempt took.
        """
        found = Fallback(stage=self.current, rung=to, reason=reason, lost=round(seconds, 4))
        self.fallbacks.append(found)
        self._append({**found, "event": f"{reason}; goes on with: {to}"})
        return found

    def replay_fallback(self, found: Mapping[str, Any]) -> None:
        """Notes again what had made a stage fall that is kept."""
        self.fallbacks.append(Fallback(**found))  # type: ignore[typeddict-item]
        self._append({**found, "event": f"{found['reason']}; went on with: {found['rung']}"})

    def mark_resumed(self) -> None:
        """Says that the lines before are those of a run that stopped, whatever the last one is."""
        with open_to_append(self.path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            is_cut = file.read(1) not in (b"", b"\n")
        self._append({"event": RESUMED}, "\n" if is_cut else "")

    def _append(self, found: Mapping[str, object], before: str = "") -> None:
        told = {k: v for k, v in found.items() if v or k not in ("gpu", "resume")}
        line = f"{before}{redact(to_json_line(told))}\n"
        file = open_to_append(self.path)
        size = os.fstat(file.fileno()).st_size
        try:
            with file:
                file.write(line.encode())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, size)  # no half of a line
            raise MachineError(
                f"{self.path} cannot be written: {error.strerror}", fix="free some space"
            ) from error


class LedgerLine(StoredObject):
    """A line of the ledger: a stage that ended, which has seconds, or an event."""

    stage: str = ""
    event: str = ""
    note: str = ""
    asked: str = ""
    device: str = ""
    reason: str = ""
    rung: str = ""
    resume: str = ""
    lost: Positive = 0.0
    seconds: Positive | None = None
    rows: Count = 0
    peak_host: Count = 0
    peak_device: Count = 0
    planned_host: Count = 0
    planned_device: Count = 0
    h2d: Count = 0
    d2h: Count = 0
    h2d_files: Count = 0
    gpu: dict[str, float] = {}
    notes: list[str] = []

    @model_validator(mode="after")
    def _whole(self) -> LedgerLine:
        lacking = {"stage", "device"} - self.model_fields_set
        if "seconds" in self.model_fields_set and (lacking or self.seconds is None):
            raise ValueError(f"a stage must have {', '.join(sorted(lacking)) or 'seconds'}")
        return self


@cache
def ledger_line_adapter() -> TypeAdapter[LedgerLine]:
    """Return what checks a line."""
    return TypeAdapter(LedgerLine)


def find_last_run(lines: Sequence[bytes]) -> int:
    """Where the lines begin that the last process wrote: those before tell what it kept."""
    mark = to_json_line({"event": RESUMED}).encode()
    marks = [i for i, line in enumerate(lines) if line == mark]
    return marks[-1] + 1 if marks else 0


class _PeakMemory:
    """The most resident memory of this process while the block runs.

    Sampled every 50 ms; where the block raises the process's own high-water mark, that is exact.
    """

    def __enter__(self) -> _PeakMemory:
        self.bytes, self._mark = 0, _high_water()
        self._process = psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="peak-memory", daemon=True)
        self._thread.start()
        return self

    def _sample(self) -> None:
        while True:
            self.bytes = max(self.bytes, self._process.memory_info().rss)
            if self._stop.wait(0.05):
                return

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.bytes = max(self.bytes, self._process.memory_info().rss)
        if _high_water() > self._mark:
            self.bytes = max(self.bytes, _high_water())


def _high_water() -> int:
    """The most resident bytes this process ever had."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
