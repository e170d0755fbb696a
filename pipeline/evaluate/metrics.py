"""The metrics of each task, a baseline beside them, and metrics.json.

Everything is computed on the host in float64. A metric that is undefined on the rows at hand
(one class only, one row, a constant label, no rows) is None: null in JSON, never NaN. A row counts
as often as it weighs; rows of weight 0 are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.ranking import average_precision, find_best_f1, rank, roc_auc
from pipeline.matrix import SetName, Target, Task

Floats = NDArray[np.float64]
Values = NDArray[Any]
"""An array of any dtype."""
Metrics = dict[str, float | None]
SCORED_SETS: tuple[SetName, ...] = ("valid", "test")

NAMES: Mapping[Task, tuple[str, ...]] = {
    "binary": (
        "roc_auc", "average_precision", "log_loss", "accuracy", "precision", "recall", "f1",
        "threshold", "f1_at_threshold",
    ),
    "multiclass": ("log_loss", "accuracy", "f1_macro", "roc_auc_ovr"),
    "regression": ("rmse", "mae", "r2"),
}  # fmt: skip
"""The metrics of each task, in the order of metrics.json."""


class PrimaryMetric(NamedTuple):
    """The metric that decides between models, and which way is better."""

    name: str
    better: Literal["higher", "lower"]


@dataclass(frozen=True)
class ScoredRows:
    """The rows of one set and every model's scores; host arrays of n rows."""

    label: Floats
    """float64 (n,): 0/1, 0…k-1 or the value."""
    score: Mapping[str, Values]
    """Scores by model: (n,) P(positive) or the value, (n, k) probabilities for multiclass."""
    weight: Floats | None = None
    slices: Mapping[str, Values] = field(default_factory=dict)
    """Values by column of ``evaluate.slices``: (n,), of any type, missing as None or NaN."""


def primary_metric(task: Task) -> PrimaryMetric:
    """Return the metric that decides between models, on valid: the test set must not."""
    metrics: Mapping[Task, PrimaryMetric] = {
        "binary": PrimaryMetric("roc_auc", "higher"),
        "multiclass": PrimaryMetric("log_loss", "lower"),
        "regression": PrimaryMetric("rmse", "lower"),
    }
    return metrics[task]


def measure(
    target: Target,
    label: Values,
    score: Values,
    weight: Values | None = None,
    threshold: float | None = None,
) -> Metrics:
    """Compute the task's metrics (`NAMES`) of one model on some rows.

    Args:
        target: the task and the classes.
        label: (n,), 0/1, 0…k-1 or the value; classes may be absent.
        score: (n,) or (n, 2) for binary, (n, k) for multiclass, (n,) for regression.
        weight: (n,), at least 0.
        threshold: binary: `find_best_threshold` of valid, so that test rows cannot choose it;
            None: ``f1_at_threshold`` is None too.
    """
    label, score, weight = _drop_weightless_rows(target.task, label, score, weight)
    if not len(label) or not np.isfinite(score).all():
        return dict.fromkeys(NAMES[target.task])
    # A diverged model overflows: its metric is None, which a warning would only repeat.
    with np.errstate(over="ignore", invalid="ignore"):
        if target.task == "binary":
            metrics = _measure_binary(label, score, weight, threshold)
        elif target.task == "multiclass":
            metrics = _measure_multiclass(label, score, weight)
        else:
            metrics = _measure_regression(label, score, weight)
    values = {name: metrics[name] for name in NAMES[target.task]}
    return {n: None if v is None or not math.isfinite(v) else float(v) for n, v in values.items()}


def find_best_threshold(label: Values, score: Values, weight: Values | None = None) -> float | None:
    """Find the binary threshold with the best F1 (``score >= threshold``); None with one class."""
    label, score, weight = _drop_weightless_rows("binary", label, score, weight)
    if not np.isfinite(score).all():
        return None
    return find_best_f1(rank(label, score, weight))


def predict_labels(task: Task, score: Values) -> Values:
    """Return what scores predict, (n,): the class's position (0.5 is positive) or the value."""
    score = _flatten_score(task, score)
    if task == "regression":
        return score
    positions = score >= 0.5 if task == "binary" else np.argmax(score, axis=1)
    return np.asarray(positions, dtype=np.int64)


def measure_baseline(
    target: Target,
    prior: Sequence[float] | float,
    label: Values,
    weight: Values | None = None,
) -> Metrics:
    """Compute the metrics of the best guess without any feature.

    Args:
        target: the task and the classes.
        prior: the training rows' count (or weight) of each class, or their mean label. The class
            frequencies are the probabilities, so the majority class is predicted.
        label: (n,), as for `measure`.
        weight: (n,) or None.
    """
    share = np.atleast_1d(np.asarray(prior, dtype=np.float64))
    if target.task != "regression":
        # without training rows the shares are 0, not NaN
        share = share / (share.sum() or 1.0)
    shape = (len(label), len(share)) if target.task != "regression" else (len(label),)
    return measure(target, label, np.broadcast_to(share, shape), weight)


