"""Tables of a benchmark's results, as text for the terminal and the page."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pipeline.report.text import ABSENT, format_bytes, format_count, format_seconds

Json = Mapping[str, Any]
WIDE = 140


def build_runs_table(result: Json) -> tuple[list[str], list[list[str]]]:
    """Return the column heads and one line of medians per size and device."""
    prices, gpus = result["asked"]["prices"], bool(result["gpus"])
    heads = ["rows", "device", "runs", "seconds", "min–max", "rows/s", "host"]
    heads += ["GPU", "speed-up"] if gpus else []
    heads += ["cost, $"] if prices else []
    speedup = {line["rows"]: line["total"] for line in result["speedup"]}
    lines = []
    for line in result["summary"]:
        if not line["runs"]:
            lines.append([format_count(line["rows"]), line["device"], "failed"])
            continue
        low, high = line["seconds_range"]
        cells = [
            format_count(line["rows"]),
            line["device"],
            str(line["runs"]),
            f"{line['seconds']:.2f}",
            f"{low:.2f}–{high:.2f}",
            format_count(line["rows_per_second"]),
            format_bytes(line["peak_host"]),
        ]
        ratio = speedup.get(line["rows"]) if line["device"] == "gpu" else None
        cells += [format_bytes(line["peak_device"]), format_ratio(ratio)] if gpus else []
        cells += [f"{line['cost']:.6f}" if "cost" in line else ABSENT] if prices else []
        lines.append(cells)
    return heads, lines


def find_largest_size(result: Json) -> int | None:
    """Return the largest size that both devices finished; without one, that any finished."""
    shared = [line["rows"] for line in result["speedup"]]
    return max(shared or [line["rows"] for line in result["summary"] if line["runs"]], default=None)


def build_stages_table(result: Json, rows: int) -> tuple[list[str], list[list[str]]]:
    """Return the column heads and one line per stage: seconds, GPU utilization and bound."""
    lines = [line for line in result["summary"] if line["runs"] and line["rows"] == rows]
    both = next((line for line in result["speedup"] if line["rows"] == rows), None)
    heads = ["stage"]
    for line in lines:
        utilization = ["busy"] if _has_utilization(line) else []
        heads += [line["device"], *utilization, "bound", "× bound"]
    heads += ["speed-up"] if both else []
    table = []
    for stage in dict.fromkeys(name for line in lines for name in line["stages"]):
        cells = [stage]
        for line in lines:
            has_utilization, measured = _has_utilization(line), line["stages"].get(stage)
            if measured is None:
                # The other device's run has a stage that this one lacks.
                cells += [ABSENT] * (4 if has_utilization else 3)
                continue
            cells.append(format_seconds(measured["seconds"]))
            if has_utilization:
                busy = measured["busy"]
                cells.append(ABSENT if busy is None else f"{busy:.0%}")
            bound, least = measured.get("bound"), ABSENT
            if bound is not None:
                # Bounds are often below the 0.01 s to which seconds are shown.
                least = f"{bound:.2g} s" if bound < 1 else format_seconds(bound)
            cells += [least, format_ratio(measured.get("times_bound"))]
        cells += [format_ratio(both["stages"].get(stage))] if both else []
        table.append(cells)
    return heads, table


def _has_utilization(line: Json) -> bool:
    return any(stage["busy"] is not None for stage in line["stages"].values())


def format_ratio(ratio: float | None) -> str:
    """Format a ratio as ``12 ×`` or ``1.3 ×``."""
    if ratio is None:
        return ABSENT
    return f"{ratio:,.0f} ×" if ratio >= 10 else f"{ratio:.2g} ×"


def list_conclusions(result: Json) -> list[str]:
    """Return the sentences that follow from the measurements."""
    if not result["speedup"]:
        return []
    return [result["pays"]["says"], *([result["cheaper"]["says"]] if "cheaper" in result else [])]


def list_gaps(result: Json) -> list[str]:
    """Return what was not measured as requested, and why."""
    lines = [f"{name}: not measured: {why}" for name, why in result["missing"].items()]
    for line in result["summary"]:
        failed = dict.fromkeys(line["failed"])
        lines += [f"failed: {line['rows']:,} rows, {line['device']}: {why}" for why in failed]
        where = f"{line['rows']:,} rows, {line['device']}"
        if line["runs"] and line["elsewhere"]:
            lines.append(f"{where}: on another device: {', '.join(line['elsewhere'])}")
        if line["runs"] and line["fallbacks"]:
            lines.append(f"{where}: short of GPU memory: {', '.join(line['fallbacks'])}")
    return lines


def list_throughput(result: Json) -> list[str]:
    """Return the rates from which the bounds are computed, with their sources."""
    units = {"input": "GB/s of input", "memory": "GB/s of memory", "updates": "G additions/s"}
    return [
        f"{device}: {rate['per_second'] / 1e9:,.3g} {units[name]} ({rate['source']})"
        for device, by_name in result["rates"].items()
        for name, rate in by_name.items()
        if rate
    ]


def print_tables(result: Json) -> None:
    """Print the runs, the stages of the largest size, and the conclusions."""
    from rich import box
    from rich.table import Table

    from pipeline.console.terminal import make_console

    # A file or a pipe has no width, and no figure may be cut off for a default of 80 columns.
    console = make_console(width=None if sys.stdout.isatty() else WIDE)
    rows = find_largest_size(result)
    tables = [(f"{result['name']}: ", build_runs_table(result))]
    tables += [(f"{rows:,} rows: ", build_stages_table(result, rows))] if rows else []
    for title, (heads, lines) in tables:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        for position, head in enumerate(heads):
            justify: Any = "right" if position else "left"
            table.add_column(head if position else title + head, justify=justify, overflow="fold")
        for line in lines:
            table.add_row(*line)
        console.print(table)
    for text in (
        *list_conclusions(result),
        *list_gaps(result),
        *(f"bounds, {r}" for r in list_throughput(result)),
    ):
        console.print(text, soft_wrap=True)
