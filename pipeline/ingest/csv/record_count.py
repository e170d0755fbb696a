"""Number of records in CSV that is read chunk by chunk, where newlines may stand within quotes."""

from __future__ import annotations

import numpy as np

NEWLINE, RETURN = 10, 13


class RecordCounter:
    """Count of the records in consecutive chunks; blank lines are not records."""

    def __init__(self, quote: str | None) -> None:
        self._quote = None if quote is None else ord(quote)
        self._open = False
        self._length = 0
        """Bytes since the last record ended."""
        self._last = 0
        self._count = 0

    def add(self, chunk: bytes) -> None:
        """Count the records that end in the next chunk."""
        data = np.frombuffer(chunk, dtype=np.uint8)
        ends = np.flatnonzero(data == NEWLINE)
        if self._quote is not None:
            quotes = np.flatnonzero(data == self._quote)
            # a newline ends a record if an even number of quotes precedes it
            ends = ends[(np.searchsorted(quotes, ends) + self._open) % 2 == 0]
            self._open ^= len(quotes) % 2 == 1
        if len(ends):
            starts = np.append(-self._length, ends[:-1] + 1)
            before = np.where(ends > 0, data[np.maximum(ends - 1, 0)], self._last)
            size = ends - starts
            self._count += int(np.count_nonzero((size > 1) | ((size == 1) & (before != RETURN))))
            self._length = len(data) - int(ends[-1]) - 1
        else:
            self._length += len(data)
        if len(data):
            self._last = int(data[-1])

    def total(self) -> int:
        """Return the number of records, with a last one that no newline ends."""
        rest = self._length > 1 or (self._length == 1 and self._last != RETURN)
        return self._count + int(rest)
