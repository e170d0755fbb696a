"""Warnings about the result of a run, found in its facts: people must read them before the metrics.

`find_warnings` is a function of facts alone. ``evaluate/warnings.json`` stores what it finds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Literal

from pydantic import TypeAdapter

from pipeline.config.model import Split
from pipeline.config.stored import StoredObject, check_stored
from pipeline.console.plural import pluralize, quantify
from pipeline.errors import shorten
from pipeline.evaluate.comparison import ERRORS, MEASURE, Comparison
from pipeline.evaluate.strongest_column import StrongestColumn
from pipeline.ingest.reading_note import ReadingNote
from pipeline.matrix import Target, Task

WarningKind = Literal[
    "baseline", "perfect", "classes", "test_rows", "text", "type", "dropped", "run"
]
PERFECT: Mapping[Task, tuple[str, str, float, float]] = {
    "binary": ("roc_auc", "ROC AUC", 0.999, 0.98),
    "multiclass": ("roc_auc_ovr", "ROC AUC (one v. rest)", 0.999, 0.98),
    "regression": ("r2", "R²", 0.999, 0.9),
}
"""The metric of each task, its name, the value above which it is near perfect, and the one above
which a single column may explain it: trees only approximate a copy of a numeric target."""
PERFECT_ACCURACY = 0.99
"""Accuracy that several classes need besides: their ranking alone may be perfect by chance."""
FEW_OF_A_CLASS = 10
"""Training rows that a class needs."""
FEW_TEST_ROWS = 100
"""Test rows that metrics need."""
LEAST_ROWS = 20
"""Test rows that a near perfect score needs to mean anything."""
SHOWN = 5
"""Classes that a warning names."""
FOLDER = "RUN"
"""The word that stands for the run folder in a fix: files must not depend on their place."""


@dataclass(frozen=True)
class RunWarning:
    """Something that people must know before they trust the metrics."""

    kind: WarningKind
    """``baseline``: the best model is not better than the baseline beyond noise. ``perfect``: its
    score is near perfect. ``classes``: classes with few or no training rows. ``test_rows``: few
    test rows. ``text``: a column whose words the models do not see. ``type``: a column of another
    type than its values suggest. ``dropped``: rows that are left out. ``run``: what the run did
    otherwise than asked, such as training on a sample."""
    message: str
    """A sentence without its full stop."""
    column: str | None = None
    """The column in question."""
    fix: str | None = None
    """The remedy, or a command that examines the problem; `FOLDER` stands for the run folder."""

    def fix_in(self, folder: str) -> str:
        """Return the fix for a run folder, quoted for a shell; empty if there is none."""
        return (self.fix or "").replace(f"audit {FOLDER}", f"audit {folder}")


@dataclass(frozen=True)
class RunFacts:
    """The facts of a finished evaluation."""

    target: Target
    target_text: str
    """The target's expression."""
    best: str
    """The best model."""
    metrics: Mapping[str, Any]
    """The content of metrics.json."""
    comparison: Comparison
    """The best model beside the baseline."""
    strongest: StrongestColumn | None
    """The column that predicts best alone; None if the score is not suspicious, or unknown."""
    test_rows: int
    """Test rows that weigh more than 0."""
    class_rows: Sequence[int] = ()
    """Training rows that weigh more than 0, by class position."""
    test_class_rows: Sequence[int] = ()
    """Test rows by class position."""
    free_text: Mapping[str, str] = field(default_factory=dict)
    """Columns of free text, and what became of each."""
    notes: Sequence[ReadingNote] = ()
    """Notes on reading."""
    rows: int = 0
    """All rows that were read."""
    target_missing: int = 0
    """Rows that were dropped because their target is missing."""
    split: Split = Split()


def is_suspicious(task: Task, metrics: Mapping[str, float | None], test_rows: int) -> bool:
    """Return whether test metrics of a model are so good that a single column may explain them."""
    value = metrics.get(PERFECT[task][0])
    return test_rows >= LEAST_ROWS and value is not None and value > PERFECT[task][3]


def find_warnings(facts: RunFacts) -> list[RunWarning]:
    """Find the warnings of a run, the most important first."""
    return [
        *_compare(facts),
        *_doubt_perfection(facts),
        *_count_classes(facts),
        *_count_test_rows(facts),
        *_find_unread_words(facts),
        *_find_changed_types(facts),
        *_count_dropped(facts),
    ]


def _compare(facts: RunFacts) -> Iterator[RunWarning]:
    seen = facts.comparison
    if seen.is_beyond_noise:
        return
    if seen.lead is None:
        message = f"the best model, {facts.best}, cannot be compared with the baseline: "
        yield RunWarning(
            "baseline", message + seen.reason, fix="use more test rows, or another split"
        )
        return
    yield RunWarning(
        "baseline",
        f"the best model, {facts.best}, does not beat the baseline beyond noise: on the test rows "
        f"its {seen.measure} is {_describe_lead(seen, seen.lead)} than the baseline's",
        fix="add rows, or columns that say more about the target",
    )


def _describe_lead(seen: Comparison, lead: float) -> str:
    """Describe a difference and its noise: ``0.012 ± 0.04 higher``, ``3% ± 8% lower``."""
    is_higher = (lead > 0) == (seen.measure == MEASURE["binary"])
    way, noise = "higher" if is_higher else "lower", ERRORS * seen.error
    if seen.loss:
        return f"{abs(lead) / seen.loss:.0%} ± {noise / seen.loss:.0%} {way}"
    return f"{abs(lead):.3g} ± {noise:.2g} {way}"


