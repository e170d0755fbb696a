"""What the proof says: the targets against what was measured, and a page of all figures."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gpu_proof.steps import MANY, MOST
from pipeline.bench import table
from pipeline.bench.bandwidth import DeviceThroughput, Throughput
from pipeline.bench.measurements import Measurement, StageMeasurement
from pipeline.bench.roofline import WorkItem
from pipeline.bench.statistics import summarize
from pipeline.report.text import format_bytes

Json = Mapping[str, Any]
RUNG = 0.002


def targets(state: Json) -> list[dict[str, Any]]:
    """The targets of issue 4: what was wanted, what was measured, and whether it is met.

    ``met`` is None where something was not measured, or not at full size.
    """
    full = state["scale"] == 1 and "gpu" in state["devices"]
    most = _seconds(state, f"wide {MOST:.0e} gpu")
    gpu, cpu = (_seconds(state, f"wide {MANY:.0e} {device}") for device in ("gpu", "cpu"))
    ours, hand, lazy = (_seconds(state, f"peer {who}") for who in ("ours", "cudf", "cudf.pandas"))
    counted = [r["result"] for n, r in _done(state) if n.startswith("tests ")]
    failures = sum(r.get("failures", 0) for r in counted) if counted else None
    compared = state["steps"].get("parity", {})
    lines = [
        _line("100 M × 30, Parquet to a scored test set, s", "under 90", most, most=90),
        _line("10 M × 30, CPU over GPU", "at least 20 ×", _over(cpu, gpu), least=20),
        _line("flights, ours over cuDF + XGBoost", "at most 1.05 ×", _over(ours, hand), most=1.05),
        _line("flights, ours over cudf.pandas", "at most 0.7 ×", _over(ours, lazy), most=0.7),
        _line("AUC at the ladder's rungs", f"within {RUNG}", _ladder(state), most=RUNG),
        _line("pytest -m gpu, failures", "none", failures, most=0),
        _line("parity, runs that differ", "none", _parity(compared), most=0),
    ]
    return [line if full else {**line, "met": None} for line in lines]


def _line(
    what: str, wanted: str, found: float | None, *, least: float | None = None, most: float = 0
) -> dict[str, Any]:
    met = None if found is None else (found <= most if least is None else found >= least)
    return {"target": what, "wanted": wanted, "measured": found, "met": met}


def _parity(step: Json) -> float | None:
    differs = step.get("result", {}).get("differs")
    return None if differs is None else float(differs)


def _over(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else round(a / b, 3)


def _done(state: Json) -> list[tuple[str, Any]]:
    return [(name, step) for name, step in state["steps"].items() if "result" in step]


def _seconds(state: Json, prefix: str) -> float | None:
    """The median of all turns whose names begin so."""
    found = [
        step["result"].get("seconds") or step["result"]["cell"]["seconds"]
        for name, step in _done(state)
        if name.rpartition(" ")[0] == prefix
    ]
    return round(statistics.median(found), 2) if found else None


def _ladder(state: Json) -> float | None:
    """The largest difference of a rung's AUC from the run that had all the memory."""
    all_memory = state["steps"].get(f"wide {MANY:.0e} gpu 0", {}).get("result")
    rungs = [s["result"]["cell"] for n, s in _done(state) if n.startswith("ladder ")]
    if not all_memory or not rungs:
        return None
    whole = all_memory["cell"]["scores"]["xgboost"]
    return round(max(abs(rung["scores"]["xgboost"] - whole) for rung in rungs), 5)


# -- the page --------------------------------------------------------------------------------------


def page(state: Json) -> str:
    """Markdown: the machine, targets, the wide table's stages, every step."""
    gpus = ", ".join(gpu["name"] for gpu in state["gpus"]) or "no GPU"
    machine = state["machine"]
    lines = [
        f"# {gpus}: {state['started'][:10]}",
        "",
        f"Made by `python -m benchmarks.gpu_proof` at commit {_commits(state)}. {_state(state)}",
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        f"{gpus}; driver {state['driver'] or 'none'}; {machine['system']}.",
        "",
        *_table(["target", "wanted", "measured", "met"], [_target(t) for t in targets(state)]),
        "",
        *_wide(state),
        *_bus(state),
        "## Steps",
        "",
        *_table(["step", "result"], [[n, _told(step)] for n, step in state["steps"].items()]),
        "",
        "## Versions",
        "",
        ", ".join(f"{name} {version}" for name, version in machine["libraries"].items()),
    ]
    return "\n".join(lines) + "\n"


def _commits(state: Json) -> str:
    """Of the steps, in their order."""
    found = dict.fromkeys(step.get("commit", state["commit"]) for step in state["steps"].values())
    return ", ".join(found) or state["commit"]


