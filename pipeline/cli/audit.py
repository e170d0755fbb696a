"""`audit` on the command line: the findings, the file, and the status."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.options import AllowProtocolOption, JsonOption, QuietOption, print_json
from pipeline.console.terminal import to_one_line
from pipeline.errors import FIX_LABEL

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.audit.finding import Finding
    from pipeline.audit.runner import AuditResult

EXAMPLES = (
    "Examples:\n\n  python -m pipeline audit data/runs/flights-20260101-120000\n\n"
    "  python -m pipeline audit RUN --strict --accept alone:last_price\n\n"
    "  python -m pipeline audit RUN --data /mnt/data/flights.parquet"
)
STYLES = {"fail": "bold red", "warn": "yellow", "info": "cyan"}


def audit(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="PATH", help="Where the run's data are now."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="CHECK:COLUMN", help="A finding that is no fault."),
    ] = None,
    allow_protocol: AllowProtocolOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Looks for leaks from test to train, and for drift; status 4 if one fails.

    Leaves audit.json in the run folder, and the findings in its report.
    """
    from dataclasses import replace

    from pipeline.artifacts.files import write_json
    from pipeline.audit import runner
    from pipeline.cli.progress import make_listener
    from pipeline.errors import CheckFailed
    from pipeline.report.page import write_report

    with runner.scratch_folder(run) as folder:
        heard = make_listener(quiet=quiet, verbose=False)
        found = runner.run_audit(run, folder, data=data, listener=heard)
        found = replace(found, accepted=tuple(accept or ()))
        write_json(run / runner.AUDIT_FILE, found.to_json())
        write_report(run)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
    if standing := found.find_unresolved(strict=strict):
        raise CheckFailed(
            f"audit: {len(standing):,} of {len(found.findings):,} findings stand against {run}",
            examples=[f"{f.severity} {to_one_line(f.name)}" for f in standing],
            fix="change the config as proposed and run again; or, where you know better, "
            f"--accept {shlex.quote(to_one_line(standing[0].name))}",
        )


def _print(found: AuditResult) -> None:
    """A line per check, then the findings with the lines of config against them."""
    from rich.text import Text

    from pipeline.console.terminal import make_console as plain

    console = plain()
    for check in found.checks:
        grave = min((f.severity for f in check.findings), key=list(STYLES).index, default="ok")
        mark = Text(f"{grave:<5}", STYLES.get(grave, "green"))
        console.print(mark, f"{check.check:<10}", to_one_line(check.summary), soft_wrap=True)
    for finding in found.findings:
        _print_finding(console, finding)
    known = {f.name for f in found.findings}
    for name in found.accepted:
        said = "accepted" if name in known else "there is no such finding to accept"
        console.print(f"{to_one_line(name)}: {said}", soft_wrap=True)
    counts = [f"{sum(f.severity == s for f in found.findings):,} {s}" for s in STYLES]
    sample = f", {found.sampled:,} of them refitted" if found.sampled else ""
    rows = sum(found.rows.values())
    console.print(f"{', '.join(counts)} · {rows:,} rows{sample} · {found.seconds:.1f} s")


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
