"""Every error a user may see, and the exit status it ends with.

    PipelineError            1  a bug, when nothing below fits
    ├── InputError           2  the user's config, data or arguments are at fault
    │   ├── ConfigError         a key, a value, an expression or a column name in the config
    │   ├── SchemaError         files, side tables or new data that do not match the contract
    │   └── DataError           values: a bad field, a duplicate key, a missing time
    ├── MachineError         3  the machine is: no GPU, no memory, no disk, no scheduler
    │   └── DeviceError         what the device cannot do; under ``auto`` the CPU does it
    │       ├── DeviceFull         memory too small: falls back (`pipeline.execution.fallback`)
    │       └── DeviceLost         an error after which its CUDA context is not used again
    └── CheckFailed          4  a check said no (parity, audit)

A message says what is wrong and where (file, line, column, key, value), shows at most
``MAX_EXAMPLES`` examples, and ends with what to do next (``fix``).
"""

from __future__ import annotations

import errno
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path

MAX_EXAMPLES = 5
MAX_VALUE_CHARS = 80
MAX_LINES, MAX_LINE_CHARS = 3, 500
"""Of a message, of an example and of a fix: paths and names may be as long as they like."""


class PipelineError(Exception):
    """Base of all errors of this package. ``status`` is the process's exit status."""

    status = 1

    def __init__(self, message: str, *, examples: Sequence[str] = (), fix: str = "") -> None:
        self.message, self.examples, self.fix = message, tuple(examples), fix
        super().__init__(self.render())

    def render(self) -> str:
        """The whole text: message, examples, fix, a line each."""
        lines = [_bounded(self.message)]
        lines += [f"  {_bounded(example, 1)}" for example in self.examples[:MAX_EXAMPLES]]
        if len(self.examples) > MAX_EXAMPLES:
            lines.append(f"  … and {len(self.examples) - MAX_EXAMPLES} more")
        if self.fix:
            lines.append(f"  → {_bounded(self.fix)}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # Raised in a Dask worker, read in the client: keyword arguments must survive pickling.
        return (_rebuild, (type(self), self.message, self.examples, self.fix))


def _bounded(text: str, most: int = MAX_LINES) -> str:
    """The first lines of a text, each without its middle if it is too long."""
    half, lines = MAX_LINE_CHARS // 2, text.splitlines()[:most]
    fit = (s if len(s) <= MAX_LINE_CHARS else f"{s[:half]}…{s[-half:]}" for s in lines)
    return "\n".join(fit)


def _rebuild(
    kind: type[PipelineError], message: str, examples: tuple[str, ...], fix: str
) -> PipelineError:
    return kind(message, examples=examples, fix=fix)


class InputError(PipelineError):
    """The user's input is at fault."""

    status = 2


class ConfigError(InputError):
    """A key, value, expression or column name of the config is wrong."""


class SchemaError(InputError):
    """Files, side tables or new data do not have the columns and types of the contract."""


class DataError(InputError):
    """A value in the data is wrong."""


class MachineError(PipelineError):
    """The machine cannot do what was asked."""

    status = 3


class DeviceError(MachineError):
    """The asked device cannot run this stage; carries the reason."""


class DeviceFull(DeviceError):
    """The device's memory ran out."""


class DeviceLost(DeviceError):
    """A CUDA error other than out-of-memory: nothing more is asked of this process's context."""

    folder: Path | None = None
    """Of the run that it ended."""


class CheckFailed(PipelineError):
    """A check that the user asked for did not pass."""

    status = 4


OUT_OF_MEMORY = re.compile(
    r"out of memory|bad_?alloc|cannot allocate|unable to allocate|could not allocate"
    r"|failed to allocate|not enough memory|failed to map segment|insufficient memory"
    r"|start new thread|launch worker thread|thread creation failed|resource temporarily unavail",
    re.IGNORECASE,
)
"""Messages of libraries that run out of memory: loader, Arrow, XGBoost, OpenMP, fork."""
THEIRS = {"XGBoostError", "TreeliteError", "ArrowException", "BrokenProcessPool"}
"""Classes of libraries whose texts `find_memory_error` reads, by name: nothing is imported."""


def find_memory_error(error: BaseException) -> BaseException | None:
    """Find the error that says that memory, addresses or threads ran out, along the whole chain.

    Causes, contexts (also those that ``from None`` hides) and members of groups are looked at.
    """
    return next(filter(_is_memory_error, _chain(error)), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    waiting, seen = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        waiting += [e for e in (one.__context__, one.__cause__, *inner) if e is not None]


def _is_memory_error(error: BaseException) -> bool:
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno == errno.ENOMEM  # a lock that is taken is EAGAIN
    theirs = THEIRS & {kind.__name__ for kind in type(error).__mro__}
    if not theirs and not isinstance(error, RuntimeError | ImportError | OSError | SystemError):
        return False  # its text may quote a user's
    return "BrokenProcessPool" in theirs or OUT_OF_MEMORY.search(str(error)) is not None


def suggest_name(name: str, known: Iterable[str]) -> str:
    """``"did you mean 'x'?"`` for the closest known name; empty if none is close."""
    close = get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def suggest_or_list(name: str, known: Iterable[str]) -> str:
    """`suggest_name`, or else the list of known names."""
    names = [str(k) for k in known]
    if found := suggest_name(name, names):
        return found
    shown = ", ".join(sorted(names)[:20]) + (", …" if len(names) > 20 else "")
    return f"known: {shown}" if names else ""


def check_utf8(text: str, what: str) -> None:
    """Refuse a path or an argument whose bytes are not UTF-8: JSON and YAML cannot hold it.

    Args:
        text: as Python decodes it: such bytes are lone surrogates.
        what: the argument or place, for the message.

    Raises:
        InputError: the text has such bytes.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{what} {shorten(text)} is not UTF-8 text", fix="rename the file or folder: mv OLD NEW"
        ) from None


def quote_path(path: str | Path) -> str:
    """A path as a word of a command line that can be pasted into a shell."""
    word = os.fspath(path)
    return shlex.quote(f"./{word}" if word.startswith("-") else word)


def shorten(value: object) -> str:
    """``repr(value)``, cut so that a message stays readable whatever the data hold."""
    text = repr(value)
    return text if len(text) <= MAX_VALUE_CHARS else text[: MAX_VALUE_CHARS - 1] + "…"
