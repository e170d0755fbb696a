"""A process that has imported the pipeline, and forks for each command line of the harness.

    python -P fork_server.py < requests > answers

A request is a line of JSON (`hostile_driver.Harness`), and so is an answer; answers come in the
order in which commands end. A fork has a session, limits, folder, log and standard streams of its
own. The server never starts a thread, so that a fork is as good as a new process.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
POLL, GRACE = 0.01, 3.0
"""Seconds between two looks at the commands; for processes that a command has left."""
LIBRARIES = (
    "fsspec.implementations.http", "fsspec.implementations.local", "s3fs", "aiohttp", "requests", "distributed",
    "dask.array", "pyarrow.parquet", "pyarrow.csv", "pyarrow.compute", "pyarrow.dataset", "xgboost", "treelite", "sklearn.ensemble",
    "bokeh.plotting", "rich.table", "scipy.special", "pandas", "multiprocessing.spawn", "multiprocessing.dummy", "concurrent.futures.thread",
    "distributed.dashboard.worker", "distributed.http.scheduler.prometheus.core", "distributed.http.worker.prometheus.core",
    "distributed.http.scheduler.info", "distributed.http.scheduler.json", "distributed.http.proxy", "distributed.http.statics", "distributed.http.health",
    "prometheus_client", "pandas.core.arrays.arrow.extension_types", "pandas.core.arrays.arrow._arrow_utils", "pandas.api.internals", "encodings.utf_8_sig", "typer._adapters",
)  # fmt: skip
OPTIONAL = ("gcsfs", "adlfs")
"""Of extras that the tests do not need."""
LATE = ("pipeline.device.gpu", "pipeline.__main__")
"""Modules that need RAPIDS, or run."""


def load() -> None:
    """Import what the commands would."""
    import importlib
    import pkgutil

    for name in LIBRARIES:
        importlib.import_module(name)
    for name in OPTIONAL:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    import pipeline

    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        if not module.name.startswith(LATE):
            importlib.import_module(module.name)
    importlib.import_module("pipeline.__main__")
    from pipeline.cli import app

    app.build_command(app.app)


@dataclass
class Command:
    """A command that runs."""

    request: dict[str, Any]
    started: float

    @property
    def overdue(self) -> bool:
        """Whether its time is over."""
        return time.monotonic() - self.started > self.request["seconds"]


def serve() -> dict[str, Any]:
    """Fork for each request until there are no more; in a fork: its request."""
    running: dict[int, Command] = {}
    reader, rest, ended = sys.stdin.fileno(), b"", False
    while running or not ended:
        ready = [] if ended else select.select([reader], [], [], POLL)[0]
        if ended:
            time.sleep(POLL)
        if ready:
            data = os.read(reader, 1 << 16)
            ended = not data
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                request = json.loads(line)
                started = time.monotonic()
                pid = os.fork()
                if pid == 0:
                    return request
                running[pid] = Command(request, started)
        for pid in list(running):
            _look_after(pid, running)
    sys.exit(0)


def _look_after(pid: int, running: dict[int, Command]) -> None:
    """Answer for a command that has ended; end one whose time is over."""
    command = running[pid]
    late = command.overdue
    if late:
        os.killpg(pid, signal.SIGKILL)
    ended, status, usage = os.wait4(pid, 0 if late else os.WNOHANG)
    if not ended:
        return
    del running[pid]
    answer = {
        "id": command.request["id"], "status": os.waitstatus_to_exitcode(status), "late": late,
        "left": _end_group(pid), "memory": usage.ru_maxrss * 1024,
        "cpu": usage.ru_utime + usage.ru_stime, "seconds": time.monotonic() - command.started,
    }  # fmt: skip
    os.write(ANSWERS, (json.dumps(answer) + "\n").encode())


def _end_group(pid: int) -> bool:
    """Whether processes of a command's session outlive it; they are ended."""
    until = time.monotonic() + GRACE
    try:
        while time.monotonic() < until:
            os.killpg(pid, 0)
            time.sleep(0.02)
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def prepare(request: dict[str, Any]) -> None:
    """Make the fork what a new process of a user would be."""
    import tempfile

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, name in enumerate(("/dev/null", request["stdout"], request["stderr"])):
        flags = os.O_RDWR | (os.O_CREAT if number else 0)
        handle = os.open(name, flags, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    os.close(ANSWERS)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environ"])
    tempfile.tempdir = None
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_AS, (used + request["memory"],) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request["file"],) * 2)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    sys.argv = ["pipeline", *request["arguments"]]


def main() -> None:
    """Serve; in a fork, run its command."""
    import gc

    sys.path[:0] = [os.path.dirname(os.path.dirname(HERE)), HERE]
    import audit_hook

    audit_hook.install()
    load()
    import pyarrow

    pyarrow.set_cpu_count(1)
    pyarrow.set_io_thread_count(1)
    gc.collect()
    gc.freeze()
    os.write(ANSWERS, b'{"id": "ready"}\n')
    request = serve()
    prepare(request)
    audit_hook.arm(request["log"], request["watched"])
    run_command(request)


def run_command(request: dict[str, Any]) -> None:
    """Run the command line, or for the harness's own tests a planted function, and exit.

    As at the end of any program: threads are waited for, what was registered for the exit runs.
    """
    if request.get("planted"):
        import planted

        getattr(planted, request["planted"])(*request["arguments"])
        sys.exit(0)
    from pipeline.__main__ import main as run

    status = 1
    try:
        run()
    except SystemExit as stop:
        status = stop.code
    threading._shutdown()
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)  # the rest of an exit takes twice as long as most commands


if __name__ == "__main__":
    ANSWERS = os.dup(sys.stdout.fileno())
    main()
