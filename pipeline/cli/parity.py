"""`parity` on the command line: the table, the JSON file, and the status."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.options import print_json
from pipeline.errors import CheckFailed, ConfigError

if TYPE_CHECKING:
    from pipeline.parity.compare import ParityReport
    from pipeline.parity.differences import Check

SHOWN = 5
"""Rows of a line that differs which the text shows."""


def check_parity(
    config: Any, *, devices: str, out: Path | None, as_json: bool, quiet: bool
) -> None:
    """Compares, prints the table or the JSON, and writes the JSON to a file in any case.

    Raises:
        CheckFailed: something differs, after all has been written.
        DeviceError: one of the devices is not here.
    """
    from pipeline.artifacts.files import lock_folder, write_json
    from pipeline.artifacts.run_dirs import RUNS, make_run_folder
    from pipeline.cli.progress import make_listener
    from pipeline.console import signals
    from pipeline.parity.compare import compare, require_device

    first, comma, second = devices.partition(",")
    if not comma or not first or not second or "," in second:
        raise ConfigError(f"--devices {devices!r} is not two devices", fix="such as cpu,gpu")
    choices = require_device(first), require_device(second)
    folder = make_run_folder(f"{config.name}-parity", None, RUNS if out is None else out.parent)
    out = out or folder.parent / f"{folder.name}.json"
    told = make_listener(quiet=quiet, verbose=False)
    with (
        signals.removed_on_exit(folder),
        lock_folder(folder),
    ):  # one that is killed is seen by its lock
        found = compare(config, choices, folder, told)
    write_json(out, found.to_json())
    if as_json:
        print_json(found.to_json())
    else:
        print_parity(found, out)
    if failed := found.failed:
        raise CheckFailed(
            f"parity: {len(failed)} of {len(found.checks)} comparisons of {first} and {second} "
            "differ",
            examples=[f"{c.stage}: {c.what}" for c in failed],
            fix=_advice(found, out),
        )


def _advice(found: ParityReport, out: Path) -> str:
    if all(check.stage == "metrics" for check in found.failed):
        return (
            f"all else is the same: of {found.rows['test']:,} test rows, two trainings may differ "
            "by more with their seed alone (docs/parity.md). Take more rows"
        )
    return f"{out} has rows of each; the first line that differs is the likely cause"


def print_parity(found: ParityReport, out: Path) -> None:
    """A line per comparison on standard output, and below it rows of those that differ."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from pipeline.console.terminal import make_console as plain

    console = plain()
    names = [choice.name for choice in found.choices]
    for choice in found.choices:
        console.print(f"{choice.name}: {choice.reason}")
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("stage", "compared", "rule"):
        table.add_column(column, overflow="fold")
    for column in ("values", "different", "worst"):
        table.add_column(column, justify="right")
    table.add_column("")
    for check in found.checks:
        mark = Text("same", "green") if check.passed else Text("differs", "red")
        worst = "" if check.worst is None else f"{check.worst:.2g}"
        table.add_row(
            check.stage, check.what, check.rule, f"{check.compared:,}",
            f"{check.different:,}", worst, mark,
        )  # fmt: skip
    console.print(table)
    for check in found.failed:
        for line in format_examples(check, names):
            console.print(line)
    same = len(found.checks) - len(found.failed)
    console.print(f"{same} of {len(found.checks)} the same · {found.seconds:.1f} s · {out}")


def format_examples(check: Check, names: list[str]) -> list[str]:
    """What differs in a few rows of a line."""
    lines = [f"{check.stage}: {check.what}"]
    for example in check.examples[:SHOWN]:
        row = "" if example["row"] is None else f"row {example['row']}: "
        first, second = (_shown(value) for value in example["values"])
        lines.append(f"  {row}{names[0]} {first}, {names[1]} {second}")
    return lines


def _shown(value: Any) -> str:
    return "missing" if value is None else repr(value)
