"""The command `runs`: a list of run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.artifacts.run_dirs import RUNS
from pipeline.cli.options import JsonOption, print_json
from pipeline.cli.usage import list_examples

if TYPE_CHECKING:
    from pipeline.tools.runs import RunInfo

EXAMPLES = list_examples("runs", "runs results --json")
FolderArgument = Annotated[
    Path, typer.Argument(metavar="[FOLDER]", help="Folder that contains the run folders.")
]


def runs(folder: FolderArgument = RUNS, as_json: JsonOption = False) -> None:
    """List run folders, oldest first, with their state: finished, running, stopped or damaged."""
    from pipeline.tools.runs import list_runs

    infos = list_runs(folder)
    if as_json:
        print_json([info.to_json() for info in infos])
    elif infos:
        print_runs(infos)
    else:
        from pipeline.console.terminal import print_stderr

        print_stderr(f"no runs in {folder}; start one with: python -m pipeline run")


def print_runs(infos: Sequence[RunInfo]) -> None:
    """Print a table of runs, then the reasons of those that did not finish."""
    from rich.table import Table

    from pipeline.console.terminal import make_console, print_stdout
    from pipeline.report.text import ABSENT, format_bytes, format_count, format_seconds

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))  # fits into 80 characters
    for name in ("run", "state", "best", "test", "rows", "time", "size"):
        # The folder's name is to be copied, so the other columns make room for it.
        table.add_column(name, overflow="fold", no_wrap=name == "run")
    for info in infos:
        table.add_row(
            Path(info.folder).name,
            info.state,
            info.best or ABSENT,
            ABSENT if info.test is None else f"{info.metric} {info.test:.4f}",
            format_count(info.rows),
            format_seconds(info.seconds),
            format_bytes(info.bytes),
        )
    make_console().print(table)
    for info in infos:
        if info.reason:
            resume = f"; resume with: {info.resume}" if info.resume else ""
            text = f"{Path(info.folder).name}: {info.state} {info.reason}{resume}"
            print_stdout(" ".join(text.split("\n")))
