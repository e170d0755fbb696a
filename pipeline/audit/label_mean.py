"""Columns that hold the mean of the target per entity, computed over test rows too.

The entity's name is not needed. If a column v holds the mean label of each entity over all rows, or
any straight line of it, then the labels of all rows with one value of v have the mean v to the last
digit: what the training rows of a value lack to it, its other rows have too much. For a column that
was known beforehand, training and other rows of a value are off to the same side, or independently.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audit import univariate
from pipeline.audit.evidence import CheckResult, Evidence, LabeledColumn
from pipeline.audit.finding import Finding, Severity
from pipeline.schema import TRAIN

Array = NDArray[Any]
CLOSE = 1e-6
"""A mean is equal to the column's value within so many standard deviations of the label."""
EQUAL = 0.95
"""Share of the values that must be equal."""
CHANCE, CERTAIN_CHANCE = -3.0, -5.0
"""Logarithm to base 10 of the chance that so many means are equal by accident, at most: for a
warning, and to fail."""
ERRORS = 4.5
"""Standard errors of the covariance from which on it is a warning; of 3,000 columns of tables
without a leak the largest had 3.6 (benchmarks/audit_power.py)."""
CERTAIN = 12.0
"""Those from which on it fails, where the column is the mean itself."""
FITTED = 2
"""Values that any straight line goes through."""
VALUES = 50
"""Values at least for a covariance."""
EXPLAINED = 0.01
"""Share of the label's variance that the column must explain. Groups whose labels have a fixed sum
(one winner per race) have a negative covariance too; a column that explains nothing is not to
blame for it, nor for an exact mean that is the same for all values."""
PLAIN = 0.05
"""A slope of 1 within this is that of the mean itself."""


@dataclass(frozen=True)
class Means:
    """What the labels by value of one column say."""

    values: int
    """Values with training and other rows."""
    equal: float
    """Share of the values that tell whether all rows' mean is meant, where it is equal."""
    chance: float
    """Logarithm to base 10 of the chance of that, were other rows' labels not in it."""
    z: float
    """Covariance of training and other rows' residuals in standard errors; 0 without `VALUES`."""
    slope: float
    """Of the label on the column; ``explained``: the share of its variance."""
    explained: float

    @property
    def is_equal(self) -> bool:
        """Whether all rows' means are the column's values, and not by chance."""
        return self.equal >= EQUAL and self.chance <= CHANCE

    @property
    def severity(self) -> Severity | None:
        """Fail where it is certain; None where nothing is found."""
        if self.explained < EXPLAINED:
            return None
        if self.is_equal:
            return "fail" if self.chance <= CERTAIN_CHANCE else "warn"
        if self.z > -ERRORS:
            return None
        return "fail" if abs(self.slope - 1) < PLAIN and self.z < -CERTAIN else "warn"


def measure_means(column: LabeledColumn, label: Array, unit: float) -> Means | None:
    """Compare each value of a column with the mean label of its rows.

    Args:
        column: its values and sets.
        label: float64 (n,), a number or an indicator.
        unit: the smallest difference of two labels, 0 for real numbers.

    Returns:
        None where no value has both training and other rows.
    """
    known = np.isfinite(column.values)
    values, y, train = column.values[known], label[known], column.set[known] == TRAIN
    line = _fit_line(values, y)
    if line is None:
        return None
    slope, left = line
    distinct, at = np.unique(values, return_inverse=True)
    groups = _Groups.of(at, train)
    if not groups.both.any():
        return None
    of_train, of_others = groups.sums(left)
    near = CLOSE * float(y.std()) + abs(slope) * _find_unit(distinct)
    telling = np.abs(of_train) > (near + CLOSE) * groups.rows
    equal = telling & (np.abs(of_train + of_others) <= near * groups.rows)
    spread = np.sqrt(2 * np.pi * groups.others * groups.means(left**2))
    likely = np.minimum(1.0, (2 * near * groups.rows + unit) / np.maximum(spread, 1e-300))
    share = float(equal.sum() / telling.sum()) if telling.any() else 0.0
    explained = 1 - float(left.var()) / float(y.var())
    z = groups.covariance(left)
    if z:
        z = min(z, groups.covariance(_fit_curve(at, y)))
    chance = float(np.sort(np.log10(likely[equal]))[FITTED:].sum())
    return Means(
        int(groups.both.sum()), round(share, 4), round(chance, 2), z, round(slope, 4),
        round(explained, 4),
    )  # fmt: skip


