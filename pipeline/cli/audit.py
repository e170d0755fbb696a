"""The command `audit`: prints the findings, writes the file, and sets the status."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AllowProtocolOption, JsonOption, QuietOption, print_json
from pipeline.cli.usage import list_examples
from pipeline.console.plural import pluralize, quantify
from pipeline.console.terminal import to_one_line
from pipeline.errors import FIX_LABEL

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.audit.finding import Finding
    from pipeline.audit.runner import AuditResult

EXAMPLES = list_examples(
    "audit data/runs/flights-20260101-120000",
    "audit RUN --strict --accept alone:last_price",
    "audit RUN --data /mnt/data/flights.parquet",
)
STYLES = {"fail": "bold red", "warn": "yellow", "info": "cyan"}


def audit(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data", metavar="PATH", help="Current path of the run's data, if they have moved."
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Also fail on warnings.")] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept",
            metavar="CHECK:COLUMN",
            help="Ignore a finding, such as alone:last_price. Repeatable.",
        ),
    ] = None,
    allow_protocol: AllowProtocolOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Check a finished run for leaks from test to train, and for drift.

    The command writes audit.json and adds the findings to the run's report.
    The exit status is 4 if a check fails.
    """
    from dataclasses import replace

    from pipeline.artifacts.files import write_json
    from pipeline.audit import runner
    from pipeline.cli.progress import make_listener
    from pipeline.errors import CheckFailed
    from pipeline.report.page import write_report

    with runner.scratch_folder(run) as folder:
        listener = make_listener(quiet=quiet, verbose=False)
        result = runner.run_audit(run, folder, data=data, listener=listener)
        result = replace(result, accepted=tuple(accept or ()))
        write_json(run / runner.AUDIT_FILE, result.to_json())
        write_report(run)
    if as_json:
        print_json(result.to_json())
    else:
        _print_result(result)
    if unresolved := result.find_unresolved(strict=strict):
        name = shlex.quote(to_one_line(unresolved[0].name))
        count, verb = len(unresolved), pluralize(len(unresolved), "is", "are")
        raise CheckFailed(
            f"{count:,} of {quantify(len(result.findings), 'finding')} {verb} unresolved in {run}",
            examples=[f"{f.severity} {to_one_line(f.name)}" for f in unresolved],
            fix="change the config as suggested and run again; to ignore a finding, pass "
            f"--accept {name}",
        )


def _print_result(result: AuditResult) -> None:
    """Print a line per check, then the findings with the suggested lines of config."""
    from rich.text import Text

    from pipeline.console.terminal import make_console

    console = make_console()
    for check in result.checks:
        severity = min((f.severity for f in check.findings), key=list(STYLES).index, default="ok")
        mark = Text(f"{severity:<5}", STYLES.get(severity, "green"))
        console.print(mark, f"{check.check:<10}", to_one_line(check.summary), soft_wrap=True)
    for finding in result.findings:
        _print_finding(console, finding)
    names = {f.name for f in result.findings}
    for name in result.accepted:
        # A mistyped name must not pass for an accepted finding.
        state = "accepted" if name in names else "there is no such finding to accept"
        console.print(f"{to_one_line(name)}: {state}", soft_wrap=True)
    counts = [f"{sum(f.severity == s for f in result.findings):,} {s}" for s in STYLES]
    sample = f", {result.sampled:,} of them refitted" if result.sampled else ""
    rows = sum(result.rows.values())
    console.print(f"{', '.join(counts)} · {quantify(rows, 'row')}{sample} · {result.seconds:.1f} s")


def _print_finding(console: Console, finding: Finding) -> None:
    from rich.text import Text

    name = f"{to_one_line(finding.column)}: " if finding.column else ""
    console.print()
    console.print(
        Text(finding.severity, STYLES[finding.severity]), f"{finding.check}:",
        f"{name}{to_one_line(finding.what)}", soft_wrap=True,
    )  # fmt: skip
    if finding.config:
        console.print(f"  {FIX_LABEL} {to_one_line(finding.config)}", soft_wrap=True)
