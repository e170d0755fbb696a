"""What a run tells Prometheus beside Dask's own metrics: stage, rows, rounds, memory and GPUs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from pipeline.artifacts.ledger import Entry
from pipeline.memory.planner import MemoryPlan
from pipeline.telemetry.nvml_usage import GpuUsage

Sample = tuple[Mapping[str, str], float]
"""Labels with their value."""
Metric = tuple[str, str, list[Sample]]
"""Name (``…_total``: a counter, else a gauge), what it is, samples."""


@dataclass
class Progress:
    """How far one run is; told by the runner, the training and the workers."""

    run: str
    stages: dict[str, tuple[Entry, float]] = field(default_factory=dict)
    """Stages that have begun, in order: the ledger's entry, and when (`time.perf_counter`)."""
    current: str = ""
    plan: MemoryPlan | None = None
    rows: Sequence[int] = ()
    """Rows of each partition."""
    trained: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Rounds or trees by stage: so far, and planned."""
    visited: int = 0
    """Rows of all passes so far."""
    passes: dict[str, set[int]] = field(default_factory=dict)
    """Passes of the stage, the last one last: the positions of the partitions that are done."""
    _known: set[str] = field(default_factory=set)
    """Passes of all stages."""

    def stage(self, entry: Entry, ended: bool) -> None:
        """A stage begins or ends (`Ledger.on_stage`)."""
        if not ended:
            self.stages[entry.stage] = entry, time.perf_counter()
            self.passes = {}
        self.current = "" if ended else entry.stage

    def planned(self, plan: MemoryPlan, rows: Sequence[int]) -> None:
        """The memory plan is made, and the rows of each partition are known."""
        self.plan, self.rows = plan, rows

    def training(self, what: str, done: int, planned: int) -> None:
        """A model has so many rounds or trees."""
        if self.current:
            self.trained[self.current] = done, planned

    def partition(self, name: str, position: int) -> None:
        """A pass has worked on a partition; word of it may come when its stage has ended."""
        if name not in self._known:
            self._known.add(name)
            self.passes[name] = set()
        if position < len(self.rows):
            self.visited += self.rows[position]
            if name in self.passes:
                self.passes[name].add(position)

    def samples(self) -> Iterator[Metric]:
        """What there is to tell by now."""
        yield from self._stages()
        yield from self._rows()
        yield from self._training()
        yield from self._memory()

    def _stages(self) -> Iterator[Metric]:
        now, stages = time.perf_counter(), list(self.stages.items())
        yield (
            "stage",
            "1 for the stage that runs, 0 for those before",
            [({"stage": s, "device": e.device}, float(s == self.current)) for s, (e, _) in stages],
        )
        yield (
            "stage_seconds",
            "Seconds of a stage, so far",
            [
                ({"stage": s}, now - begun if s == self.current else e.seconds)
                for s, (e, begun) in stages
            ],
        )

    def _rows(self) -> Iterator[Metric]:
        last = next(reversed(list(self.passes.values())), set())
        done = sum(self.rows[i] for i in list(last))
        yield "rows", "Rows of the data", [({}, sum(self.rows))]
        yield "pass_rows_done", "Rows that the stage's latest pass has worked on", [({}, done)]
        yield "stage_passes", "Passes that the stage has begun", [({}, len(self.passes))]
        yield "rows_visited_total", "Rows worked on, once for each pass", [({}, self.visited)]

    def _training(self) -> Iterator[Metric]:
        trained = list(self.trained.items())
        yield (
            "rounds_done",
            "Rounds of boosting, or trees of a forest, that are trained",
            [({"stage": s}, done) for s, (done, _) in trained],
        )
        yield (
            "rounds",
            "Rounds or trees that are asked for",
            [({"stage": s}, planned) for s, (_, planned) in trained],
        )

    def _memory(self) -> Iterator[Metric]:
        resident = psutil.Process().memory_info().rss
        yield "resident_memory_bytes", "Resident memory of the run's process", [({}, resident)]
        if self.plan is None:
            return
        yield (
            "memory_limit_bytes",
            "What the run may hold, or its workers together",
            [({}, self.plan.limit)],
        )
        yield (
            "memory_planned_bytes",
            "Peak of the stage by the memory plan",
            [({"stage": str(s.stage)}, s.host) for s in self.plan.stages],
        )


def gpu_metrics(usages: Sequence[GpuUsage]) -> Iterator[Metric]:
    """Load, memory, power, temperature and traffic of GPUs; where there is none, nothing."""
    for name, about, value in (
        ("gpu_memory_used_bytes", "Memory in use on the GPU, by all processes", "used"),
        ("gpu_memory_bytes", "Memory of the GPU", "memory"),
        ("gpu_busy_ratio", "Share of the time in which a kernel ran", "busy"),
        ("gpu_power_watts", "Power that the GPU draws", "watts"),
        ("gpu_temperature_celsius", "Temperature of the GPU", "celsius"),
        ("gpu_pcie_received_bytes_per_second", "Bytes over PCIe from the host", "received"),
        ("gpu_pcie_sent_bytes_per_second", "Bytes over PCIe to the host", "sent"),
    ):
        found = [(u, getattr(u, value)) for u in usages]
        samples: list[Sample] = [
            ({"gpu": u.gpu, "name": u.name}, v) for u, v in found if v is not None
        ]
        if samples:
            yield name, about, samples
