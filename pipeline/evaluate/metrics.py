"""How good scores are: the metrics of each task, a baseline beside them, and metrics.json.

Everything is computed on the host in float64. A metric that is undefined on the rows at hand
(one class only, one row, a constant label, no rows) is None: null in JSON, never NaN. Weighted
rows count as often as they weigh; rows of weight 0 are left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.ranking import average_precision, find_best_f1, rank, roc_auc
from pipeline.matrix import SetName, Target, Task

Floats = NDArray[np.float64]
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


class PrimaryMetric(NamedTuple):
    """The metric that decides between models, and which way is better."""

    name: str
    better: Literal["higher", "lower"]


@dataclass(frozen=True)
class ScoredRows:
    """The rows of one set and what every model says of them; host arrays of n rows."""

    label: Floats
    """float64 (n,): 0/1, 0…k-1 or the value."""
    score: Mapping[str, NDArray[Any]]
    """By model: (n,) P(positive) or the value, (n, k) class probabilities for multiclass."""
    weight: Floats | None = None
    slices: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """By column of ``evaluate.slices``: (n,) values of any type, missing as None or NaN."""


def primary_metric(task: Task) -> PrimaryMetric:
    """The metric by which the best model is chosen, on valid; test is never looked at."""
    choice: Mapping[Task, PrimaryMetric] = {
        "binary": PrimaryMetric("roc_auc", "higher"),
        "multiclass": PrimaryMetric("log_loss", "lower"),
        "regression": PrimaryMetric("rmse", "lower"),
    }
    return choice[task]


def measure(
    target: Target,
    label: NDArray[Any],
    score: NDArray[Any],
    weight: NDArray[Any] | None = None,
    threshold: float | None = None,
) -> Metrics:
    """The task's metrics (`NAMES`) of one model on some rows.

    Args:
        target: what is predicted.
        label: (n,), 0/1, 0…k-1 or the value; classes may be absent.
        score: (n,) or (n, 2) for binary, (n, k) for multiclass, (n,) for regression.
        weight: (n,), at least 0.
        threshold: binary: `find_best_threshold` of valid, so that test rows cannot choose it;
            None: ``f1_at_threshold`` is None too.
    """
    label, score, weight = _counted(target.task, label, score, weight)
    if not len(label) or not np.isfinite(score).all():
        return dict.fromkeys(NAMES[target.task])
    # A diverged model overflows: that metric is None, and no warning says it better.
    with np.errstate(over="ignore", invalid="ignore"):
        if target.task == "binary":
            found = _binary(label, score, weight, threshold)
        else:
            measured: Callable[..., Metrics] = (
                _multiclass if target.task == "multiclass" else _regression
            )
            found = measured(label, score, weight)
    return {name: _finite(found[name]) for name in NAMES[target.task]}


def find_best_threshold(
    label: NDArray[Any], score: NDArray[Any], weight: NDArray[Any] | None = None
) -> float | None:
    """The binary threshold with the best F1 (``score >= threshold``); None with one class."""
    label, score, weight = _counted("binary", label, score, weight)
    if not np.isfinite(score).all():
        return None
    return find_best_f1(rank(label, score, weight))


def predict_labels(task: Task, score: NDArray[Any]) -> NDArray[Any]:
    """(n,): what a score says: a class's position (binary at 0.5, ties positive) or the value."""
    score = _shaped(task, score)
    if task == "regression":
        return score
    found = score >= 0.5 if task == "binary" else np.argmax(score, axis=1)
    return np.asarray(found, dtype=np.int64)


