"""The command `clean`: removing run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.artifacts.run_dirs import RUNS
from pipeline.cli.options import JsonOption, print_json
from pipeline.cli.runs import FolderArgument, print_runs
from pipeline.cli.usage import list_examples
from pipeline.console.plural import quantify

EXAMPLES = list_examples(
    "clean --stopped --yes", "clean --keep 5 --older 30", "clean data/runs/RUN --stages --yes"
)


def clean(
    folder: FolderArgument = RUNS,
    keep: Annotated[
        int | None,
        typer.Option("--keep", metavar="N", min=0, help="Remove finished runs except the last N."),
    ] = None,
    older: Annotated[
        float | None,
        typer.Option(
            "--older", metavar="DAYS", min=0, help="Remove finished runs older than DAYS days."
        ),
    ] = None,
    stopped: Annotated[
        bool, typer.Option("--stopped", help="Remove stopped and damaged runs.")
    ] = False,
    stages: Annotated[
        bool,
        typer.Option(
            "--stages",
            help="Keep finished runs, but remove the files that only --resume needs. "
            "FOLDER may be one run.",
        ),
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", help="Remove the folders or files; without --yes they are only listed."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove run folders that you do not need any more; without --yes, only list them."""
    from pipeline.console.terminal import print_stdout
    from pipeline.errors import InputError
    from pipeline.report.text import format_bytes
    from pipeline.tools import runs as tools

    if stages and stopped:
        raise InputError(
            "--stages is for finished runs: a stopped run needs its stages to be resumed",
            fix="use --stopped alone to remove stopped runs",
        )
    if stages:
        infos = tools.list_with_stages(folder, keep=keep, older=older)
        if yes:
            tools.remove_stages(infos)
    elif keep is None and older is None and not stopped:
        raise InputError(
            "clean removes nothing unless an option selects it",
            fix="add --keep N, --older DAYS, --stopped or --stages",
        )
    else:
        infos = tools.list_runs(folder)
        infos = tools.select_removable(infos, keep=keep, older=older, stopped=stopped)
        if yes:
            tools.remove_runs(infos)
    if as_json:
        print_json({"removed": yes, "runs": [info.to_json() for info in infos]})
        return
    result = "removed" if yes else "would be removed; add --yes to remove them"
    if stages:
        for info in infos:
            part = f"{format_bytes(info.freed)} of {format_bytes(info.bytes)}"
            print_stdout(f"{Path(info.folder).name}: {part}")
        freed = format_bytes(sum(info.freed for info in infos))
        print_stdout(
            f"stages of {len(infos):,} finished runs, {freed}: {result}. "
            "The runs stay; --resume of such a run recomputes all stages"
        )
        return
    if infos:
        print_runs(infos)
    size = format_bytes(sum(info.bytes for info in infos))
    print_stdout(f"{quantify(len(infos), 'run')}, {size}: {result}")
