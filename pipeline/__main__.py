"""``python -m pipeline``: runs a command and turns what went wrong into an exit status."""

from __future__ import annotations

import io
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from pipeline import signals
from pipeline.errors import InputError, PipelineError

INTERRUPTED = 130
NOISE = ("DataFrame is highly fragmented", "The number of unique classes is greater than 50%")
"""Warnings of libraries about what we do on purpose: wide tables, and classes with few rows."""


def main() -> None:
    """The console script's entry point; never returns."""
    signals.watch()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the process
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # an ASCII terminal shows \u2192 for an arrow
            stream.reconfigure(errors="backslashreplace")
    status = status_of(sys.argv[1:])
    number = signals.received()
    if number and status:
        _tell(signals.stopped())
        status = 128 + number
    sys.exit(status)


def status_of(arguments: list[str]) -> int:
    """Runs one command line; the exit status (see `pipeline.errors`)."""
    from pipeline import cli

    warnings.showwarning = _warned
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
    try:
        _check_here()
        return cli.invoke(arguments)
    except PipelineError as error:
        _tell("\n  → ".join([f"error: {error}", *getattr(error, "__notes__", ())]))
        return error.status
    except (KeyboardInterrupt, SystemExit):  # of `signals`
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        from pipeline.terminal import drop

        drop(sys.stdout)
        return 0
    except Exception as error:
        return _unforeseen(error)


def _check_here() -> None:
    """Checks that there is a working directory, which paths are relative to."""
    try:
        Path.cwd()
    except OSError as error:
        raise InputError(
            f"the working directory is not there any more: {error.strerror}",
            fix="change to a folder that is: cd DIR",
        ) from None


def _unforeseen(error: Exception) -> int:
    """Tells an error that nothing below has turned into one of ours; the exit status."""
    if "pipeline.device.gpu.frames" in sys.modules:
        from pipeline.device.gpu.errors import translated

        if (found := translated(error)) is not None:
            _tell(f"error: {found}\n  → run with --device cpu, or with fewer rows")
            return found.status
    if "dask config file" in str(error):  # Dask reads its own when it is first imported
        _tell(f"error: {str(error).partition(',')[0]}\n  → correct or remove it")
        return 2
    if isinstance(error, MemoryError):
        _tell(f"error: out of memory: {error}\n  → use fewer rows (--rows N) or a larger machine")
        return 3
    import traceback

    _tell("".join(traceback.format_exception(error)).rstrip())
    _tell(f"error: this is a bug in pipeline: {type(error).__name__}: {error}")
    return 1


def _warned(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """A library's warning, which may quote names of columns."""
    _tell(f"{category.__name__}: {message}")


def _tell(text: str) -> None:
    """One message on standard error."""
    from pipeline.terminal import tell

    tell(text)


if __name__ == "__main__":
    main()
