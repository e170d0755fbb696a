"""``python -m pipeline``: runs a command and turns what went wrong into an exit status."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from pipeline.cli import streams
from pipeline.console import signals
from pipeline.errors import InputError, MachineError, PipelineError, find_memory_error

INTERRUPTED = 130
NOISE = ("DataFrame is highly fragmented", "The number of unique classes is greater than 50%")
"""Warnings of libraries about what we do on purpose: wide tables, and classes with few rows."""


def main() -> None:
    """The console script's entry point; never returns."""
    signals.install_handlers()
    streams.install_streams()
    status = run_command_line(sys.argv[1:])
    number = signals.received_signal()
    if number and status:
        _tell(signals.stop_message())
        status = 128 + number
        signals.exit_with(status)
    sys.exit(status)


def run_command_line(arguments: list[str]) -> int:
    """Runs one command line; the exit status (see `pipeline.errors`)."""
    warnings.showwarning = _warned
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
    try:
        from pipeline.cli import app

        _check_here()
        status = app.invoke(arguments)
        sys.stdout.flush()
        return status
    except (KeyboardInterrupt, SystemExit):  # of `signals`
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and (failure := streams.find_output_failure()) is not None:
            found = streams.close_output(failure)
            return 0 if found is None else _told(found, error)
        if isinstance(error, PipelineError) and error.status == MachineError.status:
            return _told(error, error)
        if (cause := find_memory_error(error)) is not None:
            return _told(_out_of_memory(cause), error)
        return _told(error, error) if isinstance(error, PipelineError) else _unforeseen(error)


def _told(error: PipelineError, of: Exception) -> int:
    """Say an error, with the notes of the one that it was; the exit status."""
    _tell("\n  → ".join([f"error: {error}", *getattr(of, "__notes__", ())]))
    return error.status


def _out_of_memory(cause: BaseException) -> MachineError:
    from pipeline.memory import address_space

    most = address_space.address_limit()
    fix = "use fewer rows (--rows N) or a larger machine"
    if most is not None:
        fix = f"the address space is limited to {most / 1e9:.2f} GB (ulimit -v): raise it, or {fix}"
    text = " ".join(str(cause).split())
    return MachineError(f"out of memory: {type(cause).__name__}: {text}".rstrip(": "), fix=fix)


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
        from pipeline.device.gpu.errors import translate_error

        if (found := translate_error(error)) is not None:
            _tell(f"error: {found}\n  → run with --device cpu, or with fewer rows")
            return found.status
    if "dask config file" in str(error):  # Dask reads its own when it is first imported
        _tell(f"error: {str(error).partition(',')[0]}\n  → correct or remove it")
        return 2
    import traceback

    from pipeline.memory import address_space

    _tell("".join(traceback.format_exception(error)).rstrip())
    if address_space.is_used_up():  # then whatever fails may do so for want of it
        return _told(_out_of_memory(error), error)
    _tell(f"error: this is a bug in pipeline: {type(error).__name__}: {error}")
    return 1


def _warned(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
    """A library's warning, which may quote names of columns."""
    _tell(f"{category.__name__}: {message}")


def _tell(text: str) -> None:
    """One message on standard error."""
    from pipeline.console.terminal import print_stderr

    print_stderr(text)


if __name__ == "__main__":
    main()
