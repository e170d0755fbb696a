"""The command `run`: a config from data to trained models and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    load_config,
    print_json,
)
from pipeline.cli.usage import list_examples

EXAMPLES = list_examples(
    "run",
    "run --data sales.parquet --target revenue",
    "run conf/flights.yaml --rows 50000 --set models.xgboost.rounds=50",
    "run my.yaml --device gpu --out results/today --json",
    "run --resume data/runs/flights-20260101-120000",
    "run --resume results/today --set models.forest.trees=300",
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
        typer.Option("--out", metavar="DIR", help="New or empty folder for the run."),
    ] = None,
    resume: ResumeOption = None,
    set_: SetOption = None,
    allow_protocol: AllowProtocolOption = None,
    dashboard: Annotated[
        bool,
        typer.Option("--dashboard/--no-dashboard", help="Serve Dask's dashboard and /metrics."),
    ] = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Check the config and print the plan without running it."),
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option(
            "--profile", metavar="nsys|cprofile|pyinstrument", help="Run under this profiler."
        ),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Read the data, build features, train and evaluate models, and write a run folder.

    If you give only --data and --target, the other settings are chosen from the data.

    --resume RUN completes a stopped run, or applies a changed config to a finished one.
    Stages whose config, data and code are unchanged are reused.
    """
    overrides = collect_overrides(set_, rows=rows, device=device, cluster=cluster)
    if not dashboard:
        overrides.append("cluster.dashboard=false")
    if resume is not None:
        config = choose_resume_config(resume, config, data, out=out, profile=profile)
    checked = load_config(config, data, target, overrides)
    if dry_run:
        from pipeline.cli.plan import show_plan

        show_plan(checked, as_json=as_json)
        return
    from pipeline.cli import restart
    from pipeline.cli.progress import make_listener
    from pipeline.errors import DeviceLost
    from pipeline.execution.runner import run as run_config

    listener = make_listener(quiet=quiet, verbose=verbose)
    try:
        if profile is None:
            result = run_config(checked, out=out, resume=resume, listener=listener)
        else:
            from pipeline.cli.profile import run_profiled

            result = run_profiled(profile, checked, out, listener, as_json=as_json)
    except DeviceLost as error:
        if checked.device != "auto":
            raise
        restart.restart_on_cpu(error)
    if as_json:
        print_json(result.to_json())
        return
    from pipeline.cli.summary import print_result

    print_result(result)
