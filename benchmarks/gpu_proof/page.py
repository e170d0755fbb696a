"""The page of the proof: targets against measurements, and all figures."""

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
AUC_TOLERANCE = 0.002


def check_targets(state: Json) -> list[dict[str, Any]]:
    """Return the targets, each with its limit, the measurement and whether it is met.

    ``met`` is None if the target was not measured, or not at full size.
    """
    full = state["scale"] == 1 and "gpu" in state["devices"]
    most = _median_seconds(state, f"wide {MOST:.0e} gpu")
    gpu, cpu = (_median_seconds(state, f"wide {MANY:.0e} {device}") for device in ("gpu", "cpu"))
    ours, hand, lazy = (
        _median_seconds(state, f"peer {who}") for who in ("ours", "cudf", "cudf.pandas")
    )
    counts = [r["result"] for n, r in _finished_steps(state) if n.startswith("tests ")]
    failures = sum(r.get("failures", 0) for r in counts) if counts else None
    compared = state["steps"].get("parity", {})
    lines = [
        _check_target("100 M × 30, Parquet to a scored test set, s", "under 90", most, most=90),
        _check_target("10 M × 30, CPU over GPU", "at least 20 ×", _ratio(cpu, gpu), least=20),
        _check_target(
            "flights, ours over cuDF + XGBoost", "at most 1.05 ×", _ratio(ours, hand), most=1.05
        ),
        _check_target(
            "flights, ours over cudf.pandas", "at most 0.7 ×", _ratio(ours, lazy), most=0.7
        ),
        _check_target(
            "AUC with less GPU memory",
            f"within {AUC_TOLERANCE}",
            _auc_difference(state),
            most=AUC_TOLERANCE,
        ),
        _check_target("pytest -m gpu, failures", "none", failures, most=0),
        _check_target("parity, runs that differ", "none", _parity(compared), most=0),
    ]
    return [line if full else {**line, "met": None} for line in lines]


def _check_target(
    what: str, wanted: str, measured: float | None, *, least: float | None = None, most: float = 0
) -> dict[str, Any]:
    met = None
    if measured is not None:
        met = measured <= most if least is None else measured >= least
    return {"target": what, "wanted": wanted, "measured": measured, "met": met}


def _parity(step: Json) -> float | None:
    differs = step.get("result", {}).get("differs")
    return None if differs is None else float(differs)


def _ratio(a: float | None, b: float | None) -> float | None:
    return None if a is None or not b else round(a / b, 3)


def _finished_steps(state: Json) -> list[tuple[str, Any]]:
    return [(name, step) for name, step in state["steps"].items() if "result" in step]


def _median_seconds(state: Json, prefix: str) -> float | None:
    """Return the median of all turns of a step."""
    seconds = [
        step["result"].get("seconds") or step["result"]["cell"]["seconds"]
        for name, step in _finished_steps(state)
        if name.rpartition(" ")[0] == prefix
    ]
    return round(statistics.median(seconds), 2) if seconds else None


def _auc_difference(state: Json) -> float | None:
    """Return the largest difference in AUC between a run with less memory and one with all."""
    all_memory = state["steps"].get(f"wide {MANY:.0e} gpu 0", {}).get("result")
    reduced = [s["result"]["cell"] for n, s in _finished_steps(state) if n.startswith("memory ")]
    if not all_memory or not reduced:
        return None
    whole = all_memory["cell"]["scores"]["xgboost"]
    return round(max(abs(cell["scores"]["xgboost"] - whole) for cell in reduced), 5)


# -- the page --------------------------------------------------------------------------------------


def render_page(state: Json) -> str:
    """Render the page as Markdown: machine, targets, stages of the wide table, every step."""
    gpus = ", ".join(gpu["name"] for gpu in state["gpus"]) or "no GPU"
    machine = state["machine"]
    lines = [
        f"# {gpus}: {state['started'][:10]}",
        "",
        f"Made by `python -m benchmarks.gpu_proof` at commit {_list_commits(state)}. "
        + _describe_state(state),
        f"Machine: {machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; "
        f"{gpus}; driver {state['driver'] or 'none'}; {machine['system']}.",
        "",
        *_table(
            ["target", "wanted", "measured", "met"],
            [_format_target(t) for t in check_targets(state)],
        ),
        "",
        *_wide_section(state),
        *_transfer_section(state),
        "## Steps",
        "",
        *_table(
            ["step", "result"], [[n, _describe_step(step)] for n, step in state["steps"].items()]
        ),
        "",
        "## Versions",
        "",
        ", ".join(f"{name} {version}" for name, version in machine["libraries"].items()),
    ]
    return "\n".join(lines) + "\n"


