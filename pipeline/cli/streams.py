"""Standard output and standard error that may fail.

If output cannot be written, the command ends: with status 3, or quietly if the reader has closed
it. If messages cannot be written, the command continues without them.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from pipeline.errors import MachineError


class Stream(io.FileIO):
    """The file of a standard stream, which remembers the first error of a write."""

    def __init__(self, number: int, *, may_fail: bool) -> None:
        super().__init__(number, "w", closefd=False)
        self.may_fail = may_fail
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write data; on an error, raise it or report success, according to ``may_fail``."""
        try:
            return super().write(data) or 0
        except OSError as error:
            self.failure = self.failure or error
            if self.may_fail:
                raise
            return memoryview(data).nbytes


def install_streams() -> None:
    """Open both streams as `Stream`, or on the null device if they are closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the parent process has closed it
            replacement: TextIO = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
        else:
            raw = Stream(stream.fileno(), may_fail=name == "stdout")
            live = name == "stderr" or raw.isatty()
            # backslashreplace: an ASCII terminal shows \u2026 for an ellipsis
            replacement = io.TextIOWrapper(
                io.BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=live
            )
        setattr(sys, name, replacement)


def find_output_failure() -> OSError | None:
    """Return the error of the first failed write to standard output, or None."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(raw, Stream):
        return raw.failure
    try:
        sys.stdout.flush()
    except OSError as error:
        return error
    return None


def close_output(error: OSError) -> MachineError | None:
    """Discard further output; return the error that ends the command, or None for a closed pipe."""
    from pipeline.console.terminal import redirect_to_null

    redirect_to_null(sys.stdout)
    if isinstance(error, BrokenPipeError):  # a reader such as `head` has seen enough
        return None
    return MachineError(
        f"standard output cannot be written to: {error.strerror}",
        fix="free some space there, or redirect it elsewhere",
    )
