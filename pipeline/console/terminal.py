"""Printing and logging without control characters and without secrets.

Names of files, columns and classes, values and whole configs may come from strangers. An escape
sequence in one of them could retitle the terminal, or hide or forge lines.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.config.loader import redact

if TYPE_CHECKING:
    from rich.console import Console


def escape_controls(text: str) -> str:
    """Spell out escapes, carriage returns and changes of direction; keep newlines and tabs."""
    return to_one_line(text, keep="\n\t")


def to_one_line(text: str, keep: str = "") -> str:
    """Spell out all control characters but ``keep``, including newlines and tabs."""
    return "".join(c if c.isprintable() or c in keep else repr(c)[1:-1] for c in text)


def print_stderr(text: str) -> None:
    """Print a message on standard error; print nothing if its reader has closed it."""
    try:
        sys.stderr.write(escape_controls(redact(text)) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:  # a lost message must not end the work
        redirect_to_null(sys.stderr)


def redirect_to_null(stream: TextIO) -> None:
    """Discard all that is written from now on, and all that is still in a buffer."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def print_stdout(text: str) -> None:
    """Print a message on standard output."""
    sys.stdout.write(escape_controls(redact(text)) + "\n")


def to_json_line(
    value: Any, *, indent: int | None = None, ascii_only: bool = False, allow_nan: bool = False
) -> str:
    """Write a value as JSON without control characters, so that it is safe to print."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=allow_nan)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def make_console(**options: Any) -> Console:
    """Create a console of Rich that prints texts literally, without markup or escapes."""
    from rich.console import Console
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(
                escape_controls(text), **{**options, "markup": False, "emoji": False}
            )

        def on_broken_pipe(self) -> None:
            """Discard messages from now on; for output, raise so that the command ends."""
            # Rich would end the command for either stream, with status 1.
            if not self.stderr:
                raise BrokenPipeError(errno.EPIPE, "the reader of the output has closed it")
            redirect_to_null(sys.stderr)
            self.quiet = True

    return Plain(highlight=False, **options)


class LogFormatter(logging.Formatter):
    """Formatter of log.txt, which people read in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record without control characters and without secrets."""
        return escape_controls(redact(super().format(record)))
