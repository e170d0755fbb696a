"""Differences between columns of the same rows: how many, how large, and in which rows.

Everything is on the host, in pandas. Rows are paired by their ids, partition by partition; only
rows that wait for their counterpart stay in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from pipeline.device import MISSING, cpu, dtype_of
from pipeline.errors import MAX_EXAMPLES

RELATIVE = 1e-6
"""Tolerance of floats: float32 rounds at 6e-8, sums of rows in another order at 1e-12."""
CANCELLED = 1e-9
"""Tolerance relative to a column's largest value in a partition. A difference of nearly equal
numbers, such as a scaled value at the mean, has no digits left to compare."""


@dataclass(frozen=True)
class Rule:
    """A rule by which two values are the same."""

    text: str
    relative: float = 0.0
    """Tolerance relative to the larger of the two."""
    absolute: float = 0.0
    cancelled: float = 0.0
    """Tolerance relative to the largest of the column."""


EXACT = Rule("exact")
CLOSE = Rule(f"{RELATIVE:.0e} relative", relative=RELATIVE, cancelled=CANCELLED)


def within(limit: float) -> Rule:
    """Return the rule for numbers that differ by no more than a limit."""
    return Rule(f"within {limit:g}", absolute=limit)


class Example(TypedDict):
    """A row that differs; missing values are None."""

    row: Any
    values: list[Any]


@dataclass
class Check:
    """A line of the table: one comparison of both runs, over all rows so far."""

    stage: str
    what: str
    rule: str
    compared: int = 0
    different: int = 0
    worst: float | None = None
    """The largest difference of two numbers, relative to the larger one if the rule is."""
    examples: list[Example] = field(default_factory=list)
    """The first rows that differ, as ``{"row": id, "values": [first, second]}``."""

    @property
    def passed(self) -> bool:
        """True if nothing differs."""
        return self.different == 0

    def add(self, ids: np.ndarray, first: pd.Series, second: pd.Series, rule: Rule) -> None:
        """Compare the values of some rows.

        Args:
            ids: int64 (n,), for the examples.
            first: n host values of the first run, in a storage dtype.
            second: those of the other run.
            rule: the rule by which two of them are the same.
        """
        differs, size = find_differences(first, second, rule)
        self.compared += len(ids)
        self.different += int(differs.sum())
        if size is not None and len(size):
            self.worst = max(self.worst or 0.0, float(size.max()))
        room = MAX_EXAMPLES - len(self.examples)
        for at in np.flatnonzero(differs)[:room]:
            values = [to_plain(first.iloc[at]), to_plain(second.iloc[at])]
            self.examples.append({"row": int(ids[at]), "values": values})

    def note(self, row: Any, first: Any, second: Any, *, same: bool) -> None:
        """Count a pair of values that was compared elsewhere."""
        self.compared += 1
        if not same:
            self.different += 1
            if len(self.examples) < MAX_EXAMPLES:
                self.examples.append({"row": row, "values": [first, second]})


def find_differences(
    first: pd.Series, second: pd.Series, rule: Rule
) -> tuple[np.ndarray, np.ndarray | None]:
    """Find the rows in which two columns differ; missing equals only missing.

    Returns:
        A mask of the rows (bool (n,)), and the sizes of the differences (float64 (n,), inf if one
        value is missing; None for text).
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
    size = share if rule.relative else size
    return differs, np.where(one | np.isnan(size), np.inf, size)


def to_plain(value: Any) -> Any:
    """Return a value of a column for JSON; missing and NaN become None."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, pd.Timestamp):
        return value.isoformat()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        # JSON has no infinity, so it is shown as text.
        return None if np.isnan(value) else str(value)
    return value


def pair_rows(
    first: Iterable[pd.DataFrame], second: Iterable[pd.DataFrame],
    compare: Callable[[pd.DataFrame, pd.DataFrame], None],
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Call ``compare`` with pairs of frames that have the same rows, until all are paired.

    Args:
        first: partitions of the first run, with row ids as index.
        second: those of the other run. The more alike the partitions, the fewer rows wait.
        compare: takes two frames with equal indexes.

    Returns:
        The ids that only the first run has, and those that only the second has, int64.
    """
    waiting: list[pd.DataFrame | None] = [None, None]
    for parts in zip_longest(first, second):
        a, b = (_join(*pair) for pair in zip(waiting, parts, strict=True))
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


def _join(waiting: pd.DataFrame | None, part: pd.DataFrame | None) -> pd.DataFrame | None:
    frames = [frame for frame in (waiting, part) if frame is not None and len(frame)]
    return cpu.concat(frames) if frames else None
