"""What is printed and logged: nothing in it that a terminal would obey, and no secret.

Names of files, columns and classes, values and whole configs may come from strangers. An escape
sequence in one of them could retitle the terminal, hide lines, or forge them.
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
    """The text with escapes, carriage returns and changes of direction spelt out."""
    return _spelt_out(text, but="\n\t")


def to_one_line(text: str) -> str:
    """The text with ends of lines and tabs spelt out too."""
    return _spelt_out(text, but="")


def _spelt_out(text: str, but: str) -> str:
    return "".join(c if c.isprintable() or c in but else repr(c)[1:-1] for c in text)


def print_stderr(text: str) -> None:
    """A message on standard error; none where nobody reads it any more, for the work goes on."""
    try:
        sys.stderr.write(escape_controls(redact(text)) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        redirect_to_null(sys.stderr)


def redirect_to_null(stream: TextIO) -> None:
    """What is written from now on, and what a buffer still holds, goes nowhere."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def print_stdout(text: str) -> None:
    """A message on standard output."""
    sys.stdout.write(escape_controls(redact(text)) + "\n")


def to_json_line(
    value: Any, *, indent: int | None = None, ascii_only: bool = False, allow_nan: bool = False
) -> str:
    """JSON that is as harmless to look at as to parse."""
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only, allow_nan=allow_nan)
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def make_console(**options: Any) -> Console:
    """Rich's console, which takes texts as they are: neither markup nor escapes."""
    from rich.console import Console
    from rich.text import Text

    class Plain(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(
                escape_controls(text), **{**options, "markup": False, "emoji": False}
            )

        def on_broken_pipe(self) -> None:
            """Messages go nowhere from now on, and output ends the command (`pipeline.__main__`).

            Rich would end it either way, with status 1.
            """
            if not self.stderr:
                raise BrokenPipeError(errno.EPIPE, "the reader of the output has gone")
            redirect_to_null(sys.stderr)
            self.quiet = True

    return Plain(highlight=False, **options)


class LogFormatter(logging.Formatter):
    """Lines of log.txt, which people read in a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """As any formatter's, but visible and without secrets."""
        return escape_controls(redact(super().format(record)))