def _state(state: Json) -> str:
    small = "" if state["scale"] == 1 else f" Rows are scaled by {state['scale']:g}: no proof."
    return ("All steps were tried." if state["finished"] else "**Unfinished.**") + small


def _target(line: Json) -> list[str]:
    word = {True: "yes", False: "**no**", None: "not measured"}[line["met"]]
    found = "–" if line["measured"] is None else f"{line['measured']:g}"
    return [line["target"], line["wanted"], found, word]


def _wide(state: Json) -> list[str]:
    """Runs and stages of the wide table, with utilization and the gap to the bound."""
    found = [step["result"]["cell"] for n, step in _done(state) if n.startswith("wide ")]
    if not found:
        return []
    rates = {device: _rates(told) for device, told in state["rates"].items()}
    lines = summarize([_cell(cell) for cell in found], rates, {})
    own: list[str] = []
    for line in lines:
        heads, rows = table.build_stages_table({"summary": [line], "speedup": []}, line["rows"])
        took = f"{line['seconds']:.1f} s, {format_bytes(line['peak_host'])} of host memory"
        device = f", {format_bytes(line['peak_device'])} on the GPU" if line["peak_device"] else ""
        scores = ", ".join(f"AUC {auc:.4f}" for auc in line["scores"].values() if auc)
        own += [f"## {line['rows']:,} rows × 30, {line['device']}, runs: {line['runs']}", ""]
        own += [f"{took}{device}; {scores}", "", *_table(heads, rows), ""]
    told = [f"- {line}" for line in table.list_throughput(state)]
    return [*own, "The bounds' rates:", "", *told, ""]


BUS = ("flights", "peer ours 0")
"""Steps with a run's whole ledger."""


def _bus(state: Json) -> list[str]:
    """What the run counted as it copied, beside what NVML metered on the bus (mean rate × seconds).

    NVML sees what the libraries copy, too (pages that spill, kernels' arguments), all processes of
    the GPU, and 20 ms of each sample: a few megabytes say nothing, hundreds do.
    """
    heads = ["stage", "s", "to the GPU, counted", "metered", "from the GPU, counted", "metered"]
    lines: list[str] = []
    for name, step in _done(state):
        stages = step["result"].get("stages", []) if name in BUS else []
        rows = [_copied(stage) for stage in stages if stage.get("gpu")]
        if rows:
            lines += [f"## Bytes over the bus: {name}", "", *_table(heads, rows), ""]
    return lines


def _copied(stage: Json) -> list[str]:
    metered = [
        format_bytes(round(stage["gpu"][rate] * stage["seconds"])) if rate in stage["gpu"] else "–"
        for rate in ("mean_received", "mean_sent")
    ]
    counted = [format_bytes(stage[way]) for way in ("h2d", "d2h")]
    columns = [cell for pair in zip(counted, metered, strict=True) for cell in pair]
    return [stage["stage"], f"{stage['seconds']:.1f}", *columns]


def _rates(told: Json) -> DeviceThroughput:
    return DeviceThroughput(
        *(told[n] and Throughput(**told[n]) for n in ("input", "memory", "updates"))
    )


def _cell(told: Json) -> Measurement:
    """The cell that was kept as JSON."""
    stages = {name: StageMeasurement(**stage) for name, stage in told["stages"].items()}
    work = {name: tuple(WorkItem(**part) for part in parts) for name, parts in told["work"].items()}
    return Measurement(**{**told, "stages": stages, "work": work})


def _told(step: Json) -> str:
    """A step in a line."""
    if "failed" in step:
        return f"**failed** after {step['seconds']:.0f} s: {step['failed'][:300]}"
    if "absent" in step:
        return f"not run: {step['absent']}"
    result = step["result"]
    if "collected" in result:
        counts = f"{result['collected']} collected, {result['passed']} passed, "
        named = "".join(f"; {name[:120]}" for name in result["failed"])
        return counts + f"{result.get('failures', 0)} failed{named}"
    cell = result.get("cell")
    if cell:
        fell = "".join(f"; {rung}" for rung in cell["fallbacks"])
        return f"{cell['seconds']:.1f} s, AUC {cell['scores']['xgboost']:.4f}{fell}"
    auc = f", AUC {result['auc']:.4f}" if "auc" in result else ""
    return f"{result.get('seconds') or step['seconds']:.1f} s{auc}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [
        list(heads),
        ["---"] * len(heads),
        *([c.replace("|", "\\|").replace("\n", " ") for c in r] for r in rows),
    ]
    return [f"| {' | '.join(line)} |" for line in lines]
