"""What the checks look at: a run's rows as they were seen in one pass, and its fitted features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.columns import SET, TEST, TRAIN, Schema
from pipeline.config.model import Split
from pipeline.device import cpu
from pipeline.evaluate.audit import alone, proposal
from pipeline.evaluate.audit.alone import Labels, Score
from pipeline.evaluate.audit.finding import Finding
from pipeline.evaluate.audit.lineage import Lineage, features_of
from pipeline.evaluate.audit.look import Look
from pipeline.features.fit import FittedPlan
from pipeline.features.op import Op
from pipeline.matrix import Matrix, Target

Array = NDArray[Any]


@dataclass(frozen=True)
class Checked:
    """What a check says."""

    check: str
    said: str
    """What was looked at, and what came of it."""
    findings: Sequence[Finding] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""


@dataclass(frozen=True)
class Values:
    """A column's values of the sample's training and test rows."""

    train: Array
    """float64 (n,), missing as NaN; of a category int codes, missing as -1. ``test``: (m,)."""
    test: Array
    category: bool


@dataclass(frozen=True)
class Facts:
    """Of one run, or one that might be."""

    split: Split
    target: Target
    source: Schema
    """All columns of the data, the target's marked."""
    look: Look
    plan: FittedPlan
    """Fitted on the sample's training rows."""
    train: Matrix
    """Of the sample; ``test`` likewise."""
    test: Matrix
    made_of: Lineage
    chosen: Sequence[Op] | None
    """The ops where the config names none."""

    @cached_property
    def labels(self) -> Labels:
        """Of the sample."""
        train, test = (np.asarray(m.label, "float64") for m in (self.train, self.test))
        return alone.labels_of(train, test, self.target)

    @cached_property
    def scores(self) -> Mapping[str, Score]:
        """By column of the matrix: its worth alone."""
        found = {f.name: self.score(self.feature(f.name)) for f in self.plan.features}
        return {name: score for name, score in found.items() if score is not None}

    def score(self, values: Values) -> Score | None:
        """The worth of values alone."""
        return alone.score(values.train, values.test, self.labels, category=values.category)

    def feature(self, name: str) -> Values:
        """A column of the matrix."""
        at = self.plan.names.index(name)
        train, test = self.train.x[:, at], self.test.x[:, at]
        if self.plan.features[at].kind != "c":
            return Values(train.astype("float64"), test.astype("float64"), False)
        return Values(train.astype("int64") - 1, test.astype("int64") - 1, True)

    def column(self, name: str) -> Values:
        """A column of the data."""
        column, sets = self.look.sample[name], self._sets
        category = self.source[name].kind == "text"
        values = _codes(column) if category else cpu.floats(column)
        return Values(values[sets == TRAIN], values[sets == TEST], category)

    def codes(self, name: str) -> Values:
        """A column of the data as codes, whatever its type."""
        codes, sets = _codes(self.look.sample[name]), self._sets
        return Values(codes[sets == TRAIN], codes[sets == TEST], True)

    @cached_property
    def _sets(self) -> Array:
        return cpu.arrays(self.look.sample[SET])[0]

    @cached_property
    def used(self) -> list[str]:
        """The columns, of the data or joined, that the models' columns are made of; in order."""
        found = set().union(*self.made_of.values())
        return [n for n in self.source.names if n in found] + sorted(found - set(self.source.names))

    def best(self, column: str) -> Score | None:
        """Of the matrix's columns that are made of a column, the highest score."""
        own = [self.scores[n] for n in features_of(column, self.made_of) if n in self.scores]
        return max(own, key=lambda score: score.value, default=None)

    def time_of(self, name: str) -> str | None:
        """The one column of times that a column of the matrix is made of; None if of others."""
        (first, *others) = self.made_of[name]
        timed = not others and first in self.source and self.source[first].kind == "datetime"
        return first if timed else None

    def without(self, column: str) -> str:
        """The line of config that takes away from the models what is made of a column."""
        return self.dropped(features_of(column, self.made_of))

    def dropped(self, names: Sequence[str]) -> str:
        """The line that takes columns of the matrix away; empty where none would be left."""
        if not names or set(names) >= set(self.plan.names):
            return ""
        return proposal.without(names, self.chosen)

    def split_by(self, by: str, column: str) -> str:
        """The line that divides the rows in another way."""
        return proposal.split_by(self.split, by, column)


def _codes(series: pd.Series) -> Array:
    """int64 (n,): positions among the sorted values, -1 where missing: whatever the partitions."""
    codes, values = cpu.codes(series)
    place = np.append(np.argsort(np.argsort(values)), -1)
    found: Array = place[codes].astype("int64")
    return found
