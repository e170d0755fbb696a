"""Statistics of numbers per group, computed per partition and merged over partitions.

Means and squared deviations (M2) are merged as in Chan, Golub and LeVeque, "Updating formulae and a
pairwise algorithm for computing sample variances" (1979), because sums of squares would cancel.

A row counts by its weight: a weight of 2 is the same as two such rows, and a row of weight 0 is in
no group.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from pipeline.device import Array, Frames

Stat = Literal["mean", "std", "min", "max", "sum", "count"]

_PARTS = ("n", "sum", "m2", "min", "max")


def argsort_keys(keys: Sequence[Array], device: Frames) -> Array:
    """Return the positions that sort the rows by the keys, the first key first; it is stable."""
    # `lexsort` would turn integer and float keys into one array, and lose digits.
    order = device.xp.arange(len(keys[0]))
    for key in reversed(keys):
        order = order[device.xp.argsort(key[order], kind="stable")]
    return order


def compute_group_moments(
    codes: Array, values: Array, length: int, device: Frames, weight: Array | None = None
) -> dict[str, np.ndarray]:
    """Compute n, sum, m2, min and max of the values of each code, as host arrays of ``length``.

    Args:
        codes: int64 (n,) in [0, length), or negative for rows without a group.
        values: float64 (n,); NaN is skipped. A group without values has 0 for n, sum and
            m2, and NaN for min and max.
        length: number of groups.
        device: where the arrays are.
        weight: float64 (n,), or None: 1 each. ``n`` is int64 without weights, else float64.
    """
    xp = device.xp
    skipped = xp.isnan(values) if weight is None else xp.isnan(values) | (weight <= 0)
    codes = xp.where(skipped, -1, codes)
    count = device.bincount(codes, length).astype("int64")
    n = count if weight is None else device.bincount(codes, length, weight).astype("float64")
    with np.errstate(invalid="ignore", over="ignore"):
        weighted = values if weight is None else values * weight
        total = device.bincount(codes, length, weighted).astype("float64")
        mean = _mean({"n": n, "sum": total})
        gap = values - device.to_device(np.append(mean, np.nan))[codes]
        squares = gap * gap if weight is None else gap * gap * weight
        m2 = device.bincount(codes, length, squares).astype("float64")
    # Sorted by group and value, the first row of a group holds its minimum, the last its maximum.
    order = argsort_keys([codes, values], device)
    ends = device.to_device(int((codes < 0).sum()) + np.cumsum(count))
    least, most = np.full(length, np.nan), np.full(length, np.nan)
    some = count > 0
    if some.any():
        ends = ends[device.to_device(some)]
        starts = ends - device.to_device(count[some])
        least[some] = device.to_host(values[order[starts]])
        most[some] = device.to_host(values[order[ends - 1]])
    return {"n": n, "sum": total, "m2": m2, "min": least, "max": most}


def merge_group_moments(
    a: pd.DataFrame, b: pd.DataFrame, keys: list[str], columns: int
) -> pd.DataFrame:
    """Merge the statistics of two partitions, sorted by key.

    Args:
        a: host frame with the columns ``keys`` and, for each column i, ``n_<i>``, ``sum_<i>``,
            ``m2_<i>``, ``min_<i>`` and ``max_<i>``; unique by its keys.
    """
    both = pd.concat([a, b], ignore_index=True)
    group = both.groupby(keys, sort=True).ngroup().to_numpy()
    distinct, first = np.unique(group, return_index=True)
    merged = {key: both[key].take(first).reset_index(drop=True) for key in keys}
    for i in range(columns):
        parts = {p: both[f"{p}_{i}"].to_numpy() for p in _PARTS}
        n = np.bincount(group, parts["n"], len(distinct)).astype(parts["n"].dtype)
        total = np.bincount(group, parts["sum"], len(distinct))
        with np.errstate(invalid="ignore"):  # infinite values: the spread of their group is NaN
            gap = _mean(parts) - _mean({"n": n, "sum": total})[group]
            gap = np.where(parts["n"] > 0, gap, 0)
        m2 = parts["m2"] + parts["n"] * gap * gap
        results = {
            "n": n,
            "sum": total,
            "m2": np.bincount(group, m2, len(distinct)),
            "min": pd.Series(parts["min"]).groupby(group).min().to_numpy(),
            "max": pd.Series(parts["max"]).groupby(group).max().to_numpy(),
        }
        merged |= {f"{part}_{i}": pd.Series(values) for part, values in results.items()}
    return pd.DataFrame(merged)


def _mean(parts: dict[str, np.ndarray]) -> np.ndarray:
    mean: np.ndarray = parts["sum"] / np.where(parts["n"] > 0, parts["n"], np.nan)
    return mean


def compute_statistic(table: pd.DataFrame, column: int, stat: Stat) -> np.ndarray:
    """Compute one statistic of each group as float64; NaN where it is undefined.

    ``std`` divides by n - 1, so it is undefined for a single value, and for a weight of at most 1.
    """
    parts = {part: table[f"{part}_{column}"].to_numpy("float64") for part in _PARTS}
    n = parts["n"]
    statistics: dict[str, np.ndarray] = {
        "count": n,
        "sum": np.where(n > 0, parts["sum"], np.nan),
        "mean": _mean(parts),
        "std": np.sqrt(parts["m2"] / np.where(n > 1, n - 1, np.nan)),
        "min": parts["min"],
        "max": parts["max"],
    }
    return statistics[stat]
