"""The command line: what each command takes, and what it prints on standard output."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline import __version__
from pipeline.cli import audit, bench, predict, runs, streams
from pipeline.cli.init import init
from pipeline.cli.options import (
    AllowProtocolOption,
    ClusterOption,
    ConfigArgument,
    DataOption,
    DeviceOption,
    JsonOption,
    QuietOption,
    ResumeOption,
    RowsOption,
    SetOption,
    TargetOption,
    VerboseOption,
    choose_resume_config,
    collect_overrides,
    expand_home,
    load_config,
    print_json,
)
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
        "Large tables to trained models: one YAML, on a laptop's CPU, a GPU or a cluster.\n\n"
        "Exit status: 0 done, 2 the input is at fault, 3 the machine is, 4 a check failed, "
        "130/143 stopped."
    ),
    epilog="Start with:  python -m pipeline run     (conf/flights.yaml, real data, a minute)",
)


def invoke(arguments: list[str]) -> int:
    """Runs the command line given as a list; our own errors pass through.

    Returns:
        0, 2 for a mistake in the arguments (already printed), 130 after Ctrl-C.
    """
    words = list(map(expand_home, arguments))
    for word in words:
        check_utf8(word, "the argument")
    try:
        build_command(app).main(words, prog_name="pipeline")
    except SystemExit as stop:
        if stop.code != 1:
            return int(stop.code or 0)
        # Typer and Rich give 1 for two things: Ctrl-C, and a reader such as `head` that has gone.
        return 130 if streams.find_output_failure() is None else 0
    return 0


def _version(shown: bool) -> None:
    if shown:
        sys.stdout.write(f"pipeline {__version__}\n")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="And exit.")
    ] = False,
) -> None:
    """Parses what stands before the command."""


@app.command(
    epilog="Examples:\n\n  python -m pipeline run\n\n"
    "  python -m pipeline run --data sales.parquet --target revenue\n\n"
    "  python -m pipeline run conf/flights.yaml --rows 50000 --set models.xgboost.rounds=50\n\n"
    "  python -m pipeline run my.yaml --device gpu --out results/today --json\n\n"
    "  python -m pipeline run --resume data/runs/flights-20260101-120000\n\n"
    "  python -m pipeline run --resume results/today --set models.forest.trees=300"
)
def run(
    config: ConfigArgument = None,
    data: DataOption = None,
    target: TargetOption = None,
    rows: RowsOption = None,
    device: DeviceOption = None,
    cluster: ClusterOption = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="The run folder itself: absent or empty."),
    ] = None,
    resume: ResumeOption = None,
    set_: SetOption = None,
    allow_protocol: AllowProtocolOption = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard/--no-dashboard", help="Dask's dashboard and /metrics.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and print the plan; run nothing.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", metavar="nsys|cprofile|pyinstrument", help="Run under a profiler."
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Reads, builds features, trains, evaluates; leaves a run folder with a report.

    With only --data and --target, everything else is chosen.

    --resume RUN goes on with a run that stopped, or changes one: what a change of
    config, data or program leaves as it was is kept.
    """
    overrides = collect_overrides(set_, rows=rows, device=device, cluster=cluster)
    if not dashboard:
        overrides.append("cluster.dashboard=false")
    if resume is not None:
        config = choose_resume_config(resume, config, data, out=out, profile=profile)
    checked = load_config(config, data, target, overrides)
    if dry_run:
        _show_plan(checked, as_json)
        return
    from pipeline.cli import restart
    from pipeline.cli.progress import make_listener
    from pipeline.errors import DeviceLost
    from pipeline.execution.runner import run as run_config

    heard = make_listener(quiet=quiet, verbose=verbose)
    try:
        if profile is None:
            outcome = run_config(checked, out=out, resume=resume, listener=heard)
        else:
            from pipeline.cli.profile import run_profiled

            outcome = run_profiled(profile, checked, out, heard, as_json=as_json)
    except DeviceLost as lost:
        if checked.device != "auto":
            raise
        restart.restart_on_cpu(lost)
    if as_json:
        print_json(outcome.to_json())
        return
    from pipeline.cli.summary import print_result

    print_result(outcome)


