"""Columns that look like the target with noise added, though their scores are modest.

A score below the limits of `alone` proves nothing, so these are warnings. There are two signs:

- **units**: the column's mean is the label itself, for each class, or along a line of slope 1. A
  feature has units of its own, and a forecast has a mean below a high label (it regresses towards
  the mean); a measurement of the target, or a copy with noise, has not.
- **others**: given the label, the column tells nothing of the other features, though these tell of
  the label. Two causes of one effect depend on each other once the effect is known; noise that was
  added to the label depends on nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.audit import univariate
from pipeline.audit.evidence import CheckResult, ColumnValues, Evidence, LabeledColumn
from pipeline.audit.finding import Finding
from pipeline.audit.univariate import LIMITS, METRIC, Score
from pipeline.matrix import Task

Array = NDArray[np.float64]
NOTABLE: Mapping[Task, float] = {"binary": 0.7, "multiclass": 0.2, "regression": 0.3}
"""Columns with a score below are not looked at; for the second sign it is that of `LIMITS`."""
ERRORS = 3.0
"""Standard errors within which means are equal."""
COINCIDENCE = 0.05
"""The product of the intervals of `ERRORS` to both sides, in units of the label's differences: as
likely is it, about, that a feature in units of its own is within them."""
OTHERS = 20
"""Other features, the best ones, that are compared."""
INDEPENDENT, POWER = 4.0, 10.0
"""Given the label, no other feature has a correlation of so many standard errors with the column;
with the label, one has so many. Where features cause the label, both are about equal."""
SHAPE = 1.95
"""The Kolmogorov-Smirnov distance of two samples of one distribution, times the square root of
their sizes' harmonic sum, is below this but for one time in a thousand."""


@dataclass(frozen=True)
class Copy:
    """What speaks for a column being the target with noise."""

    units: str = ""
    """How its mean equals the label; empty where it does not."""
    noise: float = 0.0
    """Standard deviation of what is left, in the column's units."""
    others: int = 0
    """Other features that are independent of it given the label; 0 where one is not, or where too
    little is known of them."""


def match_units(column: LabeledColumn, codings: Sequence[Sequence[float]] | None) -> Copy:
    """Compare the column's mean with the label.

    Args:
        column: with labels 0…k-1 of a class, or numbers.
        codings: numbers that classes may stand for, in their order; None: the label is a number.
    """
    known = np.isfinite(column.values)
    values, label = column.values[known], column.label[known]
    if len(values) < 3 or not np.isfinite(values.var()):
        return Copy()
    if codings is None:
        return _match_line(values, label)
    classes = label.astype("int64")
    rows = np.bincount(classes, minlength=len(codings[0]))
    if rows.min() < 5:
        return Copy()
    means = np.bincount(classes, values, minlength=len(rows)) / rows
    left = values - means[classes]
    deviations = np.sqrt(np.bincount(classes, left**2, minlength=len(rows)) / (rows - 1))
    noise = float(left.std())
    several = bool(((values != values.min()) & (values != values.max())).any())
    if noise == 0 or (several and not _same_shape(left, classes, rows)):
        return Copy()
    errors = ERRORS * deviations / np.sqrt(rows)
    for coding in codings:
        steps = float(np.diff(np.sort(coding)).min())
        close = (np.abs(means - coding) <= errors).all()
        if close and float(np.prod(np.minimum(2 * errors / steps, 1))) <= COINCIDENCE:
            shown = ", ".join(f"{m:.3f}" for m in means[:5])
            expected = ", ".join(f"{c:g}" for c in coding[:5])
            return Copy(f"by class its means are {shown}, those of the labels {expected}", noise)
    return Copy(noise=noise)


def _match_line(values: Array, label: Array) -> Copy:
    """Whether the values are the label, with a mean of 0 added that does not depend on it."""
    deviation = float(label.std())
    if not deviation:
        return Copy()
    centred = (label - label.mean()) / deviation
    slope = float((values * centred).mean()) / deviation
    left = values - values.mean() - slope * deviation * centred
    noise = float(left.std())
    if noise == 0 or not _is_level(left, centred):
        return Copy()
    error = ERRORS * noise / deviation / np.sqrt(len(label))
    offset = float((values - label).mean()) / deviation
    correlation = slope * deviation / float(values.std())  # the slope of an equally spread value
    close = abs(slope - 1) <= error and abs(offset) <= error and slope - correlation > error
    if not close or (2 * error) ** 2 > COINCIDENCE:
        return Copy(noise=noise)
    units = f"its mean is the label's along a line of slope {slope:.4f} and offset {offset:.4f}"
    return Copy(units, noise)


def _is_level(left: Array, label: Array) -> bool:
    """Whether what is left has no bend, and no other spread where the label is large."""
    error = 1 / np.sqrt(len(label))
    pairs = ((left, label**2), (np.abs(left), label), (np.abs(left), np.abs(label)))
    return all(abs(_correlation(a, b)) < INDEPENDENT * error for a, b in pairs)


