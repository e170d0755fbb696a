"""Labels of rows with equal numbers: how alike they are beyond what the number's size explains.

A number that names an entity has no size: the labels of rows with one value have nothing to do with
those of the next smaller and the next larger value. A number that measures something has: for it,
the labels of equal values differ as much as those of neighbouring values do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Likeness:
    """Training labels by the value of one column."""

    values: int
    """Values with several training rows, not counting the smallest and the largest."""
    ratio: float
    """Variance of labels of equal values, divided by their variance around the mean of the next
    smaller and the next larger value's labels: about 1 without entities, near 0 with them."""
    z: float
    """Standard errors that the difference of the two variances is away from 0; below 0 where equal
    values are more alike."""


def compare_labels(codes: NDArray[np.int64], label: Array) -> Likeness | None:
    """Compare labels within values with those of neighbouring values.

    Rows y of a value, p of the next smaller and q of the next larger one have
    ``E[(y - (p + q) / 2)²] = 1.5 σ²`` where the value's size alone matters and the mean label is a
    straight line over three values. Values weigh as much as they have rows beyond the first. The
    standard error is taken from the values' own differences, so that heavy tails raise it.

    Args:
        codes: (n,) each row's position among the sorted values.
        label: (n, k).

    Returns:
        None where fewer than three values occur or no value has several rows.
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
    own = (square - (mean**2).sum(axis=1)) * count / np.maximum(count - 1, 1)
    cross = squares[:-2] + squares[2:] + 2 * (means[:-2] * means[2:]).sum(axis=1)
    near = square - (mean * (means[:-2] + means[2:])).sum(axis=1) + cross / 4
    weight = np.where(several, count - 1, 0.0)
    difference = weight * (own - near / 1.5)
    whole = float((weight * near / 1.5).sum())
    error = float(np.sqrt((difference**2).sum()))
    if whole <= 0 or error == 0:
        return None
    ratio = max(float((weight * own).sum()) / whole, 0.0)
    return Likeness(int(several.sum()), round(ratio, 4), round(float(difference.sum()) / error, 2))


def rank_labels(label: Array) -> Array:
    """Return float64 (n,): each label's mean rank as a share of n, which outliers do not move."""
    _, at, rows = np.unique(label, return_inverse=True, return_counts=True)
    found: Array = ((np.cumsum(rows) - rows / 2) / max(len(label), 1))[at]
    return found
