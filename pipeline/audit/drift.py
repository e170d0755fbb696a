"""Whether a column's values are distributed among the test rows as among the training rows: PSI.

The population stability index is ``sum((q - p) * log(q / p))`` over bins, with p and q the shares
of the training and the test rows. 0.1 and 0.25 are the usual limits (N. Siddiqi, "Credit Risk
Scorecards", Wiley 2006). Two samples of one distribution have a PSI too: it is about
``(1/n + 1/m)`` times a chi-squared variable with one degree of freedom less than bins (B. Yurdakul,
J. Naranjo, "Statistical properties of the population stability index", Journal of Risk Model
Validation 14(4), 2020). A PSI below the 99.9 % quantile of that is chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SOME, MUCH = 0.1, 0.25
LEVELS = 20
"""Categories that are a bin each, the training rows' most frequent; the rest are one."""
CHANCE = 0.001
ERRORS = 3
HALF = 0.5
"""Rows that every bin has in addition, so that an empty one has a logarithm."""


@dataclass(frozen=True)
class Drift:
    """A column's."""

    psi: float
    chance: float
    """The PSI that 99.9 % of pairs of samples of one distribution stay below."""
    facts: Mapping[str, Any]
    """What else was measured."""
    new: float = 0.0
    """The share of the test rows with a category that no training row has, beyond what is to be
    expected: that of the training rows whose category no other one has (I. J. Good, "The population
    frequencies of species", Biometrika 40, 1953), and `ERRORS` of its standard errors."""

    @property
    def level(self) -> Literal["", "some", "much"]:
        """By PSI, where it is no chance, or by new categories; the limits are the same."""
        worth = max(self.psi if self.psi > self.chance else 0.0, self.new)
        if worth < SOME:
            return ""
        return "much" if worth >= MUCH else "some"


def of_numbers(train: Array, test: Array) -> Drift:
    """Bins between the training rows' deciles, and one for missing values.

    Args:
        train: float64 (n,), missing as NaN; ``test``: (m,).
    """
    known = np.sort(train[~np.isnan(train)])
    at = (len(known) * np.arange(1, 10)) // 10
    edges = np.unique(known[at]) if len(known) else known
    before, after = (_counted(_bins(v, edges), len(edges) + 2) for v in (train, test))
    beyond = 0
    if len(known):
        with np.errstate(invalid="ignore"):
            beyond = int(((test < known[0]) | (test > known[-1])).sum())
    facts = {
        "missing_train": int(np.isnan(train).sum()), "missing_test": int(np.isnan(test).sum()),
        "beyond_train": beyond,
    }  # fmt: skip
    return _drift(before, after, facts)


def _bins(values: Array, edges: Array) -> Array:
    return np.where(np.isnan(values), 0, 1 + np.searchsorted(edges, values, side="right"))


def of_codes(train: Array, test: Array) -> Drift:
    """Bins of the training rows' most frequent codes, of all others, and of missing ones.

    Args:
        train: int (n,), missing as -1; ``test``: (m,), of the same values.
    """
    size = int(max(train.max(initial=-1), test.max(initial=-1))) + 1
    rows = np.bincount(train[train >= 0], minlength=size)
    frequent = np.argsort(-rows, kind="stable")[:LEVELS]
    place = np.ones(size + 1, dtype="int64")  # 0 missing, 1 other, 2… the frequent ones
    place[frequent] = 2 + np.arange(len(frequent))
    place[-1] = 0  # of code -1
    before, after = (_counted(place[codes], 2 + LEVELS) for codes in (train, test))
    unseen = int((rows[test[test >= 0]] == 0).sum())
    facts = {
        "missing_train": int(before[0]), "missing_test": int(after[0]), "unseen": unseen,
        "values": int((rows > 0).sum()),
    }  # fmt: skip
    n, m = max(len(train), 1), max(len(test), 1)
    alone = int((rows == 1).sum()) / n
    error = float(np.sqrt(alone * (1 - alone) / m + alone / n)) + 1 / m
    found = _drift(before, after, facts)
    return replace(found, new=round(max(unseen / m - alone - ERRORS * error, 0.0), 4))


def _counted(bins: Array, size: int) -> Array:
    return np.bincount(bins, minlength=size)


def _drift(train: Array, test: Array, facts: Mapping[str, Any]) -> Drift:
    from scipy.special import chdtri

    used = (train + test) > 0
    bins = int(used.sum())
    n, m = int(train.sum()), int(test.sum())
    if bins < 2 or not n or not m:
        return Drift(0.0, 0.0, facts)
    p, q = ((c[used] + HALF) / (c[used] + HALF).sum() for c in (train, test))
    psi = float(((q - p) * np.log(q / p)).sum())
    chance = float(chdtri(bins - 1, CHANCE)) * (1 / n + 1 / m)
    return Drift(round(psi, 4), round(chance, 4), facts)
