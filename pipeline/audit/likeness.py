"""Likeness of labels of rows with equal numbers, beyond what the number's size explains.

The size of an identifier is meaningless: labels of rows with one value are unrelated to those of
the next smaller and the next larger value. For a number that measures something, labels of equal
values differ as much as labels of neighbouring values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Likeness:
    """Comparison of training labels by the value of one column."""

    values: int
    """Number of values with several training rows, without the smallest and the largest."""
    ratio: float
    """Variance of labels of equal values, divided by their variance around the mean of the next
    smaller and the next larger value's labels: about 1 without entities, near 0 with them."""
    z: float
    """Difference of the two variances in standard errors; below 0 if equal values are alike."""


def compare_labels(codes: NDArray[np.int64], label: Array) -> Likeness | None:
    """Compare labels within values with those of neighbouring values.

    Let y be a row of a value, p one of the next smaller and q one of the next larger value. Then
    ``E[(y - (p + q) / 2)²] = 1.5 σ²`` if the value's size alone matters and the mean label is a
    straight line over three values.

    Args:
        codes: (n,) each row's position among the sorted values.
        label: (n, k).

    Returns:
        None if fewer than three values occur or no value has several rows.
    """
    present, at = np.unique(codes, return_inverse=True)
    rows = np.bincount(at).astype("float64")
    if len(present) < 3:
        return None
    means = np.stack([np.bincount(at, y) for y in label.T], axis=1) / rows[:, None]
    squares = np.bincount(at, (label**2).sum(axis=1)) / rows
    mean, square, count = means[1:-1], squares[1:-1], rows[1:-1]
    several = count > 1
    if not several.any():
        return None
    within = (square - (mean**2).sum(axis=1)) * count / np.maximum(count - 1, 1)
    cross = squares[:-2] + squares[2:] + 2 * (means[:-2] * means[2:]).sum(axis=1)
    # The mean of (y - (p + q) / 2)² over all triples of rows, by moments.
    near = square - (mean * (means[:-2] + means[2:])).sum(axis=1) + cross / 4
    # A value with n rows has n - 1 degrees of freedom, which is its weight.
    weight = np.where(several, count - 1, 0.0)
    difference = weight * (within - near / 1.5)
    total = float((weight * near / 1.5).sum())
    # The error comes from the values' own differences, so that heavy tails raise it.
    error = float(np.sqrt((difference**2).sum()))
    if total <= 0 or error == 0:
        return None
    ratio = max(float((weight * within).sum()) / total, 0.0)
    return Likeness(int(several.sum()), round(ratio, 4), round(float(difference.sum()) / error, 2))


def rank_labels(label: Array) -> Array:
    """Return float64 (n,): each label's mean rank as a share of n; outliers do not matter."""
    _, at, rows = np.unique(label, return_inverse=True, return_counts=True)
    ranks: Array = ((np.cumsum(rows) - rows / 2) / max(len(label), 1))[at]
    return ranks
