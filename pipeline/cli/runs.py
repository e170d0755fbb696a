"""The commands over run folders that are there already: runs, compare, clean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.artifacts.run_dirs import RUNS
from pipeline.cli.options import JsonOption, print_json

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.tools.runs import RunInfo

FolderArgument = Annotated[
    Path, typer.Argument(metavar="[FOLDER]", help="Where the run folders are.")
]


def runs(folder: FolderArgument = RUNS, as_json: JsonOption = False) -> None:
    """Lists run folders, oldest first: finished, running, stopped or damaged."""
    from pipeline.tools import runs as tools

    found = tools.list_runs(folder)
    if as_json:
        print_json([run.to_json() for run in found])
    elif not found:
        from pipeline.console.terminal import print_stderr

        print_stderr(f"no runs in {folder}; start one with: python -m pipeline run")
    else:
        _print(_runs_table(found))
        _say_reasons(found)


def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="Others are compared with it.")],
    others: Annotated[list[Path], typer.Argument(metavar="RUN...", help="One or more.")],
    every: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Puts runs side by side: config, data, metrics, seconds, and which files are the same."""
    from pipeline.tools import compare as tools

    found = tools.compare([first, *others])
    if as_json:
        print_json(found)
        return
    for number, path in enumerate(found["runs"], 1):
        _say(f"{number}: {path}")
    for title in ("config", "data", "versions", "metrics", "seconds"):
        _print(_compared(title, found["runs"], found[title], every))
    same = [name for name, equal in found["files"].items() if equal]
    unlike = [name for name, equal in found["files"].items() if not equal]
    _say(f"the same bytes: {', '.join(same) or 'no file'}")
    _say(f"other bytes: {', '.join(unlike) or 'no file'}")


def clean(
    folder: FolderArgument = RUNS,
    keep: Annotated[
        int | None,
        typer.Option("--keep", metavar="N", min=0, help="Finished runs but the last N."),
    ] = None,
    older: Annotated[
        float | None,
        typer.Option("--older", metavar="DAYS", min=0, help="Finished runs that are older."),
    ] = None,
    stopped: Annotated[
        bool, typer.Option("--stopped", help="Runs that stopped on their way, and damaged ones.")
    ] = False,
    stages: Annotated[
        bool,
        typer.Option(
            "--stages",
            help="Of finished runs only what a later --resume needs: the runs stay. "
            "FOLDER may be a run.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; else they are listed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Removes run folders that are not wanted any more; lists them first, without --yes."""
    from pipeline.errors import InputError
    from pipeline.tools import runs as tools

    if stages and stopped:
        raise InputError(
            "--stages is for finished runs: one that stopped goes on with what its stages left",
            fix="--stopped alone removes those runs",
        )
    if stages:
        _clean_stages(folder, keep, older, yes=yes, as_json=as_json)
        return
    if keep is None and older is None and not stopped:
        raise InputError(
            "clean removes nothing unless told what",
            fix="--keep N, --older DAYS, --stopped or --stages",
        )
    found = tools.select_removable(tools.list_runs(folder), keep=keep, older=older, stopped=stopped)
    if yes:
        tools.remove_runs(found)
    if as_json:
        print_json({"removed": yes, "runs": [run.to_json() for run in found]})
        return
    from pipeline.report.text import format_bytes

    if found:
        _print(_runs_table(found))
        _say_reasons(found)
    done = "removed" if yes else "would be removed; with --yes they are"
    _say(f"{len(found):,} runs, {format_bytes(sum(run.bytes for run in found))}: {done}")


def _clean_stages(
    folder: Path, keep: int | None, older: float | None, *, yes: bool, as_json: bool
) -> None:
    """`clean --stages`: lists or removes what only a later `--resume` needs."""
    from pipeline.report.text import format_bytes
    from pipeline.tools import runs as tools

    found = tools.list_with_stages(folder, keep=keep, older=older)
    if yes:
        tools.remove_stages(found)
    if as_json:
        print_json({"removed": yes, "runs": [run.to_json() for run in found]})
        return
    for run in found:
        _say(f"{Path(run.folder).name}: {format_bytes(run.freed)} of {format_bytes(run.bytes)}")
    done = "removed" if yes else "would be removed; with --yes they are"
    freed = format_bytes(sum(run.freed for run in found))
    _say(
        f"stages of {len(found):,} finished runs, {freed}: {done}. "
        "The runs stay; --resume of one does all stages again"
    )


def _runs_table(found: Sequence[RunInfo]) -> Table:
    from pipeline.report.text import ABSENT, format_bytes, format_count, format_seconds

    table = _table("run", "state", "best", "test", "rows", "time", "size")
    table.box, table.padding = None, (0, 1, 0, 0)  # 80 letters hold them all
    table.columns[0].no_wrap = True  # a name that is to be copied: the others make room
    for run in found:
        score = ABSENT if run.test is None else f"{run.metric} {run.test:.4f}"
        table.add_row(
            Path(run.folder).name, run.state, run.best or ABSENT, score,
            format_count(run.rows), format_seconds(run.seconds), format_bytes(run.bytes),
        )  # fmt: skip
    return table


def _say_reasons(found: Sequence[RunInfo]) -> None:
    for run in found:
        if run.reason:
            how = f"; go on with: {run.resume}" if run.resume else ""
            _say(f"{Path(run.folder).name}: {run.state} {run.reason}{how}")


def _compared(
    title: str, names: Sequence[str], values: Mapping[str, Sequence[Any]], every: bool
) -> Table:
    """A row for each key, a column for each run; metrics and seconds beside the first run's."""
    table = _table(title, *(str(number) for number, _ in enumerate(names, 1)))
    for key, own in values.items():
        if every or any(value != own[0] for value in own):
            table.add_row(key, *(_cell(value, own[0]) for value in own))
    if not table.row_count:
        table.add_row("no difference", *("" for _ in names))
    return table


def _cell(value: Any, first: Any) -> str:
    from pipeline.report.text import ABSENT

    if value is None:
        return ABSENT
    if not isinstance(value, float):
        return str(value)
    more = "" if not isinstance(first, float) or value == first else f" ({value - first:+.4f})"
    return f"{value:.4f}{more}"


def _table(first: str, *others: str) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in (first, *others):
        table.add_column(name, overflow="fold")
    return table


def _print(table: Table) -> None:
    from pipeline.console.terminal import make_console

    make_console().print(table)


def _say(text: str) -> None:
    from pipeline.console.terminal import print_stdout

    print_stdout(" ".join(text.split("\n")))
