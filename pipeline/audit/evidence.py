"""What the checks look at: a run's rows as they were seen in one pass, and its fitted features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.audit import suggestion, univariate
from pipeline.audit.finding import Finding
from pipeline.audit.lineage import Lineage, encoded, features_of
from pipeline.audit.scan import Look, hash_rows
from pipeline.audit.univariate import Labels, Score
from pipeline.config.model import Split
from pipeline.device import cpu
from pipeline.features.engine.fit import FittedPlan
from pipeline.features.op import Op
from pipeline.matrix import Matrix, Target
from pipeline.schema import LABEL, SET, TEST, TRAIN, VALID, Schema

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
class Labeled:
    """A numeric column, the labels and the sets of the sample's rows."""

    values: Array
    """float64 (n,), missing as NaN."""
    label: Array
    """float64 (n,)."""
    set: Array
    """int (n,): positions in `SETS`."""


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
    """Of the sample; ``test`` and ``valid`` likewise."""
    test: Matrix
    valid: Matrix | None
    made_of: Lineage
    chosen: Sequence[Op] | None
    """The ops where the config names none."""

    @cached_property
    def labels(self) -> Labels:
        """Of the sample."""
        train, test = (np.asarray(m.label, "float64") for m in (self.train, self.test))
        return univariate.labels_of(train, test, self.target)

    @cached_property
    def scores(self) -> Mapping[str, Score]:
        """By column of the matrix: its worth alone."""
        found = {f.name: self.score(self.feature(f.name)) for f in self.plan.features}
        return {name: score for name, score in found.items() if score is not None}

    def score(self, values: Values) -> Score | None:
        """The worth of values alone."""
        return univariate.score(values.train, values.test, self.labels, category=values.category)

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
        values = _codes(column) if category else cpu.to_floats(column)
        return Values(values[sets == TRAIN], values[sets == TEST], category)

    def codes(self, name: str) -> Values:
        """A column of the data as codes, whatever its type."""
        codes, sets = _codes(self.look.sample[name]), self._sets
        return Values(codes[sets == TRAIN], codes[sets == TEST], True)

    @cached_property
    def _sets(self) -> Array:
        return cpu.to_arrays(self.look.sample[SET])[0]

    @cached_property
    def inputs(self) -> list[str]:
        """The columns of the data that the features need, in order."""
        needed = set(self.plan.needed)
        return [n for n in self.source.names if n in needed and n in self.look.sample]

    @cached_property
    def hashes(self) -> tuple[Array, Array]:
        """uint64: the content of `inputs` in the sample's rows, and the sets of the rows."""
        return hash_rows(self.look.sample, self.inputs, cpu), self._sets

    @cached_property
    def numbers(self) -> list[str]:
        """The numeric columns of the data that models use, then those that are made or joined.

        The target's means that the features make themselves are left out.
        """
        own = [n for n in self.inputs if self.source[n].kind == "numeric"]
        means = encoded(self.plan)
        made = [
            f.name for f in self.plan.features
            if f.kind != "c" and f.name not in means and f.name not in self.look.sample
        ]  # fmt: skip
        return [*own, *made]

    def labeled(self, name: str) -> Labeled:
        """One of `numbers`, in all sets."""
        sample = self.look.sample
        if name in sample:
            return Labeled(cpu.to_floats(sample[name]), cpu.to_floats(sample[LABEL]), self._sets)
        at = self.plan.names.index(name)
        parts = [(n, m) for n, m in ((TRAIN, self.train), (VALID, self.valid), (TEST, self.test))
                 if m is not None]  # fmt: skip
        return Labeled(
            np.concatenate([m.x[:, at].astype("float64") for _, m in parts]),
            np.concatenate([np.asarray(m.label, "float64") for _, m in parts]),
            np.concatenate([np.full(len(m.ids), n) for n, m in parts]),
        )

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
        return suggestion.without(names, self.chosen)

    def split_by(self, by: str, column: str) -> str:
        """The line that divides the rows in another way."""
        return suggestion.split_by(self.split, by, column)


def _codes(series: pd.Series) -> Array:
    """int64 (n,): positions among the sorted values, -1 where missing: whatever the partitions."""
    codes, values = cpu.to_codes(series)
    place = np.append(np.argsort(np.argsort(values)), -1)
    found: Array = place[codes].astype("int64")
    return found