@dataclass(frozen=True)
class _Groups:
    """Rows by value; arrays (k,) of the values with training and other rows."""

    at: NDArray[np.int64]
    """(n,): the position of each row's value."""
    train: NDArray[np.bool_]
    """(n,)."""
    both: NDArray[np.bool_]
    """Of all values, those with training and other rows."""
    rows: Array
    others: Array
    """Rows that do not train."""

    @classmethod
    def of(cls, at: NDArray[np.int64], train: NDArray[np.bool_]) -> _Groups:
        """Count the rows."""
        rows = np.bincount(at).astype("float64")
        of_train = np.bincount(at, train.astype("float64"))
        both = (of_train > 0) & (of_train < rows)
        return cls(at, train, both, rows[both], (rows - of_train)[both])

    def sums(self, left: Array) -> tuple[Array, Array]:
        """Sum residuals of training rows, and of others."""
        of_train = np.bincount(self.at, left * self.train)[self.both]
        return of_train, np.bincount(self.at, left * ~self.train)[self.both]

    def means(self, values: Array) -> Array:
        """Average over all rows of each value."""
        found: Array = np.bincount(self.at, values)[self.both] / self.rows
        return found

    def covariance(self, left: Array) -> float:
        """Return the covariance of both sums in standard errors; 0 for fewer than `VALUES`."""
        if len(self.rows) < VALUES:
            return 0.0
        of_train, of_others = self.sums(left)
        products = of_train * of_others / self.rows
        error = float(np.sqrt((products**2).sum()))
        return round(float(products.sum()) / error, 2) if error else 0.0


def _fit_line(values: Array, label: Array) -> tuple[float, Array] | None:
    """The slope of the label on the values, and what the line leaves; None without one."""
    if len(values) < 3 or not label.var():
        return None
    with np.errstate(over="ignore"):
        spread = float(values.var())
    if not spread or not np.isfinite(spread):
        return None
    centred = values - values.mean()
    slope = float((centred * label).mean()) / spread
    return slope, label - label.mean() - slope * centred


def _fit_curve(at: NDArray[np.int64], label: Array) -> Array:
    """What a cubic in the values' ranks leaves of the label: a mean may have been transformed."""
    rows = np.bincount(at)
    rank = ((np.cumsum(rows) - rows / 2) / len(at) * 2 - 1)[at]
    curve = np.polynomial.legendre.legfit(rank, label, 3)
    left: Array = label - np.polynomial.legendre.legval(rank, curve)
    return left


def _find_unit(distinct: Array) -> float:
    """The unit that all values are multiples of: a power of ten from 1e-6 on; else 0."""
    some = distinct[:: max(len(distinct) // 1000, 1)]
    for digits in range(7):
        scaled = some * 10.0**digits
        if (np.abs(scaled - np.round(scaled)) <= 1e-9 * np.maximum(np.abs(scaled), 1)).all():
            return float(10.0**-digits)
    return 0.0


def check_label_mean(evidence: Evidence) -> CheckResult:
    """Check the numeric columns of the data and of side tables, and the computed features."""
    findings, measured = [], {}
    for name in evidence.numeric_columns:
        means = _measure_column(evidence.get_labeled_column(name), evidence)
        if means is None:
            continue
        measured[name] = asdict(means)
        if severity := means.severity:
            findings.append(_report_means(name, means, severity, evidence))
    summary = (
        f"{len(evidence.numeric_columns):,} numeric columns, {len(measured):,} of them with "
        "repeated values"
    )
    return CheckResult("label_mean", summary, findings, measured)


def _measure_column(column: LabeledColumn, evidence: Evidence) -> Means | None:
    if evidence.target.task == "regression":
        return measure_means(column, column.label, _find_unit(np.unique(column.label)))
    if evidence.target.task == "binary":
        return measure_means(column, column.label, 1.0)
    # A column can hold the mean of one class only: take the class that it predicts best.
    labels = univariate.group_labels(column.label, column.label[:0], evidence.target)
    filled = np.where(np.isfinite(column.values), column.values, np.nanmean(column.values))
    classes = univariate.encode_indicators(labels.train, labels)
    centred = filled - filled.mean()
    correlation = np.abs(centred @ (classes - classes.mean(axis=0)))
    best = int(np.argmax(correlation / (classes.std(axis=0) + 1e-12)))
    return measure_means(column, classes[:, best], 1.0)


def _report_means(name: str, means: Means, severity: Severity, evidence: Evidence) -> Finding:
    if means.is_equal:
        what = (
            f"equals the target's mean over all rows with the same value, test rows included; this "
            f"holds for {means.equal:.1%} of the values whose training rows alone have another mean"
        )
    else:
        what = (
            f"contains the labels of held-out rows: among {means.values:,} of its values, where "
            f"the training rows' labels are above the value, the other rows' labels are below it "
            f"({-means.z:.1f} standard errors)"
        )
    config = evidence.suggest_without(name)
    return Finding("label_mean", severity, name, what, asdict(means), config)
