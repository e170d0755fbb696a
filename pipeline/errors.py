"""All errors that a user may see, and the exit status of each.

    PipelineError            1  a bug, when nothing below fits
    ├── InputError           2  the user's config, data or arguments are wrong
    │   ├── ConfigError         a key, a value, an expression or a column name in the config
    │   ├── SchemaError         files, side tables or new data that do not match the contract
    │   └── DataError           values: a bad field, a duplicate key, a missing time
    ├── MachineError         3  the machine lacks something: GPU, memory, disk, scheduler
    │   └── DeviceError         the device cannot run a stage; ``auto`` uses the CPU instead
    │       ├── DeviceFull         memory is too small: `pipeline.execution.fallback` retries
    │       └── DeviceLost         the CUDA context failed and is not used again
    └── CheckFailed          4  a requested check failed (parity, audit)

A message names the problem, then the place and the value (file, line, column, key). It shows at
most ``MAX_EXAMPLES`` examples and ends with a line ``Fix: …``, which says what to do next.
"""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

FIX_LABEL = "Fix:"
"""Label of the line that says what to do next, the same in errors, findings and reports."""
MAX_EXAMPLES = 5
MAX_VALUE_CHARS = 80
MAX_LINES, MAX_LINE_CHARS = 3, 500
"""Limits of a message, an example and a fix, since paths and names may be of any length."""


class PipelineError(Exception):
    """Base class of this package's errors; ``status`` is the exit status of the process."""

    status = 1

    def __init__(self, message: str, *, examples: Sequence[str] = (), fix: str = "") -> None:
        self.message, self.examples, self.fix = message, tuple(examples), fix
        super().__init__(self.render())

    def render(self) -> str:
        """Return the text that is printed: message, examples and fix on lines of their own."""
        lines = [_bounded(self.message)]
        lines += [f"  {_bounded(example, 1)}" for example in self.examples[:MAX_EXAMPLES]]
        if len(self.examples) > MAX_EXAMPLES:
            lines.append(f"  … and {len(self.examples) - MAX_EXAMPLES} more")
        if self.fix:
            lines.append(f"  {FIX_LABEL} {_bounded(self.fix)}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # A Dask worker raises and the client reads: keyword arguments must survive pickling.
        return (_rebuild, (type(self), self.message, self.examples, self.fix))


def _bounded(text: str, most: int = MAX_LINES) -> str:
    """Return the first ``most`` lines; cut the middle out of a line that is too long."""
    half, lines = MAX_LINE_CHARS // 2, text.splitlines()[:most]
    short = (s if len(s) <= MAX_LINE_CHARS else f"{s[:half]}…{s[-half:]}" for s in lines)
    return "\n".join(short)


def _rebuild(
    kind: type[PipelineError], message: str, examples: tuple[str, ...], fix: str
) -> PipelineError:
    return kind(message, examples=examples, fix=fix)


class InputError(PipelineError):
    """An error in the user's input."""

    status = 2


class ConfigError(InputError):
    """An error in a key, value, expression or column name of the config."""


class SchemaError(InputError):
    """An error in columns or types: files, side tables or new data differ from the contract."""


class DataError(InputError):
    """An error in a value of the data."""


class MachineError(PipelineError):
    """An error of the machine, which cannot do what was requested."""

    status = 3


class DeviceError(MachineError):
    """An error of a device that cannot run a stage; the message gives the reason."""


class DeviceFull(DeviceError):
    """An error of a device that has run out of memory."""


class DeviceLost(DeviceError):
    """A CUDA error other than out-of-memory, after which this process cannot use the GPU."""

    folder: Path | None = None
    """Folder of the run that the error ended."""


class CheckFailed(PipelineError):
    """The failure of a check that the user requested."""

    status = 4


OUT_OF_MEMORY = re.compile(
    r"out of memory|bad_?alloc|cannot allocate|unable to allocate|could not allocate"
    r"|failed to allocate|not enough memory|failed to map segment|insufficient memory"
    r"|start new thread|launch worker thread|thread creation failed|resource temporarily unavail",
    re.IGNORECASE,
)
"""Messages of libraries that run out of memory: loader, Arrow, XGBoost, OpenMP, fork."""
LIBRARY_ERRORS = {"XGBoostError", "TreeliteError", "ArrowException", "BrokenProcessPool"}
"""Names of library errors whose messages `find_memory_error` reads, without any import."""


def find_memory_error(error: BaseException) -> BaseException | None:
    """Find an error that reports exhausted memory, addresses or threads in a chain of errors.

    The search follows causes, contexts (even those that ``from None`` hides) and members of groups.
    """
    pending, seen = [error], set[int]()
    while pending:
        current = pending.pop()
        if id(current) in seen:  # a context may lead back to its own error
            continue
        seen.add(id(current))
        if _is_memory_error(current):
            return current
        inner = current.exceptions if isinstance(current, BaseExceptionGroup) else ()
        pending += [e for e in (current.__context__, current.__cause__, *inner) if e is not None]
    return None


def _is_memory_error(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        # The text is not enough: a lock that is taken also says "resource temporarily unavailable".
        return error.errno == errno.ENOMEM
    names = LIBRARY_ERRORS & {kind.__name__ for kind in type(error).__mro__}
    if not names and not isinstance(error, RuntimeError | ImportError | OSError | SystemError):
        return False  # other errors may quote a user's text, which proves nothing
    return "BrokenProcessPool" in names or OUT_OF_MEMORY.search(str(error)) is not None


def suggest_name(name: str, valid: Iterable[str]) -> str:
    """Return a fix that suggests the valid name closest to ``name``; empty if none is close."""
    close = get_close_matches(str(name), [str(v) for v in valid], n=1, cutoff=0.6)
    return f"check the spelling: did you mean {close[0]!r}?" if close else ""


def suggest_or_list(name: str, valid: Iterable[str]) -> str:
    """Return a fix that suggests the closest valid name, or else lists the valid names."""
    names = [str(v) for v in valid]
    if suggestion := suggest_name(name, names):
        return suggestion
    shown = ", ".join(sorted(names)[:20]) + (", …" if len(names) > 20 else "")
    return f"choose one of: {shown}" if names else ""


def check_utf8(text: str, what: str) -> None:
    """Check that a path or an argument is UTF-8, because JSON and YAML cannot hold other bytes.

    Args:
        text: The argument as Python decodes it; bytes that are not UTF-8 are lone surrogates.
        what: The name of the argument, for the message.

    Raises:
        InputError: The text has bytes that are not UTF-8.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{what} {shorten(text)} is not UTF-8 text", fix="rename the file or folder: mv OLD NEW"
        ) from None


def quote_path(path: str | Path) -> str:
    """Quote a path so that a command that contains it can be pasted into a shell."""
    word = os.fspath(path)
    return shlex.quote(f"./{word}" if word.startswith("-") else word)


def shorten(value: object) -> str:
    """Return ``repr(value)``, cut to ``MAX_VALUE_CHARS`` so that messages stay readable."""
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"
