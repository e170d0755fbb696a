"""Count, mean, spread and range of a column, merged over partitions; and values of the sample.

Means and squared deviations (M2) are merged as in Chan, Golub and LeVeque, "Updating formulae and
a pairwise algorithm for computing sample variances" (1979): sums of squares would cancel. Only
finite values enter: one infinity would make every statistic infinite or undefined. Row weights do
not enter the statistics of features.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from pipeline.device import Series
from pipeline.features.op import Rows


class Moments(NamedTuple):
    """Of n finite values; all 0 where there are none."""

    n: int
    mean: float
    m2: float
    """Sum of the squared deviations from the mean."""
    low: float
    high: float

    @property
    def std(self) -> float:
        """Standard deviation of the n values (divided by n); 0 of a constant or of no values."""
        return math.sqrt(self.m2 / self.n) if self.low < self.high else 0.0


def compute_moments(series: Series, rows: Rows) -> Moments:
    """The moments of one partition's numeric column."""
    xp = rows.device.xp
    values = rows.device.to_floats(series)
    values = values[xp.isfinite(values)]
    n = len(values)
    if n == 0:
        return Moments(0, 0.0, 0.0, 0.0, 0.0)
    low, high = float(values.min()), float(values.max())
    # A sum of equal values, divided, may miss them by a rounding: a constant has no deviations.
    with np.errstate(over="ignore"):
        mean = low if low == high else float(values.sum()) / n
        if not math.isfinite(mean):  # the sum is too large for a float64, the mean is not
            mean = float((values / n).sum())
        gap = values - mean
        return Moments(n, mean, float((gap * gap).sum()), low, high)


def merge_moments(a: Moments, b: Moments) -> Moments:
    """The moments of both partitions' values."""
    if a.n == 0 or b.n == 0:
        return a if b.n == 0 else b
    n, gap = a.n + b.n, b.mean - a.mean
    return Moments(
        n,
        a.mean + gap * (b.n / n) if math.isfinite(gap) else a.mean * (a.n / n) + b.mean * (b.n / n),
        a.m2 + b.m2 + gap * gap * (a.n * b.n / n),
        min(a.low, b.low),
        max(a.high, b.high),
    )


Sample = list[np.ndarray]
"""Host float64 arrays of sampled values, one a partition; samples merge by ``+``, in any order."""


def sample_values(series: Series, rows: Rows) -> Sample:
    """The finite values in the rows of the sample, for `compute_quantiles`."""
    device = rows.device
    values = device.to_floats(series)
    return [device.to_host_unordered(values[rows.sample_mask() & device.xp.isfinite(values)])]


def compute_quantiles(sample: Sample, shares: list[float]) -> list[float]:
    """Quantiles of the sample, linear between its sorted values; 0.0 each where it is empty.

    Exact where the sample is all rows, and the same on every partitioning.
    """
    values = np.concatenate(sample)
    if len(values) == 0:
        return [0.0] * len(shares)
    found = np.quantile(np.sort(values), shares, method="linear")
    return [float(v) for v in found]
