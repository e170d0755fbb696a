"""Quantiles of weighted values, for features and models alike, on either device.

Without weights, a quantile is linear between the sorted values (type 7 of Hyndman and Fan, "Sample
quantiles in statistical packages", 1996; NumPy's ``linear``). Written as an integral, it is the
mean of the inverse of the empirical distribution over a window one row wide, which begins at
``share * (rows - 1)``. With weights the distribution is that of the weights, and rows are counted
by weight (Akinshin, "Weighted quantile estimators", 2023, arXiv:2304.07265).

So an integer weight is the same as that many equal rows, and weights of 1 change nothing. If the
weights' mean is below 1, the window is as wide as that mean. Then the unit of the weights does not
matter, even if they sum to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

from pipeline.device import Array


def compute_weighted_quantiles(
    values: Array, weights: Array, shares: Sequence[float], xp: ModuleType
) -> list[float]:
    """Compute a quantile for each share, linear between neighbouring values.

    Args:
        values: (n,), finite, at least one.
        weights: float64 (n,), above 0.
        shares: in [0, 1].
        xp: NumPy or CuPy, whichever holds the arrays.
    """
    order = xp.argsort(values)
    values, ends = values[order].astype("float64"), xp.cumsum(weights[order])
    total, end = float(ends[-1]), len(values) - 1
    width = min(1.0, total / len(values))
    starts = [share * (total - width) for share in shares]
    firsts = xp.searchsorted(ends, xp.asarray(starts), side="right")
    lasts = xp.searchsorted(ends, xp.asarray(starts) + width, side="left")
    quantiles = []
    for start, *window in zip(starts, firsts.tolist(), lasts.tolist(), strict=True):
        # Rounded sums may put a window behind the last value.
        first, last = (min(position, end) for position in window)
        if first == last:
            quantiles.append(float(values[first]))
            continue
        # The mean over the window is its first value, plus each step to the next value times the
        # share of the window that lies behind the step.
        behind = 1 - (ends[first:last] - start) / width
        steps = values[first + 1 : last + 1] - values[first:last]
        quantiles.append(float(values[first] + (steps * behind).sum()))
    return quantiles
