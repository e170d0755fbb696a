"""The findings about rows and entities that are in the training set and in the test set."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pipeline.audit import univariate
from pipeline.audit.evidence import Checked, Facts
from pipeline.audit.finding import Finding, Severity
from pipeline.audit.likeness import Likeness, compare_labels, rank_labels
from pipeline.audit.overlap import Shared, shared, twins
from pipeline.audit.scan import SPAN
from pipeline.audit.suspicious_names import is_entity
from pipeline.audit.univariate import Score
from pipeline.schema import TRAIN

SOME, MANY = 0.01, 0.05
"""Shares of the test rows that are in training from which on it is told, and may fail."""
COPIES = 0.1
"""Labels of equal rows that spread less than this share of all labels' spread are no chance."""
ALIKE, ERRORS = 0.5, 4.0
"""Labels of rows with the same number vary less than this share of those with the next numbers, by
so many standard errors: the number is a name."""
ENTITIES = 20
"""Fewer different values are categories, which come again in any new data."""


def check_rows(facts: Facts, kept: int) -> Checked:
    """Test rows with the features, and the label, of a training row.

    Args:
        kept: of 2^32, the bound below which contents were compared (`Spec.kept`).
    """
    found = twins(facts.look.contents, facts.target.task)
    share = found.both / max(found.test, 1)
    facts_ = {**asdict(found), "share": round(share, 6), "compared": round(kept / SPAN, 6)}
    said = (
        f"{found.both:,} of {found.test:,} test rows have the features and the label of a training "
        f"row, {found.features:,} the features"
    )
    if share < SOME:
        return Checked("rows", said, (), facts_)
    copied = found.spread is not None and found.spread < COPIES
    severity: Severity = "warn"
    if share >= MANY and copied and facts.split.by != "time":
        severity = "fail"
    told = f"{share:.1%} of the test rows are in the training set too, label included"
    if found.spread is not None:
        told += f"; labels of equal training rows differ {found.spread:.0%} as much as all labels"
    finding = Finding("rows", severity, "", told, facts_, _together(facts))
    return Checked("rows", said, [finding], facts_)


def _together(facts: Facts) -> str:
    """A split by the column with the most values: equal rows share it."""
    if facts.split.by == "time":
        return ""
    sample = facts.look.sample
    whole = [n for n in facts.plan.needed if n in sample and not sample[n].isna().any()]
    if not whole:
        return ""
    column = max(whole, key=lambda name: sample[name].nunique())
    return "" if sample[column].nunique() < ENTITIES else facts.split_by("group", column)


def check_entities(facts: Facts) -> Checked:
    """Someone or something with rows in both sets, by columns that look like its name."""
    findings: list[Finding] = []
    measured: dict[str, Any] = {}
    for name, values in facts.look.entities.items():
        found = shared(values, facts.look.entity_rows[name])
        measured[name] = asdict(found)
        if found.train < ENTITIES or not found.both or found.per_entity < 1.01:
            continue
        if finding := _spans(name, found, facts):
            findings.append(finding)
    numbers = _numbers_that_name(facts)
    if numbers:
        findings.append(_named_by_number(numbers, facts))
    measured |= {n.name: n.measured for n in numbers}
    said = f"{len(measured):,} columns that may name entities"
    return Checked("entities", said, findings, measured)


def _spans(name: str, found: Shared, facts: Facts) -> Finding | None:
    """The finding about a column whose values are in both sets."""
    score, share = facts.score(facts.codes(name)), found.rows / max(found.of, 1)
    strength = "" if score is None else score.strength
    named = is_entity(name)
    if not named and (not strength or facts.split.by == "time"):
        return None
    severity: Severity = "warn"
    if facts.split.by == "time":  # later rows of the same entities are what will come
        severity = "info"
    elif strength == "alone" or (named and strength == "strong"):
        severity = "fail"
    told = (
        f"{found.both:,} of its {found.test:,} values in the test set are in the training set too:"
        f" {share:.1%} of the test rows, {found.per_entity:.1f} training rows a value"
    )
    if score is not None:
        told += f"; the label's mean by value alone scores {score.value:.4f}"
    config = facts.split_by("group", name) if severity != "info" else ""
    return Finding("entities", severity, name, told, {**asdict(found), "share": share}, config)


@dataclass(frozen=True)
class _Number:
    """A numeric column whose values name entities."""

    name: str
    likeness: Likeness
    score: Score
    rows: int
    """Test rows whose value has training rows; ``share``: of all test rows."""
    share: float

    @property
    def measured(self) -> dict[str, Any]:
        scored = {"rows": self.rows, "share": round(self.share, 6), "score": self.score.value}
        return asdict(self.likeness) | scored


def _numbers_that_name(facts: Facts) -> list[_Number]:
    """The numeric columns whose equal values share labels as their neighbours do not, best first.

    Rows that repeat another row's features are left out: `check_rows` reports those. In a time
    split, later rows of the same entities are what will come.
    """
    if facts.split.by == "time" or not facts.labels.enough:
        return []
    hashes, sets = facts.hashes
    _, first = np.unique(hashes, return_index=True)
    single = np.zeros(len(hashes), dtype=bool)
    single[first] = True
    names = [n for n in facts.numbers if n in facts.look.sample and n not in facts.look.entities]
    found = [_number(n, single[sets == TRAIN], facts) for n in names if n != facts.split.column]
    return sorted((n for n in found if n is not None), key=lambda n: -n.score.value)


def _number(name: str, single: Any, facts: Facts) -> _Number | None:
    values = facts.codes(name)
    used = single & (values.train >= 0)
    if facts.target.task == "regression":
        label = rank_labels(facts.labels.train)[:, None]
    else:
        label = univariate.indicators(facts.labels.train, facts.labels)
    likeness = compare_labels(values.train[used], label[used])
    if likeness is None or likeness.values < ENTITIES:
        return None
    if likeness.ratio > ALIKE or likeness.z > -ERRORS:
        return None
    score, rows = univariate.score_known(values.train, values.test, facts.labels)
    share = rows / max(len(values.test), 1)
    if score is None or share < SOME:
        return None
    return _Number(name, likeness, score, rows, share)


def _named_by_number(numbers: list[_Number], facts: Facts) -> Finding:
    """The finding about the column that tells most; others may follow from the same entities."""
    best, others = numbers[0], [n.name for n in numbers[1:]]
    certain = best.score.strength == "alone" and best.likeness.ratio < COPIES
    severity: Severity = "warn"
    enough = facts.labels.certain and best.rows >= univariate.ENOUGH
    if certain and best.share >= MANY and enough:
        severity = "fail"
    what = (
        f"its numbers are names: labels of training rows with the same number vary "
        f"{best.likeness.ratio:.0%} as much as those with the next numbers; {best.share:.1%} of "
        f"the test rows have a number of the training set, and its mean label scores "
        f"{best.score.value:.4f} on them"
    )
    if others:
        what += f"; so do {', '.join(others)}"
    config = facts.split_by("group", best.name)
    return Finding(
        "entities", severity, best.name, what, {**best.measured, "others": others}, config
    )
