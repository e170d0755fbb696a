"""Count, mean, spread and range of a column, merged over partitions; quantiles of the sample.

Means and squared deviations (M2) are merged as in Chan, Golub and LeVeque, "Updating formulae and
a pairwise algorithm for computing sample variances" (1979), because sums of squares would cancel.
Only finite values count: one infinity would make every statistic infinite or undefined. Row weights
do not affect the statistics of features.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pipeline.device import Series
from pipeline.features.op import Rows


class Moments(NamedTuple):
    """Moments of n finite values; all 0 if there are none."""

    n: int
    mean: float
    m2: float
    """Sum of the squared deviations from the mean."""
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
    values = values[xp.isfinite(values)]
    n = len(values)
    if n == 0:
        return Moments(0, 0.0, 0.0, 0.0, 0.0)
    low, high = float(values.min()), float(values.max())
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
"""Host float64 arrays of sampled values, one per partition; merge by ``+``, in any order."""


def sample_values(series: Series, rows: Rows) -> Sample:
    """Return the finite values in the rows of the sample, for `compute_quantiles`."""
    device = rows.device
    values = device.to_floats(series)
    return [device.to_host_unordered(values[rows.sample_mask() & device.xp.isfinite(values)])]


def compute_quantiles(sample: Sample, shares: list[float]) -> list[float]:
    """Compute quantiles of the sample, linear between its sorted values; 0.0 if it is empty.

    They are exact if the sample holds all rows, and the same on every partitioning.
    """
    values = np.concatenate(sample)
    if len(values) == 0:
        return [0.0] * len(shares)
    return [float(v) for v in np.quantile(np.sort(values), shares, method="linear")]
