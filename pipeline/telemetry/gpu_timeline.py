"""The time line of a run's GPUs: sampled in the background, summarised by stage.

The time line has a bounded number of points, however long the run. When they are used up, each pair
of neighbours becomes one point that covers twice the time. Stages are summarised from the samples.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts.files import write_text
from pipeline.telemetry.nvml_usage import GpuUsage, UsageSampler

SECONDS = 0.5
"""Seconds between two samples. NVML's own utilization is a mean over 1/6 s to 1 s."""
POINTS, FEWEST = 4800, 100
"""Points of all GPUs together, and the fewest of each GPU."""
MEASURES = {"busy": 3, "used": 0, "watts": 1, "celsius": 0, "received": 0, "sent": 0}
"""Fields of `GpuUsage` that are recorded, with their decimals."""
HIGHEST = ("used", "celsius")
"""Measures of which a point has the highest value; it has the mean of the others."""
SUMMARY = {
    "mean_busy": ("busy", "mean"),
    "peak_memory": ("used", "highest"),
    "mean_watts": ("watts", "mean"),
    "peak_watts": ("watts", "highest"),
    "peak_celsius": ("celsius", "highest"),
    "mean_received": ("received", "mean"),
    "mean_sent": ("sent", "mean"),
}
"""Keys of a stage's summary: (measure, statistic)."""


@dataclass
class RunningStatistics:
    """Count, sum and maximum of the values of one measure."""

    count: int = 0
    total: float = 0.0
    highest: float = 0.0

    def add(self, value: float) -> None:
        """Add a value."""
        self.merge(RunningStatistics(1, value, value))

    def merge(self, other: RunningStatistics) -> None:
        """Add the values of another one."""
        self.highest = max(self.highest, other.highest) if self.count else other.highest
        self.count, self.total = self.count + other.count, self.total + other.total

    @property
    def mean(self) -> float:
        """Mean of the values; there must be at least one."""
        return self.total / self.count


Point = dict[str, RunningStatistics]
"""Statistics by measure."""


def _add_usage(point: Point, usage: GpuUsage) -> None:
    for measure in MEASURES:
        if (value := getattr(usage, measure)) is not None:
            point.setdefault(measure, RunningStatistics()).add(value)


class Timeline:
    """The samples of a run: the last one, by stage, and over time. Threads may share it."""

    def __init__(self, path: Path, seconds: float = SECONDS, points: int = POINTS) -> None:
        self.path, self.seconds, self.points = path, seconds, points
        self._start = time.perf_counter()
        self.latest: Sequence[GpuUsage] = ()
        """The last sample."""
        self._gpus: dict[str, GpuUsage] = {}
        self._courses: dict[str, list[Point]] = {}  # by GPU, in order of time
        self._summary: Point = {}
        self._stages: list[dict[str, Any]] = []
        self._ended = ""
        self._lock = threading.Lock()

    def add_sample(self, usages: Sequence[GpuUsage], at: float) -> None:
        """Add a sample, taken so many seconds after the start."""
        with self._lock:
            self.latest = usages
            for usage in usages:
                self._gpus[usage.gpu] = usage
                _add_usage(self._summary, usage)
            most = max(FEWEST, self.points // max(1, len(self._gpus)))
            while at >= most * self.seconds:
                self.seconds *= 2
                for gpu, course in self._courses.items():
                    # Each pair of neighbours becomes one point; the last may be alone.
                    merged = course[::2]
                    for point, other in zip(merged, course[1::2], strict=False):
                        for measure, statistics in other.items():
                            point.setdefault(measure, RunningStatistics()).merge(statistics)
                    self._courses[gpu] = merged
            for usage in usages:
                course = self._courses.setdefault(usage.gpu, [])
                place = int(at / self.seconds)
                # points without a sample stay empty, and are null in the file
                course += [{} for _ in range(place + 1 - len(course))]
                _add_usage(course[place], usage)

    def on_stage(self, name: str, ended: bool) -> None:
        """Record that a stage begins or ends now; write the time line at its end."""
        now = round(time.perf_counter() - self._start, 2)
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
        """Write the time line; without samples there is no file."""
        if content := self.to_json():
            write_text(self.path, json.dumps(content, ensure_ascii=False, separators=(",", ":")))

    def take_summary(self) -> dict[str, Any]:
        """Return ``{"gpu": …}`` of the samples since the last call; empty without samples.

        Means and peaks are over all GPUs. ``busy`` is a share, ``memory`` the bytes in use by all
        processes; ``received`` and ``sent`` are bytes per second.
        """
        with self._lock:
            point, self._summary = self._summary, {}
        summary = {
            name: _round_value(measure, getattr(point[measure], statistic))
            for name, (measure, statistic) in SUMMARY.items()
            if measure in point
        }
        return {"gpu": summary} if summary else {}

    def to_json(self) -> dict[str, Any]:
        """Return the time line; empty without samples.

        ``{"seconds": s, "stages": [{"stage", "begun", "ended"}], "gpus": [{"gpu", "name",
        "memory", "busy": [share or null, …], …}]}``: point ``i`` covers ``[i·s, (i+1)·s)``.
        """
        with self._lock:
            if not self._courses:
                return {}
            gpus = []
            for gpu, course in self._courses.items():
                last = self._gpus[gpu]
                columns: dict[str, Any] = {"gpu": gpu, "name": last.name, "memory": last.memory}
                for measure in MEASURES:
                    statistic = "highest" if measure in HIGHEST else "mean"
                    values = [
                        _round_value(measure, getattr(point[measure], statistic))
                        if measure in point
                        else None
                        for point in course
                    ]
                    # a driver reports only some of the measures
                    if any(value is not None for value in values):
                        columns[measure] = values
                gpus.append(columns)
            return {
                "seconds": self.seconds,
                **({"ended": self._ended} if self._ended else {}),
                "stages": [dict(stage) for stage in self._stages],
                "gpus": gpus,
            }

    @contextmanager
    def sample_in_background(
        self, sample: UsageSampler, seconds: float = SECONDS
    ) -> Iterator[None]:
        """Sample in a thread of its own while the block runs.

        If a sample fails, for instance because the scheduler is gone, the sampling ends and the
        time line records why. The run continues.
        """
        stop = threading.Event()

        def add_samples() -> None:
            while True:
                at = time.perf_counter() - self._start
                try:
                    self.add_sample(sample(), at)
                except Exception as error:  # of the driver or Dask: it must not end the run
                    self.latest = ()  # gauges must not report an old sample forever
                    self._ended = f"after {at:.0f} s: {type(error).__name__}: {error}"
                    logger = logging.getLogger("distributed.pipeline")
                    logger.warning("GPU samples end %s", self._ended)
                    return
                if stop.wait(seconds):
                    return

        thread = threading.Thread(target=add_samples, name="gpus", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            self.write()  # also after a stage that failed


def _round_value(measure: str, value: float) -> float:
    decimals = MEASURES[measure]
    return round(value, decimals) if decimals else round(value)
