"""Count, mean, spread and range of a column, merged over partitions; quantiles of the sample.

Means and squared deviations (M2) are merged as in Chan, Golub and LeVeque, "Updating formulae and
a pairwise algorithm for computing sample variances" (1979), because sums of squares would cancel.
Only finite values count: one infinity would make every statistic infinite or undefined.

A row counts by its weight: a weight of 2 is the same as two such rows. Without weights, all arrays
and results are those of whole rows.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pipeline.device import Series
from pipeline.device.weighted_quantiles import compute_weighted_quantiles
from pipeline.features.op import Rows


class Moments(NamedTuple):
    """Moments of n finite values; all 0 if there are none."""

    n: float
    """Number of values (int), or the weight of their rows."""
    mean: float
    m2: float
    """Sum of the squared deviations from the mean, each times its row's weight."""
    low: float
    high: float

    @property
    def std(self) -> float:
        """Standard deviation of the n values (divided by n); 0 for a constant and for no values."""
        return math.sqrt(self.m2 / self.n) if self.low < self.high else 0.0


def compute_moments(series: Series, rows: Rows) -> Moments:
    """Compute the moments of one partition's numeric column."""
    xp = rows.device.xp
    values = rows.device.to_floats(series)
    counts = xp.isfinite(values)
    if rows.weight is not None:
        counts = counts & (rows.weight > 0)
    values = values[counts]
    if len(values) == 0:
        return Moments(0, 0.0, 0.0, 0.0, 0.0)
    low, high = float(values.min()), float(values.max())
    if rows.weight is not None:
        weights = rows.weight[counts]
        n = float(weights.sum())
        # Shares of the weight, not weights: huge ones would overflow, tiny ones underflow.
        share = weights / n
        with np.errstate(over="ignore"):
            mean = low if low == high else float((values * share).sum())
            gap = values - mean
            return Moments(n, mean, n * float((gap * gap * share).sum()), low, high)
    n = len(values)
    # The sum of equal values divided by n may be off by a rounding; a constant has no deviations.
    with np.errstate(over="ignore"):
        mean = low if low == high else float(values.sum()) / n
        if not math.isfinite(mean):  # the sum is too large for a float64, the mean is not
            mean = float((values / n).sum())
        gap = values - mean
        return Moments(n, mean, float((gap * gap).sum()), low, high)


def merge_moments(a: Moments, b: Moments) -> Moments:
    """Merge the moments of two partitions."""
    if a.n == 0 or b.n == 0:
        return a if b.n == 0 else b
    # An infinite gap (means of opposite sign near the limit of float64) needs another formula.
    n, gap = a.n + b.n, b.mean - a.mean
    return Moments(
        n,
        a.mean + gap * (b.n / n) if math.isfinite(gap) else a.mean * (a.n / n) + b.mean * (b.n / n),
        a.m2 + b.m2 + gap * gap * (a.n * b.n / n),
        min(a.low, b.low),
        max(a.high, b.high),
    )


Sample = list[np.ndarray]
"""Host float64 arrays of sampled values, one per partition; merge by ``+``, in any order.

An array is (n,), or with weights (2, n): the values and their weights.
"""


def sample_values(series: Series, rows: Rows) -> Sample:
    """Return the finite values in the rows of the sample, for `compute_quantiles`."""
    device = rows.device
    values = device.to_floats(series)
    chosen = rows.sample_mask() & device.xp.isfinite(values)
    if rows.weight is None:
        return [device.to_host_unordered(values[chosen])]
    chosen = chosen & (rows.weight > 0)
    return [device.to_host(device.xp.stack([values[chosen], rows.weight[chosen]]))]


def compute_quantiles(sample: Sample, shares: list[float]) -> list[float]:
    """Compute quantiles of the sample, linear between its sorted values; 0.0 if it is empty.

    They are exact if the sample holds all rows, and the same on every partitioning.
    `pipeline.device.weighted_quantiles` has the formula.
    """
    values = np.concatenate(sample, axis=-1)
    if values.size == 0:
        return [0.0] * len(shares)
    if values.ndim == 2:
        return compute_weighted_quantiles(values[0], values[1], shares, np)
    return [float(v) for v in np.quantile(np.sort(values), shares, method="linear")]
