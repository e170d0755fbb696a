"""Comparison of a model with the baseline on the test rows, beside the noise of the difference.

The primary metric decides where it is a mean over rows: the log loss of classes, and the square of
RMSE for numbers. ROC AUC is a mean over pairs of rows. Its standard error comes from each row's
share of pairs that are in order (DeLong, DeLong and Clarke-Pearson, Biometrics 1988); the baseline
has 0.5. A row counts as often as it weighs, and rows of weight 0 are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.matrix import Target, Task

Floats = NDArray[np.float64]
MAX_ROWS = 1_000_000
"""Most rows that are compared: with so many, only a useless difference is within the noise."""
ERRORS = 2.0
"""Standard errors that a difference must exceed. Noise does so once in 44 times."""
MEASURE: Mapping[Task, str] = {
    "binary": "ROC AUC", "multiclass": "log loss", "regression": "squared error",
}  # fmt: skip


@dataclass(frozen=True)
class Comparison:
    """The lead of a model over the baseline."""

    measure: str
    """The quantity that is compared, one of `MEASURE`."""
    lead: float | None
    """Mean advantage of the model; None: the two cannot be compared."""
    error: float = 0.0
    """Standard error of ``lead``."""
    loss: float | None = None
    """Mean loss of the baseline, for a measure whose scale depends on the target's."""
    reason: str = ""
    """Why the two cannot be compared."""

    @property
    def is_beyond_noise(self) -> bool:
        """True if the model is better by more than `ERRORS` standard errors."""
        return self.lead is not None and self.lead > ERRORS * self.error and self.lead > 0


def compare_with_baseline(
    target: Target,
    prior: Sequence[float] | float,
    label: NDArray[Any],
    score: NDArray[Any],
    weight: NDArray[Any] | None = None,
) -> Comparison:
    """Compare a model with the best guess without any feature, row by row.

    Args:
        target: the task and the classes.
        prior: the training rows' count (or weight) of each class, or their mean label.
        label: (n,), 0/1, 0…k-1 or the value.
        score: (n,) for binary and regression, (n, k) for multiclass.
        weight: (n,) or None.
    """
    measure, loss = MEASURE[target.task], None
    rows = _choose_rows(len(label))
    if target.task == "multiclass":
        # The loss needs the true class's probability alone. The others count by being finite.
        codes = np.asarray(label).astype(np.int64)
        finite, score = np.isfinite(score).all(axis=1), score[np.arange(len(codes)), codes]
        score = np.where(finite, score, np.nan)
    weight = np.ones(len(label[rows])) if weight is None else np.asarray(weight[rows], np.float64)
    counts = weight > 0
    weight = weight[counts]
    label = np.asarray(label[rows], np.float64)[counts]
    score = np.asarray(score[rows], np.float64)[counts]
    if not np.isfinite(score).all():
        return Comparison(measure, None, reason="its scores are not finite")
    if len(label) < 2:
        return Comparison(measure, None, reason="the test set has too few rows")
    if target.task == "binary":
        return _compare_areas(label, score, weight)
    with np.errstate(over="ignore", invalid="ignore"):
        if target.task == "multiclass":
            share = np.asarray(prior, np.float64)
            codes = label.astype(np.int64)
            better = _log(score) - _log((share / (share.sum() or 1.0))[codes])
        else:
            # a difference of squares as a product: large values would lose the difference
            better = (score - float(np.mean(prior))) * (2 * label - score - float(np.mean(prior)))
            loss = float(np.average((label - float(np.mean(prior))) ** 2, weights=weight))
        lead, variance = _average(better, weight)
    if not np.isfinite([lead, variance]).all():
        return Comparison(measure, None, reason="its losses are too large")
    return Comparison(measure, lead, float(np.sqrt(variance)), loss)


def _choose_rows(rows: int) -> Any:
    """Return the rows that are compared: all, or one of each stretch, at random."""
    if rows <= MAX_ROWS:
        return slice(None)
    starts = np.linspace(0, rows, MAX_ROWS, endpoint=False).astype(np.int64)
    # Rows at equal distances could all be of one weekday.
    return starts + np.random.default_rng(0).integers(0, rows // MAX_ROWS, MAX_ROWS)


def _log(share: Floats) -> Floats:
    logs: Floats = np.log(np.clip(share, np.finfo(np.float64).eps, 1.0))
    return logs


def _average(values: Floats, weight: Floats) -> tuple[float, float]:
    """Return the weighted mean of at least two values, and the variance of that mean."""
    mean = float(np.average(values, weights=weight))
    shares = weight / weight.sum()
    rows = len(values)
    return mean, float(((shares * (values - mean)) ** 2).sum()) * rows / (rows - 1)


def _compare_areas(label: Floats, score: Floats, weight: Floats) -> Comparison:
    """Compare the area under the ROC curve with 0.5."""
    measure, positive = MEASURE["binary"], label == 1
    if min(positive.sum(), (~positive).sum()) < 2:
        few = "one class" if positive.all() or not positive.any() else "one row of a class"
        return Comparison(measure, None, reason=f"the test rows have only {few}")
    _, place = np.unique(score, return_inverse=True)
    below = {}
    for side in (True, False):
        sums = np.bincount(place, np.where(positive == side, weight, 0.0))
        # Rows of the same score are half below each other.
        below[side] = (np.cumsum(sums) - sums / 2) / sums.sum()
    area, spread = _average(below[False][place][positive], weight[positive])
    _, other = _average(1 - below[True][place][~positive], weight[~positive])
    return Comparison(measure, area - 0.5, float(np.sqrt(spread + other)))
