"""The curves behind the metrics: curves.json with confusion, ranking, calibration and residuals.

Everything counts rows, whatever they weigh; metrics.json has the weighted numbers. A value that is
undefined on the rows at hand is None, as in `pipeline.evaluate.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate import slices
from pipeline.evaluate.metrics import SCORED_SETS, Floats, ScoredRows, Values, predict_labels
from pipeline.evaluate.ranking import rank, roc_auc, thin_curve
from pipeline.matrix import SetName, Target
from pipeline.train.fitted_model import FittedModel

BINS = 10
"""Most bins of a calibration curve."""
MAX_CLASSES = 20
"""Classes of a confusion matrix; the others share a row and a column."""
CURVES_SHOWN = 5
"""Classes with a ranking curve, those with most rows."""
HISTOGRAM_BINS = 40

Json = dict[str, Any]


def collect(
    target: Target,
    sets: Mapping[SetName, ScoredRows],
    trained: Mapping[str, FittedModel],
    metrics: Mapping[str, Any],
) -> Json:
    """Compute the contents of curves.json.

    Args:
        target: the task and the classes.
        sets: as for `pipeline.evaluate.metrics.collect`.
        trained: the fitted models by name, for their importances and history.
        metrics: metrics.json, for the thresholds.

    Returns:
        ``{"task", "classes", "models": {name: {"importances", "history", "valid", "test"}}}``.
    """
    models: dict[str, Json] = {}
    for model in sets["test"].score:
        curves: Json = {
            "importances": rank_importances(trained[model].importances),
            "history": dict(trained[model].history),
        }
        for name in SCORED_SETS:
            if (scored := sets.get(name)) is not None and len(scored.label):
                threshold = metrics["models"][model][name].get("threshold")
                curves[name] = measure(target, scored.label, scored.score[model], threshold)
                curves[name]["slices"] = {
                    column: slices.measure(
                        target,
                        values,
                        scored.label,
                        scored.score[model],
                        weight=scored.weight,
                        threshold=threshold,
                    )
                    for column, values in scored.slices.items()
                }
        models[model] = curves
    return {"task": target.task, "classes": [str(c) for c in target.classes], "models": models}


def measure(target: Target, label: Values, score: Values, threshold: float | None = None) -> Json:
    """Compute the curves of one model on one set of at least one row.

    Args:
        target: the task and the classes.
        label: (n,), 0/1, 0…k-1 or the value.
        score: (n,) or (n, 2) for binary, (n, k) for multiclass, (n,) for regression.
        threshold: binary: a second confusion matrix at this threshold.
    """
    label = np.asarray(label, np.float64)
    if not np.isfinite(score).all():
        return {}
    if target.task == "multiclass":  # scores of many classes are not copied as a whole
        return _measure_multiclass(target, label.astype(np.int64), np.asarray(score))
    score = np.asarray(score, np.float64)
    # Of two columns, the last is the positive class, and the first is its complement.
    score = score[:, -1] if score.ndim == 2 else score
    if target.task == "regression":
        return {"residuals": bin_residuals(label - score), "agreement": bin_by_score(score, label)}
    return {
        "confusion": [
            {"threshold": t, "matrix": count_confusion(label.astype(np.int64), score >= t, 2)}
            for t in (0.5, threshold)
            if t is not None
        ],
        "points": thin_curve(rank(label, score)),
        "calibration": bin_by_score(score, label),
    }


def count_confusion(label: Values, called: Values, k: int) -> list[list[int]]:
    """Count rows (k, k): a row for each true class, a column for each predicted one."""
    # A code for each pair of classes: one pass over the rows, and a cell for pairs that lack rows.
    counts = np.bincount(label * k + called.astype(np.int64), minlength=k * k)
    matrix: list[list[int]] = counts.reshape(k, k).tolist()
    return matrix


def bin_by_score(score: Floats, actual: Floats) -> list[Json]:
    """Compare scores and actual values in bins of about equal size, by ascending score.

    Equal scores share a bin, so there may be fewer than `BINS`.

    Returns:
        For each bin ``rows``, the means ``predicted`` and ``actual``, and the 10th and 90th
        percentiles ``low`` and ``high`` of the actual values.
    """
    edges = np.unique(np.quantile(score, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
    place = np.searchsorted(edges, score, side="left")
    bins = []
    for b in np.unique(place):
        inside = place == b
        low, high = np.quantile(actual[inside], (0.1, 0.9))
        bins.append(
            {
                "rows": int(inside.sum()),
                "predicted": float(score[inside].mean()),
                "actual": float(actual[inside].mean()),
                "low": float(low),
                "high": float(high),
            }
        )
    return bins


def bin_residuals(error: Floats) -> Json:
    """Compute a histogram of actual minus predicted, from its 0.5th to its 99.5th percentile.

    Returns:
        ``edges`` (bins + 1), ``counts`` (bins), and the rows ``below`` and ``above`` them.
    """
    # A few extremes would stretch the bins over an empty range: they are only counted.
    low, high = np.quantile(error, (0.005, 0.995), method="nearest")
    counts, edges = np.histogram(error, bins=HISTOGRAM_BINS, range=(low, high))
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "below": int((error < edges[0]).sum()),
        "above": int((error > edges[-1]).sum()),
    }


def rank_importances(by_feature: Mapping[str, float]) -> list[Json]:
    """Sort a model's importances to ``[{"feature", "value"}]``, most important first."""
    # Ties are ordered by name, so that the list does not depend on the order of the features.
    ordered = sorted(by_feature.items(), key=lambda item: (-item[1], item[0]))
    return [{"feature": name, "value": float(value)} for name, value in ordered]


def _measure_multiclass(target: Target, label: NDArray[np.int64], score: Values) -> Json:
    called = predict_labels("multiclass", score)
    rows = np.bincount(label, minlength=score.shape[1])
    by_rows = np.argsort(-rows, kind="stable")
    names = [str(c) for c in target.classes]
    # A matrix of all classes could not be read: those with few rows share a last row and column.
    shown = np.sort(by_rows[:MAX_CLASSES])
    rest = len(names) - len(shown)
    place = np.full(len(names), len(shown))
    place[shown] = np.arange(len(shown))
    confusion = {
        "classes": [names[k] for k in shown],
        "rest": rest,
        "matrix": count_confusion(place[label], place[called], len(shown) + (rest > 0)),
    }
    by_class = []
    for k in shown:
        true, predicted = label == k, called == k
        count, claimed, hit = int(true.sum()), int(predicted.sum()), int((true & predicted).sum())
        by_class.append(
            {
                "class": names[k],
                "rows": count,
                # A class that is never predicted has no precision: null is not the same as 0.
                "precision": hit / claimed if claimed else None,
                "recall": hit / count if count else None,
                "f1": 2 * hit / (count + claimed) if count + claimed else None,
                "roc_auc": roc_auc(rank(true.astype(np.float64), score[:, k].astype(np.float64))),
            }
        )
    return {
        "confusion": [confusion],
        "classes": by_class,
        "points": {
            names[k]: thin_curve(
                rank((label == k).astype(np.float64), score[:, k].astype(np.float64))
            )
            for k in by_rows[:CURVES_SHOWN]
        },
        "calibration": bin_by_score(
            score.max(axis=1).astype(np.float64), (called == label).astype(np.float64)
        ),
    }
