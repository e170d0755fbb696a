"""How well one column alone predicts the target of rows that it was not fitted on.

Of a number: the mean label in bins of the training rows, which hold equally many each; where a
number is predicted, lines from bin to bin or one straight line if these do better. Of a category:
the mean label of each code. Means are drawn to the overall mean as if `SMOOTH` more rows had that.
A shallow tree would cut where it pays; with up to `MAX_BINS` quantiles there is a cut within 1/256
of the rows of any place, and nothing to tune.

Binary targets are measured by AUC, numbers by R², more classes by the share of the Brier score of
the class frequencies that is gone (which is R² of the classes' indicators).

The limits come from 20 tables that hold no leak (docs/audit.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.ranking import rank, roc_auc
from pipeline.matrix import Target, Task

Strength = Literal["", "notable", "strong", "decisive"]
MAX_BINS = 256
ROWS_PER_BIN = 20
SMOOTH = 5.0
NEIGHBOURS = 8
MAX_CLASSES = 20
MIN_ROWS = 20
"""Fewer test rows tell nothing."""
ENOUGH, OF_A_CLASS = 100, 20
"""With fewer test rows, or fewer of one of two classes, a score is not a proof: nothing fails. The
AUC of an honest column with 4 positive rows was above 0.99 in 2 of 20 tables."""
LIMITS: Mapping[Task, tuple[float, float, float]] = {
    "binary": (0.85, 0.95, 0.99),
    "multiclass": (0.6, 0.9, 0.97),
    "regression": (0.6, 0.9, 0.99),
}
"""From where on a column is notable (enough to confirm a suspicious name), strong, alone."""
METRIC: Mapping[Task, str] = {"binary": "AUC", "multiclass": "Brier skill", "regression": "R²"}

Array = NDArray[Any]


@dataclass(frozen=True)
class Score:
    """What a column alone is worth on the test rows."""

    value: float
    """In the task's `METRIC`."""
    strength: Strength


@dataclass(frozen=True)
class Labels:
    """The training and the test rows' labels, and what they are."""

    train: Array
    """float64 (n,): 0/1, 0…k-1 or the value; ``test``: (m,)."""
    test: Array
    task: Task
    n_classes: int = 0

    @property
    def is_sufficient(self) -> bool:
        """Whether a score would tell anything: some test rows, and not all of them alike."""
        return len(self.test) >= MIN_ROWS and bool((self.test != self.test[0]).any())

    @property
    def is_conclusive(self) -> bool:
        """Whether a score of the test rows is proof enough to fail."""
        if len(self.test) < ENOUGH:
            return False
        positive = int(self.test.sum())
        few = min(positive, len(self.test) - positive) < OF_A_CLASS
        return not (self.task == "binary" and few)


def group_labels(train: Array, test: Array, target: Target) -> Labels:
    """Labels; of more than `MAX_CLASSES` the most frequent, the others as one."""
    k = len(target.classes)
    if target.task != "multiclass" or k <= MAX_CLASSES:
        return Labels(train, test, target.task, k)
    place = np.full(k, MAX_CLASSES - 1.0)
    rows = np.bincount(train.astype("int64"), minlength=k)
    place[np.argsort(-rows, kind="stable")[: MAX_CLASSES - 1]] = np.arange(MAX_CLASSES - 1.0)
    own, other = (place[label.astype("int64")] for label in (train, test))
    return Labels(own, other, target.task, MAX_CLASSES)


def score_column(train: Array, test: Array, labels: Labels, *, category: bool) -> Score | None:
    """The worth of one column; None where the rows are too few, or all test labels are equal.

    Args:
        train: (n,) numbers, missing as NaN, or int codes, missing as -1; ``test``: (m,).
        category: they are codes.
    """
    if not labels.is_sufficient or not len(train):
        return None
    value = _worth(predict_mean(train, test, labels, category=category), labels)
    if not category and labels.task == "regression":
        target, edges = encode_indicators(labels.train, labels), _edges(train)
        lines = (_line(train, test, target), _joined(train, test, target, edges))
        value = max(value, *(_worth(line, labels) for line in lines))
    return Score(round(value, 4), rate_strength(value, labels.task))


def predict_mean(train: Array, test: Array, labels: Labels, *, category: bool) -> Array:
    """Predict float64 (m, k): the mean label of the training rows of each test row's bin or code.

    Args:
        train: (n,) numbers, missing as NaN, or int codes, missing as -1; ``test``: (m,).
        category: they are codes.
    """
    target = encode_indicators(labels.train, labels)
    if category:
        return _means(train, test, int(max(train.max(), test.max(initial=-1))) + 1, target)
    edges = _edges(train)
    return _means(_binned(train, edges), _binned(test, edges), len(edges) + 1, target)


def score_known_codes(train: Array, test: Array, labels: Labels) -> tuple[Score | None, int]:
    """Score the mean label by code on the test rows whose code has training rows.

    Returns:
        The score, None where it would tell nothing; and how many such test rows there are.
    """
    size = int(max(train.max(initial=-1), test.max(initial=-1))) + 1
    rows = np.bincount(train[train >= 0], minlength=size)
    known = (test >= 0) & (rows[test] > 0)
    of_known = Labels(labels.train, labels.test[known], labels.task, labels.n_classes)
    count = int(known.sum())
    if not of_known.is_sufficient:
        return None, count
    target = encode_indicators(labels.train, labels)[train >= 0]
    sums = np.stack([np.bincount(train[train >= 0], t, minlength=size) for t in target.T], axis=1)
    value = _worth((sums / np.maximum(rows, 1)[:, None])[test[known]], of_known)
    return Score(round(value, 4), rate_strength(value, labels.task)), count


