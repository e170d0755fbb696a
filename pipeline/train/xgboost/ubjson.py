"""The part of UBJSON that XGBoost writes, so that a model can be checked before it is loaded.

The reader is stricter than XGBoost's own, so that both understand the same: no key twice, no bytes
after the end, bounded depth. A length is first compared with the bytes that are left.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

DEPTH = 16
"""Most levels of objects and arrays; XGBoost writes 7."""
MAX_VALUES = 4_000_000
"""Most values outside of typed arrays; XGBoost writes about 30 per tree."""
TYPES = {
    b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8",
}  # fmt: skip
"""Type markers and the NumPy types of their values; UBJSON is big-endian."""
LITERALS = {b"Z": None, b"T": True, b"F": False}


def parse(data: bytes) -> Any:
    """Parse a whole file to dicts, lists, strings, numbers, and NumPy arrays for typed arrays.

    Raises:
        ValueError: the bytes are not UBJSON as XGBoost writes it.
    """
    reader = _Reader(data)
    value = reader.value(DEPTH)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes after the end")
    return value


class _Reader:
    """A position in the bytes of a file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.values = data, 0, 0

    def take(self, count: int) -> bytes:
        """Return the next bytes and skip them."""
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError(f"{count} bytes claimed at {self.at}, {len(self.data)} in all")
        self.at += count
        return self.data[self.at - count : self.at]

    def next_is(self, marker: bytes) -> bool:
        """Return whether the marker comes next; if so, skip it."""
        is_next = self.data[self.at : self.at + 1] == marker
        self.at += is_next
        return is_next

    def length(self) -> int:
        """Read a length."""
        if not self.next_is(b"L"):  # XGBoost writes all lengths as int64
            raise ValueError(f"no length at {self.at}")
        return int(struct.unpack(">q", self.take(8))[0])

    def text(self) -> str:
        """Read a string without its marker, as keys are written."""
        return self.take(self.length()).decode("utf-8")

    def value(self, depth: int) -> Any:
        """Read a value of any type."""
        self.values += 1
        if depth == 0 or self.values > MAX_VALUES:
            raise ValueError(f"more than {DEPTH} levels or {MAX_VALUES:,} values")
        marker = self.take(1)
        if marker == b"{":
            entries: dict[str, Any] = {}
            while not self.next_is(b"}"):
                key = self.text()
                # of two values, other readers may take the one that was not checked
                if key in entries:
                    raise ValueError(f"the key {key!r} twice")
                entries[key] = self.value(depth - 1)
            return entries
        if marker == b"[":
            return self._array(depth - 1)
        if marker == b"S":
            return self.text()
        if marker in LITERALS:
            return LITERALS[marker]
        return self._numbers(marker, 1)[0].item()

    def _array(self, depth: int) -> Any:
        if self.next_is(b"$"):
            marker = self.take(1)
            if not self.next_is(b"#"):
                raise ValueError(f"a typed array without a length at {self.at}")
            return self._numbers(marker, self.length())
        if self.next_is(b"#"):
            count = self.length()
            if count > len(self.data) - self.at:
                raise ValueError(f"{count} values claimed at {self.at}")
            return [self.value(depth) for _ in range(count)]
        values = []
        while not self.next_is(b"]"):
            values.append(self.value(depth))
        return values

    def _numbers(self, marker: bytes, count: int) -> np.ndarray:
        if marker not in TYPES:
            raise ValueError(f"the type {marker!r} at {self.at}")
        dtype = np.dtype(TYPES[marker])
        return np.frombuffer(self.take(count * dtype.itemsize), dtype)
