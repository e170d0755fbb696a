"""A cache of values that are derived from fitted tables, for as long as each table lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from threading import RLock
from typing import Any


class TableCache:
    """Values by table and name; they are dropped with their table.

    Tables are compared by identity.
    """

    def __init__(self) -> None:
        self._lock = RLock()
        self._values: dict[int, dict[str, Any]] = {}

    def get(self, table: Any, name: str, make: Callable[[], Any]) -> Any:
        """Return the value of that name; compute it with ``make()`` if there is none yet."""
        with self._lock:
            values = self._values.get(id(table))
            if values is None:
                values = self._values[id(table)] = {}
                # an id may be reused once its table is gone, so the entry must go with the table
                finalizer = weakref.finalize(table, self._values.pop, id(table), None)
                finalizer.atexit = False
            if name not in values:
                values[name] = make()
            return values[name]

    def clear(self) -> None:
        """Drop all values; they are recomputed when they are needed."""
        with self._lock:
            for values in self._values.values():  # keep the entries: each has its finalizer
                values.clear()

    def __len__(self) -> int:
        return len(self._values)
