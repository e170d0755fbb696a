"""Target, cuts and counts that the passes over all rows inferred.

A stage stores them, so that rows read a second time get the same labels and sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from pydantic import JsonValue, TypeAdapter, model_validator

from pipeline.artifacts.manifest_model import SetName, Task, check_classes
from pipeline.config.stored import Count, Positive, Scalar, StoredObject, check_stored
from pipeline.ingest.labels.split import Cuts
from pipeline.matrix import Target


@dataclass(frozen=True)
class LabelCounts:
    """Rows per set, and weights of the training labels, from which the baseline predicts."""

    rows: Mapping[str, int]
    sampled: int
    """Training rows that the models get: all of them at a sampling rate of 1."""
    classes: Mapping[float, float]
    """Training rows, or their weight, per class position; empty for a regression."""
    label: float
    """Sum of the training labels, each times its weight."""
    weight: float
    """Training rows, or their weight."""
    valid_weight: float
    """Valid rows, or their weight."""
    class_rows: Mapping[float, int] = field(default_factory=dict)
    """Training rows with a weight above 0 per class position; empty for a regression."""


@dataclass(frozen=True)
class LabelState:
    """Target, cuts and counts of a run."""

    target: Target
    why: str
    """Reason for the task, a sentence for the user."""
    cuts: Cuts | None
    """Cuts of a split by time."""
    counts: LabelCounts
    target_missing: int = 0
    """Rows that were dropped because their target is missing."""
    rows: int = 0
    """Rows that were read; 0 in a record of an older version."""
    missing: Mapping[str, int] = field(default_factory=dict)
    """Missing values by column, among the rows that were read."""
    weightless: int = 0
    """Rows that were dropped because their weight is 0."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the content of the stage's record."""
        counts = asdict(self.counts)
        return {
            "task": self.target.task,
            "classes": list(self.target.classes),
            "why": self.why,
            "cuts": None if self.cuts is None else self.cuts.to_json(),
            # JSON has no float keys: the position in the list says which class it is
            "counts": {
                **counts,
                "classes": list(self.counts.classes.values()),
                "class_rows": list(self.counts.class_rows.values()),
            },
            "target_missing": self.target_missing,
            "rows": self.rows,
            "missing": dict(self.missing),
            "weightless": self.weightless,
        }

    @staticmethod
    def from_json(
        data: Mapping[str, JsonValue], path: Path | str = "stages/split.json"
    ) -> LabelState:
        """Invert `to_json`.

        Raises:
            InputError: the data are not such a record; ``path`` is the file in the message.
        """
        stored = check_stored(TypeAdapter(StoredLabelState), data, path)
        counts = stored.counts
        return LabelState(
            Target(stored.task, tuple(stored.classes)),
            stored.why,
            None if stored.cuts is None else Cuts(stored.cuts.valid, stored.cuts.test),
            LabelCounts(
                dict(counts.rows.items()),
                counts.sampled,
                {float(i): n for i, n in enumerate(counts.classes)},
                counts.label,
                counts.weight,
                counts.valid_weight,
                {float(i): n for i, n in enumerate(counts.class_rows)},
            ),
            stored.target_missing,
            stored.rows,
            stored.missing,
            stored.weightless,
        )


class StoredCuts(StoredObject):
    """`Cuts` in a record."""

    valid: int | float
    test: int | float


class StoredCounts(StoredObject):
    """`LabelCounts` in a record."""

    rows: dict[SetName, Count]
    sampled: Count
    classes: list[Positive]
    label: float
    weight: Positive
    valid_weight: Positive
    class_rows: list[Count] = []


class StoredLabelState(StoredObject):
    """`LabelState` in the record of the stage ``split``."""

    task: Task
    classes: list[Scalar]
    why: str
    cuts: StoredCuts | None
    counts: StoredCounts
    target_missing: Count = 0
    rows: Count = 0
    missing: dict[str, Count] = {}
    weightless: Count = 0

    @model_validator(mode="after")
    def _check_lengths(self) -> StoredLabelState:
        check_classes(self.task, self.classes)
        if len(self.counts.classes) != len(self.classes):
            raise ValueError("counts.classes must have a number per class")
        return self
