"""Values of earlier rows: many series of rows, one after the other, and statistics along them.

Everything is computed from single earlier values in the order oldest to newest, never from running
totals. So a series gives the same bits whichever series are beside it and wherever it is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.device import Array, Frames
from pipeline.features.stats.groups import argsort_keys

RollingStat = Literal["mean", "sum", "std", "min", "max", "count"]


@dataclass(frozen=True)
class SortedSeries:
    """Rows sorted by series, order and tie; arrays of the device."""

    device: Frames
    at: Array
    """int64 (m,): position of each sorted row among the rows given."""
    start: Array
    """int64 (m,): sorted position at which the row's series starts."""
    end: Array
    """int64 (m,): sorted position after the last row of the series."""

    def shift(self, values: Array, by: int) -> Array:
        """Return float64 (m,): the value ``by`` rows earlier in the same series, or NaN.

        Args:
            values: float64 (m,), in sorted order.
        """
        xp = self.device.xp
        source = xp.arange(len(values)) - by
        return xp.where(source >= self.start, values[xp.maximum(source, 0)], xp.nan)

    def rank_from_end(self) -> Array:
        """Return int64 (m,): 1 for the last row of a series, 2 for the one before it, …"""
        return self.end - self.device.xp.arange(len(self.at))


def sort_series(
    codes: Array, order: Array, tie: Array, device: Frames, *, replaced_by: Array | None = None
) -> SortedSeries:
    """Sort rows into series.

    Args:
        codes: int64 (n,): the series of each row; rows with a negative code are left out.
        order: int64 or float64 (n,), not missing where the code is not negative.
        tie: int64 (n,): sorts rows of equal order.
        replaced_by: bool (n,), or None: among rows of one series and order, False rows are left
            out if one is True; False rows have the smaller ties.
    """
    xp = device.xp
    at = argsort_keys([codes, order, tie], device)
    at = at[codes[at] >= 0]
    if replaced_by is not None:
        # An old row goes if the run of equal code and order that it is in ends with a new row.
        changed = (codes[at][1:] != codes[at][:-1]) | (order[at][1:] != order[at][:-1])
        first = xp.zeros(min(len(at), 1), dtype="int64")
        run = xp.concatenate([first, xp.cumsum(changed.astype("int64"))])
        last = xp.searchsorted(run, run, side="right") - 1
        new = replaced_by[at]
        at = at[new | ~new[last]]
    sorted_codes = codes[at]
    start = xp.searchsorted(sorted_codes, sorted_codes, side="left")
    end = xp.searchsorted(sorted_codes, sorted_codes, side="right")
    return SortedSeries(device, at, start, end)


def compute_rolling(
    rows: SortedSeries, values: Array, *, window: int, gap: int, stats: Sequence[RollingStat]
) -> dict[str, Array]:
    """Compute statistics of the ``window`` rows that end ``gap`` rows before each row.

    NaN is skipped. ``std`` divides by n - 1. In a window without values the count is 0 and the
    other statistics are NaN.
    """
    xp = rows.device.xp
    offsets = range(gap + window, gap, -1)
    count, total = xp.zeros(len(values)), xp.zeros(len(values))
    least, most = xp.full(len(values), xp.nan), xp.full(len(values), xp.nan)
    for by in offsets:
        past = rows.shift(values, by)
        count = count + ~xp.isnan(past)
        total = total + xp.where(xp.isnan(past), 0.0, past)
        least, most = xp.fmin(least, past), xp.fmax(most, past)
    some = xp.where(count > 0, count, xp.nan)
    results = {
        "count": count,
        "sum": xp.where(count > 0, total, xp.nan),
        "mean": total / some,
        "min": least,
        "max": most,
    }
    if "std" in stats:
        # A second pass: squares less the squared mean would cancel.
        squares = xp.zeros(len(values))
        for by in offsets:
            with np.errstate(invalid="ignore"):  # infinite values: their spread is NaN
                gap_to_mean = rows.shift(values, by) - results["mean"]
            squares = squares + xp.where(xp.isnan(gap_to_mean), 0.0, gap_to_mean * gap_to_mean)
        results["std"] = xp.sqrt(squares / xp.where(count > 1, count - 1, xp.nan))
    return {stat: results[stat] for stat in stats}
