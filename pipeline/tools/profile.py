"""Profiling of a run, with the profile written to the run folder.

``nsys`` runs the command in its own process and records all threads, the GPU, and NVTX ranges
around stages and ops. ``cprofile`` and ``pyinstrument`` record one thread, so all partitions are
computed in it one after the other; libraries keep their own threads.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.artifacts.run_dirs import make_run_folder
from pipeline.config.model import Config
from pipeline.device.nvtx_ranges import VARIABLE
from pipeline.errors import ConfigError, InputError, MachineError, quote_path, suggest_or_list
from pipeline.execution.context import Listener
from pipeline.execution.runner import RunResult, run

FILES = {
    "nsys": "profile.nsys-rep", "cprofile": "profile.pstats", "pyinstrument": "profile.html",
}  # fmt: skip
READ_BY = {
    "nsys": "open it in Nsight Systems, or: nsys stats {}",
    "cprofile": "python -m pstats {}",
    "pyinstrument": "open {} in a browser",
}


def check_profiler(name: str, config: Config) -> None:
    """Check that a profiler exists and is installed, before anything runs.

    Raises:
        InputError: There is no such profiler, or it cannot record this kind of run.
        MachineError: The profiler is not installed.
    """
    if name not in FILES:
        raise InputError(f"--profile {name!r} is not a profiler", fix=suggest_or_list(name, FILES))
    if name == "nsys":
        if shutil.which("nsys") is None:
            raise MachineError(
                "--profile nsys, but there is no `nsys` on the path",
                fix="install NVIDIA Nsight Systems (it comes with the CUDA toolkit), or use "
                "--profile cprofile",
            )
        return
    if config.cluster.kind != "process":
        raise ConfigError(
            f"--profile {name} records only this process, and cluster.kind is "
            f"{config.cluster.kind!r}",
            fix="run it with --cluster process, or use --profile nsys",
        )
    if name == "pyinstrument":
        try:
            importlib.import_module("pyinstrument")
        except ModuleNotFoundError:
            raise MachineError(
                "--profile pyinstrument, but pyinstrument is not installed",
                fix="pip install pyinstrument, or use --profile cprofile",
            ) from None


def describe_profile(name: str, folder: Path) -> str:
    """Describe where the profile is and how to read it."""
    path = folder / FILES[name]
    return f"profile: {path} ({READ_BY[name].format(quote_path(path))})"


# -- in this process -------------------------------------------------------------------------------


def run_profiled(name: str, config: Config, *, out: Path | None, listener: Listener) -> RunResult:
    """Run a config under ``cprofile`` or ``pyinstrument``; also a failed run leaves a profile.

    Raises:
        PipelineError: As `pipeline.execution.runner.run`.
    """
    folder = make_run_folder(config.name, out)
    with PROFILERS[name](folder / FILES[name]):
        return run(config, out=folder, listener=listener, serial=True)


@contextmanager
def _cprofile(path: Path) -> Iterator[None]:
    import cProfile

    profile = cProfile.Profile()
    profile.enable()
    try:
        yield
    finally:
        profile.disable()
        profile.dump_stats(path)


@contextmanager
def _pyinstrument(path: Path) -> Iterator[None]:
    profiler = importlib.import_module("pyinstrument").Profiler()
    profiler.start()
    try:
        yield
    finally:
        profiler.stop()
        path.write_text(profiler.output_html(), encoding="utf-8")


PROFILERS: dict[str, Callable[[Path], Any]] = {
    "cprofile": _cprofile,
    "pyinstrument": _pyinstrument,
}


# -- under nsys ------------------------------------------------------------------------------------


def run_under_nsys(config: Config, options: Sequence[str], *, out: Path | None) -> tuple[int, Path]:
    """Run a config in a process under ``nsys profile``, which prints the command's output.

    Args:
        config: The config.
        options: Options of `run`, except its config and ``--out``.
        out: The run folder; None: a new one.

    Returns:
        The exit status and the run folder.
    """
    folder = make_run_folder(config.name, out)
    with tempfile.TemporaryDirectory(prefix="profile-") as scratch:
        path, report = Path(scratch) / "config.yaml", Path(scratch) / "report"
        path.write_text(config.to_yaml(), encoding="utf-8")
        command = [*nsys_command(report), "run", str(path), "--out", str(folder), *options]
        done = subprocess.run(command, env={**os.environ, VARIABLE: "1"}, check=False)
        if (profile := report.with_suffix(".nsys-rep")).exists():
            shutil.move(profile, folder / FILES["nsys"])
    return done.returncode, folder


def nsys_command(report: Path) -> list[str]:
    """Return the command line of ``nsys profile`` for this package."""
    # The report is moved into the run folder later, because that must be empty at the start.
    return [
        "nsys", "profile", f"--output={report}", "--trace=cuda,nvtx,osrt", "--stats=false",
        sys.executable, "-m", "pipeline",
    ]  # fmt: skip