def _doubt_perfection(facts: RunFacts) -> Iterator[RunWarning]:
    metrics, column = facts.metrics["models"][facts.best]["test"], facts.strongest
    if not is_suspicious(facts.target.task, metrics, facts.test_rows):
        return
    name, shown, perfect, _ = PERFECT[facts.target.task]
    is_perfect = metrics[name] > perfect
    if facts.target.task == "multiclass" and (metrics.get("accuracy") or 0.0) < PERFECT_ACCURACY:
        is_perfect = False
    strength = column.score.strength if column is not None else ""
    fix, message = (
        f"python -m pipeline audit {FOLDER}",
        f"{shown} {metrics[name]:.4f} of {facts.best}",
    )
    message += " is near perfect, which may be a leak" if is_perfect else " may be a leak"
    if column is not None and (
        (strength == "decisive" and column.is_conclusive)
        or (is_perfect and strength in ("strong", "decisive"))
    ):
        alone_scores = f"{column.name!r} alone has {column.metric} {column.score.value:.4f}"
        yield RunWarning("perfect", f"{message}: {alone_scores}", column.name, fix)
    elif is_perfect:
        yield RunWarning("perfect", f"{message}; no column alone explains it", fix=fix)


def _count_classes(facts: RunFacts) -> Iterator[RunWarning]:
    rows = list(zip(facts.target.classes, facts.class_rows, strict=False))
    tested = dict(zip(facts.target.classes, facts.test_class_rows, strict=False))
    fix = "merge them into other classes by the target's expression, or filter their rows"
    if facts.split.by != "random":
        fix = f"use split by: random, which draws from all of the data, or {fix}"
    if absent := [value for value, count in rows if not count]:
        names = _list_names(absent)
        asked = sum(tested.get(value, 0) for value in absent)
        yield RunWarning(
            "classes",
            f"{quantify(len(absent), 'class', 'classes')} of {facts.target_text} "
            f"{pluralize(len(absent), 'has', 'have')} no training rows, so no model can learn "
            f"{pluralize(len(absent), 'it', 'them')}: {names} ({quantify(asked, 'test row')})",
            fix=fix,
        )
    if rare := [(value, count) for value, count in rows if 0 < count < FEW_OF_A_CLASS]:
        names = _list_names([value for value, _ in rare], [count for _, count in rare])
        yield RunWarning(
            "classes",
            f"{quantify(len(rare), 'class', 'classes')} of {facts.target_text} "
            f"{pluralize(len(rare), 'has', 'have')} fewer than {FEW_OF_A_CLASS} training rows: "
            f"{names}",
            fix=fix,
        )


def _list_names(values: Sequence[Any], counts: Sequence[int] = ()) -> str:
    names = [shorten(value) for value in values[:SHOWN]]
    if counts:
        names = [f"{n} ({quantify(rows, 'row')})" for n, rows in zip(names, counts, strict=False)]
    more = len(values) - SHOWN
    return ", ".join(names) + (f", and {more:,} more" if more > 0 else "")


def _count_test_rows(facts: RunFacts) -> Iterator[RunWarning]:
    if facts.test_rows >= FEW_TEST_ROWS:
        return
    share = "a larger share: --set split.test=0.4"
    if facts.split.by == "column":
        share = f"mark more of them as test in column {facts.split.column!r}"
    yield RunWarning(
        "test_rows",
        f"the test set has only {quantify(facts.test_rows, 'row')}: another {facts.test_rows:,} "
        "could give quite different metrics",
        fix=f"use more rows, or {share}",
    )


def _find_unread_words(facts: RunFacts) -> Iterator[RunWarning]:
    for column, what in facts.free_text.items():
        yield RunWarning(
            "text",
            f"{column!r} is free text that {what}: the models do not see its words",
            column,
            "add columns to the data that say what matters in the text",
        )


def _find_changed_types(facts: RunFacts) -> Iterator[RunWarning]:
    for note in facts.notes:
        if note.kind == "type":
            place = f"{note.column!r}: " if note.column else ""
            yield RunWarning("type", place + note.message, note.column, note.change)


def _count_dropped(facts: RunFacts) -> Iterator[RunWarning]:
    if facts.target_missing:
        share = f"{facts.target_missing:,} of {quantify(facts.rows, 'row')}"
        verb = pluralize(facts.target_missing, "was", "were")
        yield RunWarning("dropped", f"{share} {verb} dropped: {facts.target_text} is missing there")


# -- warnings.json ------------------------------------------------------------------------------


class StoredWarning(StoredObject):
    """`RunWarning` in ``warnings.json``."""

    kind: WarningKind
    message: str
    column: str | None = None
    fix: str | None = None


class WarningsFile(StoredObject):
    """The content of ``warnings.json``."""

    warnings: list[StoredWarning]


@cache
def warnings_adapter() -> TypeAdapter[WarningsFile]:
    """Return the checker of warnings.json, which is built on first use."""
    return TypeAdapter(WarningsFile)


def to_json(warnings: Sequence[RunWarning]) -> dict[str, Any]:
    """Return the content of ``warnings.json``."""
    return {"warnings": [asdict(warning) for warning in warnings]}


def from_json(data: object, path: object = "warnings.json") -> list[RunWarning]:
    """Invert `to_json`.

    Raises:
        InputError: the data are not such a file.
    """
    stored = check_stored(warnings_adapter(), data, str(path))
    return [RunWarning(w.kind, w.message, w.column, w.fix) for w in stored.warnings]
