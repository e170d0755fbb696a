"""Noisy copies: columns that resemble the target with noise added, though their scores are modest.

A score below the limits of `alone` proves nothing, so these findings are warnings. Two signs:

- **units**: the column's mean is the label itself, for each class or along a line of slope 1. A
  feature has units of its own, and the mean of a forecast is below a high label, by regression to
  the mean. A measurement of the target, or a copy with noise, has the label's mean.
- **others**: given the label, the column is independent of the other features, though these depend
  on the label. Two causes of one effect depend on each other once the effect is known; noise
  that was added to the label depends on nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.evidence import CheckResult, ColumnValues, Evidence, LabeledColumn
from pipeline.audit.finding import Finding
from pipeline.console.plural import quantify
from pipeline.evaluate import univariate
from pipeline.evaluate.univariate import LIMITS, METRIC, Score
from pipeline.matrix import Task

Array = NDArray[np.float64]
NOTABLE: Mapping[Task, float] = {"binary": 0.7, "multiclass": 0.2, "regression": 0.3}
"""Score from which on a column is inspected; the second sign requires the first of `LIMITS`."""
ERRORS = 3.0
"""Number of standard errors within which means are equal."""
COINCIDENCE = 0.05
"""Maximum product of the two-sided intervals of `ERRORS`, in units of the label's differences.

The product is about the probability that a feature in units of its own is within them.
"""
OTHERS = 20
"""Number of other features, the best ones, that are compared."""
INDEPENDENT, POWER = 4.0, 10.0
"""Standard errors of correlations: given the label, no other feature may reach the first with the
column; with the label, one must reach the second. If features cause the label, both are similar."""
SHAPE = 1.95
"""Maximum Kolmogorov-Smirnov distance of two samples of one distribution, times the square root of
their sizes' harmonic sum; one pair in a thousand exceeds it."""


@dataclass(frozen=True)
class Copy:
    """Signs that a column is the target with noise."""

    units: str = ""
    """Description of how its mean equals the label; empty if it does not."""
    noise: float = 0.0
    """Standard deviation of the residual, in the column's units."""
    others: int = 0
    """Number of other features independent of it given the label; 0 if one is dependent, or if too
    little is known about them."""


def check_noisy_copy(evidence: Evidence) -> CheckResult:
    """Check numeric columns with notable scores below the limit at which `alone` fails."""
    if not evidence.labels.is_sufficient:
        summary = "nothing scored: too few test rows, or equal labels"
        return CheckResult("noisy_copy", summary)
    notable, (*_, decisive) = NOTABLE[evidence.target.task], LIMITS[evidence.target.task]
    metric = METRIC[evidence.target.task]
    findings, columns = [], 0
    for name in evidence.numeric_columns:
        score = evidence.scores.get(name) or evidence.score_values(_get_values(name, evidence))
        if score is None or not notable <= score.value < decisive:
            continue
        columns += 1
        copy = _inspect_column(name, score, evidence)
        signs = [copy.units] if copy.units else []
        if copy.others:
            signs.append(f"given the label it is independent of {copy.others:,} other features")
        if not signs:
            continue
        what = (
            f"may be the target with noise of standard deviation {copy.noise:.3g}: alone it has "
            f"{metric} {score.value:.4f}; {'; '.join(signs)}"
        )
        measured = {"metric": metric, "value": score.value, **asdict(copy)}
        config = evidence.suggest_without(name)
        findings.append(Finding("noisy_copy", "warn", name, what, measured, config))
    summary = f"{quantify(columns, 'column')} with a notable score"
    return CheckResult("noisy_copy", summary, findings, {"columns": columns})


def _get_values(name: str, evidence: Evidence) -> ColumnValues:
    in_data = name in evidence.scan.sample
    return evidence.get_column(name) if in_data else evidence.get_feature(name)


def _inspect_column(name: str, score: Score, evidence: Evidence) -> Copy:
    task, classes = evidence.target.task, evidence.target.classes
    codings: list[list[float]] | None = None
    if task != "regression":
        # A measurement may code the classes by their positions, by themselves, or as -1 and 1.
        codings = [[float(i) for i in range(len(classes))]]
        if all(isinstance(c, int | float) for c in classes):
            codings.append([float(c) for c in classes])
        if len(classes) == 2:
            codings += [[1.0, 0.0], [-1.0, 1.0], [1.0, -1.0]]
    copy = match_units(evidence.get_labeled_column(name), codings)
    limit = LIMITS[task][0]
    if task != "binary" or not copy.noise or score.value < limit:
        return copy
    # Features from the same source column depend on it whatever the label is.
    sources = evidence.lineage.get(name, frozenset({name}))
    ranked = sorted(evidence.scores.items(), key=lambda item: -item[1].value)
    names = [n for n, _ in ranked if not evidence.lineage[n] & sources][:OTHERS]
    # With a second strong column, either may be the copy: the sign would not show which.
    if not names or evidence.scores[names[0]].value >= limit:
        return copy
    labels, predicted = evidence.labels, []
    for values in map(evidence.get_feature, names):
        both = np.concatenate([values.train, values.test])
        means = univariate.predict_mean(values.train, both, labels, category=values.category)
        predicted.append(means[:, 0])
    column = _get_values(name, evidence)
    both = np.concatenate([column.train, column.test])
    label = np.concatenate([labels.train, labels.test])
    return replace(copy, others=compare_others(both, label, predicted, len(labels.test)))


