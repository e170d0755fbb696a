"""Peak memory of a process that was started: its own, not that of the process that started it."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial

import psutil
import pytest

from pipeline.bench import process_meter


def test_the_memory_of_the_starting_process_is_not_counted(tmp_path):
    held = bytearray(b"1") * 300_000_000
    done = process_meter.run_measured(
        [sys.executable, "-c", "import time; time.sleep(0.3)"], log=tmp_path / "log"
    )
    assert 0 < done.peak_bytes < 200_000_000 < len(held)


def test_a_peak_between_two_samples_is_counted(tmp_path):
    made = "import time; held = bytearray(b'1') * 300_000_000; del held; time.sleep(1)"
    done = process_meter.run_measured([sys.executable, "-c", made], log=tmp_path / "log")
    assert done.peak_bytes > 300_000_000


def test_a_run_that_takes_too_long_is_ended_with_its_children(tmp_path, monkeypatch):
    code = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"folder = {str(tmp_path)!r}\n"
        "open(folder + '/new', 'w').write(str(child.pid))\n"
        "os.rename(folder + '/new', folder + '/pid'); time.sleep(600)"
    )

    class OnceItHasAChild(threading.Thread):
        """In place of the timer: however slow the machine is, there is a child to be ended."""

        def __init__(self, seconds, function, args):
            super().__init__(daemon=True)
            self.ending = partial(function, *args)

        def run(self):
            until = time.monotonic() + 120
            while not (tmp_path / "pid").exists() and time.monotonic() < until:
                time.sleep(0.05)
            self.ending()

        def cancel(self):
            self.join()

    monkeypatch.setattr(process_meter.threading, "Timer", OnceItHasAChild)
    with pytest.raises(process_meter.CommandFailedError) as failed:
        process_meter.run_measured([sys.executable, "-c", code], log=tmp_path / "log", limit=0.01)
    assert failed.value.status < 0 and "error: ended after 0 s" in failed.value.errors
    pid = int((tmp_path / "pid").read_text())
    until = time.monotonic() + 120  # a killed process may need a while for its last step
    while lives(pid) and time.monotonic() < until:
        time.sleep(0.1)
    assert not lives(pid)


def lives(pid):
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
