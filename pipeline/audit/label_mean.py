"""Target means: columns with the mean of the target per entity, computed over test rows too.

The entity's column is not needed. Let a column hold the mean label of each entity over all rows, or
a linear function of it. Then the labels of all rows with one value v have exactly the mean v: where
the training rows' labels are below it, the other rows' labels are above it.

For a column that was known beforehand, the residuals of training and of other rows with one value
have the same sign or are independent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.evidence import CheckResult, Evidence, LabeledColumn
from pipeline.audit.finding import Finding, Severity
from pipeline.evaluate import univariate
from pipeline.schema import TRAIN

Array = np.ndarray
CLOSE = 1e-6
"""Tolerance within which a mean equals the column's value, in the label's standard deviations."""
EQUAL = 0.95
"""Minimum share of the values that must be equal."""
CHANCE, CERTAIN_CHANCE = -3.0, -5.0
"""Logarithm to base 10 of the probability that so many means are equal by accident: the maximum for
a warning, and to fail."""
ERRORS = 4.5
"""Standard errors of the covariance from which on a column is reported; the maximum over 3,000
columns of tables without a leak was 3.6 (benchmarks/audit_power.py)."""
CERTAIN = 12.0
"""Standard errors from which on a column fails if it is the mean itself."""
FITTED = 2
"""Number of values that any straight line passes through."""
VALUES = 50
"""Minimum number of values for a covariance."""
EXPLAINED = 0.01
"""Minimum share of the label's variance that the column must explain.

Groups whose labels have a fixed sum (one winner per race) have a negative covariance too. A column
that explains nothing did not cause it, nor an exact mean that is the same for all values.
"""
PLAIN = 0.05
"""Tolerance within which a slope of 1 is that of the mean itself."""


@dataclass(frozen=True)
class Means:
    """Statistics of the labels by value of one column."""

    values: int
    """Number of values with training and other rows."""
    equal: float
    """Share of the values with an equal mean, among those whose training rows have another mean."""
    chance: float
    """Logarithm to base 10 of the probability of that if the other rows' labels were not used."""
    z: float
    """Covariance of training and other rows' residuals in standard errors; 0 below `VALUES`."""
    slope: float
    """Slope of the label on the column."""
    explained: float
    """Share of the label's variance that the line explains."""

    @property
    def is_equal(self) -> bool:
        """True if the column's values are the means of all rows, and not by chance."""
        return self.equal >= EQUAL and self.chance <= CHANCE

    @property
    def severity(self) -> Severity | None:
        """Severity of the finding; None without one."""
        if self.explained < EXPLAINED:
            return None
        if self.is_equal:
            return "fail" if self.chance <= CERTAIN_CHANCE else "warn"
        if self.z > -ERRORS:
            return None
        return "fail" if abs(self.slope - 1) < PLAIN and self.z < -CERTAIN else "warn"


@dataclass(frozen=True)
class _Groups:
    """Rows grouped by value, with arrays (k,) of the values that have training and other rows."""

    at: NDArray[np.int64]
    """(n,): the position of each row's value among all values."""
    train: NDArray[np.bool_]
    """(n,)."""
    both: NDArray[np.bool_]
    """Mask over all values: those with training and other rows."""
    rows: Array
    others: Array
    """Number of rows that do not train."""

    @classmethod
    def count(cls, at: NDArray[np.int64], train: NDArray[np.bool_]) -> _Groups:
        """Count the rows."""
        rows = np.bincount(at).astype("float64")
        train_rows = np.bincount(at, train.astype("float64"))
        both = (train_rows > 0) & (train_rows < rows)
        return cls(at, train, both, rows[both], (rows - train_rows)[both])

    def sum_residuals(self, residual: Array) -> tuple[Array, Array]:
        """Sum the residuals of training rows, and of other rows."""
        train = np.bincount(self.at, residual * self.train)[self.both]
        return train, np.bincount(self.at, residual * ~self.train)[self.both]

    def compute_covariance(self, residual: Array) -> float:
        """Return the covariance of both sums in standard errors; 0 for fewer than `VALUES`."""
        if len(self.rows) < VALUES:
            return 0.0
        train, others = self.sum_residuals(residual)
        products = train * others / self.rows
        error = float(np.sqrt((products**2).sum()))
        return round(float(products.sum()) / error, 2) if error else 0.0


