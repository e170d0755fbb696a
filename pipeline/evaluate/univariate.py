"""Score of one column alone: how well it predicts the target of rows that it was not fitted on.

- A number predicts the mean label of quantile bins of the training rows. With a numeric target,
  lines from bin to bin and one straight line are tried too, and the best of the three counts.
- A category predicts the mean label of each code.

Means are shrunk towards the overall mean as if `SMOOTH` more rows had it. Up to `MAX_BINS`
quantiles put a cut within 1/256 of the rows of any value; a shallow tree would need tuning.

Binary targets are scored by AUC and numbers by R². More classes are scored by Brier skill: the
relative reduction of the class frequencies' Brier score, which is R² of the class indicators.

The limits come from 20 tables without a leak (docs/audit.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.evaluate.ranking import rank, roc_auc
from pipeline.matrix import Target, Task

Array = np.ndarray
Strength = Literal["", "notable", "strong", "decisive"]
MAX_BINS = 256
ROWS_PER_BIN = 20
SMOOTH = 5.0
NEIGHBOURS = 8
MAX_CLASSES = 20
MIN_ROWS = 20
"""Minimum number of test rows to score a column."""
ENOUGH, OF_A_CLASS = 100, 20
"""Minimum number of test rows, and of rows of each of two classes, for a score to be conclusive.

The AUC of an honest column with 4 positive rows was above 0.99 in 2 of 20 tables.
"""
LIMITS: Mapping[Task, tuple[float, float, float]] = {
    "binary": (0.85, 0.95, 0.99),
    "multiclass": (0.6, 0.9, 0.97),
    "regression": (0.6, 0.9, 0.99),
}
"""Scores from which on a column is notable (confirms a suspicious name), strong, and decisive."""
METRIC: Mapping[Task, str] = {"binary": "AUC", "multiclass": "Brier skill", "regression": "R²"}


@dataclass(frozen=True)
class Score:
    """Score of a column alone on the test rows."""

    value: float
    """In the task's `METRIC`."""
    strength: Strength


@dataclass(frozen=True)
class Labels:
    """Labels of the training and the test rows."""

    train: Array
    """float64 (n,): 0/1, 0…k-1, or the value."""
    test: Array
    """float64 (m,), as ``train``."""
    task: Task
    n_classes: int = 0

    @property
    def is_sufficient(self) -> bool:
        """True if a score is meaningful: there are some test rows, and their labels differ."""
        return len(self.test) >= MIN_ROWS and bool((self.test != self.test[0]).any())

    @property
    def is_conclusive(self) -> bool:
        """True if a score of the test rows is sufficient evidence to fail."""
        if len(self.test) < ENOUGH:
            return False
        positive = int(self.test.sum())
        is_rare = min(positive, len(self.test) - positive) < OF_A_CLASS
        return not (self.task == "binary" and is_rare)


def group_labels(train: Array, test: Array, target: Target) -> Labels:
    """Return the labels, with all but the `MAX_CLASSES` - 1 most frequent classes merged."""
    k = len(target.classes)
    if target.task != "multiclass" or k <= MAX_CLASSES:
        return Labels(train, test, target.task, k)
    place = np.full(k, MAX_CLASSES - 1.0)
    rows = np.bincount(train.astype("int64"), minlength=k)
    place[np.argsort(-rows, kind="stable")[: MAX_CLASSES - 1]] = np.arange(MAX_CLASSES - 1.0)
    merged_train, merged_test = (place[label.astype("int64")] for label in (train, test))
    return Labels(merged_train, merged_test, target.task, MAX_CLASSES)


