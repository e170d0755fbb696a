"""The command `parity`: a config on two devices, compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import (
    AllowProtocolOption,
    ConfigArgument,
    JsonOption,
    QuietOption,
    RowsOption,
    SetOption,
    collect_overrides,
    load_config,
    print_json,
)
from pipeline.cli.usage import list_examples
from pipeline.errors import CheckFailed, ConfigError

if TYPE_CHECKING:
    from pipeline.parity.compare import ParityReport

EXAMPLES = list_examples(
    "parity conf/flights.yaml --rows 50000", "parity my.yaml --json --out parity.json"
)
MAX_ROWS = 5
"""Rows that are printed of each comparison that differs."""


def parity(
    config: ConfigArgument = None,
    rows: RowsOption = None,
    devices: Annotated[
        str, typer.Option("--devices", metavar="A,B", help="Two devices, each cpu or gpu.")
    ] = "cpu,gpu",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="JSON file (default: data/runs/NAME-parity-….json)."
        ),
    ] = None,
    set_: SetOption = None,
    allow_protocol: AllowProtocolOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Run a config on the CPU and on the GPU, and compare each stage of the two runs.

    The exit status is 4 if any difference exceeds its tolerance.
    """
    from pipeline.artifacts.files import lock_folder, write_json
    from pipeline.artifacts.run_dirs import RUNS, make_run_folder
    from pipeline.cli.progress import make_listener
    from pipeline.console import signals
    from pipeline.parity.compare import compare, require_device

    checked = load_config(config, None, None, collect_overrides(set_, rows=rows))
    first, comma, second = devices.partition(",")
    if not comma or not first or not second or "," in second:
        raise ConfigError(
            f"--devices {devices!r} is not two devices", fix="name two, such as cpu,gpu"
        )
    choices = require_device(first), require_device(second)
    root = RUNS if out is None else out.parent
    folder = make_run_folder(f"{checked.name}-parity", None, root)
    out = out or folder.parent / f"{folder.name}.json"
    listener = make_listener(quiet=quiet, verbose=False)
    # `clean` finds the folder of a killed command by its lock.
    with signals.removed_on_exit(folder), lock_folder(folder):
        result = compare(checked, choices, folder, listener)
    write_json(out, result.to_json())
    if as_json:
        print_json(result.to_json())
    else:
        print_parity(result, out)
    if failed := result.failed:
        fix = f"inspect the rows in {out}: the first comparison that differs is the likely cause"
        if all(check.stage == "metrics" for check in failed):
            fix = (
                "use more rows: all stages before the metrics agree, and with "
                f"{result.rows['test']:,} test rows, another seed alone may change the metrics by "
                "more (docs/parity.md)"
            )
        raise CheckFailed(
            f"parity: {len(failed)} of {len(result.checks)} comparisons of {first} and {second} "
            "differ",
            examples=[f"{check.stage}: {check.what}" for check in failed],
            fix=fix,
        )


def print_parity(result: ParityReport, out: Path) -> None:
    """Print a line per comparison, then rows of the comparisons that differ."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from pipeline.console.terminal import make_console

    console = make_console()
    for choice in result.choices:
        console.print(f"{choice.name}: {choice.reason}")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("stage", "compared", "rule"):
        table.add_column(column, overflow="fold")
    for column in ("values", "different", "worst"):
        table.add_column(column, justify="right")
    table.add_column("")
    for check in result.checks:
        mark = Text("same", "green") if check.passed else Text("differs", "red")
        worst = "" if check.worst is None else f"{check.worst:.2g}"
        table.add_row(
            *(check.stage, check.what, check.rule),
            *(f"{check.compared:,}", f"{check.different:,}", worst, mark),
        )
    console.print(table)
    for check in result.failed:
        console.print(f"{check.stage}: {check.what}")
        for example in check.examples[:MAX_ROWS]:
            row = "" if example["row"] is None else f"row {example['row']}: "
            values = ["missing" if v is None else repr(v) for v in example["values"]]
            pairs = zip(result.choices, values, strict=True)
            console.print(f"  {row}{', '.join(f'{choice.name} {v}' for choice, v in pairs)}")
    same = len(result.checks) - len(result.failed)
    console.print(f"{same} of {len(result.checks)} the same · {result.seconds:.1f} s · {out}")
