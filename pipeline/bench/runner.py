"""`bench` from the options to the files: draws rows, runs the cells, keeps what was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts.files import atomic_write, write_json, write_text
from pipeline.artifacts.run_dirs import make_run_folder
from pipeline.bench import bandwidth as device_rates
from pipeline.bench import measurements as cells
from pipeline.bench import process_meter, statistics, synthetic_rows
from pipeline.bench.bandwidth import DeviceThroughput
from pipeline.bench.measurements import Measurement
from pipeline.bench.request import Request, find_devices
from pipeline.cluster.client import fitting
from pipeline.config.model import Config
from pipeline.console import signals
from pipeline.device.probe import Probe, probe
from pipeline.errors import MachineError
from pipeline.execution.job import Job, prepare_job

RESULT, CHART, PAGE = "bench.json", "bench.png", "bench.html"
FOLDER = Path("data/cache/bench")

Say = Callable[[str], None]


@dataclass
class Benchmark:
    """A benchmark that goes on."""

    job: Job
    asked: Request
    devices: tuple[str, ...]
    out: Path
    facts: dict[str, Any]
    """What `bench.json` says beside the figures."""
    say: Say
    rates: dict[str, DeviceThroughput] = field(default_factory=dict)
    cells: list[Measurement] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """All that is known so far, as JSON."""
        summary = statistics.summarize(self.cells, self.rates, self.asked.prices)
        found = {
            **self.facts,
            "rates": {device: rates_to_json(rates) for device, rates in self.rates.items()},
            "summary": summary,
            "speedup": statistics.compute_speedups(summary),
            "pays": statistics.find_break_even(summary),
            "cells": [cell.to_json() for cell in self.cells],
        }
        if set(self.asked.prices) == {"cpu", "gpu"}:
            found["cheaper"] = statistics.find_break_even(summary, "cost")
        return found

    def keep(self) -> None:
        """Writes ``bench.json`` as far as it goes."""
        write_json(self.out / RESULT, self.result())


def rates_to_json(rates: DeviceThroughput) -> dict[str, Any]:
    """Return the rates of a device as ``bench.json`` stores them."""
    known = {name: getattr(rates, name) for name in ("input", "memory", "updates")}
    return {
        name: rate and {"per_second": rate.per_second, "source": rate.source}
        for name, rate in known.items()
    }


def run(bench: Benchmark) -> dict[str, Any]:
    """Measures every cell and leaves ``bench.json``, ``bench.png`` and ``bench.html``.

    A run that fails is a failed cell, and the others go on. What was measured before an
    interruption is in ``bench.json``.

    Returns:
        What ``bench.json`` holds.

    Raises:
        InputError: the data cannot be read.
    """
    scratch = bench.out / "tmp"
    with signals.removed_on_exit(scratch):
        scratch.mkdir()
        source = synthetic_rows.load_source_rows(bench.job)
        bench.facts["drawn"] = {
            "from_rows": len(source), "noise": sorted(source.noisy), "share": synthetic_rows.NOISE,
        }  # fmt: skip
        for size in bench.asked.sizes:
            _measure(bench, source, size, scratch)
            write_results(bench)
    return bench.result()


def prepare_benchmark(
    config: Config, asked: Request, *, out: Path | None = None, say: Say = lambda text: None
) -> Benchmark:
    """A benchmark that has measured nothing yet; its folder is made.

    Args:
        config: whose data the rows are drawn from; its device is not used.
        asked: sizes, devices, repetitions and prices.
        out: the folder of the results, absent or empty; None: one below ``data/cache/bench``.
        say: takes a line for the user, once something is known.

    Raises:
        InputError: config or options are at fault. DeviceError: none of the devices is there.
    """
    devices, missing = find_devices(asked.devices)
    job = prepare_job(config.model_copy(update={"device": "cpu"}))
    for name, reason in missing.items():
        say(f"{name}: not measured: {reason}")
    clusters = {name: fitting(config.cluster, name) for name in devices}
    for name, (cluster, moved) in clusters.items():
        if moved:
            say(f"{name}: cluster {cluster.kind} {moved}")
    machine = probe() if "gpu" in devices else Probe((), None)
    folder = make_run_folder(config.name, out, FOLDER)
    facts = {
        "name": config.name, "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "asked": {
            "rows": list(asked.sizes), "devices": list(asked.devices), "repeat": asked.repeat,
            "prices": dict(asked.prices),
        },
        "missing": missing, "machine": process_meter.describe_machine(),
        "clusters": {name: cluster.kind for name, (cluster, _) in clusters.items()},
        "gpus": [
            {"name": g.name, "memory": g.memory, "capability": list(g.capability)}
            for g in machine.gpus
        ],
        "driver": machine.driver,
    }  # fmt: skip
    rates = {"gpu": device_rates.read_gpu_limits(machine.gpus[:1])} if machine.gpus else {}
    return Benchmark(job, asked, devices, folder, facts, say, rates)


def _measure(bench: Benchmark, source: synthetic_rows.SourceRows, size: int, scratch: Path) -> None:
    """The cells of a size, on rows that are drawn for them and do not stay."""
    planned = list(cells.plan_measurements([size], bench.devices, bench.asked.repeat))
    config, data = bench.job.config, scratch / f"rows.{bench.job.contract.format}"
    try:
        bench.say(f"{size:,} rows: drawing them")
        for _ in synthetic_rows.write_rows(
            source, data, size, config.seed, process_meter.count_cores()
        ):
            pass
    except MachineError as error:
        bench.cells += [replace(cell, failed=error.message) for cell in planned]
        bench.say(f"{size:,} rows: failed: {error.message}")
        return
    path = scratch / "run.yaml"
    write_text(
        path,
        yaml.safe_dump(
            synthetic_rows.build_config_tree(config, bench.job.contract, data), sort_keys=False
        ),
    )
    if "cpu" in bench.devices:  # of the largest input so far
        bench.rates["cpu"] = device_rates.measure_cpu(data, process_meter.count_cores())
    failed: set[str] = set()
    for cell in planned:
        if cell.device in failed:
            continue  # the same again would only cost time
        done = cells.measure(cell, path, data, scratch, seed=config.seed)
        failed |= {cell.device} if done.failed else set()
        bench.cells.append(done)
        bench.keep()
        bench.say(format_measurement(done, bench.asked.repeat))
    data.unlink()


def format_measurement(cell: Measurement, repeat: int) -> str:
    """A finished cell, for standard error."""
    head = f"{cell.rows:,} rows, {cell.device}, run {cell.turn + 1} of {repeat}:"
    if cell.failed is not None:
        return f"{head} failed: {cell.failed}"
    device = f", {cell.peak_device / 1e9:.2f} GB on the GPU" if cell.peak_device else ""
    return f"{head} {cell.seconds:.1f} s, {cell.peak_host / 1e9:.2f} GB{device}"


def write_results(bench: Benchmark) -> None:
    """Writes the results of all sizes so far, with chart and page."""
    from pipeline.bench import html_report, png_chart

    result = bench.result()
    write_json(bench.out / RESULT, result)
    with atomic_write(bench.out / CHART) as beside:
        png_chart.draw(result, beside)
    write_text(bench.out / PAGE, html_report.render(result))
