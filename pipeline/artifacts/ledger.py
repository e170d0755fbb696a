"""The ledger of a run: one line per stage with its device, the reason, and its time and memory.

The last line of a finished run has its total time, which every command shows. If a device cannot
complete a stage, a line before it describes the failed attempt: a `Fallback`.
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
from pydantic import Field, TypeAdapter, model_validator

from pipeline.artifacts.files import open_to_append
from pipeline.config.loader import redact
from pipeline.config.stored import Count, Positive, StoredObject
from pipeline.console.terminal import to_json_line
from pipeline.errors import MachineError

RESUMED = "the run is resumed"
"""Event of the line that separates the lines of one process from those of the process before."""
_RESUMED_BEFORE = b'{"event": "the run goes on"}'
"""The same line as earlier versions wrote it."""


@dataclass
class Entry:
    """A line of a completed stage, with memory in bytes."""

    stage: str
    asked: str
    device: str
    reason: str
    rows: int = 0
    seconds: float = 0.0
    peak_host: int = 0
    """Bytes: maximum resident memory of this process during the stage."""
    peak_device: int = 0
    planned_host: int = 0
    """Bytes that the memory plan expected as `peak_host`; ``planned_device`` as `peak_device`."""
    planned_device: int = 0
    h2d: int = 0
    """Bytes transferred to the device (`Frames.to_device`); ``d2h``: to the host."""
    d2h: int = 0
    h2d_files: int = 0
    """Part of ``h2d``: bytes of the input files that the device decoded itself."""
    gpu: dict[str, float] = field(default_factory=dict)
    """GPU metrics (`telemetry.gpu_timeline.Timeline.meter`); omitted when no GPU is used."""
    resume: str = ""
    """Why the stage was reused or recomputed; omitted in a run that was not resumed."""
    notes: list[str] = field(default_factory=list)


# Not a class, because its keys are a format of files, whose words are not the code's.
Fallback = TypedDict(  # noqa: UP013
    "Fallback", {"stage": str, "rung": str, "reason": str, "lost": float}
)
"""A line of a failed attempt: its stage, the next fallback level, the reason and the seconds."""


class Ledger:
    """A writer of ``ledger.jsonl``, which appends a line when a stage ends.

    Args:
        path: The file.
        asked: The device of the config.
        device: The device that is used.
        reason: Why it is used.
        on_stage: Called when a stage starts (with False) and when it ends (with True).
        meter: Returns fields of `Entry` since its last call (`pipeline.device.Frames.read_meter`).
        span: Names a block for a profiler (`pipeline.device.nvtx_ranges`).
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
        """Bytes (host, device) by stage, once the memory plan exists."""
        self.current = ""
        """Name of the current stage, or of the last one."""
        self.fallbacks: list[Fallback] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Entry]:
        """Measure a stage; the caller sets rows and notes. A stage that fails gets no line."""
        entry = Entry(name, self.asked, self.device, self.reason)
        self.current = name
        self.on_stage(entry, False)
        self.meter()  # drop what was counted before the stage
        started = time.perf_counter()
        with _PeakMemory() as peak, self.span(name):
            yield entry
        entry.seconds = round(time.perf_counter() - started, 4)
        entry.peak_host = peak.bytes
        entry.planned_host, entry.planned_device = self.planned.get(name, (0, 0))
        for name_of_field, count in self.meter().items():
            setattr(entry, name_of_field, count)
        self.entries.append(entry)
        self._append(asdict(entry))
        self.on_stage(entry, True)

    def end(self, seconds: float) -> float:
        """Append the total time of the run, which `find_total` reads; return it as written.

        Args:
            seconds: From the start of the run to the end of its last stage and its saving.
        """
        total = round(seconds, 3)
        self._append({"total_seconds": total})
        return total

    def record_fallback(self, to: str, reason: str, seconds: float) -> Fallback:
        """Record that an attempt at the current stage failed, and how the stage is retried.

        Args:
            to: A level of `pipeline.execution.fallback`, or "the CPU".
            reason: Why the attempt failed.
            seconds: Duration of the attempt.
        """
        fallback = Fallback(stage=self.current, rung=to, reason=reason, lost=round(seconds, 4))
        self.fallbacks.append(fallback)
        self._append({**fallback, "event": f"{reason}; falls back to: {to}"})
        return fallback

    def replay_fallback(self, fallback: Mapping[str, Any]) -> None:
        """Record the fallback of a stage whose result is reused."""
        self.fallbacks.append(Fallback(**fallback))  # type: ignore[typeddict-item]
        event = f"{fallback['reason']}; fell back to: {fallback['rung']}"
        self._append({**fallback, "event": event})

    def mark_resumed(self) -> None:
        """Append a line that marks the lines before it as those of a process that stopped."""
        with open_to_append(self.path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 1))
            # A killed process may have written half a line, which must not swallow this one.
            is_cut = file.read(1) not in (b"", b"\n")
        self._append({"event": RESUMED}, "\n" if is_cut else "")

    def _append(self, fields: Mapping[str, object], before: str = "") -> None:
        fields = {k: v for k, v in fields.items() if v or k not in ("gpu", "resume")}
        line = f"{before}{redact(to_json_line(fields))}\n"
        file = open_to_append(self.path)
        size = os.fstat(file.fileno()).st_size
        try:
            with file:
                file.write(line.encode())
        except OSError as error:
            with suppress(OSError):
                os.truncate(self.path, size)  # leave no half line
            raise MachineError(
                f"{self.path} cannot be written: {error.strerror}", fix="free some space"
            ) from error


class LedgerLine(StoredObject):
    """A line as readers check it: a completed stage, which has seconds, an event or the total."""

    stage: str = ""
    event: str = ""
    note: str = ""
    asked: str = ""
    device: str = ""
    reason: str = ""
    fallback_level: str = Field("", alias="rung")
    resume: str = ""
    lost_seconds: Positive = Field(0.0, alias="lost")
    seconds: Positive | None = None
    total_seconds: Positive | None = None
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
    def _check_stage(self) -> LedgerLine:
        missing = {"stage", "device"} - self.model_fields_set
        if "seconds" in self.model_fields_set and (missing or self.seconds is None):
            raise ValueError(f"a stage must have {', '.join(sorted(missing)) or 'seconds'}")
        return self


@cache
def ledger_line_adapter() -> TypeAdapter[LedgerLine]:
    """Return the checker of lines, which is built on first use."""
    return TypeAdapter(LedgerLine)


def find_last_run(lines: Sequence[bytes]) -> int:
    """Return the index of the first line of the last process that worked on the run."""
    mark = to_json_line({"event": RESUMED}).encode()
    marks = [i for i, line in enumerate(lines) if line in (mark, _RESUMED_BEFORE)]
    return marks[-1] + 1 if marks else 0


def find_total(lines: Sequence[Mapping[str, Any]]) -> float:
    """Return the total seconds of a run from its ledger's lines.

    A run that stopped, or that an older version made, has no total: its stages are added up.
    """
    totals = [float(line["total_seconds"]) for line in lines if "total_seconds" in line]
    return totals[-1] if totals else sum(float(line.get("seconds", 0.0)) for line in lines)


class _PeakMemory:
    """A meter of the maximum resident memory of this process during a block."""

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
        # Samples come every 50 ms. If the block raised the process's own maximum, that is exact.
        if _high_water() > self._mark:
            self.bytes = max(self.bytes, _high_water())


def _high_water() -> int:
    """Return the maximum resident memory of this process since its start, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kilobytes
