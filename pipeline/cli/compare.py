"""The command `compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import JsonOption, print_json
from pipeline.cli.usage import list_examples

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLES = list_examples(
    "compare data/runs/flights-20260101-120000 data/runs/flights-20260102-090000"
)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="Run to compare the others with.")],
    others: Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or more other runs.")],
    every: Annotated[
        bool, typer.Option("--all", help="Also print what is the same in all runs.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Compare the configs, data, versions, metrics, seconds and files of several runs."""
    from pipeline.console.terminal import make_console, print_stdout
    from pipeline.tools.compare import compare as compare_runs

    comparison = compare_runs([first, *others])
    if as_json:
        print_json(comparison)
        return
    for number, path in enumerate(comparison["runs"], 1):
        print_stdout(f"{number}: {' '.join(path.split())}")
    console = make_console()
    for title in ("config", "data", "versions", "metrics", "seconds"):
        table = _new_table(title, *(str(n) for n, _ in enumerate(comparison["runs"], 1)))
        for key, values in comparison[title].items():
            if every or any(value != values[0] for value in values):
                table.add_row(key, *(_cell(value, values[0]) for value in values))
        if not table.row_count:
            table.add_row("no difference", *("" for _ in comparison["runs"]))
        console.print(table)
    for label, is_same in (("the same bytes", True), ("other bytes", False)):
        names = [name for name, same in comparison["files"].items() if same is is_same]
        print_stdout(f"{label}: {', '.join(names) or 'no file'}")


def _new_table(*columns: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def _cell(value: object, first: object) -> str:
    """Format a value, with the difference from the first run if both are floats."""
    from pipeline.report.text import ABSENT

    if value is None:
        return ABSENT
    if not isinstance(value, float):
        return str(value)
    difference = ""
    if isinstance(first, float) and value != first:
        difference = f" ({value - first:+.4f})"
    return f"{value:.4f}{difference}"
