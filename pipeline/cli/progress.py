"""Progress on standard error: a line per stage, and a live line in a terminal."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from pipeline.console.terminal import make_console, print_stderr

if TYPE_CHECKING:
    from rich.status import Status

    from pipeline.artifacts.ledger import Entry
    from pipeline.execution.context import Listener


def make_listener(*, quiet: bool, verbose: bool) -> Listener:
    """Create a listener that prints progress on standard error.

    A terminal shows a live line with the current stage; other outputs get plain lines.
    """
    from pipeline.execution.context import Listener

    if quiet:
        return Listener()
    if not sys.stderr.isatty():
        return Listener(stage=partial(_print_stage, verbose=verbose), say=print_stderr)
    live = _Live(verbose)
    return Listener(stage=live.stage, say=live.say, progress=live.progress)


def _print_stage(entry: Entry, ended: bool, *, verbose: bool) -> None:
    if ended:
        for line in format_stage(entry, verbose):
            print_stderr(line)
    elif verbose:
        print_stderr(f"{entry.stage} …")


def format_stage(entry: Entry, verbose: bool) -> list[str]:
    """Format a completed stage: a line with name, rows, seconds and device, then its notes."""
    line = f"{entry.stage:<16} {entry.rows:>13,} rows {entry.seconds:>8.2f} s  {entry.device}"
    if verbose:
        line += f"  peak {entry.peak_host / 1e9:.2f} GB"
    decision = [entry.resume] if entry.resume else []
    return [line, *(f"  {note}" for note in (*decision, *entry.notes))]


class _Live:
    """A spinner of Rich with the current stage; completed stages stay above it."""

    def __init__(self, verbose: bool) -> None:
        self.console = make_console(stderr=True)
        self.verbose = verbose
        self.status: Status | None = None
        self.current = ""

    def stage(self, entry: Entry, ended: bool) -> None:
        if not ended:
            if self.status is not None:  # the spinner of an attempt that failed
                self.status.stop()
            self.current = entry.stage
            self.status = self.console.status(entry.stage)
            self.status.start()
            return
        if self.status is not None:
            self.status.stop()
        for line in format_stage(entry, self.verbose):
            self.console.print(line)

    def say(self, text: str) -> None:
        self.console.print(text)

    def progress(self, what: str, done: int, planned: int) -> None:
        if self.status is not None:
            self.status.update(f"{self.current}: {what} {done / planned:.0%}")
