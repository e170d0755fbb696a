"""Mathematics of target encoding: counts and sums per key, fold and class, and encoded values.

Let n and s be the count and the sum of the target of a key, and m the mean of the target over all
keys. The encoding is (s + smooth * m) / (n + smooth): additive smoothing towards the prior, as in
Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes" (2001). With row
weights, n is the sum of the weights, and s and m are weighted.

A training row of fold f gets n, s and m summed over the *other* folds. Nothing from its own fold,
so not its own label either, affects its value, not even as a rounding error.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.device import Array, Frames
from pipeline.features.stats.key_tables import to_key_column

KEY, IS_MISSING = "key", "missing"


def count_names(folds: int) -> list[str]:
    """Return ``n_<fold>``: rows of a key per fold (int64), or their weight (float64)."""
    return [f"n_{f}" for f in range(folds)]


def sum_names(folds: int, classes: int) -> list[str]:
    """Return ``s_<fold>_<class>``: target sums; int64 for classes, float64 for a regression.

    With row weights all sums are float64.
    """
    return [f"s_{f}_{c}" for f in range(folds) for c in range(classes)]


def sum_by_key(
    codes: Array,
    values: np.ndarray,
    fold: Array,
    label: Array,
    *,
    folds: int,
    n_classes: int,
    device: Frames,
    weight: Array | None = None,
) -> pd.DataFrame:
    """Count rows and sum targets per key and fold, for one column of one partition.

    Args:
        codes: int64 (n,) into ``values``; -1 for missing, which is a key too.
        values: distinct values on the host.
        fold: int64 (n,) in [0, folds).
        label: float64 (n,).
        n_classes: 0 for a regression, else the label is in 0 … n_classes - 1. For two classes
            there are only sums of class 1.
        weight: float64 (n,), or None: 1 each.

    Returns:
        Host frame of ``key``, ``missing``, counts and sums, a row per key that a row has.
    """
    keys = len(values) + 1  # the last one is the missing key
    cell = device.xp.where(codes < 0, keys - 1, codes) * folds + fold
    dtype = "int64" if weight is None else "float64"
    counts = device.bincount(cell, keys * folds, weight).astype(dtype).reshape(keys, folds)
    if n_classes == 0:
        summed = label if weight is None else label * weight
        sums = device.bincount(cell, keys * folds, summed).astype("float64")
    elif n_classes == 2:
        at = device.xp.where(label == 1, cell, -1)
        sums = device.bincount(at, keys * folds, weight).astype(dtype)
    else:
        at = cell * n_classes + label.astype("int64")
        sums = device.bincount(at, keys * folds * n_classes, weight).astype(dtype)
    sums = sums.reshape(keys, -1)
    seen = counts.sum(axis=1) > 0
    # A blank stands for the missing key: no value is reserved, so `missing` identifies it.
    blank = np.array(["" if values.dtype == object else 0], dtype=values.dtype)
    keyed = pd.DataFrame(
        {
            KEY: to_key_column(np.append(values, blank)),
            IS_MISSING: np.arange(keys) == keys - 1,
        }
    )
    numbers = {n: counts[:, i] for i, n in enumerate(count_names(folds))}
    numbers |= {n: sums[:, i] for i, n in enumerate(sum_names(folds, sums.shape[1] // folds))}
    table: pd.DataFrame = pd.concat([keyed, pd.DataFrame(numbers)], axis=1)[seen]
    return table.reset_index(drop=True)


def merge_sums(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Add the sums of two partitions; the result is sorted by key, the missing key last."""
    sums: pd.DataFrame = pd.concat([a, b]).groupby([IS_MISSING, KEY], sort=True).sum()
    return sums.reset_index()[list(a.columns)]


def smooth_mean(
    sums: np.ndarray, counts: np.ndarray, prior: np.ndarray, smooth: float
) -> np.ndarray:
    """Return (sums + smooth * prior) / (counts + smooth); the prior where that is 0 / 0."""
    weight = counts + smooth
    with np.errstate(invalid="ignore", divide="ignore"):
        means: np.ndarray = np.where(weight > 0, (sums + smooth * prior) / weight, prior)
    return means


class FoldSums:
    """Counts (keys, folds) and sums (keys, folds, classes) of one column's table."""

    def __init__(self, table: pd.DataFrame, folds: int) -> None:
        # Floats are added in the order of memory, and a table that was loaded from a file is in
        # this one: with row weights, both give the same means to the bit.
        self.counts = np.asfortranarray(table[count_names(folds)].to_numpy())
        names = [n for n in table.columns if str(n).startswith("s_")]
        sums = np.asfortranarray(table[names].to_numpy())
        self.sums = sums.reshape(len(table), folds, len(names) // folds)

    def encode(self, folds: Sequence[int], smooth: float) -> np.ndarray:
        """Return float64 (keys + 1, classes): encodings from these folds; last, the prior."""
        counts = self.counts[:, folds].sum(axis=1)[:, None]
        sums = self.sums[:, folds].sum(axis=1)
        rows = counts.sum()  # 0 if all training rows are in the fold that is left out
        prior = sums.sum(axis=0) / rows if rows else np.full(sums.shape[1], np.nan)
        return np.vstack([smooth_mean(sums, counts, prior, smooth), prior])

    def encode_all(self, smooth: float) -> np.ndarray:
        """Return float64 (keys + 1, classes): encodings from all folds."""
        return self.encode(range(self.counts.shape[1]), smooth)

    def encode_out_of_fold(self, smooth: float) -> np.ndarray:
        """Return float64 (keys + 1, folds, classes): encodings from all folds but each."""
        folds = range(self.counts.shape[1])
        tables = [self.encode([g for g in folds if g != f], smooth) for f in folds]
        return np.stack(tables, axis=1)
