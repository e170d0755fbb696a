"""Ctrl-C and SIGTERM while a command works: it ends in time, with its status and no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]

# What a command may be doing when the signal comes.
WORK = {
    "python": "while True: time.sleep(0.01)",
    # one call of C code without the GIL, as in XGBoost: no handler of Python's can run
    "library": "hashlib.pbkdf2_hmac('sha1', b'', b'', 10**9)",
    "destructor": "class A:\n  def __del__(self): time.sleep(2)\nA(); time.sleep(60)",
    "half-way": "class A:\n  def __del__(self):\n    try: time.sleep(2)\n    finally: assert False\n"
    "A(); time.sleep(60)",
    "deferred": "with signals.defer_signals():\n  while not signals.received_signal(): time.sleep(0.01)\n"
    "  raise ValueError('of the library')",
}
COMMAND = """
import hashlib, sys, time
from pipeline import __main__
from pipeline.cli import app
from pipeline.console import signals
def invoke(arguments):
    sys.stderr.write("ready\\n"); sys.stderr.flush()
    exec(WORK)
app.invoke = invoke
__main__.main()
"""


# Issue 5's goal is 5 s, which a quiet machine keeps; what no machine may take is the whole patience.
PATIENCE = 20


def stopped(command, number, *arguments, before=lambda process: None, to_all=False):
    """(status, what standard error said after the first line, output); within PATIENCE seconds.

    ``to_all`` sends the signal to the whole process group, as a terminal does for Ctrl-C.
    """
    as_module = isinstance(command, Path)  # else it is the text of a program
    words = ["-m", command.stem] if as_module else ["-c", command]
    path = f"{ROOT}{os.pathsep}{command.parent}" if as_module else str(ROOT)
    process = subprocess.Popen(
        [sys.executable, *words, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        # a shell's background job has SIGINT ignored, and its children, and theirs
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        start_new_session=to_all,
    )  # fmt: skip
    with process:
        for line in process.stderr:
            if line.startswith(("ready", "split")):
                break
        time.sleep(0.3)
        before(process)
        (os.killpg if to_all else os.kill)(process.pid, number)
        try:
            out, err = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return process.returncode, err, out


@pytest.mark.parametrize(
    ("work", "number"),
    [
        ("python", signal.SIGINT),
        ("library", signal.SIGTERM),
        ("destructor", signal.SIGINT),
        ("half-way", signal.SIGINT),
        ("deferred", signal.SIGTERM),
    ],
)
def test_a_signal_ends_the_command_in_time(work, number):
    status, err, _ = stopped(f"WORK = {WORK[work]!r}\n{COMMAND}", number)
    assert (status, err) == (128 + number, "stopped\n")


def test_what_is_to_be_discarded_is_gone_though_a_library_never_returned(tmp_path):
    (tmp_path / "spare").mkdir()
    (tmp_path / "spare" / "file").write_text("x")
    work = "with signals.removed_on_exit(signals.Path(sys.argv[1])):\n  " + WORK["library"]
    command = f"WORK = {work!r}\n{COMMAND}"
    status, err, _ = stopped(command, signal.SIGINT, str(tmp_path / "spare"))
    assert (status, err) == (130, "stopped\n")
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_stopped_leaves_no_manifest(tmp_path):
    table = "x,y\n" + "".join(f"{i * 7919 % 5003},{i * 31 % 2}\n" for i in range(5000))
    (tmp_path / "d.csv").write_text(table)
    status, err, out = stopped(
        "from pipeline.__main__ import main; main()", signal.SIGINT,
        "run", "--data", str(tmp_path / "d.csv"), "--target", "y", "--out", str(tmp_path / "run"),
        "--no-dashboard", "--json", "--set", "models.forest=null",
        "--set", "models.xgboost={rounds: 100000, early_stopping: 0}",
    )  # fmt: skip
    assert (status, out) == (130, "")
    command = f"python -m pipeline run --resume {tmp_path / 'run'}"
    assert "Traceback" not in err and err.endswith(f"stopped; resume with: {command}\n")
    assert not (tmp_path / "run" / "manifest.json").exists()
    assert not (tmp_path / "run" / "tmp").exists()
    assert {"read.json", "split.json"} <= {p.name for p in (tmp_path / "run" / "stages").iterdir()}


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_the_workers_of_a_run_that_is_stopped_end_with_it(tmp_path, number):
    table = "x,y\n" + "".join(f"{i * 7919 % 5003},{i * 31 % 2}\n" for i in range(5000))
    (tmp_path / "d.csv").write_text(table)
    workers = []

    def seen(process):
        workers.extend(psutil.Process(process.pid).children(recursive=True))

    status, err, _ = stopped(
        "from pipeline.__main__ import main\nif __name__ == '__main__': main()", number,
        "run", "--data", str(tmp_path / "d.csv"), "--target", "y", "--out", str(tmp_path / "run"),
        "--no-dashboard", "--cluster", "cores", "--set", "models.forest=null",
        "--set", "models.xgboost={rounds: 100000, early_stopping: 0}", before=seen,
        to_all=number == signal.SIGINT,
    )  # fmt: skip
    assert status == 128 + number and "--resume" in err
    assert "leaked" not in err and "Traceback" not in err
    assert len(workers) >= 2
    _, alive = psutil.wait_procs(workers, timeout=PATIENCE)
    assert alive == []


def test_an_interrupt_in_code_that_is_made_has_the_status_too(tmp_path):
    """After one in ``exec``, as a dataclass runs it, Python 3.11 would end by the signal itself."""
    work = "exec('while True: time.sleep(0.01)')"
    (tmp_path / "made.py").write_text(f"WORK = {work!r}\n{COMMAND}")
    status, err, _ = stopped(tmp_path / "made.py", signal.SIGINT)
    assert (status, err) == (130, "stopped\n")


def test_a_reader_that_has_gone_is_no_error():
    command = "from pipeline.__main__ import main; main()"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", command, "schema"],
        stdout=write, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False,
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")
