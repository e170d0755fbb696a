"""The root command ``pipeline``, to which each module of a command is attached."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pipeline import __version__
from pipeline.cli import (
    audit,
    bench,
    clean,
    compare,
    doctor,
    init,
    parity,
    plan,
    predict,
    report,
    run,
    runs,
    schema,
    streams,
)
from pipeline.cli.options import expand_home
from pipeline.cli.usage import CommandGroup, build_command
from pipeline.errors import check_utf8

app = typer.Typer(
    name="pipeline",
    cls=CommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help=(
        "Train and use models on large tables, from one YAML file, on CPUs, GPUs or a cluster.\n\n"
        "Exit status: 0 success, 2 the input is wrong, 3 the machine lacks something that the run "
        "needs, 4 a check failed, 130/143 stopped by a signal."
    ),
    epilog="Start with:  python -m pipeline run     "
    "(trains on conf/flights.yaml, takes about a minute)",
)


def _print_version(is_set: bool) -> None:
    if is_set:
        sys.stdout.write(f"pipeline {__version__}\n")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Parse the options before the command."""


# One line per command, in the order of ``pipeline --help``.
app.command(epilog=run.EXAMPLES)(run.run)
app.command(epilog=init.EXAMPLES)(init.init)
app.command(epilog=plan.EXAMPLES)(plan.plan)
app.command(epilog=predict.EXAMPLES)(predict.predict)
app.command(epilog=report.EXAMPLES)(report.report)
app.command(epilog=audit.EXAMPLES)(audit.audit)
app.command(epilog=runs.EXAMPLES)(runs.runs)
app.command(epilog=compare.EXAMPLES)(compare.compare)
app.command(epilog=clean.EXAMPLES)(clean.clean)
app.command(epilog=bench.EXAMPLES)(bench.bench)
app.command(epilog=parity.EXAMPLES)(parity.parity)
app.command(epilog=doctor.EXAMPLES)(doctor.doctor)
app.command(epilog=schema.EXAMPLES)(schema.schema)


def invoke(arguments: list[str]) -> int:
    """Run the command line given as a list of arguments.

    Returns:
        0, 2 for a mistake in the arguments (already printed), or 130 after Ctrl-C.

    Raises:
        PipelineError: As the command raises it.
    """
    arguments = list(map(expand_home, arguments))
    for argument in arguments:
        check_utf8(argument, "the argument")
    try:
        build_command(app).main(arguments, prog_name="pipeline")
    except SystemExit as stop:
        if stop.code != 1:
            return int(stop.code or 0)
        # Typer and Rich use 1 for two things: Ctrl-C, and a reader such as `head` that has closed
        # the output.
        return 130 if streams.find_output_failure() is None else 0
    return 0