# -- units -----------------------------------------------------------------------------------------


def match_units(column: LabeledColumn, codings: Sequence[Sequence[float]] | None) -> Copy:
    """Compare the column's mean with the label.

    Args:
        column: the column with labels, which are classes 0…k-1 or numbers.
        codings: numbers that classes may stand for, in their order; None: the label is a number.
    """
    is_finite = np.isfinite(column.values)
    values, label = column.values[is_finite], column.label[is_finite]
    if len(values) < 3 or not np.isfinite(values.var()):
        return Copy()
    if codings is None:
        return _match_line(values, label)
    classes = label.astype("int64")
    rows = np.bincount(classes, minlength=len(codings[0]))
    if rows.min() < 5:
        return Copy()
    means = np.bincount(classes, values, minlength=len(rows)) / rows
    residual = values - means[classes]
    deviations = np.sqrt(np.bincount(classes, residual**2, minlength=len(rows)) / (rows - 1))
    noise = float(residual.std())
    # Two values are a category: its shares per class have no shape to compare.
    has_several = bool(((values != values.min()) & (values != values.max())).any())
    if noise == 0 or (has_several and not _has_same_shape(residual, classes, rows)):
        return Copy()
    errors = ERRORS * deviations / np.sqrt(rows)
    for coding in codings:
        steps = float(np.diff(np.sort(coding)).min())
        is_close = (np.abs(means - coding) <= errors).all()
        if is_close and float(np.prod(np.minimum(2 * errors / steps, 1))) <= COINCIDENCE:
            shown = ", ".join(f"{m:.3f}" for m in means[:5])
            expected = ", ".join(f"{c:g}" for c in coding[:5])
            return Copy(f"by class its means are {shown}, those of the labels {expected}", noise)
    return Copy(noise=noise)


def _match_line(values: Array, label: Array) -> Copy:
    """Compare the values with the label plus noise of mean 0 that does not depend on it."""
    deviation = float(label.std())
    if not deviation:
        return Copy()
    centred = (label - label.mean()) / deviation
    slope = float((values * centred).mean()) / deviation
    residual = values - values.mean() - slope * deviation * centred
    noise = float(residual.std())
    # Noise that was added has no bend, and the same spread for all labels.
    size, limit = np.abs(residual), INDEPENDENT / np.sqrt(len(label))
    pairs = ((residual, centred**2), (size, centred), (size, np.abs(centred)))
    if noise == 0 or not all(abs(_correlate(a, b)) < limit for a, b in pairs):
        return Copy()
    error = ERRORS * noise / deviation / np.sqrt(len(label))
    offset = float((values - label).mean()) / deviation
    # A feature with the label's spread has a slope equal to its correlation: it must be excluded.
    correlation = slope * deviation / float(values.std())
    is_close = abs(slope - 1) <= error and abs(offset) <= error and slope - correlation > error
    if not is_close or (2 * error) ** 2 > COINCIDENCE:
        return Copy(noise=noise)
    units = f"its mean is the label's along a line of slope {slope:.4f} and offset {offset:.4f}"
    return Copy(units, noise)


def _has_same_shape(residual: Array, classes: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
    """Return whether the two largest classes differ in their means only (Kolmogorov-Smirnov)."""
    largest = np.argsort(-rows, kind="stable")[:2]
    one, other = (np.sort(residual[classes == c]) for c in largest)
    both = np.concatenate([one, other])
    shares = (np.searchsorted(v, both, side="right") / len(v) for v in (one, other))
    distance = float(np.abs(next(shares) - next(shares)).max())
    return distance <= SHAPE * float(np.sqrt(1 / len(one) + 1 / len(other)))


def _correlate(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


# -- other features --------------------------------------------------------------------------------


def compare_others(values: Array, label: Array, others: Sequence[Array], test: int) -> int:
    """Count the other features that are independent of a column given the label's class.

    Args:
        values: (n,) of the column.
        label: (n,).
        others: per feature (n,) predictions of the label, fitted on all but the last rows.
        test: number of those last rows.

    Returns:
        0 if one of them is dependent, or if none predicts the label well enough.
    """
    is_finite = np.isfinite(values)
    residual = _subtract_class_means(values[is_finite], label[is_finite])
    error = 1 / np.sqrt(is_finite.sum())
    # Predictions of rows that they were fitted on would exaggerate how much features reveal.
    last = slice(len(values) - test, None)
    power = max((abs(_correlate(o[last], label[last])) for o in others), default=0.0)
    if power < POWER * error:
        return 0
    residuals = (_subtract_class_means(other[is_finite], label[is_finite]) for other in others)
    independent = all(abs(_correlate(residual, o)) <= INDEPENDENT * error for o in residuals)
    return len(others) if independent else 0


def _subtract_class_means(values: Array, label: Array) -> Array:
    classes = label.astype("int64")
    means = np.bincount(classes, values) / np.maximum(np.bincount(classes), 1)
    residual: Array = values - means[classes]
    return residual
