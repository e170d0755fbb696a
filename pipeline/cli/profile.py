"""`run --profile`: which profiler, and what it says of the file it left."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    from pipeline.execution.context import Listener
    from pipeline.execution.runner import RunResult


def run_profiled(
    name: str, config: Any, out: Path | None, listener: Listener, *, as_json: bool
) -> RunResult:
    """The run under a profiler of this process.

    Raises:
        typer.Exit: ``nsys`` ran the command in another process, which has said everything.
        InputError, MachineError: there is no such profiler, or not here.
    """
    from pipeline.console.terminal import print_stderr
    from pipeline.tools import profile

    profile.check_profiler(name, config)
    if name == "nsys":
        options = ["--json"] if as_json else []
        status, folder = profile.run_under_nsys(config, options, out=out)
        if status not in (0, 2, 3, 4, 130, 143):
            raise PipelineError(f"the run under nsys ended with status {status}")
        print_stderr(profile.describe_profile(name, folder))
        raise typer.Exit(status)
    plain = config.model_copy(
        update={"cluster": config.cluster.model_copy(update={"dashboard": False})}
    )
    outcome = profile.run_profiled(name, plain, out=out, listener=listener)
    print_stderr(profile.describe_profile(name, outcome.folder))
    return outcome
