"""Handlers of Ctrl-C and SIGTERM, which end a command within seconds.

Python runs a handler only between two steps of its main thread, so a handler cannot interrupt a
library that computes. If it raises inside a callback of XGBoost, the exception becomes an internal
error or is lost; in such blocks (`defer_signals`) handlers only set a flag. A thread waits for the
signal too, and ends the process after `PATIENCE` seconds if it is still running.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from pathlib import Path
from types import FrameType

PATIENCE = 3.0
"""Seconds that a stopped command has to clean up."""

_received: list[int] = []
_deferred_blocks: list[None] = []
_to_remove: list[Path] = []
_stop_notes: list[str] = []
_exit_status: list[int] = []


def install_handlers() -> None:
    """Install the handlers, in the main thread of a process that this program owns."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    # ``nohup`` and a shell's ``&`` make a process ignore signals, and that must stay so.
    numbers = [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, _handle)
    sys.unraisablehook = _hide_unraisable
    atexit.register(_exit_with_status)  # registered first, so it runs last
    read, write = os.pipe()
    os.set_blocking(write, False)
    # Python's C handler writes to this pipe at once, even while the main thread is in a library.
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_end_process, args=(read, set(numbers)), daemon=True).start()


def received_signal() -> int | None:
    """Return the number of the signal that asked this process to stop, or None."""
    return _received[0] if _received else None


@contextmanager
def defer_signals() -> Iterator[None]:
    """Run a block that no handler interrupts, and raise at its end if a signal has come.

    Raises:
        KeyboardInterrupt, SystemExit: A signal came before or during the block, whatever else the
            block has raised.
    """
    if _received:
        _raise_stop(_received[0])
    _deferred_blocks.append(None)
    try:
        yield
    finally:
        _deferred_blocks.pop()
        if not _deferred_blocks and _received:
            _raise_stop(_received[0])


@contextmanager
def block_sigint_in_children() -> Iterator[None]:
    """Run a block in which new threads and processes do not receive Ctrl-C."""
    # A terminal sends Ctrl-C to all processes, and workers that are still importing would print
    # tracebacks. This process ends them instead.
    resource_tracker.ensure_running()  # first, because its start unblocks the signal
    signal.pthread_sigmask(
        signal.SIG_BLOCK, {signal.SIGINT}
    )  # new threads and processes inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def removed_on_exit(path: Path) -> Iterator[None]:
    """Remove a file or folder after a block, even if a signal ends the process within it."""
    _to_remove.append(path)
    try:
        yield
    finally:
        remove_path(path)
        _to_remove.remove(path)


def remove_path(path: Path) -> None:
    """Remove a file or folder if it exists and the file system allows it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def add_stop_note(note: str) -> Iterator[None]:
    """Run a block whose note appears in `stop_message` if a signal ends it."""
    _stop_notes.append(note)
    try:
        yield
    finally:
        if not _received:
            _stop_notes.remove(note)


def stop_message() -> str:
    """Return the message of a command that a signal has ended, with the notes."""
    return "; ".join(["stopped", *_stop_notes])


def exit_with(status: int) -> None:
    """Set the status with which this process ends after its cleanup."""
    _exit_status.append(status)


def _exit_with_status() -> None:
    # Python 3.11 ends by SIGINT, whatever `sys.exit` is called with, if a `KeyboardInterrupt` once
    # passed through code that ``exec`` ran, such as a dataclass's methods.
    if _exit_status:
        sys.stdout.flush()
        os._exit(_exit_status[-1])


def _handle(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    if not _deferred_blocks:
        _raise_stop(number)


def _raise_stop(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _hide_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    # After a signal, a handler's exception may reach a destructor or a callback of the garbage
    # collector, which must not raise. distributed 2026.7.1 times the collector with a pair of calls
    # and would report a failed assertion at the next pair.
    if not _received:
        sys.__unraisablehook__(unraisable)


def _end_process(read: int, numbers: set[int]) -> None:
    """Wait for a signal, then end the process if it does not end by itself."""
    while (number := os.read(read, 1)[0]) not in numbers:
        continue
    # A worker that computes does not notice the signal, and the cluster waits for its workers.
    # Killing them halfway leaves the main thread time to clean up; the second round catches workers
    # that were started meanwhile.
    for _ in range(2):
        time.sleep(PATIENCE / 2)
        for child in multiprocessing.active_children():
            child.kill()
    for path in reversed(_to_remove):  # the last first: a folder's lock goes after its contents
        remove_path(path)
    if "multiprocessing.util" in sys.modules:
        # Otherwise its resource tracker outlives this process and reports leaked semaphores.
        sys.modules["multiprocessing.util"]._run_finalizers(0)
    sys.stderr.write(f"{stop_message()}\n")
    sys.stderr.flush()
    os._exit(128 + number)