app.command(epilog=predict.EXAMPLES)(predict.predict)


@app.command(epilog="Example:\n\n  python -m pipeline plan conf/flights.yaml")
def plan(
    config: ConfigArgument = None,
    data: DataOption = None,
    target: TargetOption = None,
    rows: RowsOption = None,
    device: DeviceOption = None,
    cluster: ClusterOption = None,
    set_: SetOption = None,
    allow_protocol: AllowProtocolOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prints what would run where, in how many passes, with how much memory; runs nothing."""
    _show_plan(
        load_config(
            config, data, target, collect_overrides(set_, rows=rows, device=device, cluster=cluster)
        ),
        as_json,
    )


def _show_plan(config: Any, as_json: bool) -> None:
    from pipeline.tools.plan import describe_plan, print_plan

    described = describe_plan(config)
    if as_json:
        print_json(described)
    else:
        print_plan(described)


@app.command(
    epilog="Examples:\n\n  python -m pipeline parity conf/flights.yaml --rows 50000\n\n"
    "  python -m pipeline parity my.yaml --json --out parity.json"
)
def parity(
    config: ConfigArgument = None,
    rows: RowsOption = None,
    devices: Annotated[
        str, typer.Option("--devices", metavar="A,B", help="The two sides: each cpu or gpu.")
    ] = "cpu,gpu",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The JSON; data/runs/NAME-parity-….json."),
    ] = None,
    set_: SetOption = None,
    allow_protocol: AllowProtocolOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Runs a config on the CPU and the GPU and compares what comes out; status 4 if it differs."""
    from pipeline.cli.parity import check_parity

    checked = load_config(config, None, None, collect_overrides(set_, rows=rows))
    check_parity(checked, devices=devices, out=out, as_json=as_json, quiet=quiet)


@app.command(epilog="Example:\n\n  python -m pipeline doctor --json")
def doctor(as_json: JsonOption = False) -> None:
    """Tells what works on this machine, and the fix for what does not."""
    from pipeline.cli.summary import print_findings
    from pipeline.doctor.examine import examine, to_json

    findings = examine()
    if as_json:
        print_json(to_json(findings))
    else:
        print_findings(findings)


@app.command(epilog="Example:\n\n  python -m pipeline report data/runs/flights-20260101-120000")
def report(run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]) -> None:
    """Makes a run's report.html again."""
    from pipeline.console.terminal import print_stdout
    from pipeline.report.page import rewrite_report

    print_stdout(str(rewrite_report(run)))


@app.command(epilog="Example:\n\n  python -m pipeline schema > pipeline.schema.json")
def schema() -> None:
    """Prints the config's JSON schema, for editors."""
    from pipeline.tools.schema import config_schema

    print_json(config_schema())


app.command(
    epilog="Example:\n\n  python -m pipeline init sales.csv --target revenue --out conf/sales.yaml"
)(init)
app.command(epilog=bench.EXAMPLES)(bench.bench)
app.command(epilog=audit.EXAMPLES)(audit.audit)
app.command(
    epilog="Examples:\n\n  python -m pipeline runs\n\n  python -m pipeline runs results --json"
)(runs.runs)
app.command(
    epilog="Example:\n\n  python -m pipeline compare data/runs/flights-20260101-120000 "
    "data/runs/flights-20260102-090000"
)(runs.compare)
app.command(
    epilog="Examples:\n\n  python -m pipeline clean --stopped --yes\n\n"
    "  python -m pipeline clean --keep 5 --older 30\n\n"
    "  python -m pipeline clean data/runs/RUN --stages --yes"
)(runs.clean)