def measure_baseline(
    target: Target,
    prior: Sequence[float] | float,
    label: NDArray[Any],
    weight: NDArray[Any] | None = None,
) -> Metrics:
    """The metrics of the best guess that looks at no feature.

    Args:
        target: what is predicted.
        prior: the training rows' count (or weight) of each class, or their mean label. The class
            frequencies are the probabilities, so the majority class is what is predicted.
        label: (n,), as for `measure`.
        weight: (n,) or None.
    """
    share = np.atleast_1d(np.asarray(prior, dtype=np.float64))
    if target.task != "regression":
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
    """What metrics.json holds.

    Args:
        target: what is predicted.
        sets: ``valid`` (may be missing or empty) and ``test``, with the same models in each.
        rows: rows of ``train``, ``valid`` and ``test``.
        prior: as for `measure_baseline`.
    """
    models: dict[str, dict[str, Metrics]] = {}
    for model in sets["test"].score:
        threshold = _valid_threshold(target, sets.get("valid"), model)
        models[model] = {
            name: measure(target, s.label, s.score[model], s.weight, threshold)
            for name in SCORED_SETS
            if (s := sets.get(name)) is not None
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

    Without a valid set, or where the metric is undefined there, the log loss decides if it can.
    """
    models: Mapping[str, Any] = metrics["models"]
    for name, better in (primary_metric(metrics["task"]), PrimaryMetric("log_loss", "lower")):
        found = {m: v for m in models if (v := models[m].get("valid", {}).get(name)) is not None}
        if found:
            pick = max if better == "higher" else min
            return pick(found, key=lambda m: found[m])
    return next(iter(models))


def _valid_threshold(target: Target, valid: ScoredRows | None, model: str) -> float | None:
    if target.task != "binary" or valid is None:
        return None
    return find_best_threshold(valid.label, valid.score[model], valid.weight)


def _shaped(task: Task, score: NDArray[Any]) -> Floats:
    score = np.asarray(score, dtype=np.float64)
    if task == "multiclass":
        return score
    return score[:, -1] if score.ndim == 2 else score


def _counted(
    task: Task, label: NDArray[Any], score: NDArray[Any], weight: NDArray[Any] | None
) -> tuple[Floats, Floats, Floats | None]:
    """The rows that weigh something, as float64."""
    label, score = np.asarray(label, dtype=np.float64), _shaped(task, score)
    if weight is None:
        return label, score, None
    weight = np.asarray(weight, dtype=np.float64)
    some = weight > 0
    return label[some], score[some], weight[some]


def _binary(
    label: Floats, score: Floats, weight: Floats | None, threshold: float | None
) -> Metrics:
    ranking = rank(label, score, weight)
    precision, recall, f1 = _at(label, score, weight, 0.5)
    return {
        "roc_auc": roc_auc(ranking),
        "average_precision": average_precision(ranking),
        "log_loss": _log_loss(np.where(label == 1, score, 1 - score), weight),
        "accuracy": _mean((score >= 0.5) == (label == 1), weight),
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "threshold": threshold,
        "f1_at_threshold": None if threshold is None else _at(label, score, weight, threshold)[2],
    }


def _at(
    label: Floats, score: Floats, weight: Floats | None, threshold: float
) -> tuple[float | None, float | None, float | None]:
    """Precision, recall and F1 where ``score >= threshold`` is called positive."""
    called, true = score >= threshold, label == 1
    weight = np.ones(len(label)) if weight is None else weight
    hit, called_weight, true_weight = (
        float(weight[m].sum()) for m in (called & true, called, true)
    )
    return (
        _ratio(hit, called_weight),
        _ratio(hit, true_weight),
        _ratio(2 * hit, called_weight + true_weight),
    )


def _multiclass(label: Floats, score: Floats, weight: Floats | None) -> Metrics:
    from sklearn.metrics import f1_score

    codes = label.astype(np.int64)
    called = np.argmax(score, axis=1)
    f1 = f1_score(codes, called, average="macro", sample_weight=weight, zero_division=0)
    return {
        "log_loss": _log_loss(score[np.arange(len(codes)), codes], weight),
        "accuracy": _mean(called == codes, weight),
        "f1_macro": float(f1),
        "roc_auc_ovr": _one_vs_rest(codes, score, weight),
    }


def _one_vs_rest(codes: NDArray[np.int64], score: Floats, weight: Floats | None) -> float | None:
    """Mean ROC AUC of each class against the others, over the classes that occur."""
    areas = [
        roc_auc(rank((codes == k).astype(np.float64), score[:, k], weight))
        for k in np.unique(codes)
    ]
    defined = [a for a in areas if a is not None]
    return float(np.mean(defined)) if defined else None


def _regression(label: Floats, score: Floats, weight: Floats | None) -> Metrics:
    error = label - score
    squares = _mean(error**2, weight)
    # Not a sum of squares that is 0: the mean of a constant rounds, and leaves a little behind.
    spread = 0.0 if np.ptp(label) == 0 else _mean((label - _mean(label, weight)) ** 2, weight)
    unexplained = _ratio(squares, spread)
    return {
        "rmse": math.sqrt(squares) if squares >= 0 else None,
        "mae": _mean(np.abs(error), weight),
        "r2": None if unexplained is None else 1 - unexplained,
    }


def _log_loss(share: Floats, weight: Floats | None) -> float:
    """Mean ``-log`` of the probability of what happened, as scikit-learn clips it (float64)."""
    return _mean(-np.log(np.clip(share, np.finfo(np.float64).eps, 1.0)), weight)


def _mean(values: NDArray[Any], weight: Floats | None) -> float:
    return float(np.average(values, weights=weight))


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