def collect(
    target: Target,
    sets: Mapping[SetName, ScoredRows],
    *,
    rows: Mapping[str, int],
    prior: Sequence[float] | float,
) -> dict[str, Any]:
    """Compute the contents of metrics.json.

    Args:
        target: the task and the classes.
        sets: ``valid`` (may be missing or empty) and ``test``, with the same models in each.
        rows: rows of ``train``, ``valid`` and ``test``.
        prior: as for `measure_baseline`.
    """
    models: dict[str, dict[str, Metrics]] = {}
    for model in sets["test"].score:
        # Only valid chooses the threshold: chosen on test, its F1 would be too good.
        threshold, valid = None, sets.get("valid")
        if target.task == "binary" and valid is not None:
            threshold = find_best_threshold(valid.label, valid.score[model], valid.weight)
        models[model] = {
            name: measure(target, scored.label, scored.score[model], scored.weight, threshold)
            for name in SCORED_SETS
            if (scored := sets.get(name)) is not None
        }
    test = sets["test"]
    return {
        "task": target.task,
        "rows": {name: int(count) for name, count in rows.items()},
        "baseline": {"test": measure_baseline(target, prior, test.label, test.weight)},
        "models": models,
    }


def choose_best_model(metrics: Mapping[str, Any]) -> str:
    """Choose the best model of a metrics.json by its `primary_metric` on valid, else the first.

    Without a valid set, or if the metric is undefined there, the log loss decides if it is defined.
    """
    models: Mapping[str, Any] = metrics["models"]
    for name, better in (primary_metric(metrics["task"]), PrimaryMetric("log_loss", "lower")):
        values = {m: v for m in models if (v := models[m].get("valid", {}).get(name)) is not None}
        if values:
            choose = max if better == "higher" else min
            return choose(values, key=lambda m: values[m])
    return next(iter(models))


def _flatten_score(task: Task, score: Values) -> Values:
    """Return (n,) of binary or regression scores as float64, (n, k) of multiclass as they are."""
    if task == "multiclass":
        # each metric converts the column that it needs: a copy of 500 columns would be gigabytes
        return np.asarray(score)
    score = np.asarray(score, dtype=np.float64)
    return score[:, -1] if score.ndim == 2 else score


def _drop_weightless_rows(
    task: Task, label: Values, score: Values, weight: Values | None
) -> tuple[Floats, Values, Floats | None]:
    """Return labels, scores and weights of the rows with a weight above 0."""
    label, score = np.asarray(label, dtype=np.float64), _flatten_score(task, score)
    if weight is None:
        return label, score, None
    weight = np.asarray(weight, dtype=np.float64)
    counts = weight > 0
    if counts.all():  # the usual case, in which nothing is copied
        return label, score, weight
    return label[counts], score[counts], weight[counts]


def _measure_binary(
    label: Floats, score: Floats, weight: Floats | None, threshold: float | None
) -> Metrics:
    ranking = rank(label, score, weight)
    at_half = _measure_at(label, score, weight, 0.5)
    best_f1 = None
    if threshold is not None:
        best_f1 = _measure_at(label, score, weight, threshold)["f1"]
    return {
        "roc_auc": roc_auc(ranking),
        "average_precision": average_precision(ranking),
        "log_loss": _log_loss(np.where(label == 1, score, 1 - score), weight),
        "accuracy": _mean((score >= 0.5) == (label == 1), weight),
        **at_half,
        "threshold": threshold,
        "f1_at_threshold": best_f1,
    }


def _measure_at(label: Floats, score: Floats, weight: Floats | None, threshold: float) -> Metrics:
    """Compute precision, recall and F1 if ``score >= threshold`` is called positive."""
    called, true = score >= threshold, label == 1
    weight = np.ones(len(label)) if weight is None else weight
    hit, called_weight, true_weight = (
        float(weight[m].sum()) for m in (called & true, called, true)
    )
    return {
        "precision": _ratio(hit, called_weight),
        "recall": _ratio(hit, true_weight),
        "f1": _ratio(2 * hit, called_weight + true_weight),
    }


def _measure_multiclass(label: Floats, score: Values, weight: Floats | None) -> Metrics:
    from sklearn.metrics import f1_score

    codes = label.astype(np.int64)
    called = np.argmax(score, axis=1)
    # A class that is never predicted has an F1 of 0, about which scikit-learn would warn.
    f1 = f1_score(codes, called, average="macro", sample_weight=weight, zero_division=0)
    # one class against the others, over the classes that occur
    areas = [
        roc_auc(rank((codes == k).astype(np.float64), score[:, k].astype(np.float64), weight))
        for k in np.unique(codes)
    ]
    defined = [area for area in areas if area is not None]
    return {
        "log_loss": _log_loss(score[np.arange(len(codes)), codes].astype(np.float64), weight),
        "accuracy": _mean(called == codes, weight),
        "f1_macro": float(f1),
        "roc_auc_ovr": float(np.mean(defined)) if defined else None,
    }


def _measure_regression(label: Floats, score: Floats, weight: Floats | None) -> Metrics:
    error = label - score
    squares = _mean(error**2, weight)
    # A sum of squares would not be 0: the mean of a constant rounds, and leaves a small rest.
    spread = 0.0 if np.ptp(label) == 0 else _mean((label - _mean(label, weight)) ** 2, weight)
    unexplained = _ratio(squares, spread)
    return {
        "rmse": math.sqrt(squares) if squares >= 0 else None,
        "mae": _mean(np.abs(error), weight),
        "r2": None if unexplained is None else 1 - unexplained,
    }


def _log_loss(share: Floats, weight: Floats | None) -> float:
    """Average ``-log`` of the probability of the true class, clipped as by scikit-learn."""
    return _mean(-np.log(np.clip(share, np.finfo(np.float64).eps, 1.0)), weight)


def _mean(values: Values, weight: Floats | None) -> float:
    return float(np.average(values, weights=weight))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None
