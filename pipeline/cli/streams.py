"""Standard output and standard error: what it means that one of them cannot be written to.

Output that is lost ends a command, with status 3 or, where its reader has gone, quietly. Messages
that are lost change nothing.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from pipeline.errors import MachineError


class Stream(io.FileIO):
    """A standard stream's file, which remembers that it could not be written to."""

    def __init__(self, number: int, *, may_fail: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self.may_fail = may_fail
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write what can be written; where nothing may fail, claim that it was all."""
        try:
            return super().write(data) or 0
        except OSError as error:
            self.failure = self.failure or error
            if self.may_fail:
                raise
            return memoryview(data).nbytes


def install_streams() -> None:
    """Open both streams as `Stream`; one that was closed writes nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started the process
            opened: TextIO = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        else:
            raw = Stream(stream.fileno(), may_fail=name == "stdout")
            live = name == "stderr" or raw.isatty()
            # an ASCII terminal shows \u2192 for an arrow
            opened = io.TextIOWrapper(
                io.BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=live
            )
        setattr(sys, name, opened)


def find_output_failure() -> OSError | None:
    """The error with which standard output could not be written to; None: there was none."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, Stream):
        return raw.failure
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def close_output(error: OSError) -> MachineError | None:
    """Write nothing more; the error that ends the command, None where its reader has gone."""
    from pipeline.console.terminal import redirect_to_null

    redirect_to_null(sys.stdout)
    if isinstance(error, BrokenPipeError):  # of a reader such as `head`
        return None
    return MachineError(
        f"standard output cannot be written to: {error.strerror}",
        fix="free some space there, or send it elsewhere",
    )