def score_column(train: Array, test: Array, labels: Labels, *, category: bool) -> Score | None:
    """Score one column; None if there are too few rows, or all test labels are equal.

    Args:
        train: (n,) numbers, missing as NaN, or int codes, missing as -1.
        test: (m,), as ``train``.
        labels: the labels of both.
        category: whether the values are codes.
    """
    if not labels.is_sufficient or not len(train):
        return None
    value = _score_prediction(predict_mean(train, test, labels, category=category), labels)
    if not category and labels.task == "regression":
        target, edges = encode_indicators(labels.train, labels), _find_edges(train)
        # Bins lose what lies between their edges, which would hide a copy of a numeric target.
        lines = (_fit_line(train, test, target), _fit_polyline(train, test, target, edges))
        value = max(value, *(_score_prediction(line, labels) for line in lines))
    return Score(round(value, 4), rate_strength(value, labels.task))


def predict_mean(train: Array, test: Array, labels: Labels, *, category: bool) -> Array:
    """Predict float64 (m, k): the mean label of the training rows of each test row's bin or code.

    Args:
        train: (n,) numbers, missing as NaN, or int codes, missing as -1.
        test: (m,), as ``train``.
        labels: the labels of both.
        category: whether the values are codes.
    """
    target = encode_indicators(labels.train, labels)
    if category:
        size = int(max(train.max(), test.max(initial=-1))) + 1
        return _smooth_means(train, test, size, target)
    edges = _find_edges(train)
    return _smooth_means(_to_bins(train, edges), _to_bins(test, edges), len(edges) + 1, target)


def score_known_codes(train: Array, test: Array, labels: Labels) -> tuple[Score | None, int]:
    """Score the mean label by code on the test rows whose code has training rows.

    Returns:
        The score, None if it would not be meaningful, and the number of such test rows.
    """
    size = int(max(train.max(initial=-1), test.max(initial=-1))) + 1
    rows = np.bincount(train[train >= 0], minlength=size)
    is_shared = (test >= 0) & (rows[test] > 0)
    shared = Labels(labels.train, labels.test[is_shared], labels.task, labels.n_classes)
    count = int(is_shared.sum())
    if not shared.is_sufficient:
        return None, count
    target = encode_indicators(labels.train, labels)[train >= 0]
    sums = np.stack([np.bincount(train[train >= 0], t, minlength=size) for t in target.T], axis=1)
    # Not smoothed: an entity of two rows with one label would score less than it reveals.
    means = sums / np.maximum(rows, 1)[:, None]
    value = _score_prediction(means[test[is_shared]], shared)
    return Score(round(value, 4), rate_strength(value, labels.task)), count


def score_neighbours(train: Array, test: Array, labels: Labels) -> float | None:
    """Score the mean label of the `NEIGHBOURS` training rows that are nearest in time.

    Args:
        train: float64 (n,) times, missing as NaN.
        test: float64 (m,), as ``train``; rows without a time get the overall mean.
        labels: the labels of both.

    Returns:
        The score in the task's `METRIC`; None as for `score_column`.
    """
    timed = np.flatnonzero(~np.isnan(train))
    if not labels.is_sufficient or len(timed) < NEIGHBOURS:
        return None
    target = encode_indicators(labels.train, labels)
    order = timed[np.argsort(train[timed], kind="stable")]
    # Differences of cumulative sums give the sums of all windows at once.
    sums = np.concatenate([np.zeros((1, target.shape[1])), np.cumsum(target[order], axis=0)])
    at = np.searchsorted(train[order], test) - NEIGHBOURS // 2
    first = np.clip(at, 0, len(order) - NEIGHBOURS)
    means = (sums[first + NEIGHBOURS] - sums[first]) / NEIGHBOURS
    means = np.where(np.isnan(test)[:, None], target.mean(axis=0), means)
    return round(_score_prediction(means, labels), 4)


def compute_chance_limit(labels: Labels) -> float:
    """Compute the score that a useless column exceeds once in a thousand times.

    For AUC these are three standard errors of the Mann-Whitney statistic above 0.5. The other
    scores of a useless column are below 0.
    """
    if labels.task != "binary":
        return 0.0
    positive = max(float(labels.test.sum()), 1.0)
    negative = max(len(labels.test) - positive, 1.0)
    return 0.5 + 3 * float(np.sqrt((1 / positive + 1 / negative) / 12))


