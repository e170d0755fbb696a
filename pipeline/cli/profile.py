"""The option `run --profile`: the run under a profiler, and the path of the profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.config.model import Config
    from pipeline.execution.context import Listener
    from pipeline.execution.runner import RunResult


def run_profiled(
    name: str, config: Config, out: Path | None, listener: Listener, *, as_json: bool
) -> RunResult:
    """Run a config under a profiler and print the path of the profile.

    Raises:
        typer.Exit: ``nsys`` ran the command in another process, which has printed its output.
        InputError, MachineError: The profiler is unknown or not installed.
    """
    from pipeline.console.terminal import print_stderr
    from pipeline.tools import profile

    profile.check_profiler(name, config)
    if name == "nsys":
        options = ["--json"] if as_json else []
        status, folder = profile.run_under_nsys(config, options, out=out)
        if status not in (0, 2, 3, 4, 130, 143):
            raise PipelineError(
                f"the run under nsys ended with status {status}",
                fix="read the messages of nsys above",
            )
        print_stderr(profile.describe_profile(name, folder))
        raise typer.Exit(status)
    # The dashboard's threads would appear in the profile.
    without_dashboard = config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"dashboard": False})}
    )
    result = profile.run_profiled(name, without_dashboard, out=out, listener=listener)
    print_stderr(profile.describe_profile(name, result.folder))
    return result