def _list_commits(state: Json) -> str:
    """List the commits of the steps, in their order."""
    commits = dict.fromkeys(step.get("commit", state["commit"]) for step in state["steps"].values())
    return ", ".join(commits) or state["commit"]


def _describe_state(state: Json) -> str:
    small = (
        ""
        if state["scale"] == 1
        else f" Rows are scaled by {state['scale']:g}: this is not a proof."
    )
    return ("All steps have run." if state["finished"] else "**Unfinished.**") + small


def _format_target(line: Json) -> list[str]:
    word = {True: "yes", False: "**no**", None: "not measured"}[line["met"]]
    measured = "–" if line["measured"] is None else f"{line['measured']:g}"
    return [line["target"], line["wanted"], measured, word]


def _wide_section(state: Json) -> list[str]:
    """Render the runs of the wide table and their stages, with utilization and bounds."""
    cells = [step["result"]["cell"] for n, step in _finished_steps(state) if n.startswith("wide ")]
    if not cells:
        return []
    rates = {device: _to_throughput(stored) for device, stored in state["rates"].items()}
    lines = summarize([_to_measurement(cell) for cell in cells], rates, {})
    section: list[str] = []
    for line in lines:
        heads, rows = table.build_stages_table({"summary": [line], "speedup": []}, line["rows"])
        took = f"{line['seconds']:.1f} s, {format_bytes(line['peak_host'])} of host memory"
        device = f", {format_bytes(line['peak_device'])} on the GPU" if line["peak_device"] else ""
        scores = ", ".join(f"AUC {auc:.4f}" for auc in line["scores"].values() if auc)
        section += [f"## {line['rows']:,} rows × 30, {line['device']}, runs: {line['runs']}", ""]
        section += [f"{took}{device}; {scores}", "", *_table(heads, rows), ""]
    sources = [f"- {line}" for line in table.list_throughput(state)]
    return [*section, "Rates of the bounds:", "", *sources, ""]


STEPS_WITH_LEDGER = ("flights", "peer ours 0")
"""Steps that store a run's whole ledger."""


def _transfer_section(state: Json) -> list[str]:
    """Render the bytes that the run counted beside those that NVML measured (mean rate × seconds).

    NVML includes copies by libraries (spilled pages, arguments of kernels) and by all processes,
    and samples 20 ms at a time: a difference of a few megabytes is noise, one of hundreds is not.
    """
    heads = ["stage", "s", "to the GPU, counted", "metered", "from the GPU, counted", "metered"]
    lines: list[str] = []
    for name, step in _finished_steps(state):
        stages = step["result"].get("stages", []) if name in STEPS_WITH_LEDGER else []
        rows = [_transfer_row(stage) for stage in stages if stage.get("gpu")]
        if rows:
            lines += [f"## Bytes over the bus: {name}", "", *_table(heads, rows), ""]
    return lines


def _transfer_row(stage: Json) -> list[str]:
    metered = [
        format_bytes(round(stage["gpu"][rate] * stage["seconds"])) if rate in stage["gpu"] else "–"
        for rate in ("mean_received", "mean_sent")
    ]
    counts = [format_bytes(stage[way]) for way in ("h2d", "d2h")]
    columns = [cell for pair in zip(counts, metered, strict=True) for cell in pair]
    return [stage["stage"], f"{stage['seconds']:.1f}", *columns]


def _to_throughput(stored: Json) -> DeviceThroughput:
    return DeviceThroughput(
        *(stored[n] and Throughput(**stored[n]) for n in ("input", "memory", "updates"))
    )


def _to_measurement(stored: Json) -> Measurement:
    stages = {name: StageMeasurement(**stage) for name, stage in stored["stages"].items()}
    work = {
        name: tuple(WorkItem(**part) for part in parts) for name, parts in stored["work"].items()
    }
    return Measurement(**{**stored, "stages": stages, "work": work})


def _describe_step(step: Json) -> str:
    """Describe the outcome of a step in one line."""
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
        fallbacks = "".join(f"; {level}" for level in cell["fallbacks"])
        return f"{cell['seconds']:.1f} s, AUC {cell['scores']['xgboost']:.4f}{fallbacks}"
    auc = f", AUC {result['auc']:.4f}" if "auc" in result else ""
    return f"{result.get('seconds') or step['seconds']:.1f} s{auc}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [
        list(heads),
        ["---"] * len(heads),
        *([c.replace("|", "\\|").replace("\n", " ") for c in r] for r in rows),
    ]
    return [f"| {' | '.join(line)} |" for line in lines]
