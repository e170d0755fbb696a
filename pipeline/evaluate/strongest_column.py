"""The column of the matrix that predicts held-out labels best on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.evaluate import univariate
from pipeline.evaluate.univariate import Score
from pipeline.matrix import Feature, Matrix, Target, take_rows


class StrongestColumn(NamedTuple):
    """A column and its score alone."""

    name: str
    score: Score
    metric: str
    """Name of the score's metric."""
    is_conclusive: bool = True
    """True if there were enough rows of each class for the score to prove something."""


def find_strongest_column(
    features: Sequence[Feature], valid: Matrix, test: Matrix, target: Target
) -> StrongestColumn | None:
    """Find the column that scores best alone; None if there are too few rows, or one label.

    Training rows may be gone by the time of the evaluation, so the score is fitted on the valid
    rows. Without enough of them, it is fitted on every second test row and scored on the others.

    Args:
        features: the columns of the matrices.
        valid: host arrays of (a sample of) the valid rows.
        test: likewise.
        target: the task and the classes.
    """
    if len(valid.ids) < univariate.MIN_ROWS:
        places = np.arange(len(test.ids))
        valid, test = (take_rows(test, places[start::2]) for start in (0, 1))
    fit, held_out = (np.asarray(matrix.label, np.float64) for matrix in (valid, test))
    labels = univariate.group_labels(fit, held_out, target)
    best: StrongestColumn | None = None
    for at, feature in enumerate(features):
        is_code = feature.kind == "c"
        train, scored = (
            (m.x[:, at].astype(np.int64) - 1 if is_code else m.x[:, at].astype(np.float64))
            for m in (valid, test)
        )
        score = univariate.score_column(train, scored, labels, category=is_code)
        if score is not None and (best is None or score.value > best.score.value):
            metric = univariate.METRIC[target.task]
            best = StrongestColumn(feature.name, score, metric, labels.is_conclusive)
    return best
