"""Bytes that pass between the host and the GPU, counted where they pass."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Literal

Way = Literal["h2d", "h2d_files", "d2h"]

_lock = Lock()
_moved: dict[Way, int] = {"h2d": 0, "h2d_files": 0, "d2h": 0}


def count(way: Way, size: int) -> None:
    """Adds bytes; those of ``h2d_files`` are of ``h2d`` too."""
    with _lock:
        _moved[way] += size
        if way == "h2d_files":
            _moved["h2d"] += size


def text_bytes(values: Iterable[str]) -> int:
    """Bytes of words in UTF-8."""
    return sum(len(v.encode("utf-8", "surrogatepass")) for v in values)


def take_counts() -> dict[str, int]:
    """Bytes since the last call: to the device, of these of input files, and to the host."""
    with _lock:
        found = {str(way): size for way, size in _moved.items()}
        _moved.update(dict.fromkeys(_moved, 0))
    return found