def _same_shape(left: Array, classes: NDArray[np.int64], rows: NDArray[np.int64]) -> bool:
    """Whether the two largest classes differ in their means only (Kolmogorov-Smirnov)."""
    a, b = np.argsort(-rows, kind="stable")[:2]
    one, other = (np.sort(left[classes == c]) for c in (a, b))
    both = np.concatenate([one, other])
    shares = (np.searchsorted(v, both, side="right") / len(v) for v in (one, other))
    distance = float(np.abs(next(shares) - next(shares)).max())
    return distance <= SHAPE * float(np.sqrt(1 / len(one) + 1 / len(other)))


def _correlation(a: Array, b: Array) -> float:
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum()) / scale if scale else 0.0


def compare_others(values: Array, label: Array, others: Sequence[Array], test: int) -> int:
    """Count the other features that are independent of a column given the label's class.

    Args:
        values: (n,) the column; ``label``: (n,).
        others: of each feature (n,) the label that it predicts, fitted on all but the last rows.
        test: how many these are.

    Returns:
        0 where one of them is not independent, or where none tells enough of the label.
    """
    known = np.isfinite(values)
    own, error = _without_class(values[known], label[known]), 1 / np.sqrt(known.sum())
    last = slice(len(values) - test, None)
    power = max((abs(_correlation(o[last], label[last])) for o in others), default=0.0)
    if power < POWER * error:
        return 0
    left = (_without_class(other[known], label[known]) for other in others)
    independent = all(abs(_correlation(own, o)) <= INDEPENDENT * error for o in left)
    return len(others) if independent else 0


def _without_class(values: Array, label: Array) -> Array:
    at = label.astype("int64")
    found: Array = values - (np.bincount(at, values) / np.maximum(np.bincount(at), 1))[at]
    return found


def check_noisy_copy(evidence: Evidence) -> CheckResult:
    """Check numeric columns whose scores are notable, but below what `alone` fails at."""
    if not evidence.labels.is_sufficient:
        return CheckResult("noisy_copy", "too few test rows, or all alike: nothing was scored")
    notable, (*_, most) = NOTABLE[evidence.target.task], LIMITS[evidence.target.task]
    findings, looked = [], 0
    for name in evidence.numeric_columns:
        score = evidence.scores.get(name) or evidence.score_values(_values(name, evidence))
        if score is None or not notable <= score.value < most:
            continue
        looked += 1
        found = _copy(name, score, evidence)
        if found.units or found.others:
            findings.append(_finding(name, score, found, evidence))
    said = f"{looked:,} columns with a notable score"
    return CheckResult("noisy_copy", said, findings, {"columns": looked})


def _values(name: str, evidence: Evidence) -> ColumnValues:
    return evidence.get_column(name) if name in evidence.scan.sample else evidence.get_feature(name)


def _copy(name: str, score: Score, evidence: Evidence) -> Copy:
    found = match_units(evidence.get_labeled_column(name), _codings(evidence))
    limit = LIMITS[evidence.target.task][0]
    if evidence.target.task != "binary" or not found.noise or score.value < limit:
        return found
    sources = evidence.lineage.get(name, frozenset({name}))
    ranked = sorted(evidence.scores.items(), key=lambda item: -item[1].value)
    names = [n for n, _ in ranked if not evidence.lineage[n] & sources][:OTHERS]
    if not names or evidence.scores[names[0]].value >= limit:
        return found
    own, labels, predicted = _values(name, evidence), evidence.labels, []
    for values in map(evidence.get_feature, names):
        both = np.concatenate([values.train, values.test])
        means = univariate.predict_mean(values.train, both, labels, category=values.category)
        predicted.append(means[:, 0])
    both = np.concatenate([own.train, own.test])
    label = np.concatenate([labels.train, labels.test])
    return replace(found, others=compare_others(both, label, predicted, len(labels.test)))


def _codings(evidence: Evidence) -> list[list[float]] | None:
    """Numbers that the classes may stand for: their positions, themselves, and -1 and 1."""
    if evidence.target.task == "regression":
        return None
    classes = evidence.target.classes
    found = [[float(i) for i in range(len(classes))]]
    if all(isinstance(c, int | float) for c in classes):
        found.append([float(c) for c in classes])
    if len(classes) == 2:
        found += [[1.0, 0.0], [-1.0, 1.0], [1.0, -1.0]]
    return found


def _finding(name: str, score: Score, found: Copy, evidence: Evidence) -> Finding:
    metric = METRIC[evidence.target.task]
    signs = [found.units] if found.units else []
    if found.others:
        signs.append(f"given the label it is independent of {found.others:,} other features")
    what = (
        f"may be the target with noise of standard deviation {found.noise:.3g}: alone it has "
        f"{metric} {score.value:.4f}; {'; '.join(signs)}"
    )
    measured = {"metric": metric, "value": score.value, **asdict(found)}
    return Finding("noisy_copy", "warn", name, what, measured, evidence.suggest_without(name))
