"""``python -m pipeline``: run a command, print its errors, and return its exit status."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from pipeline.cli import streams
from pipeline.console import signals
from pipeline.errors import (
    FIX_LABEL,
    InputError,
    MachineError,
    PipelineError,
    find_memory_error,
)

INTERRUPTED = 130
NOISE = ("DataFrame is highly fragmented", "The number of unique classes is greater than 50%")
"""Warnings of libraries about what we do on purpose: wide tables, and classes with few rows."""


def main() -> None:
    """Run the command line of this process and exit with its status."""
    signals.install_handlers()
    streams.install_streams()
    status = run_command_line(sys.argv[1:])
    number = signals.received_signal()
    if number and status:
        _print(signals.stop_message())
        status = 128 + number
        signals.exit_with(status)
    sys.exit(status)


def run_command_line(arguments: list[str]) -> int:
    """Run one command line and return the exit status (see `pipeline.errors`)."""
    warnings.showwarning = _print_warning
    for message in NOISE:
        warnings.filterwarnings("ignore", message=message)
    try:
        # Imported inside the block: a library that runs out of memory while it loads is an error
        # like any other.
        from pipeline.cli import app

        _check_working_directory()
        status = app.invoke(arguments)
        sys.stdout.flush()
        return status
    except (KeyboardInterrupt, SystemExit):  # raised by the handlers of `signals`
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, OSError) and (failure := streams.find_output_failure()) is not None:
            lost_output = streams.close_output(failure)
            return 0 if lost_output is None else _print_error(lost_output, error)
        # A MachineError already has a fix of its own, even if memory is what ran out.
        if isinstance(error, PipelineError) and error.status == MachineError.status:
            return _print_error(error, error)
        if (cause := find_memory_error(error)) is not None:
            return _print_error(_describe_out_of_memory(cause), error)
        return (
            _print_error(error, error)
            if isinstance(error, PipelineError)
            else _print_unexpected(error)
        )


def _print_error(error: PipelineError, source: Exception) -> int:
    """Print an error with the notes of ``source``, from which it was made; return the status."""
    _print("\n  ".join([f"error: {error}", *getattr(source, "__notes__", ())]))
    return error.status


def _describe_out_of_memory(cause: BaseException) -> MachineError:
    from pipeline.memory import address_space

    limit = address_space.address_limit()
    fix = "use fewer rows (--rows N) or a larger machine"
    if limit is not None:
        fix = f"raise the limit of {limit / 1e9:.2f} GB on the address space (ulimit -v), or {fix}"
    text = " ".join(str(cause).split())
    return MachineError(f"out of memory: {type(cause).__name__}: {text}".rstrip(": "), fix=fix)


def _check_working_directory() -> None:
    """Check that the working directory exists, because paths are relative to it."""
    try:
        Path.cwd()
    except OSError as error:
        raise InputError(
            f"the working directory does not exist any more: {error.strerror}",
            fix="change to a folder that exists: cd DIR",
        ) from None


def _print_unexpected(error: Exception) -> int:
    """Print an error that no part of the program has turned into its own; return the status."""
    # Only if the GPU's libraries are loaded already: to load them now could fail in turn.
    if "pipeline.device.gpu.frames" in sys.modules:
        from pipeline.device.gpu.errors import translate_error

        if (gpu_error := translate_error(error)) is not None:
            _print(f"error: {gpu_error}\n  {FIX_LABEL} run with --device cpu, or with fewer rows")
            return gpu_error.status
    if "dask config file" in str(error):  # Dask reads its own config when it is first imported
        _print(f"error: {str(error).partition(',')[0]}\n  {FIX_LABEL} correct or remove that file")
        return 2
    import traceback

    from pipeline.memory import address_space

    _print("".join(traceback.format_exception(error)).rstrip())
    if address_space.is_used_up():  # then any error may be a consequence
        return _print_error(_describe_out_of_memory(error), error)
    _print(f"error: this is a bug in pipeline: {type(error).__name__}: {error}")
    return 1


def _print_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    # Through our own printer, because a library's warning may quote names of columns.
    _print(f"{category.__name__}: {message}")


def _print(text: str) -> None:
    """Print a message on standard error."""
    from pipeline.console.terminal import print_stderr

    print_stderr(text)


if __name__ == "__main__":
    main()
