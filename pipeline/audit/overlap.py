"""Overlap of training and test set: rows in both, and entities with rows in both."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.evidence import CheckResult, Evidence
from pipeline.audit.finding import Finding, Severity
from pipeline.audit.likeness import Likeness, compare_labels, rank_labels
from pipeline.audit.scan import SPAN, RowHashes
from pipeline.audit.suspicious_names import is_entity_name
from pipeline.console.plural import quantify
from pipeline.evaluate import univariate
from pipeline.evaluate.univariate import Score
from pipeline.matrix import Task
from pipeline.schema import TEST, TRAIN

Array = NDArray[Any]
SOME, MANY = 0.01, 0.05
"""Shares of the test rows that are also in training: reported from the first on, may fail from the
second on."""
COPIES = 0.1
"""Equal rows are copies if their labels' variance is below this share of all labels' variance."""
ALIKE, ERRORS = 0.5, 4.0
"""A number is an identifier if labels of equal numbers vary less than this share of those of
neighbouring numbers, by at least so many standard errors."""
ENTITIES = 20
"""Columns with fewer values are categories, whose values will recur in any new data."""


# -- rows ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DuplicateRows:
    """Number of test rows that duplicate a training row."""

    test: int
    """Test rows that were compared."""
    features: int
    """Test rows with the features of a training row."""
    both: int
    """Test rows with the features and the label of a training row."""
    repeated: float
    """Share of training rows whose features another training row has."""
    spread: float | None
    """Variance of labels of training rows with equal features, divided by the variance of all.

    Copies of a row have equal labels; rows that are equal by chance do not. None: no two training
    rows are equal.
    """


def check_rows(evidence: Evidence) -> CheckResult:
    """Search for test rows with the features and the label of a training row."""
    rows = count_duplicates(evidence.scan.contents, evidence.target.task)
    share = rows.both / max(rows.test, 1)
    measured = {
        **asdict(rows),
        "share": round(share, 6),
        "compared": round(evidence.hash_bound / SPAN, 6),
    }
    summary = (
        f"{rows.both:,} of {rows.test:,} test rows have the features and the label of a training "
        f"row, and {rows.features:,} have the features"
    )
    if share < SOME:
        return CheckResult("rows", summary, (), measured)
    # Rows of few categories are equal by chance: only copies, whose labels agree, are an error. In
    # a time split, a later row may rightly repeat an earlier one.
    copied = rows.spread is not None and rows.spread < COPIES
    severity: Severity = "warn"
    if share >= MANY and copied and evidence.split.by != "time":
        severity = "fail"
    what = f"{share:.1%} of the test rows are also in the training set, label included"
    if rows.spread is not None:
        what += f"; labels of equal training rows differ {rows.spread:.0%} as much as all labels"
    # Equal rows share the value of every column: the one with the most values may separate them.
    config, sample = "", evidence.scan.sample
    complete = [n for n in evidence.plan.needed if n in sample and not sample[n].isna().any()]
    if complete and evidence.split.by != "time":
        column = max(complete, key=lambda name: sample[name].nunique())
        if sample[column].nunique() >= ENTITIES:
            config = evidence.suggest_split("group", column)
    finding = Finding("rows", severity, "", what, measured, config)
    return CheckResult("rows", summary, [finding], measured)


def count_duplicates(rows: RowHashes, task: Task) -> DuplicateRows:
    """Compare rows by their hashes."""
    train, test = rows.set == TRAIN, rows.set == TEST
    # Adding 0.0 turns a label of -0.0 into 0.0, which has other bits and is equal.
    labelled: Array = (rows.hash ^ (rows.label + 0.0).view("uint64")) * np.uint64(
        0xD6E8FEB86659FD93
    )
    labelled ^= labelled >> np.uint64(32)
    same = _is_among(rows.hash[test], np.unique(rows.hash[train]))
    both = _is_among(labelled[test], np.unique(labelled[train]))
    counts = int(test.sum()), int(same.sum()), int((same & both).sum())
    _, group, sizes = np.unique(rows.hash[train], return_inverse=True, return_counts=True)
    several = sizes[group] > 1
    if not several.any():
        return DuplicateRows(*counts, 0.0, None)
    # The variance of labels within groups of equal rows shows whether the rows are copies.
    _, group = np.unique(group[several], return_inverse=True)
    labels = rows.label[train][several]
    n = np.bincount(group).astype("float64")
    values = labels[:, None] if task == "regression" else labels[:, None] == np.unique(labels)
    within = total = 0.0
    for column in values.T.astype("float64"):
        mean = np.bincount(group, column) / n
        within += float((np.bincount(group, (column - mean[group]) ** 2) * n / (n - 1)).sum())
        total += float(((column - column.mean()) ** 2).sum())
    return DuplicateRows(*counts, float(several.mean()), within / total if total else 0.0)


def _is_among(values: Array, among: Array) -> Array:
    """Return bool (n,): which values are among the sorted values of ``among``."""
    if not len(among):
        return np.zeros(len(values), dtype=bool)
    at = np.minimum(np.searchsorted(among, values), len(among) - 1)
    is_among: Array = among[at] == values
    return is_among


# -- entities --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SharedEntities:
    """Entities of a column that have rows in both sets."""

    train: int
    """Distinct entities among the training rows."""
    test: int
    """Distinct entities among the test rows."""
    both: int
    rows: int
    """Test rows whose entity has training rows."""
    of: int
    """Test rows that have an entity."""
    per_entity: float
    """Training rows per entity."""


@dataclass(frozen=True)
class NumericIdentifier:
    """A numeric column whose values identify entities."""

    name: str
    likeness: Likeness
    score: Score
    rows: int
    """Test rows whose value has training rows."""
    share: float
    """The same as a share of all test rows."""

    @property
    def measured(self) -> dict[str, Any]:
        """JSON values of a finding."""
        scored = {"rows": self.rows, "share": round(self.share, 6), "score": self.score.value}
        return asdict(self.likeness) | scored


def check_entities(evidence: Evidence) -> CheckResult:
    """Search for people or things with rows in both sets, by columns that may identify them."""
    findings: list[Finding] = []
    measured: dict[str, Any] = {}
    for name, values in evidence.scan.entities.items():
        entities = count_shared_entities(values, evidence.scan.entity_rows[name])
        measured[name] = asdict(entities)
        if entities.train < ENTITIES or not entities.both or entities.per_entity < 1.01:
            continue
        if finding := _check_entity_column(name, entities, evidence):
            findings.append(finding)
    identifiers = _find_numeric_identifiers(evidence)
    if identifiers:
        findings.append(_report_identifiers(identifiers, evidence))
    measured |= {identifier.name: identifier.measured for identifier in identifiers}
    summary = f"{quantify(len(measured), 'column')} that may identify entities"
    return CheckResult("entities", summary, findings, measured)


def count_shared_entities(values: Array, rows: Array) -> SharedEntities:
    """Count entities from `Scan.entities` and `Scan.entity_rows` of a column."""
    entity, sets = values // 4, values % 4
    train, test = entity[sets == TRAIN], entity[sets == TEST]
    # ``values`` are sorted, and so are the entities of each set.
    both = _is_among(test, train)
    test_rows = rows[sets == TEST]
    return SharedEntities(
        len(train),
        len(test),
        int(both.sum()),
        int(test_rows[both].sum()),
        int(test_rows.sum()),
        float(rows[sets == TRAIN].sum()) / max(len(train), 1),
    )


def _check_entity_column(name: str, entities: SharedEntities, evidence: Evidence) -> Finding | None:
    score = evidence.score_values(evidence.get_codes(name))
    strength = "" if score is None else score.strength
    named = is_entity_name(name)
    if not named and (not strength or evidence.split.by == "time"):
        return None
    severity: Severity = "warn"
    if evidence.split.by == "time":
        # New data will bring later rows of the same entities, as the test set does.
        severity = "info"
    elif strength == "decisive" or (named and strength == "strong"):
        severity = "fail"
    share = entities.rows / max(entities.of, 1)
    what = (
        f"{entities.both:,} of its {entities.test:,} values in the test set are in the training "
        f"set too: {share:.1%} of the test rows, {entities.per_entity:.1f} training rows per value"
    )
    if score is not None:
        what += f"; the mean label per value alone scores {score.value:.4f}"
    config = evidence.suggest_split("group", name) if severity != "info" else ""
    measured = {**asdict(entities), "share": share}
    return Finding("entities", severity, name, what, measured, config)


def _find_numeric_identifiers(evidence: Evidence) -> list[NumericIdentifier]:
    """Find numeric columns whose values are identifiers rather than quantities, best score first.

    See `pipeline.audit.likeness` for how they are recognized.
    """
    # In a time split, new data will bring later rows of the same entities.
    if evidence.split.by == "time" or not evidence.labels.is_sufficient:
        return []
    # Rows that repeat another row's features are left out: `check_rows` reports them.
    hashes, sets = evidence.row_hashes
    _, first = np.unique(hashes, return_index=True)
    distinct = np.zeros(len(hashes), dtype=bool)
    distinct[first] = True
    labels = evidence.labels
    if labels.task == "regression":
        label = rank_labels(labels.train)[:, None]
    else:
        label = univariate.encode_indicators(labels.train, labels)
    identifiers = []
    for name in evidence.numeric_columns:
        # Columns of entities have a check of their own, whatever their type.
        if name not in evidence.scan.sample or name in evidence.scan.entities:
            continue
        if name == evidence.split.column:
            continue
        values = evidence.get_codes(name)
        used = distinct[sets == TRAIN] & (values.train >= 0)
        likeness = compare_labels(values.train[used], label[used])
        if likeness is None or likeness.values < ENTITIES:
            continue
        if likeness.ratio > ALIKE or likeness.z > -ERRORS:
            continue
        score, rows = univariate.score_known_codes(values.train, values.test, labels)
        share = rows / max(len(values.test), 1)
        if score is not None and share >= SOME:
            identifiers.append(NumericIdentifier(name, likeness, score, rows, share))
    return sorted(identifiers, key=lambda i: -i.score.value)


def _report_identifiers(identifiers: list[NumericIdentifier], evidence: Evidence) -> Finding:
    # One finding for all: several columns may identify the same entities.
    best, others = identifiers[0], [identifier.name for identifier in identifiers[1:]]
    is_certain = best.score.strength == "decisive" and best.likeness.ratio < COPIES
    has_rows = evidence.labels.is_conclusive and best.rows >= univariate.ENOUGH
    severity: Severity = "fail" if is_certain and best.share >= MANY and has_rows else "warn"
    what = (
        f"its numbers are identifiers: labels of training rows with the same number vary "
        f"{best.likeness.ratio:.0%} as much as those with the next numbers; {best.share:.1%} of "
        f"the test rows have a number of the training set, and its mean label scores "
        f"{best.score.value:.4f} on them"
    )
    if others:
        what += f"; the same holds for {', '.join(others)}"
    config = evidence.suggest_split("group", best.name)
    measured = {**best.measured, "others": others}
    return Finding("entities", severity, best.name, what, measured, config)
