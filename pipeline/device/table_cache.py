"""What is made of a fitted table once, and kept for as long as the table lives."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from threading import RLock
from typing import Any


class TableCache:
    """Values by table and name; a table's go when it does. Tables are told apart by identity."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._of: dict[int, dict[str, Any]] = {}

    def get(self, table: Any, name: str, make: Callable[[], Any]) -> Any:
        """The value of that name; ``make()`` where there is none yet."""
        with self._lock:
            own = self._of.get(id(table))
            if own is None:
                own = self._of[id(table)] = {}
                gone = weakref.finalize(table, self._of.pop, id(table), None)
                gone.atexit = False
            if name not in own:
                own[name] = make()
            return own[name]

    def clear(self) -> None:
        """Lets all values go; they are made again when they are asked for."""
        with self._lock:
            for own in self._of.values():  # which tables there are stays known: each has its end
                own.clear()

    def __len__(self) -> int:
        return len(self._of)
