"""Runs a command as a fresh process and measures it: seconds, processor seconds, peak memory."""

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

from pipeline.versions import find_versions

SAMPLED_EVERY = 0.05
GRACE = 1.25
"""Seconds that a child has for ending when we are stopped, after each of two signals: together
fewer than `signals.PATIENCE`."""
LIBRARIES = [
    "numpy", "pandas", "pyarrow", "dask", "scikit-learn", "xgboost", "xgboost-cpu", "xgboost-cu13",
    "polars", "skrub", "cudf-cu13", "cuml-cu13", "cudf-cu12", "cuml-cu12",
]  # fmt: skip


@dataclass(frozen=True)
class ProcessUsage:
    """One finished process."""

    seconds: float
    cpu_seconds: float
    """Of it and its waited-for children, user and system."""
    peak_bytes: int
    """Of the process and its descendants together: the largest sampled sum of resident memory, or
    the process's own high-water mark if that is more."""
    output: str


class CommandFailedError(Exception):
    """A command ended with another status than 0."""

    def __init__(self, message: str, status: int, errors: str, output: str = "") -> None:
        super().__init__(message)
        self.status, self.errors, self.output = status, errors, output
        """Exit status, negative for a signal; the end of standard error; standard output."""


def run_measured(
    command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None,
    limit: float | None = None,
) -> ProcessUsage:  # fmt: skip
    """Runs the command to its end; its standard error goes to ``log``.

    Args:
        limit: seconds after which it is ended; None: it may take as long as it likes.

    Raises:
        FailedError: the command failed, or was ended; shows the end of its log.
    """
    started = time.perf_counter()
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env={**os.environ, **(env or {})}
        )
        late = threading.Timer(limit or 0.0, _ended, (process,))
        try:
            if limit is not None:
                late.start()
            with _Tree(process.pid) as tree:
                assert process.stdout is not None
                with process.stdout as pipe:
                    output = pipe.read().decode()
                _, status, used = os.wait4(process.pid, 0)
        except BaseException:  # we are stopped: so is what we started
            _ended(process)
            raise
        finally:
            late.cancel()
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)  # it has been waited for
    if process.returncode:
        end = log.read_text(errors="replace")[-2000:]
        if limit is not None and seconds >= limit:
            end += f"\nerror: ended after {limit:.0f} s\n"
        raise CommandFailedError(
            f"{' '.join(command)}: status {process.returncode}\n{end}\n{output[-2000:]}",
            process.returncode, end, output,
        )  # fmt: skip
    # Linux hands the mark of the process that forks on to the one that it executes.
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    unit = 1 if sys.platform == "darwin" else 1024
    peak = max(tree.peak, used.ru_maxrss * unit if used.ru_maxrss > inherited else 0)
    return ProcessUsage(seconds, used.ru_utime + used.ru_stime, peak, output)


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Ends the process and its descendants, in order if they are quick; reaps none of them: who
    started the process does, to know what it took."""
    try:
        found = psutil.Process(process.pid)
        family = [found, *found.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        _send(family, number)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and any(map(_lives, family)):
            time.sleep(SAMPLED_EVERY)


def _send(family: Sequence[psutil.Process], number: int) -> None:
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.send_signal(number)


def _lives(member: psutil.Process) -> bool:
    try:
        return bool(member.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class _Tree:
    """Samples the resident memory of a process and all its descendants."""

    def __init__(self, pid: int) -> None:
        self.process, self.peak, self.stop = psutil.Process(pid), 0, threading.Event()
        self.thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> _Tree:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _sample(self) -> None:
        while not self.stop.wait(SAMPLED_EVERY):
            self.peak = max(self.peak, self._resident())

    def _resident(self) -> int:
        total = 0
        try:
            mark = _high_water(self.process.pid)
            for process in [self.process, *self.process.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:  # it ended in between
                    continue
        except psutil.NoSuchProcess:
            return 0
        return max(total, mark)


def _high_water(pid: int) -> int:
    """The most resident bytes of a process since it executed its program."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:  # it ended, or this is not Linux
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def describe_machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": count_cores(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "libraries": find_versions(LIBRARIES),
    }


def count_cores() -> int:
    """That this process may use."""
    known = getattr(os, "sched_getaffinity", None)  # Linux
    return len(known(0)) if known else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor()
    for line in lines:
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()
