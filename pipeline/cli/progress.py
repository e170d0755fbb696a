"""Progress on standard error: a line per stage, and a live line in a terminal.

A run's console starts with the data (`pipeline.execution.announce`), and a table of the columns
belongs below the line of the stage that makes it: `_Live.stage` and `_print_stage`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.cli.columns import format_columns
from pipeline.console.plural import pluralize
from pipeline.console.terminal import escape_controls, make_console, print_stderr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.status import Status
    from rich.text import Text

    from pipeline.artifacts.ledger import Entry
    from pipeline.execution.context import Listener
    from pipeline.features.column_summary import ColumnSummary
    from pipeline.ingest.reading_note import ReadingNote

LONG_RUN = 10.0
"""Seconds after which a run names its dashboard."""
SETTLING = 1.0
"""Seconds of a pass or a training before its time left is estimated."""


def make_listener(*, quiet: bool, verbose: bool) -> Listener:
    """Create a listener that prints progress on standard error.

    A terminal shows a live line with the current stage; other outputs get plain lines.
    """
    from pipeline.execution.context import Listener

    if quiet:
        return Listener()
    if not sys.stderr.isatty():
        pages = PageLine(print_stderr, 0.0 if verbose else LONG_RUN)
        stage = partial(_print_stage, verbose=verbose)
        columns = partial(_print_columns, print_stderr)
        return Listener(stage=stage, say=print_stderr, pages=pages, columns=columns)
    live = _Live(verbose)
    pages = PageLine(live.say, 0.0 if verbose else LONG_RUN)
    return Listener(
        stage=live.stage,
        say=live.say,
        progress=live.train,
        passes=live.visit,
        pages=pages,
        columns=partial(_print_columns, live.say),
    )


def _print_columns(
    say: Callable[[str], None],
    columns: Sequence[ColumnSummary],
    rows: int,
    notes: Sequence[ReadingNote],
) -> None:
    for line in format_columns(columns, rows, notes, make_console(stderr=True).width):
        say(line)


@dataclass
class PageLine:
    """One line that names the dashboard and the metrics, printed once a run lasts long."""

    say: Callable[[str], None]
    delay: float
    """Seconds."""
    timer: threading.Timer | None = None

    def __call__(self, pages: Mapping[str, str]) -> None:
        """Print the pages' URLs after the delay, unless they are gone by then."""
        if self.timer is not None:
            self.timer.cancel()
        if not pages:
            return
        line = " · ".join(f"{what} {url}" for what, url in pages.items())
        self.timer = threading.Timer(self.delay, self.say, [line])
        self.timer.daemon = True
        if self.delay > 0:
            self.timer.start()
        else:
            self.say(line)


def _print_stage(entry: Entry, ended: bool, *, verbose: bool) -> None:
    if ended:
        for line in format_stage(entry, verbose):
            print_stderr(line)
    elif verbose:
        print_stderr(f"{entry.stage} …")


def format_stage(entry: Entry, verbose: bool) -> list[str]:
    """Format a completed stage: a line with name, rows, seconds and device, then its notes."""
    rows = f"{entry.rows:>13,} {pluralize(entry.rows, 'row'):<4}"
    line = f"{entry.stage:<16} {rows} {entry.seconds:>8.2f} s  {entry.device}"
    if verbose:
        line += f"  peak {entry.peak_host / 1e9:.2f} GB"
    decision = [entry.resume] if entry.resume else []
    return [line, *(f"  {note}" for note in (*decision, *entry.notes))]


@dataclass
class StageProgress:
    """The part of a stage that is done; a pass over the partitions, or the rounds of a training.

    Times are those of a clock, in seconds.
    """

    stage: str
    begun: float
    what: str = ""
    """The work that is counted, such as ``pass 2``."""
    done: int = 0
    planned: int = 0
    first: tuple[float, int] = (0.0, 0)
    """Time of the first count of this work, and the count."""
    latest: float = 0.0
    """Time of the latest count."""

    def count(self, what: str, done: int, planned: int, now: float, *, starts: bool) -> None:
        """Note that so much of the work is done.

        Args:
            what: the work, as it is shown.
            done: partitions, rounds or trees so far.
            planned: all of them.
            now: time.
            starts: this is the first count of the work.
        """
        if starts:
            self.first = now, done
        self.what, self.done, self.planned, self.latest = what, done, planned, now

    def estimate_left(self, now: float) -> float | None:
        """Estimate the seconds until the work is done; None: it is too early to say."""
        begun, before = self.first
        took, more = self.latest - begun, self.done - before
        if more <= 0 or took < SETTLING or self.done >= self.planned:
            return None
        return max(0.0, took / more * (self.planned - self.done) - (now - self.latest))

    def describe(self, now: float) -> str:
        """Describe the stage in one line: share, time so far, time left, details."""
        is_counted = self.planned > 1
        share = f" {self.done / self.planned:.0%}" if is_counted and self.done else ""
        parts = [f"{self.stage}{share}", format_duration(now - self.begun)]
        if (left := self.estimate_left(now)) is not None:
            parts.append(f"about {format_duration(left)} left")
        if is_counted:
            parts.append(self.what)
        return " · ".join(parts)


def format_duration(seconds: float) -> str:
    """Format whole seconds: ``5 s``, ``2 min 05 s``, ``1 h 02 min``."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


class _Live:
    """A spinner of Rich with the current stage; completed stages stay above it."""

    def __init__(self, verbose: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = make_console(stderr=True)
        self.verbose, self.clock = verbose, clock
        self.status: Status | None = None
        self.current = StageProgress("", 0.0)
        self.counted: object = None
        """Pass or training that the current stage counts."""

    def __rich__(self) -> Text:
        """Describe the current stage, whenever Rich draws the live line."""
        from rich.text import Text

        line = escape_controls(self.current.describe(self.clock()))
        return Text(line, no_wrap=True, overflow="ellipsis")

    def stage(self, entry: Entry, ended: bool) -> None:
        if self.status is not None:  # also the spinner of an attempt that failed
            self.status.stop()
            self.status = None
        if not ended:
            self.current, self.counted = StageProgress(entry.stage, self.clock()), None
            self.status = self.console.status(self)
            self.status.start()
            return
        for line in format_stage(entry, self.verbose):
            self.console.print(line)

    def say(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    def train(self, what: str, done: int, planned: int) -> None:
        self._count("training", what, done, planned)

    def visit(self, number: int, done: int, planned: int) -> None:
        if self.counted != "training":  # its workers also visit partitions
            self._count(number, f"pass {number}, partition {done} of {planned}", done, planned)

    def _count(self, work: object, what: str, done: int, planned: int) -> None:
        starts = work != self.counted
        self.counted = work
        self.current.count(what, done, planned, self.clock(), starts=starts)