def rate_strength(value: float, task: Task) -> Strength:
    """Rate a score by the task's limits."""
    notable, strong, decisive = LIMITS[task]
    if value >= decisive:
        return "decisive"
    if value >= strong:
        return "strong"
    return "notable" if value >= notable else ""


def encode_indicators(label: Array, labels: Labels) -> Array:
    """Return float64 (n, k): the label, or one indicator per class if there are several."""
    if labels.task != "multiclass":
        return label[:, None]
    indicators: Array = (label[:, None] == np.arange(labels.n_classes)).astype("float64")
    return indicators


def _find_edges(values: Array) -> Array:
    """Return edges between bins of equally many training rows, as far as ties allow."""
    present: Array = values[~np.isnan(values)]
    if not len(present):
        return present
    bins = int(np.clip(len(present) // ROWS_PER_BIN, 4, MAX_BINS))
    at = (len(present) * np.arange(1, bins)) // bins
    # A partition puts the edges in place in linear time; a sort is not needed.
    return np.unique(np.partition(present, np.unique(at))[at])


def _to_bins(values: Array, edges: Array) -> Array:
    """Return int64 (n,): the bin of each row, -1 if the value is missing."""
    bins: Array = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))
    return bins


def _smooth_means(train: Array, test: Array, size: int, target: Array) -> Array:
    """Return float64 (m, k): the smoothed mean of the training rows with each test row's code."""
    # Code -1 becomes place 0: rows without a value have a mean of their own.
    rows = np.bincount(train + 1, minlength=size + 1).astype("float64")
    prior = target.mean(axis=0)
    sums = np.stack([np.bincount(train + 1, t, minlength=size + 1) for t in target.T], axis=1)
    means = (sums + SMOOTH * prior) / (rows + SMOOTH)[:, None]
    predicted: Array = means[test + 1]
    return predicted


def _fit_line(train: Array, test: Array, target: Array) -> Array:
    """Predict float64 (m, 1) by a straight line, or the mean if the value is missing."""
    is_finite = np.isfinite(train)
    y, mean = target[is_finite, 0], target.mean()
    # Without the scale, the square of a large value would be infinite.
    scale = float(np.abs(train[is_finite]).max(initial=0.0)) or 1.0
    x, at = train[is_finite] / scale, test / scale
    if len(x) < MIN_ROWS or (spread := float(((x - x.mean()) ** 2).mean())) == 0:
        return np.full((len(test), 1), mean)
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / spread
    line = y.mean() + slope * (at - x.mean())
    predicted: Array = np.where(np.isfinite(test), line, mean)[:, None]
    return predicted


def _fit_polyline(train: Array, test: Array, target: Array, edges: Array) -> Array:
    """Predict float64 (m, 1) by lines from bin to bin, through mean values and mean labels."""
    is_finite, mean = np.isfinite(train), target.mean()
    bins = _to_bins(train[is_finite], edges)
    rows = np.bincount(bins, minlength=1)
    used = rows > 0
    x, y = (
        np.bincount(bins, weights=v, minlength=1)[used] / rows[used]
        for v in (train[is_finite], target[is_finite, 0])
    )
    if not len(x) or not np.isfinite(x).all():
        return np.full((len(test), 1), mean)
    predicted: Array = np.where(np.isnan(test), mean, np.interp(test, x, y))[:, None]
    return predicted


def _score_prediction(predicted: Array, labels: Labels) -> float:
    if labels.task == "binary":
        return roc_auc(rank(labels.test, predicted[:, 0])) or 0.5
    truth = encode_indicators(labels.test, labels)
    residual = float(((truth - predicted) ** 2).sum())
    total = float(((truth - truth.mean(axis=0)) ** 2).sum())
    return 1.0 - residual / total
