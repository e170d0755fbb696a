"""Compares columns of the same rows: how many values differ, by how much, and in which rows.

Everything is on the host, in pandas. Rows are paired by their ids, partition by partition: what
waits for its counterpart is held, the rest goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

import numpy as np
import pandas as pd

from pipeline.device import MISSING, cpu, dtype_of
from pipeline.errors import MAX_EXAMPLES

RELATIVE = 1e-6
"""Of floats: a matrix of float32 rounds at 6e-8, sums of rows in another order at 1e-12."""
CANCELLED = 1e-9
"""Of a column's largest value in a partition: what is left of two equal numbers' difference, as a
scaled value at the mean, has no digits to compare."""


@dataclass(frozen=True)
class Rule:
    """When two values are the same."""

    text: str
    relative: float = 0.0
    """To the larger of the two."""
    absolute: float = 0.0
    cancelled: float = 0.0
    """To the largest of the column."""


EXACT = Rule("exact")
CLOSE = Rule(f"{RELATIVE:.0e} relative", relative=RELATIVE, cancelled=CANCELLED)


def within(limit: float) -> Rule:
    """Numbers that differ by no more than that."""
    return Rule(f"within {limit:g}", absolute=limit)


@dataclass
class Check:
    """A line of the table: something compared on both sides, over all rows so far."""

    stage: str
    what: str
    rule: str
    compared: int = 0
    different: int = 0
    worst: float | None = None
    """The largest difference of two numbers; of the larger one's size where the rule is."""
    examples: list[dict[str, Any]] = field(default_factory=list)
    """``{"row": id, "values": [first, second]}``: the first rows that differ; missing is None."""

    @property
    def passed(self) -> bool:
        """Whether nothing differs."""
        return self.different == 0

    def add(self, ids: np.ndarray, first: pd.Series, second: pd.Series, rule: Rule) -> None:
        """Compares the values of some rows.

        Args:
            ids: int64 (n,), for the examples.
            first: n host values in a storage dtype; ``second``: the other side's.
            rule: when two of them are the same.
        """
        differs, size = differing(first, second, rule)
        self.compared += len(ids)
        self.different += int(differs.sum())
        if size is not None and len(size):
            self.worst = max(self.worst or 0.0, float(size.max()))
        room = MAX_EXAMPLES - len(self.examples)
        for at in np.flatnonzero(differs)[:room]:
            values = [plain(first.iloc[at]), plain(second.iloc[at])]
            self.examples.append({"row": int(ids[at]), "values": values})

    def note(self, row: Any, first: Any, second: Any, *, same: bool) -> None:
        """Counts a pair of values that was compared elsewhere."""
        self.compared += 1
        if not same:
            self.different += 1
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append({"row": row, "values": [first, second]})


def differing(
    first: pd.Series, second: pd.Series, rule: Rule
) -> tuple[np.ndarray, np.ndarray | None]:
    """Where two columns of n rows differ, and by how much; missing equals missing alone.

    Returns:
        (bool (n,); float64 (n,) sizes of numbers' differences, inf where one is missing; None for
        text).
    """
    text = [dtype_of(column) == "text" for column in (first, second)]
    if all(text):
        codes, words = cpu.to_codes(first)
        return np.where(codes < 0, MISSING, codes) != cpu.find_positions(second, words), None
    if any(text):
        return np.ones(len(first), dtype=bool), None
    (a, a_missing), (b, b_missing) = cpu.to_arrays(first), cpu.to_arrays(second)
    one = a_missing != b_missing
    both = ~(a_missing | b_missing)
    wide, other = (np.where(both, v, 0).astype("float64") for v in (a, b))
    larger = np.maximum(np.abs(wide), np.abs(other))
    with np.errstate(invalid="ignore"):  # inf - inf, inf / inf
        size = np.where(wide == other, 0.0, np.abs(wide - other))
        share = size / np.where(larger > 0, larger, 1.0)
    if rule == EXACT:
        differs = one | (both & (a != b))
    else:
        finite = larger[np.isfinite(larger)]
        floor = rule.absolute + rule.cancelled * float(finite.max(initial=0.0))
        differs = one | ~(size <= rule.relative * np.where(np.isfinite(larger), larger, 0) + floor)
    told = share if rule.relative else size
    return differs, np.where(one | np.isnan(told), np.inf, told)


def plain(value: Any) -> Any:
    """A value of a column for JSON; missing and NaN are None."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    found = value.item() if isinstance(value, np.generic) else value
    if isinstance(found, float) and not np.isfinite(found):
        return None if np.isnan(found) else str(found)
    return found


def paired(
    first: Iterable[pd.DataFrame], second: Iterable[pd.DataFrame],
    compare: Callable[[pd.DataFrame, pd.DataFrame], None],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Calls ``compare`` with two frames of the same rows, in the same order, until all have come.

    Args:
        first: the partitions of one side, row ids as index; ``second``: those of the other. They
            need not be divided in the same way, but what is not is held until both sides have it.
        compare: takes two frames with equal indexes.

    Returns:
        (ids that only the first side has, ids that only the second has), int64.
    """
    waiting: list[pd.DataFrame | None] = [None, None]
    for parts in zip_longest(first, second):
        a, b = (_joined(*pair) for pair in zip(waiting, parts, strict=True))
        if a is None or b is None:
            waiting = [a, b]
        elif a.index.equals(b.index):
            compare(a, b)
            waiting = [None, None]
        else:
            at = pd.Index(b.index).get_indexer(a.index)
            common = at >= 0
            if common.any():
                compare(a[common], b.iloc[at[common]])
            waiting = [a[~common], b[~b.index.isin(a.index)]]
    left, right = (np.empty(0, "int64") if w is None else cpu.row_ids(w) for w in waiting)
    return left, right


def _joined(waiting: pd.DataFrame | None, part: pd.DataFrame | None) -> pd.DataFrame | None:
    frames = [frame for frame in (waiting, part) if frame is not None and len(frame)]
    return cpu.concat(frames) if frames else None