def measure_means(column: LabeledColumn, label: Array, unit: float) -> Means | None:
    """Compare each value of a column with the mean label of its rows.

    Args:
        column: the column's values and sets.
        label: float64 (n,), a number or an indicator.
        unit: the smallest difference of two labels, 0 for real numbers.

    Returns:
        None if no value has both training and other rows.
    """
    is_finite = np.isfinite(column.values)
    values, y = column.values[is_finite], label[is_finite]
    train = column.set[is_finite] == TRAIN
    # The line allows for a column that is the mean in other units, such as percent.
    line = _fit_line(values, y)
    if line is None:
        return None
    slope, residual = line
    distinct, at = np.unique(values, return_inverse=True)
    groups = _Groups.count(at, train)
    if not groups.both.any():
        return None
    train_sums, other_sums = groups.sum_residuals(residual)
    # A column that was rounded equals the mean to half a unit of its last digit.
    tolerance = CLOSE * float(y.std()) + abs(slope) * _find_unit(distinct)
    # Where the training rows alone have the mean, nothing shows whether others were used.
    informative = np.abs(train_sums) > (tolerance + CLOSE) * groups.rows
    equal = informative & (np.abs(train_sums + other_sums) <= tolerance * groups.rows)
    # The probability of an accident is the normal density of the other rows' sum, at its highest,
    # times the width of the tolerance. The values through which the line was fitted do not count.
    variance = np.bincount(at, residual**2)[groups.both] / groups.rows
    spread = np.sqrt(2 * np.pi * groups.others * variance)
    likely = np.minimum(1.0, (2 * tolerance * groups.rows + unit) / np.maximum(spread, 1e-300))
    chance = float(np.sort(np.log10(likely[equal]))[FITTED:].sum())
    share = float(equal.sum() / informative.sum()) if informative.any() else 0.0
    explained = 1 - float(residual.var()) / float(y.var())
    z = groups.compute_covariance(residual)
    if z:
        # A straight line leaves residuals of one sign if the mean was transformed.
        z = min(z, groups.compute_covariance(_fit_curve(at, y)))
    return Means(
        int(groups.both.sum()),
        round(share, 4),
        round(chance, 2),
        z,
        round(slope, 4),
        round(explained, 4),
    )


def _fit_line(values: Array, label: Array) -> tuple[float, Array] | None:
    """Return the slope of the label on the values, and the residual; None without a line."""
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
    """Return the residual of the label on a cubic in the values' ranks."""
    rows = np.bincount(at)
    rank = ((np.cumsum(rows) - rows / 2) / len(at) * 2 - 1)[at]
    curve = np.polynomial.legendre.legfit(rank, label, 3)
    residual: Array = label - np.polynomial.legendre.legval(rank, curve)
    return residual


def _find_unit(distinct: Array) -> float:
    """Return the largest power of ten down to 1e-6 that divides all values, or 0."""
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
        column, task = evidence.get_labeled_column(name), evidence.target.task
        label, unit = column.label, 1.0
        if task == "regression":
            unit = _find_unit(np.unique(label))
        elif task == "multiclass":
            # A column can hold the mean of one class only: take the class that it predicts best.
            labels = univariate.group_labels(label, label[:0], evidence.target)
            filled = np.where(np.isfinite(column.values), column.values, np.nanmean(column.values))
            classes = univariate.encode_indicators(labels.train, labels)
            centred = filled - filled.mean()
            correlation = np.abs(centred @ (classes - classes.mean(axis=0)))
            label = classes[:, int(np.argmax(correlation / (classes.std(axis=0) + 1e-12)))]
        means = measure_means(column, label, unit)
        if means is None:
            continue
        measured[name] = asdict(means)
        severity = means.severity
        if severity is None:
            continue
        if means.is_equal:
            what = (
                f"equals the target's mean over all rows with the same value, test rows included; "
                f"this holds for {means.equal:.1%} of the values whose training rows alone have "
                f"another mean"
            )
        else:
            what = (
                f"contains the labels of held-out rows: among {means.values:,} of its values, "
                f"where the training rows' labels are above the value, the other rows' labels are "
                f"below it ({-means.z:.1f} standard errors)"
            )
        config = evidence.suggest_without(name)
        findings.append(Finding("label_mean", severity, name, what, measured[name], config))
    summary = (
        f"{len(evidence.numeric_columns):,} numeric columns, {len(measured):,} of them with "
        "repeated values"
    )
    return CheckResult("label_mean", summary, findings, measured)
