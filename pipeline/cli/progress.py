"""What a run says on standard error: a line per stage, and a bar where a terminal shows it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pipeline.console.terminal import make_console, print_stderr

if TYPE_CHECKING:
    from pipeline.artifacts.ledger import Entry
    from pipeline.execution.context import Listener


def make_listener(*, quiet: bool, verbose: bool) -> Listener:
    """A listener for this process's standard error.

    A terminal gets a live line with the stage that runs; anything else gets plain lines.
    """
    from pipeline.execution.context import Listener

    if quiet:
        return Listener()
    if not sys.stderr.isatty():
        return Listener(stage=_plain_stage(verbose), say=print_stderr)
    live = _Live(verbose)
    return Listener(stage=live.stage, say=live.say, progress=live.progress)


def _plain_stage(verbose: bool) -> Any:
    def told(entry: Entry, ended: bool) -> None:
        if ended:
            for line in format_stage(entry, verbose):
                print_stderr(line)
        elif verbose:
            print_stderr(f"{entry.stage} …")

    return told


def format_stage(entry: Entry, verbose: bool) -> list[str]:
    """A finished stage: name, rows, seconds, device; then its notes."""
    line = f"{entry.stage:<16} {entry.rows:>13,} rows {entry.seconds:>8.2f} s  {entry.device}"
    if verbose:
        line += f"  peak {entry.peak_host / 1e9:.2f} GB"
    said = [entry.resume] if entry.resume else []
    return [line, *(f"  {note}" for note in (*said, *entry.notes))]


class _Live:
    """Rich's spinner with the running stage; finished stages stay above it."""

    def __init__(self, verbose: bool) -> None:
        self.console = make_console(stderr=True)
        self.verbose = verbose
        self.status: Any = None
        self.current = ""

    def stage(self, entry: Entry, ended: bool) -> None:
        if not ended:
            if self.status is not None:  # of an attempt that failed
                self.status.stop()
            self.current = entry.stage
            self.status = self.console.status(entry.stage)
            self.status.start()
            return
        self.status.stop()
        for line in format_stage(entry, self.verbose):
            self.console.print(line)

    def say(self, text: str) -> None:
        self.console.print(text)

    def progress(self, what: str, done: int, planned: int) -> None:
        if self.status is not None:
            self.status.update(f"{self.current}: {what} {done / planned:.0%}")
