"""Drift between training and test rows: the population stability index (PSI) of each column.

The PSI is ``sum((q - p) * log(q / p))`` over bins, with p and q the shares of the training and the
test rows. 0.1 and 0.25 are the usual limits (N. Siddiqi, "Credit Risk Scorecards", Wiley 2006).

Two samples of one distribution have a PSI above 0 too: it is about ``(1/n + 1/m)`` times a
chi-squared variable with one degree of freedom less than bins (B. Yurdakul, J. Naranjo,
"Statistical properties of the population stability index", Journal of Risk Model Validation 14(4),
2020). A PSI below the 99.9 % quantile of that is attributed to chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.finding import Finding, Severity
from pipeline.console.plural import quantify
from pipeline.features.engine.lineage import find_derived_features, find_target_encodings

Array = NDArray[Any]
SOME, MUCH = 0.1, 0.25
LEVELS = 20
"""Number of categories with a bin of their own: the most frequent ones of the training rows."""
CHANCE = 0.001
ERRORS = 3
HALF = 0.5
"""Rows added to every bin, so that an empty bin has a logarithm."""


@dataclass(frozen=True)
class Drift:
    """Difference between a column's distributions in the training and the test rows."""

    psi: float
    chance: float
    """The PSI that 99.9 % of pairs of samples of one distribution stay below."""
    details: Mapping[str, int]
    """Other counts, by their key in ``audit.json``."""
    new: float = 0.0
    """Share of the test rows whose category has no training row, beyond the share to be expected.

    Expected is the share of the training rows whose category occurs once (I. J. Good, "The
    population frequencies of species", Biometrika 40, 1953), plus `ERRORS` of its standard errors.
    """

    @property
    def level(self) -> Literal["", "some", "much"]:
        """Level by PSI, where it exceeds chance, or by new categories; the limits are the same."""
        value = max(self.psi if self.psi > self.chance else 0.0, self.new)
        if value < SOME:
            return ""
        return "much" if value >= MUCH else "some"


def check_drift(evidence: Evidence) -> CheckResult:
    """Compare the distributions of source columns and of computed features.

    Target encodings are skipped: they are out of fold for training rows and not for test rows.
    """
    columns = {
        name: evidence.get_column(name)
        for name in evidence.used_columns
        if name in evidence.scan.sample
    }
    encodings = find_target_encodings(evidence.plan)
    for name in evidence.plan.names:
        if name not in encodings and name not in columns:
            columns[name] = evidence.get_feature(name)
    drifts = {
        name: (measure_codes if values.category else measure_numbers)(values.train, values.test)
        for name, values in columns.items()
    }
    measured = {
        name: {"psi": drift.psi, "chance": drift.chance, "new": drift.new, **drift.details}
        for name, drift in drifts.items()
    }
    findings = []
    for name, drift in drifts.items():
        if not drift.level:
            continue
        what = f"PSI {drift.psi:.3f} between training and test rows"
        if drift.new >= SOME:
            unseen = drift.details["unseen"]
            what += f", and {unseen:,} test rows have a value without training rows"
        elif beyond := drift.details.get("beyond_train"):
            what += f"; {beyond:,} test rows are outside the range of the training rows"
        severity: Severity = "warn" if drift.level == "much" else "info"
        config = ""
        if name == evidence.split.column:
            # A split by time or by a column makes that column drift by design.
            severity = "info"
            what += "; the split is by this column"
        else:
            in_matrix = name in evidence.plan.names
            features = [name] if in_matrix else find_derived_features(name, evidence.lineage)
            config = evidence.suggest_drop(features)
        findings.append(Finding("drift", severity, name, what, measured[name], config))
    summary = (
        f"{quantify(len(drifts), 'column')}, {len(findings):,} of them with a PSI of {SOME} or more"
    )
    return CheckResult("drift", summary, findings, measured)


def measure_numbers(train: Array, test: Array) -> Drift:
    """Compare numbers in bins between the training rows' deciles, and a bin for missing values.

    Args:
        train: float64 (n,), missing as NaN.
        test: float64 (m,), missing as NaN.
    """
    present = np.sort(train[~np.isnan(train)])
    edges = np.unique(present[(len(present) * np.arange(1, 10)) // 10]) if len(present) else present
    # Bin 0 is that of missing values: whether a value is missing may drift as well.
    bins = (
        np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, side="right"))
        for values in (train, test)
    )
    train_rows, test_rows = (np.bincount(numbers, minlength=len(edges) + 2) for numbers in bins)
    beyond = 0
    if len(present):
        with np.errstate(invalid="ignore"):
            beyond = int(((test < present[0]) | (test > present[-1])).sum())
    details = {
        "missing_train": int(np.isnan(train).sum()),
        "missing_test": int(np.isnan(test).sum()),
        "beyond_train": beyond,
    }
    return _compare_counts(train_rows, test_rows, details)


def measure_codes(train: Array, test: Array) -> Drift:
    """Compare categories: bins of the most frequent ones, of all others, and of missing values.

    Args:
        train: int (n,) codes, missing as -1.
        test: int (m,) codes of the same categories.
    """
    size = int(max(train.max(initial=-1), test.max(initial=-1))) + 1
    rows = np.bincount(train[train >= 0], minlength=size)
    frequent = np.argsort(-rows, kind="stable")[:LEVELS]
    # Bin 0 is for missing values, 1 for rare categories, 2 and up for the frequent ones. The last
    # place of the table is that of code -1, by numpy's indexing from the end.
    bin_of_code = np.ones(size + 1, dtype="int64")
    bin_of_code[frequent] = 2 + np.arange(len(frequent))
    bin_of_code[-1] = 0
    train_rows, test_rows = (
        np.bincount(bin_of_code[codes], minlength=2 + LEVELS) for codes in (train, test)
    )
    unseen = int((rows[test[test >= 0]] == 0).sum())
    details = {
        "missing_train": int(train_rows[0]),
        "missing_test": int(test_rows[0]),
        "unseen": unseen,
        "values": int((rows > 0).sum()),
    }
    n, m = max(len(train), 1), max(len(test), 1)
    once = int((rows == 1).sum()) / n
    error = float(np.sqrt(once * (1 - once) / m + once / n)) + 1 / m
    drift = _compare_counts(train_rows, test_rows, details)
    return replace(drift, new=round(max(unseen / m - once - ERRORS * error, 0.0), 4))


def _compare_counts(train: Array, test: Array, details: Mapping[str, int]) -> Drift:
    """Compute the PSI of rows by bin, and the PSI that chance explains."""
    from scipy.special import chdtri

    used = (train + test) > 0
    bins = int(used.sum())
    n, m = int(train.sum()), int(test.sum())
    if bins < 2 or not n or not m:
        return Drift(0.0, 0.0, details)
    p, q = ((rows[used] + HALF) / (rows[used] + HALF).sum() for rows in (train, test))
    psi = float(((q - p) * np.log(q / p)).sum())
    chance = float(chdtri(bins - 1, CHANCE)) * (1 / n + 1 / m)
    return Drift(round(psi, 4), round(chance, 4), details)
