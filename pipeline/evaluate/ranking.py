"""Rankings: one sort of the scores gives every ranking metric, curve and threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MAX_POINTS = 200


class Ranking(NamedTuple):
    """Weights of the rows that are called positive at each threshold (``score >= threshold``)."""

    threshold: Floats
    """float64 (m,): the distinct scores, descending."""
    tp: Floats
    """(m,): weight of the positive rows at or above the threshold."""
    fp: Floats
    """(m,): weight of the negative rows at or above the threshold."""

    @property
    def positives(self) -> float:
        """Weight of all positive rows."""
        return float(self.tp[-1]) if self.tp.size else 0.0

    @property
    def negatives(self) -> float:
        """Weight of all negative rows."""
        return float(self.fp[-1]) if self.fp.size else 0.0

    @property
    def has_both_classes(self) -> bool:
        """True if both classes occur; otherwise there is nothing to rank."""
        return self.positives > 0 and self.negatives > 0


def rank(label: Floats, score: Floats, weight: Floats | None = None) -> Ranking:
    """Sort the rows by score and count them; exact for up to 2^53 rows without weights.

    Args:
        label: (n,), 1 for the positive class, else 0.
        score: (n,), finite, higher for positive.
        weight: (n,), positive; None: 1 each.
    """
    # At 100 M rows each array is 0.8 GB: none lives longer than it is needed.
    order = np.argsort(-score, kind="stable")
    score = score[order]
    # Rows of equal score share a threshold: only the last of each run counts.
    last = np.append(np.flatnonzero(score[1:] != score[:-1]), len(score) - 1)[: len(score)]
    threshold = score[last]
    del score
    label = label[order]
    if weight is None:
        del order
        tp = np.cumsum(label)[last]
        return Ranking(threshold, tp, last + 1.0 - tp)
    weight = weight[order]
    tp = np.cumsum(weight * label)[last]
    return Ranking(threshold, tp, np.cumsum(weight * (1.0 - label))[last])


def roc_auc(ranking: Ranking) -> float | None:
    """Compute the area under the ROC curve: ties count half. None with one class."""
    if not ranking.has_both_classes:
        return None
    area = np.trapezoid(np.append(0.0, ranking.tp), np.append(0.0, ranking.fp))
    return float(area / ranking.positives / ranking.negatives)


def average_precision(ranking: Ranking) -> float | None:
    """Compute ``sum((recall_i - recall_{i-1}) * precision_i)``; None with one class."""
    if not ranking.has_both_classes:
        return None
    # A sum of steps: straight lines between the points would promise too much precision.
    gained = np.diff(ranking.tp, prepend=0.0) / ranking.positives
    return float(np.sum(gained * ranking.tp / (ranking.tp + ranking.fp)))


def find_best_f1(ranking: Ranking) -> float | None:
    """Find the threshold of the highest F1, of several the highest; None with one class."""
    if not ranking.has_both_classes:
        return None
    f1 = 2 * ranking.tp / (ranking.tp + ranking.fp + ranking.positives)
    # `argmax` returns the first of several maxima; thresholds descend, so that is the highest.
    return float(ranking.threshold[np.argmax(f1)])


def thin_curve(ranking: Ranking) -> dict[str, list[float | None]] | None:
    """Choose at most `MAX_POINTS` exact points of the ROC and PR curves.

    Returns:
        Lists ``threshold``, ``fpr``, ``tpr`` (= recall) and ``precision``. The first point calls
        nothing positive: its threshold and precision are None. None with one class.
    """
    if not ranking.has_both_classes:
        return None
    tpr, fpr = ranking.tp / ranking.positives, ranking.fp / ranking.negatives
    # at even distances along the ROC curve, whose length in steps is tpr + fpr = 2
    distances = np.linspace(0.0, 2.0, MAX_POINTS - 1)
    chosen = np.unique(np.minimum(np.searchsorted(tpr + fpr, distances), len(tpr) - 1))
    precision = ranking.tp[chosen] / (ranking.tp + ranking.fp)[chosen]
    return {
        "threshold": [None, *ranking.threshold[chosen].tolist()],
        "fpr": [0.0, *fpr[chosen].tolist()],
        "tpr": [0.0, *tpr[chosen].tolist()],
        "precision": [None, *precision.tolist()],
    }
