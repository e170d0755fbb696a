"""The meter of a command in a fresh process: seconds, processor seconds and peak memory."""

from __future__ import annotations

import os
import platform
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from pipeline.versions import XGBOOST_PACKAGES, find_versions

SAMPLED_EVERY = 0.05
GRACE = 1.25
"""Seconds for a child to end after each of two signals; both together are shorter than
`signals.PATIENCE`, after which this process would be ended itself."""
LIBRARIES = [
    "numpy", "pandas", "pyarrow", "dask", "scikit-learn", *XGBOOST_PACKAGES, "polars", "skrub",
    "cudf-cu13", "cuml-cu13", "cudf-cu12", "cuml-cu12",
]  # fmt: skip


@dataclass(frozen=True)
class ProcessUsage:
    """Usage of one finished process."""

    seconds: float
    cpu_seconds: float
    """User and system time, of the process and the children that it waited for."""
    peak_bytes: int
    """Resident memory of the process and its descendants together: the largest sampled sum, or
    the high-water mark of the process if that is more."""
    output: str


class CommandFailedError(Exception):
    """The failure of a command: its exit status was not 0."""

    def __init__(self, message: str, status: int, errors: str, output: str = "") -> None:
        super().__init__(message)
        self.status, self.errors, self.output = status, errors, output
        """Exit status, negative for a signal; the end of standard error; standard output."""


def run_measured(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    limit: float | None = None,
) -> ProcessUsage:
    """Run a command to its end and measure it.

    Args:
        command: program and arguments.
        log: file that receives standard error.
        env: variables to add to the environment.
        limit: seconds after which the command is ended; None: no limit.

    Raises:
        CommandFailedError: the command failed or was ended; the message shows the end of its log.
    """
    started = time.perf_counter()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **(env or {})}
        )
        late = threading.Timer(limit or 0.0, _end_family, (process,))
        try:
            if limit is not None:
                late.start()
            with _MemorySampler(process.pid) as sampler:
                assert process.stdout is not None
                with process.stdout as pipe:
                    output = pipe.read().decode()
                _, status, used = os.wait4(process.pid, 0)
        except BaseException:  # an interrupt must not leave the child running
            _end_family(process)
            raise
        finally:
            late.cancel()
        seconds = time.perf_counter() - started
    # Popen must not wait for a process that wait4 has reaped.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = log.read_text(errors="replace")[-2000:]
        if limit is not None and seconds >= limit:
            end += f"\nerror: ended after {limit:.0f} s\n"
        raise CommandFailedError(
            f"{' '.join(command)}: status {process.returncode}\n{end}\n{output[-2000:]}",
            process.returncode,
            end,
            output,
        )
    # Linux passes the high-water mark of the forking process on to the program it executes, so the
    # mark counts only where it exceeds our own.
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    peak = max(sampler.peak, used.ru_maxrss * unit if used.ru_maxrss > inherited else 0)
    return ProcessUsage(seconds, used.ru_utime + used.ru_stime, peak, output)


def _end_family(process: subprocess.Popen[bytes]) -> None:
    """End the process and its descendants: SIGTERM first, then SIGKILL.

    None of them is reaped here: `run_measured` waits for the process to learn its usage.
    """
    try:
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(number)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and any(map(_is_running, family)):
            time.sleep(SAMPLED_EVERY)


def _is_running(member: psutil.Process) -> bool:
    try:
        return bool(member.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class _MemorySampler:
    """A sampler of the resident memory of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self.process, self.peak, self.stop = psutil.Process(pid), 0, threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _MemorySampler:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _run(self) -> None:
        status = Path(f"/proc/{self.process.pid}/status")
        while not self.stop.wait(SAMPLED_EVERY):
            total = mark = 0
            # The kernel's high-water mark includes peaks between two samples.
            with suppress(OSError):  # the process ended, or this is not Linux
                marks = [s for s in status.read_text().splitlines() if s.startswith("VmHWM")]
                mark = int(marks[0].split()[1]) * 1024 if marks else 0
            # Without the process itself the sum would be incomplete: this sample does not count.
            with suppress(psutil.NoSuchProcess):
                for process in [self.process, *self.process.children(recursive=True)]:
                    with suppress(psutil.NoSuchProcess):  # it ended since it was listed
                        total += process.memory_info().rss
                self.peak = max(self.peak, total, mark)


def describe_machine() -> dict[str, Any]:
    """Describe the machine that the measurements come from, as JSON."""
    # On Linux, `platform` knows the architecture only, not the model.
    models: list[str] = []
    with suppress(OSError):  # not on Linux
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": count_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "libraries": find_versions(LIBRARIES),
    }


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # only on Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1
