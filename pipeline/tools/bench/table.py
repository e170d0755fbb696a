"""A benchmark's results for people, on standard output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.report.text import ABSENT, count, size
from pipeline.report.text import seconds as spelled

Json = Mapping[str, Any]


def show(result: Json) -> None:
    """Prints a line per size and device, the stages of the largest size, and what follows."""
    console = Console(highlight=False)
    console.print(runs(result))
    if stages := largest(result):
        console.print(stages)
    for line in said(result):
        console.print(line, markup=False, soft_wrap=True)


def runs(result: Json) -> Table:
    """A line per size and device: medians."""
    prices, gpus = result["asked"]["prices"], bool(result["gpus"])
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    heads = ["rows", "device", "runs", "seconds", "min–max", "rows/s", "host"]
    heads += ["GPU", "×"] if gpus else []
    heads += ["cost, $"] if prices else []
    for head in heads:
        table.add_column(head, justify="left" if head == "device" else "right", no_wrap=True)
    table.columns[0].header = f"{result['name']}: rows"
    speedup = {line["rows"]: line["total"] for line in result["speedup"]}
    for line in result["summary"]:
        if not line["runs"]:
            table.add_row(count(line["rows"]), line["device"], "failed")
            continue
        low, high = line["seconds_range"]
        cells = [
            count(line["rows"]), line["device"], str(line["runs"]), f"{line['seconds']:.2f}",
            f"{low:.2f}–{high:.2f}", count(line["rows_per_second"]), size(line["peak_host"]),
        ]  # fmt: skip
        own = speedup.get(line["rows"]) if line["device"] == "gpu" else None
        cells += [size(line["peak_device"]), times(own)] if gpus else []
        cells += [f"{line['cost']:.6f}" if "cost" in line else ABSENT] if prices else []
        table.add_row(*cells)
    return table


def largest(result: Json) -> Table | None:
    """The stages at the largest size that a device finished: seconds, and how far from the bound.

    Of both devices where both finished one; None where nothing finished.
    """
    done = [line for line in result["summary"] if line["runs"]]
    if not done:
        return None
    shared = [line["rows"] for line in result["speedup"]]
    rows = max(shared) if shared else max(line["rows"] for line in done)
    lines = [line for line in done if line["rows"] == rows]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(f"{rows:,} rows: stage", no_wrap=True)
    for line in lines:
        for head in (line["device"], "bound", "× bound"):
            table.add_column(head, justify="right", no_wrap=True)
    both = next((line for line in result["speedup"] if line["rows"] == rows), None)
    if both:
        table.add_column("speed-up", justify="right", no_wrap=True)
    for stage in dict.fromkeys(name for line in lines for name in line["stages"]):
        cells = [cell for line in lines for cell in stage_cells(line["stages"].get(stage))]
        faster = [times(both["stages"].get(stage))] if both else []
        table.add_row(stage, *cells, *faster)
    return table


def stage_cells(stage: Json | None) -> tuple[str, str, str]:
    """Seconds, the bound, and the one over the other."""
    if stage is None:
        return ABSENT, ABSENT, ABSENT
    bound = stage.get("bound")
    if bound is None:
        return spelled(stage["seconds"]), ABSENT, ABSENT
    least = f"{bound:.2g} s" if bound < 1 else spelled(bound)
    return spelled(stage["seconds"]), least, times(stage.get("times_bound"))


def times(ratio: float | None) -> str:
    """``12 ×``, ``1.3 ×``."""
    if ratio is None:
        return ABSENT
    return f"{ratio:,.0f} ×" if ratio >= 10 else f"{ratio:.2g} ×"


def said(result: Json) -> list[str]:
    """What follows from the figures, and what is missing."""
    lines = [f"{name}: not measured: {why}" for name, why in result["missing"].items()]
    for line in result["summary"]:
        failed = dict.fromkeys(line["failed"])
        lines += [f"failed: {line['rows']:,} rows, {line['device']}: {why}" for why in failed]
        if line["runs"] and line["elsewhere"]:
            names = ", ".join(line["elsewhere"])
            lines.append(f"{line['rows']:,} rows, {line['device']}: on another device: {names}")
    if result["speedup"]:
        lines.append(result["pays"]["says"])
        lines += [result["cheaper"]["says"]] if "cheaper" in result else []
    return lines + rates(result)


def rates(result: Json) -> Sequence[str]:
    """What the bounds rest on."""
    units = {"input": ("GB/s", "input"), "memory": ("GB/s", "memory"), "updates": ("G/s", "adds")}
    return [
        f"bounds, {device}, {units[name][1]}: {rate['per_second'] / 1e9:,.3g} {units[name][0]} "
        f"({rate['source']})"
        for device, found in result["rates"].items()
        for name, rate in found.items()
        if rate
    ]
