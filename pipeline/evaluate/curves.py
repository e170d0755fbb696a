"""What a number hides: curves.json, with the confusion, ranking, calibration and residuals.

Everything counts rows, whatever they weigh; metrics.json has the weighted figures. What is
undefined on the rows at hand is None, as in `pipeline.evaluate.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate import slices
from pipeline.evaluate.metrics import SCORED_SETS, Floats, ScoredRows, predict_labels
from pipeline.evaluate.ranking import rank, roc_auc, thin_curve
from pipeline.matrix import SetName, Target
from pipeline.train.fitted_model import FittedModel

BINS = 10
MAX_CLASSES = 20
CURVES_SHOWN = 5
HISTOGRAM_BINS = 40

Json = dict[str, Any]


def collect(
    target: Target,
    sets: Mapping[SetName, ScoredRows],
    trained: Mapping[str, FittedModel],
    metrics: Mapping[str, Any],
) -> Json:
    """What curves.json holds.

    Args:
        target: what is predicted.
        sets: as for `pipeline.evaluate.metrics.collect`.
        trained: the fitted models by name, for their importances and history.
        metrics: metrics.json, for the thresholds.

    Returns:
        ``{"task", "classes", "models": {name: {"importances", "history", "valid", "test"}}}``.
    """
    models: dict[str, Json] = {}
    for model in sets["test"].score:
        found: Json = {
            "importances": rank_importances(trained[model].importances),
            "history": dict(trained[model].history),
        }
        for name in SCORED_SETS:
            if (scored := sets.get(name)) is not None and len(scored.label):
                threshold = metrics["models"][model][name].get("threshold")
                found[name] = measure(target, scored.label, scored.score[model], threshold)
                found[name]["slices"] = {
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
        models[model] = found
    return {"task": target.task, "classes": [str(c) for c in target.classes], "models": models}


def measure(
    target: Target, label: NDArray[Any], score: NDArray[Any], threshold: float | None = None
) -> Json:
    """The curves of one model on one set of at least one row.

    Args:
        target: what is predicted.
        label: (n,), 0/1, 0…k-1 or the value.
        score: (n,) or (n, 2) for binary, (n, k) for multiclass, (n,) for regression.
        threshold: binary: a second confusion matrix at this threshold.
    """
    label, score = np.asarray(label, np.float64), np.asarray(score, np.float64)
    if not np.isfinite(score).all():
        return {}
    if target.task == "multiclass":
        return _multiclass(target, label.astype(np.int64), score)
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


def count_confusion(label: NDArray[Any], called: NDArray[Any], k: int) -> list[list[int]]:
    """Counts (k, k): a row for each true class, a column for each predicted one."""
    cells = np.bincount(label * k + called.astype(np.int64), minlength=k * k)
    found: list[list[int]] = cells.reshape(k, k).tolist()
    return found


def bin_by_score(score: Floats, actual: Floats) -> list[Json]:
    """Rows by ascending score in bins of about equal size: what was predicted, and what happened.

    Equal scores share a bin, so there may be fewer than `BINS`.

    Returns:
        For each bin ``rows``, the means ``predicted`` and ``actual``, and the 10th and 90th
        percentiles ``low`` and ``high`` of what happened.
    """
    edges = np.unique(np.quantile(score, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
    place = np.searchsorted(edges, score, side="left")
    found = []
    for b in np.unique(place):
        inside = place == b
        low, high = np.quantile(actual[inside], (0.1, 0.9))
        found.append(
            {
                "rows": int(inside.sum()),
                "predicted": float(score[inside].mean()),
                "actual": float(actual[inside].mean()),
                "low": float(low),
                "high": float(high),
            }
        )
    return found


def bin_residuals(error: Floats) -> Json:
    """Histogram of actual less predicted, between its 0.5th and 99.5th percentiles.

    Returns:
        ``edges`` (bins + 1), ``counts`` (bins), and the rows ``below`` and ``above`` them.
    """
    low, high = np.quantile(error, (0.005, 0.995), method="nearest")
    counts, edges = np.histogram(error, bins=HISTOGRAM_BINS, range=(low, high))
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "below": int((error < edges[0]).sum()),
        "above": int((error > edges[-1]).sum()),
    }


def rank_importances(found: Mapping[str, float]) -> list[Json]:
    """``[{"feature", "value"}]``, most important first, from a model's importances."""
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return [{"feature": name, "value": float(value)} for name, value in ordered]


def _multiclass(target: Target, label: NDArray[np.int64], score: Floats) -> Json:
    called = predict_labels("multiclass", score)
    rows = np.bincount(label, minlength=score.shape[1])
    by_rows = np.argsort(-rows, kind="stable")
    names = [str(c) for c in target.classes]
    shown = np.sort(by_rows[:MAX_CLASSES])
    return {
        "confusion": [_pooled(label, called, shown, names)],
        "classes": [_of_class(int(k), names[k], label, called, score) for k in shown],
        "points": {
            names[k]: thin_curve(rank((label == k).astype(np.float64), score[:, k]))
            for k in by_rows[:CURVES_SHOWN]
        },
        "calibration": bin_by_score(score.max(axis=1), (called == label).astype(np.float64)),
    }


def _pooled(
    label: NDArray[np.int64],
    called: NDArray[np.int64],
    shown: NDArray[np.int64],
    names: Sequence[str],
) -> Json:
    """A confusion matrix of the classes shown; the others share a last row and column."""
    place = np.full(len(names), len(shown))
    place[shown] = np.arange(len(shown))
    rest = len(names) - len(shown)
    k = len(shown) + (rest > 0)
    return {
        "classes": [names[k] for k in shown],
        "rest": rest,
        "matrix": count_confusion(place[label], place[called], k),
    }


def _of_class(
    k: int, name: str, label: NDArray[np.int64], called: NDArray[np.int64], score: Floats
) -> Json:
    true, said = label == k, called == k
    rows, claimed, hit = int(true.sum()), int(said.sum()), int((true & said).sum())
    return {
        "class": name,
        "rows": rows,
        "precision": hit / claimed if claimed else None,
        "recall": hit / rows if rows else None,
        "f1": 2 * hit / (rows + claimed) if rows + claimed else None,
        "roc_auc": roc_auc(rank(true.astype(np.float64), score[:, k])),
    }
