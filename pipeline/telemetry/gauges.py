"""Gauges of a run for Prometheus, beside Dask's own: stage, rows, rounds, memory and GPUs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from pipeline.artifacts.ledger import Entry
from pipeline.memory.planner import MemoryPlan
from pipeline.telemetry.nvml_usage import GpuUsage

Sample = tuple[Mapping[str, str], float]
"""Labels and a value."""
Metric = tuple[str, str, list[Sample]]
"""Name (``…_total``: a counter, else a gauge), description, samples."""


@dataclass
class RunGauges:
    """The progress of one run; the runner, the training and the workers update it."""

    run: str
    stages: dict[str, tuple[Entry, float]] = field(default_factory=dict)
    """Stages that have begun, in order: the ledger's entry, and when (`time.perf_counter`)."""
    current: str = ""
    """Stage that runs now; "" between stages."""
    plan: MemoryPlan | None = None
    rows: Sequence[int] = ()
    """Rows of each partition."""
    trained: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Rounds or trees by stage: trained so far, and planned."""
    visited: int = 0
    """Rows that all passes have worked on so far."""
    finished: dict[str, set[int]] = field(default_factory=dict)
    """Positions of the finished partitions by pass of the stage; the latest pass is last."""
    _pass_names: set[str] = field(default_factory=set)
    """Names of the passes of all stages."""

    def on_stage(self, entry: Entry, ended: bool) -> None:
        """Record that a stage begins or ends (`Ledger.on_stage`)."""
        if not ended:
            self.stages[entry.stage] = entry, time.perf_counter()
            self.finished = {}
        self.current = "" if ended else entry.stage

    def on_plan(self, plan: MemoryPlan, rows: Sequence[int]) -> None:
        """Record the memory plan, and the rows of each partition."""
        self.plan, self.rows = plan, rows

    def on_training(self, what: str, done: int, planned: int) -> None:
        """Record how many rounds or trees a model has."""
        if self.current:
            self.trained[self.current] = done, planned

    def on_partition(self, name: str, position: int) -> None:
        """Record that a pass has worked on a partition."""
        if name not in self._pass_names:
            self._pass_names.add(name)
            self.finished[name] = set()
        if position < len(self.rows):
            self.visited += self.rows[position]
            # the event may arrive after its stage has ended: then it counts for no pass
            if name in self.finished:
                self.finished[name].add(position)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have values by now."""
        # other threads update the dictionaries meanwhile: iterate over copies
        stages, trained = list(self.stages.items()), list(self.trained.items())
        now = time.perf_counter()
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
        last = next(reversed(list(self.finished.values())), set())
        done = sum(self.rows[i] for i in list(last))
        yield "rows", "Rows of the data", [({}, sum(self.rows))]
        yield "pass_rows_done", "Rows that the stage's latest pass has worked on", [({}, done)]
        yield "stage_passes", "Passes that the stage has begun", [({}, len(self.finished))]
        yield "rows_visited_total", "Rows worked on, once for each pass", [({}, self.visited)]
        yield (
            "rounds_done",
            "Rounds of boosting, or trees of a forest, that are trained",
            [({"stage": s}, done) for s, (done, _) in trained],
        )
        yield (
            "rounds",
            "Rounds or trees that the config requests",
            [({"stage": s}, planned) for s, (_, planned) in trained],
        )
        resident = psutil.Process().memory_info().rss
        yield "resident_memory_bytes", "Resident memory of the run's process", [({}, resident)]
        if self.plan is None:
            return
        yield (
            "memory_limit_bytes",
            "Memory that the run may use, or its workers together",
            [({}, self.plan.limit)],
        )
        yield (
            "memory_planned_bytes",
            "Peak of the stage by the memory plan",
            [({"stage": str(s.stage)}, s.host) for s in self.plan.stages],
        )


def gpu_metrics(usages: Sequence[GpuUsage]) -> Iterator[Metric]:
    """Yield load, memory, power, temperature and traffic of GPUs, as far as they report them."""
    for name, about, field_name in (
        ("gpu_memory_used_bytes", "Memory in use on the GPU, by all processes", "used"),
        ("gpu_memory_bytes", "Memory of the GPU", "memory"),
        ("gpu_busy_ratio", "Share of the time in which a kernel ran", "busy"),
        ("gpu_power_watts", "Power that the GPU draws", "watts"),
        ("gpu_temperature_celsius", "Temperature of the GPU", "celsius"),
        ("gpu_pcie_received_bytes_per_second", "Bytes over PCIe from the host", "received"),
        ("gpu_pcie_sent_bytes_per_second", "Bytes over PCIe to the host", "sent"),
    ):
        values = [(u, getattr(u, field_name)) for u in usages]
        samples: list[Sample] = [
            ({"gpu": u.gpu, "name": u.name}, v) for u, v in values if v is not None
        ]
        if samples:
            yield name, about, samples
