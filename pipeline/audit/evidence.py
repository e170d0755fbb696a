"""Evidence that the checks inspect: one scan of a run's rows, and its features refitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audit import suggestion
from pipeline.audit.finding import Finding
from pipeline.audit.scan import SPAN, Scan, hash_rows
from pipeline.config.model import Split
from pipeline.device import cpu
from pipeline.evaluate import univariate
from pipeline.evaluate.univariate import Labels, Score
from pipeline.features.engine.fit import FittedPlan
from pipeline.features.engine.lineage import Lineage, find_derived_features, find_target_encodings
from pipeline.features.op import Op
from pipeline.matrix import Matrix, Target
from pipeline.schema import LABEL, SET, TEST, TRAIN, VALID, Schema

Array = NDArray[Any]


@dataclass(frozen=True)
class CheckResult:
    """Result of a check."""

    check: str
    summary: str
    """One line: the data inspected, and the result. ``said`` in ``audit.json``."""
    findings: Sequence[Finding] = ()
    measured: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""


@dataclass(frozen=True)
class ColumnValues:
    """A column's values in the sample's training and test rows."""

    train: Array
    """(n,) float64 numbers, missing as NaN; for a category int codes, missing as -1."""
    test: Array
    """(m,), as ``train``."""
    category: bool


@dataclass(frozen=True)
class LabeledColumn:
    """A numeric column with the labels and the sets of the sample's rows."""

    values: Array
    """float64 (n,), missing as NaN."""
    label: Array
    """float64 (n,)."""
    set: Array
    """int (n,): positions in `SETS`."""


@dataclass(frozen=True)
class Evidence:
    """The evidence of one run."""

    split: Split
    target: Target
    source: Schema
    """All columns of the data, the target's marked."""
    scan: Scan
    plan: FittedPlan
    """Features fitted on the sample's training rows."""
    train: Matrix
    """Matrix of the sample's training rows; ``test`` and ``valid`` likewise."""
    test: Matrix
    valid: Matrix | None
    lineage: Lineage
    chosen_ops: Sequence[Op] | None
    """The automatically chosen ops; None if the config has ``features:``."""
    hash_bound: int = SPAN
    """`ScanSpec.hash_bound` of the scan; `SPAN`: the contents of all rows were compared."""

    # -- values of columns -------------------------------------------------------------------------

    def get_feature(self, name: str) -> ColumnValues:
        """Return a column of the matrix."""
        at = self.plan.names.index(name)
        train, test = self.train.x[:, at], self.test.x[:, at]
        if self.plan.features[at].kind != "c":
            return ColumnValues(train.astype("float64"), test.astype("float64"), False)
        # The matrix stores categories from 1 on, and 0 for a missing one.
        return ColumnValues(train.astype("int64") - 1, test.astype("int64") - 1, True)

    def get_column(self, name: str) -> ColumnValues:
        """Return a column of the data."""
        if self.source[name].kind == "text":
            return self.get_codes(name)
        values = cpu.to_floats(self.scan.sample[name])
        return ColumnValues(values[self._sets == TRAIN], values[self._sets == TEST], False)

    def get_codes(self, name: str) -> ColumnValues:
        """Return a column of the data as int64 codes, -1 where missing, whatever its type."""
        codes, values = cpu.to_codes(self.scan.sample[name])
        # Positions among the sorted values do not depend on how the rows were partitioned.
        place = np.append(np.argsort(np.argsort(values)), -1)
        codes = place[codes].astype("int64")
        return ColumnValues(codes[self._sets == TRAIN], codes[self._sets == TEST], True)

    def get_labeled_column(self, name: str) -> LabeledColumn:
        """Return one of `numeric_columns`, in all sets."""
        sample = self.scan.sample
        if name in sample:
            values, label = cpu.to_floats(sample[name]), cpu.to_floats(sample[LABEL])
            return LabeledColumn(values, label, self._sets)
        at = self.plan.names.index(name)
        sets = ((TRAIN, self.train), (VALID, self.valid), (TEST, self.test))
        matrices = [(number, matrix) for number, matrix in sets if matrix is not None]
        return LabeledColumn(
            np.concatenate([m.x[:, at].astype("float64") for _, m in matrices]),
            np.concatenate([np.asarray(m.label, "float64") for _, m in matrices]),
            np.concatenate([np.full(len(m.ids), number) for number, m in matrices]),
        )

    @cached_property
    def _sets(self) -> Array:
        return cpu.to_arrays(self.scan.sample[SET])[0]

    @cached_property
    def row_hashes(self) -> tuple[Array, Array]:
        """uint64 (n,): hashes of the sample's rows over `input_columns`; (n,): their sets."""
        return hash_rows(self.scan.sample, self.input_columns, cpu), self._sets

    # -- names of columns --------------------------------------------------------------------------

    @cached_property
    def input_columns(self) -> list[str]:
        """Columns of the data that the features need, in order."""
        needed = set(self.plan.needed)
        return [n for n in self.source.names if n in needed and n in self.scan.sample]

    @cached_property
    def numeric_columns(self) -> list[str]:
        """Numeric columns of the data that the models use, then computed and joined ones.

        The run's own target encodings are left out.
        """
        inputs = [n for n in self.input_columns if self.source[n].kind == "numeric"]
        encodings = find_target_encodings(self.plan)
        computed = [
            f.name
            for f in self.plan.features
            if f.kind != "c" and f.name not in encodings and f.name not in self.scan.sample
        ]
        return [*inputs, *computed]

    @cached_property
    def used_columns(self) -> list[str]:
        """Columns that the matrix comes from: those of the data in order, then joined ones."""
        used = set().union(*self.lineage.values())
        return [n for n in self.source.names if n in used] + sorted(used - set(self.source.names))

    def find_time_column(self, name: str) -> str | None:
        """Return the column of times that a column of the matrix comes from alone, if any."""
        (first, *others) = self.lineage[name]
        is_time = not others and first in self.source and self.source[first].kind == "datetime"
        return first if is_time else None

    # -- scores ------------------------------------------------------------------------------------

    @cached_property
    def labels(self) -> Labels:
        """Labels of the sample."""
        train, test = (np.asarray(m.label, "float64") for m in (self.train, self.test))
        return univariate.group_labels(train, test, self.target)

    @cached_property
    def scores(self) -> Mapping[str, Score]:
        """Score of each column of the matrix alone, as far as it could be computed."""
        scores = {f.name: self.score_values(self.get_feature(f.name)) for f in self.plan.features}
        return {name: score for name, score in scores.items() if score is not None}

    def score_values(self, values: ColumnValues) -> Score | None:
        """Score values alone."""
        return univariate.score_column(
            values.train, values.test, self.labels, category=values.category
        )

    def find_best_score(self, column: str) -> Score | None:
        """Return the highest score of the matrix's columns that come from a source column."""
        features = find_derived_features(column, self.lineage)
        scores = [self.scores[n] for n in features if n in self.scores]
        return max(scores, key=lambda score: score.value, default=None)

    # -- suggestions -------------------------------------------------------------------------------

    def suggest_without(self, column: str) -> str:
        """Suggest the line of config that removes all features that come from a source column."""
        return self.suggest_drop(find_derived_features(column, self.lineage))

    def suggest_drop(self, names: Sequence[str]) -> str:
        """Suggest the line that drops columns of the matrix; empty if none would remain."""
        if not names or set(names) >= set(self.plan.names):
            return ""
        return suggestion.suggest_drop(names, self.chosen_ops)

    def suggest_split(self, by: str, column: str) -> str:
        """Suggest the line of config that splits the rows by another column."""
        return suggestion.suggest_split(self.split, by, column)
