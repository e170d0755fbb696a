"""What GPUs did over a run: sampled in the background, summed up by stage, kept as a time line.

The time line has a bounded number of points however long the run: when they are used up, each two
neighbours become one, which covers twice the time. Stages are summed up from the samples.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pipeline.artifacts.files import write_text
from pipeline.telemetry.nvml_usage import GpuUsage, UsageSampler

SECONDS = 0.5
"""Between two samples. NVML's own utilization is a mean of 1/6 s to 1 s."""
POINTS, FEWEST = 4800, 100
"""Points of all GPUs together; the fewest of each GPU."""
MEASURES = {"busy": 3, "used": 0, "watts": 1, "celsius": 0, "received": 0, "sent": 0}
"""Of `Usage`, with the decimals that are kept."""
HIGHEST = ("used", "celsius")
"""A point tells the highest value of these, and the mean of the others."""


@dataclass
class RunningStatistics:
    """Values of one measure."""

    count: int = 0
    total: float = 0.0
    highest: float = 0.0

    def add(self, value: float) -> None:
        """One value more."""
        self.join(RunningStatistics(1, value, value))

    def join(self, other: RunningStatistics) -> None:
        """The values of both."""
        self.highest = max(self.highest, other.highest) if self.count else other.highest
        self.count, self.total = self.count + other.count, self.total + other.total

    @property
    def mean(self) -> float:
        """Of one value or more."""
        return self.total / self.count


Tallies = dict[str, RunningStatistics]
"""By measure."""


def _count(into: Tallies, usage: GpuUsage) -> None:
    for measure in MEASURES:
        if (value := getattr(usage, measure)) is not None:
            into.setdefault(measure, RunningStatistics()).add(value)


def _joined(pair: tuple[Tallies | None, Tallies | None]) -> Tallies:
    found: Tallies = {}
    for point in pair:
        for measure, tally in (point or {}).items():
            found.setdefault(measure, RunningStatistics()).join(tally)
    return found


class Timeline:
    """The samples of a run: the last one, by stage, and by time. Threads may share it."""

    def __init__(self, path: Path, seconds: float = SECONDS, points: int = POINTS) -> None:
        self.path = path
        """Where it is written as stages end; without a sample it is not."""
        self.latest: Sequence[GpuUsage] = ()
        """The last sample."""
        self.seconds, self.points = seconds, points
        """What a point covers, and how many there may be of all GPUs."""
        self._begun = time.perf_counter()
        self._gpus: dict[str, GpuUsage] = {}
        self._course: dict[str, list[Tallies]] = {}  # by GPU, a point after the other
        self._stage: Tallies = {}
        self._stages: list[dict[str, Any]] = []
        self._ended = ""
        self._lock = threading.Lock()

    def add(self, usages: Sequence[GpuUsage], at: float) -> None:
        """A sample, so many seconds after the beginning."""
        with self._lock:
            self.latest = usages
            for usage in usages:
                self._gpus[usage.gpu] = usage
                _count(self._stage, usage)
            most = max(FEWEST, self.points // max(1, len(self._gpus)))
            while at >= most * self.seconds:
                self._halve()
            for usage in usages:
                course = self._course.setdefault(usage.gpu, [])
                place = int(at / self.seconds)
                course += [{} for _ in range(place + 1 - len(course))]
                _count(course[place], usage)

    def _halve(self) -> None:
        self.seconds *= 2
        for gpu, course in self._course.items():
            pairs = zip_longest(course[::2], course[1::2])
            self._course[gpu] = [_joined(pair) for pair in pairs]

    def stage(self, name: str, ended: bool) -> None:
        """A stage begins or ends now; at its end the time line is written."""
        now = round(time.perf_counter() - self._begun, 2)
        with self._lock:
            if ended:
                self._stages[-1]["ended"] = now
            else:
                if self._stages:  # an attempt that failed has no end of its own
                    self._stages[-1].setdefault("ended", now)
                self._stages.append({"stage": name, "begun": now})
        if ended:
            self.write()

    def write(self) -> None:
        """Writes the time line; nothing where nothing was sampled."""
        if found := self.to_json():
            write_text(self.path, json.dumps(found, ensure_ascii=False, separators=(",", ":")))

    def meter(self) -> dict[str, Any]:
        """``{"gpu": …}`` of the samples since the last call; nothing where there are none.

        Means and peaks of any GPU: ``busy`` is a share, ``memory`` bytes in use by all processes,
        ``received`` and ``sent`` are bytes a second.
        """
        with self._lock:
            found, self._stage = self._stage, {}
        told = {
            "mean_busy": ("busy", "mean"), "peak_memory": ("used", "highest"),
            "mean_watts": ("watts", "mean"), "peak_watts": ("watts", "highest"),
            "peak_celsius": ("celsius", "highest"), "mean_received": ("received", "mean"),
            "mean_sent": ("sent", "mean"),
        }  # fmt: skip
        summed = {
            name: _rounded(measure, getattr(found[measure], kind))
            for name, (measure, kind) in told.items()
            if measure in found
        }
        return {"gpu": summed} if summed else {}

    def to_json(self) -> dict[str, Any]:
        """The time line, empty where nothing was sampled.

        ``{"seconds": s, "stages": [{"stage", "begun", "ended"}], "gpus": [{"gpu", "name",
        "memory", "busy": [share or null, …], …}]}``: point ``i`` covers ``[i·s, (i+1)·s)``.
        """
        with self._lock:
            if not self._course:
                return {}
            return {
                "seconds": self.seconds,
                **({"ended": self._ended} if self._ended else {}),
                "stages": [dict(stage) for stage in self._stages],
                "gpus": [self._to_json(gpu, course) for gpu, course in self._course.items()],
            }

    def _to_json(self, gpu: str, course: Sequence[Tallies]) -> dict[str, Any]:
        last = self._gpus[gpu]
        found: dict[str, Any] = {"gpu": gpu, "name": last.name, "memory": last.memory}
        for measure in MEASURES:
            kind = "highest" if measure in HIGHEST else "mean"
            values = [
                _rounded(measure, getattr(point[measure], kind)) if measure in point else None
                for point in course
            ]
            if any(value is not None for value in values):
                found[measure] = values
        return found

    @contextmanager
    def sampled(self, sample: UsageSampler, seconds: float = SECONDS) -> Iterator[None]:
        """Samples in a thread of its own while the block runs.

        A sample that fails (a scheduler that has gone) ends the sampling, and the time line says
        so; the run goes on.
        """
        stop = threading.Event()
        thread = threading.Thread(
            target=self._sample, args=(sample, seconds, stop.wait), name="gpus", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.write()  # also of a stage that failed

    def _sample(
        self, sample: UsageSampler, seconds: float, stopped: Callable[[float], bool]
    ) -> None:
        while True:
            at = time.perf_counter() - self._begun
            try:
                self.add(sample(), at)
            except Exception as error:  # whatever the driver or Dask raises: it must not end a run
                self.latest = ()  # a gauge must not go on telling it
                self._ended = f"after {at:.0f} s: {type(error).__name__}: {error}"
                logging.getLogger("distributed.pipeline").warning("GPU samples end %s", self._ended)
                return
            if stopped(seconds):
                return


def _rounded(measure: str, value: float) -> float:
    decimals = MEASURES[measure]
    return round(value, decimals) if decimals else round(value)
