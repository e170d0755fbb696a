"""The command `report`: the page of a run, written anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.usage import list_examples

EXAMPLES = list_examples("report data/runs/flights-20260101-120000")


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of the run.")],
) -> None:
    """Rebuild a run's report.html, and print its path."""
    from pipeline.console.terminal import print_stdout
    from pipeline.report.page import rewrite_report

    print_stdout(str(rewrite_report(run)))