def score_neighbours(train: Array, test: Array, labels: Labels) -> float | None:
    """The worth of the mean label of the `NEIGHBOURS` training rows that are next in time.

    Args:
        train: float64 (n,) times, missing as NaN; ``test``: (m,). Rows without a time get the mean.

    Returns:
        In the task's `METRIC`; None as for `score_column`.
    """
    known = np.flatnonzero(~np.isnan(train))
    if not labels.is_sufficient or len(known) < NEIGHBOURS:
        return None
    target = encode_indicators(labels.train, labels)
    order = known[np.argsort(train[known], kind="stable")]
    sums = np.concatenate([np.zeros((1, target.shape[1])), np.cumsum(target[order], axis=0)])
    at = np.searchsorted(train[order], test) - NEIGHBOURS // 2
    first = np.clip(at, 0, len(order) - NEIGHBOURS)
    found = (sums[first + NEIGHBOURS] - sums[first]) / NEIGHBOURS
    found = np.where(np.isnan(test)[:, None], target.mean(axis=0), found)
    return round(_worth(found, labels), 4)


def compute_chance_limit(labels: Labels) -> float:
    """What a column without worth stays below, but for one time in a thousand.

    Of AUC 0.5 and three standard errors of the Mann-Whitney statistic; the others are below 0.
    """
    if labels.task != "binary":
        return 0.0
    positive = max(float(labels.test.sum()), 1.0)
    negative = max(len(labels.test) - positive, 1.0)
    return 0.5 + 3 * float(np.sqrt((1 / positive + 1 / negative) / 12))


def rate_strength(value: float, task: Task) -> Strength:
    """How grave a score is by the task's limits."""
    notable, strong, decisive = LIMITS[task]
    if value >= decisive:
        return "decisive"
    if value >= strong:
        return "strong"
    return "notable" if value >= notable else ""


def encode_indicators(label: Array, labels: Labels) -> Array:
    """Return float64 (n, k): the label, or an indicator per class of more than two."""
    if labels.task != "multiclass":
        return label[:, None]
    found: Array = (label[:, None] == np.arange(labels.n_classes)).astype("float64")
    return found


def _edges(values: Array) -> Array:
    """Between bins that hold equally many training rows, as far as equal values allow."""
    known = values[~np.isnan(values)]
    if not len(known):
        return known
    bins = int(np.clip(len(known) // ROWS_PER_BIN, 4, MAX_BINS))
    at = (len(known) * np.arange(1, bins)) // bins
    return np.unique(np.partition(known, np.unique(at))[at])


def _binned(values: Array, edges: Array) -> Array:
    """int64 (n,): the bin of each row, -1 where the value is missing."""
    found: Array = np.where(np.isnan(values), -1, np.searchsorted(edges, values, side="right"))
    return found


def _means(codes: Array, at: Array, size: int, target: Array) -> Array:
    """float64 (m, k): the smoothed mean of the training rows with each test row's code."""
    rows = np.bincount(codes + 1, minlength=size + 1).astype("float64")
    prior = target.mean(axis=0)
    sums = np.stack([np.bincount(codes + 1, t, minlength=size + 1) for t in target.T], axis=1)
    means = (sums + SMOOTH * prior) / (rows + SMOOTH)[:, None]
    found: Array = means[at + 1]
    return found


def _line(train: Array, test: Array, target: Array) -> Array:
    """float64 (m, 1): the straight line through the training rows; their mean where missing."""
    known = np.isfinite(train)
    y, mean = target[known, 0], target.mean()
    scale = float(np.abs(train[known]).max(initial=0.0)) or 1.0  # whose square may be infinite
    x, at = train[known] / scale, test / scale
    if len(x) < MIN_ROWS or (spread := float(((x - x.mean()) ** 2).mean())) == 0:
        return np.full((len(test), 1), mean)
    slope = float(((x - x.mean()) * (y - y.mean())).mean()) / spread
    line = y.mean() + slope * (at - x.mean())
    found: Array = np.where(np.isfinite(test), line, mean)[:, None]
    return found


def _joined(train: Array, test: Array, target: Array, edges: Array) -> Array:
    """float64 (m, 1): lines through the bins' mean values and mean labels; the mean if missing."""
    known, mean = np.isfinite(train), target.mean()
    bins = _binned(train[known], edges)
    rows = np.bincount(bins, minlength=1)
    used = rows > 0
    x, y = (
        np.bincount(bins, weights=v, minlength=1)[used] / rows[used]
        for v in (train[known], target[known, 0])
    )
    if not len(x) or not np.isfinite(x).all():
        return np.full((len(test), 1), mean)
    found: Array = np.where(np.isnan(test), mean, np.interp(test, x, y))[:, None]
    return found


def _worth(found: Array, labels: Labels) -> float:
    if labels.task == "binary":
        return roc_auc(rank(labels.test, found[:, 0])) or 0.5
    truth = encode_indicators(labels.test, labels)
    lost = float(((truth - found) ** 2).sum())
    whole = float(((truth - truth.mean(axis=0)) ** 2).sum())
    return 1.0 - lost / whole
