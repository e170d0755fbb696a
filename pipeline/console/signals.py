"""Ctrl-C and SIGTERM: the command ends within seconds, whatever the libraries are doing.

A handler runs only between two steps of Python's main thread, so it cannot interrupt a library that
computes, and an exception that it raises inside XGBoost's callbacks comes out as an internal error
or not at all. So handlers only set a flag there (`defer_signals`), and a thread, which Python's C
handler wakes through a pipe, ends the process `PATIENCE` seconds later if it is still there.
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
"""Seconds that a stopped command has for leaving in good order."""

_received: list[int] = []
_deferring: list[None] = []
_spare: list[Path] = []
_words: list[str] = []
_status: list[int] = []


def install_handlers() -> None:
    """Installs the handlers; for the main thread of a process of our own.

    A signal that the parent process had ignored (``nohup``, a shell's ``&``) stays ignored.
    """
    numbers = [signal.SIGINT, signal.SIGTERM]
    numbers = [n for n in numbers if signal.getsignal(n) != signal.SIG_IGN]
    for number in numbers:
        signal.signal(number, _handle)
    sys.unraisablehook = _unraisable
    atexit.register(_leave)  # the first, which runs last
    read, write = os.pipe()
    os.set_blocking(write, False)
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    threading.Thread(target=_end, args=(read, set(numbers)), daemon=True).start()


def received_signal() -> int | None:
    """The number of the signal that asked this process to stop; None if none did."""
    return _received[0] if _received else None


@contextmanager
def defer_signals() -> Iterator[None]:
    """A block that no handler interrupts; what stops it is raised at its end.

    Raises:
        KeyboardInterrupt, SystemExit: a signal came before or meanwhile, whatever else the block
        raised.
    """
    if _received:
        _stop(_received[0])
    _deferring.append(None)
    try:
        yield
    finally:
        _deferring.pop()
        if not _deferring and _received:
            _stop(_received[0])


@contextmanager
def block_sigint_in_children() -> Iterator[None]:
    """Start threads and processes in this block that Ctrl-C does not reach: this one ends them.

    A terminal sends it to all of them, and workers that are just importing would print tracebacks.
    """
    resource_tracker.ensure_running()  # which unblocks the signal where it starts
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # they inherit it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def removed_on_exit(path: Path) -> Iterator[None]:
    """A block after which a folder or file is gone, also if the process does not get to its end."""
    _spare.append(path)
    try:
        yield
    finally:
        remove_path(path)
        _spare.remove(path)


def remove_path(path: Path) -> None:
    """Remove a file or a folder, if it is there and may be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def add_stop_note(words: str) -> Iterator[None]:
    """A block of which `stop_message` says the words, if a signal ends it."""
    _words.append(words)
    try:
        yield
    finally:
        if not _received:
            _words.remove(words)


def stop_message() -> str:
    """What a command says that a signal has ended."""
    return "; ".join(["stopped", *_words])


def exit_with(status: int) -> None:
    """Set the status with which this process ends once all is left in good order.

    Python (3.11) ends by SIGINT itself, whatever `sys.exit` says, if a `KeyboardInterrupt` once
    passed through code that was run by ``exec``, as a dataclass's methods are.
    """
    _status.append(status)


def _leave() -> None:
    if _status:
        sys.stdout.flush()
        os._exit(_status[-1])


def _handle(number: int, frame: FrameType | None) -> None:
    _received.append(number)
    if not _deferring:
        _stop(number)


def _stop(number: int) -> None:
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    """Says nothing after a signal: a handler's exception met code that may not raise.

    That is a destructor or a callback of the garbage collector, which may have been left half-way:
    distributed 2026.7.1 times the collector with a pair of calls, and asserts at the next pair.
    """
    if not _received:
        sys.__unraisablehook__(found)


def _end(read: int, numbers: set[int]) -> None:
    """Waits for a signal, then for the process to end; ends it.

    A worker that computes does not listen, and a cluster waits for its workers: so they are killed
    while there is time to leave in good order.
    """
    while (number := os.read(read, 1)[0]) not in numbers:
        continue
    time.sleep(PATIENCE / 2)
    _kill_children()
    time.sleep(PATIENCE / 2)
    _kill_children()
    for path in reversed(_spare):  # the last one first: a lock goes when its folder is tidy
        remove_path(path)
    if "multiprocessing.util" in sys.modules:
        # else its resource tracker, which outlives this process, tells of leaked semaphores
        sys.modules["multiprocessing.util"]._run_finalizers(0)
    sys.stderr.write(f"{stop_message()}\n")
    sys.stderr.flush()
    os._exit(128 + number)


def _kill_children() -> None:
    for child in multiprocessing.active_children():
        child.kill()
