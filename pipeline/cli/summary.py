"""Summaries of `run` and `doctor` on standard output, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.table import Table
from rich.text import Text

from pipeline.console import terminal
from pipeline.console.plural import quantify
from pipeline.errors import FIX_LABEL, quote_path
from pipeline.evaluate.metrics import primary_metric

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.doctor.examine import Finding
    from pipeline.execution.runner import RunResult

SHOWN: Mapping[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "average_precision", "log_loss", "accuracy", "f1_at_threshold"),
    "multiclass": ("roc_auc_ovr", "log_loss", "accuracy", "f1_macro"),
    "regression": ("rmse", "mae", "r2"),
}
MARK = {"ok": "green", "warn": "yellow", "fail": "red"}


def print_result(result: RunResult) -> None:
    """Print the warnings, the test metrics beside the baseline, and how to use the models."""
    console = terminal.make_console()
    print_warnings(console, result)
    metrics = result.metrics
    names = SHOWN[metrics["task"]]
    title = f"test set, {quantify(metrics['rows']['test'], 'row')}"
    # Without lines between the columns, five metrics fit into 60 characters.
    style: dict[str, Any] = {"box": box.SIMPLE_HEAD, "padding": (0, 1, 0, 0), "pad_edge": False}
    narrow = console.width < 80
    table = Table(title=title, title_justify="left", **(style if narrow else {}))
    table.add_column("model", no_wrap=True)
    for name in names:
        table.add_column(name.replace("_", "\n" if narrow else " "), justify="right")
    table.add_row("baseline", *_cells(metrics["baseline"]["test"], names))
    for model, by_set in metrics["models"].items():
        mark = f"{model} *" if model == result.best else model
        table.add_row(mark, *_cells(by_set["test"], names))
    console.print(table)
    best = f"* best by {primary_metric(metrics['task']).name} on valid"
    console.print(best, f"· {result.seconds:.1f} s in all")
    console.print(_describe_memory(result.memory))
    for label, value in (
        ("report", f"{result.folder}/report.html"),
        (
            "score new data",
            f"python -m pipeline predict {quote_path(result.folder)} NEW.csv --out scores.csv",
        ),
    ):
        console.print(f"{label}: {value}", soft_wrap=True)


def print_warnings(console: Console, result: RunResult) -> None:
    """Print what people must know before they trust the metrics."""
    for warning in result.warnings:
        console.print(Text(f"warning: {warning.message}", "yellow"))
        if fix := warning.fix_in(quote_path(result.folder)):
            console.print(Text(f"  {FIX_LABEL} {fix}"), soft_wrap=True)


def _describe_memory(memory: Mapping[str, Any]) -> str:
    """Describe the peak of memory beside the planned one."""
    peak = f"memory: peak {memory['measured'] / 1e9:.2f} GB"
    if gpu := memory["device"]:
        plan = f"planned {gpu['planned'] / 1e9:.2f} of {gpu['limit'] / 1e9:.1f} GB allowed"
        return f"{peak}; GPU memory: peak {gpu['measured'] / 1e9:.2f} GB, {plan}"
    if not memory["planned"]:  # in a cluster the plan is of the workers, not of this process
        return f"{peak} in this process"
    return (
        f"{peak}, planned {memory['planned'] / 1e9:.2f} of {memory['limit'] / 1e9:.1f} GB allowed"
    )


def _cells(metrics: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    return ["–" if metrics.get(n) is None else f"{metrics[n]:.4f}" for n in names]


def print_findings(findings: Sequence[Finding]) -> None:
    """Print a line per finding, with the fix below those that are not ok."""
    from pipeline.doctor.examine import summarize_findings

    console = terminal.make_console()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column()
    table.add_column(overflow="fold")
    for finding in summarize_findings(findings):
        table.add_row(
            Text(finding.status, MARK[finding.status]), finding.check, Text(finding.detail)
        )
        if finding.fix:
            table.add_row("", "", Text(f"{FIX_LABEL} {finding.fix}"))
    console.print(table)
