"""Counters of the bytes that are transferred between the host and the GPU."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import Literal

Direction = Literal["h2d", "h2d_files", "d2h"]

_lock = Lock()
_bytes: dict[Direction, int] = {"h2d": 0, "h2d_files": 0, "d2h": 0}


def count(direction: Direction, size: int) -> None:
    """Add bytes; those of ``h2d_files`` count as ``h2d`` too."""
    with _lock:
        _bytes[direction] += size
        if direction == "h2d_files":
            _bytes["h2d"] += size


def text_bytes(values: Iterable[str]) -> int:
    """Return the bytes of texts in UTF-8."""
    return sum(len(v.encode("utf-8", "surrogatepass")) for v in values)


def take_counts() -> dict[str, int]:
    """Return the bytes since the last call, by direction, and reset the counters."""
    with _lock:
        counts = {str(direction): size for direction, size in _bytes.items()}
        _bytes.update(dict.fromkeys(_bytes, 0))
    return counts
