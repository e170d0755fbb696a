"""The command `bench`, from the request to the files: draw rows, measure runs, write results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from pipeline.artifacts.files import write_json, write_text
from pipeline.artifacts.run_dirs import make_run_folder
from pipeline.bench import bandwidth, measurements, process_meter, statistics, synthetic_rows
from pipeline.bench.bandwidth import DeviceThroughput
from pipeline.bench.measurements import Measurement
from pipeline.bench.request import Request, find_devices
from pipeline.cluster.client import adapt_to_device
from pipeline.config.model import Config
from pipeline.console import signals
from pipeline.device.probe import Probe, probe_gpus
from pipeline.errors import MachineError
from pipeline.execution.job import Job, prepare_job

RESULT, PAGE = "bench.json", "bench.html"
FOLDER = Path("data/cache/bench")

Say = Callable[[str], None]


@dataclass
class Benchmark:
    """A benchmark in progress."""

    job: Job
    request: Request
    devices: tuple[str, ...]
    out: Path
    facts: dict[str, Any]
    """Content of ``bench.json`` that does not depend on the measurements."""
    say: Say
    rates: dict[str, DeviceThroughput] = field(default_factory=dict)
    cells: list[Measurement] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        """Return the results so far, as JSON."""
        summary = statistics.summarize(self.cells, self.rates, self.request.prices)
        result = {
            **self.facts,
            "rates": {device: rates_to_json(rates) for device, rates in self.rates.items()},
            "summary": summary,
            "speedup": statistics.compute_speedups(summary),
            "pays": statistics.find_break_even(summary),
            "cells": [cell.to_json() for cell in self.cells],
        }
        if set(self.request.prices) == {"cpu", "gpu"}:
            result["cheaper"] = statistics.find_break_even(summary, "cost")
        return result


def rates_to_json(rates: DeviceThroughput) -> dict[str, Any]:
    """Return the rates of a device as ``bench.json`` stores them."""
    named = {name: getattr(rates, name) for name in ("input", "memory", "updates")}
    return {
        name: rate and {"per_second": rate.per_second, "source": rate.source}
        for name, rate in named.items()
    }


def run(bench: Benchmark) -> dict[str, Any]:
    """Measure every size, device and repetition; write ``bench.json`` and ``bench.html``.

    A run that fails is recorded as failed, and the next one starts. After an interruption,
    ``bench.json`` holds the measurements so far.

    Returns:
        The content of ``bench.json``.

    Raises:
        InputError: the data cannot be read.
    """
    scratch = bench.out / "tmp"
    with signals.removed_on_exit(scratch):
        scratch.mkdir()
        source = synthetic_rows.load_source_rows(bench.job)
        bench.facts["drawn"] = {
            "from_rows": len(source),
            "noise": sorted(source.noisy),
            "share": synthetic_rows.NOISE,
        }
        for size in bench.request.sizes:
            _measure_size(bench, source, size, scratch)
            write_results(bench)
    return bench.result()


def prepare_benchmark(
    config: Config, request: Request, *, out: Path | None = None, say: Say = lambda text: None
) -> Benchmark:
    """Make the folder of a benchmark and describe the machine, before anything is measured.

    Args:
        config: describes the data that rows are drawn from; its device is not used.
        request: sizes, devices, repetitions and prices.
        out: the folder of the results, absent or empty; None: one below ``data/cache/bench``.
        say: receives progress, one line per call.

    Raises:
        InputError: the config or the options are not valid.
        DeviceError: none of the devices is usable.
    """
    devices, missing = find_devices(request.devices)
    job = prepare_job(config.model_copy(update={"device": "cpu"}))
    for name, reason in missing.items():
        say(f"{name}: not measured: {reason}")
    clusters = {name: adapt_to_device(config.cluster, name) for name in devices}
    for name, (cluster, moved) in clusters.items():
        if moved:
            say(f"{name}: cluster {cluster.kind} {moved}")
    machine = probe_gpus() if "gpu" in devices else Probe((), None)
    folder = make_run_folder(config.name, out, FOLDER)
    facts = {
        "name": config.name,
        "started": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        "asked": {
            "rows": list(request.sizes),
            "devices": list(request.devices),
            "repeat": request.repeat,
            "prices": dict(request.prices),
        },
        "missing": missing,
        "machine": process_meter.describe_machine(),
        "clusters": {name: cluster.kind for name, (cluster, _) in clusters.items()},
        "gpus": [
            {"name": g.name, "memory": g.memory, "capability": list(g.capability)}
            for g in machine.gpus
        ],
        "driver": machine.driver,
    }
    rates = {"gpu": bandwidth.read_gpu_limits(machine.gpus[:1])} if machine.gpus else {}
    return Benchmark(job, request, devices, folder, facts, say, rates)


def _measure_size(
    bench: Benchmark, source: synthetic_rows.SourceRows, size: int, scratch: Path
) -> None:
    """Measure one size on rows that are drawn for it and removed afterwards."""
    planned = list(measurements.plan_measurements([size], bench.devices, bench.request.repeat))
    config, data = bench.job.config, scratch / f"rows.{bench.job.contract.format}"
    cores = process_meter.count_cores()
    try:
        bench.say(f"{size:,} rows: drawing them")
        for _ in synthetic_rows.write_rows(source, data, size, config.seed, cores):
            pass
    except MachineError as error:
        bench.cells += [replace(cell, failed=error.message) for cell in planned]
        bench.say(f"{size:,} rows: failed: {error.message}")
        return
    path = scratch / "run.yaml"
    tree = synthetic_rows.build_config_tree(config, bench.job.contract, data)
    write_text(path, yaml.safe_dump(tree, sort_keys=False))
    if "cpu" in bench.devices:
        # The rate of input is measured on each size's file: the largest so far is the best sample.
        bench.rates["cpu"] = bandwidth.measure_cpu(data, cores)
    failed: set[str] = set()
    for cell in planned:
        if cell.device in failed:
            continue  # a repetition would fail in the same way, and take its time
        measured = measurements.measure(cell, path, data, scratch, seed=config.seed)
        failed |= {cell.device} if measured.failed else set()
        bench.cells.append(measured)
        # Written after every run, so that an interruption loses none.
        write_json(bench.out / RESULT, bench.result())
        bench.say(format_measurement(measured, bench.request.repeat))
    data.unlink()


def format_measurement(cell: Measurement, repeat: int) -> str:
    """Return the progress line of a finished measurement."""
    head = f"{cell.rows:,} rows, {cell.device}, run {cell.turn + 1} of {repeat}:"
    if cell.failed is not None:
        return f"{head} failed: {cell.failed}"
    device = f", {cell.peak_device / 1e9:.2f} GB on the GPU" if cell.peak_device else ""
    return f"{head} {cell.seconds:.1f} s, {cell.peak_host / 1e9:.2f} GB{device}"


def write_results(bench: Benchmark) -> None:
    """Write ``bench.json`` and ``bench.html`` with the results so far."""
    # Bokeh takes half a second to import, and only the page needs it.
    from pipeline.bench import html_report

    result = bench.result()
    write_json(bench.out / RESULT, result)
    write_text(bench.out / PAGE, html_report.render(result))
