"""What the passes over all rows settled, so that rows read again get the same labels and sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, model_validator

from pipeline.artifacts.manifest_model import SetName, Task, check_classes
from pipeline.config.stored import Count, Positive, Scalar, StoredObject, check_stored
from pipeline.ingest.labels.assign import LabelCounts
from pipeline.ingest.labels.split import Cuts
from pipeline.matrix import Target


@dataclass(frozen=True)
class LabelState:
    """The target, where the sets are cut, and what they hold."""

    target: Target
    why: str
    """What decided the task."""
    cuts: Cuts | None
    """Of a split by time."""
    counts: LabelCounts

    def to_json(self) -> dict[str, Any]:
        """For the record of the stage."""
        counts = asdict(self.counts)
        return {
            "task": self.target.task,
            "classes": list(self.target.classes),
            "why": self.why,
            "cuts": None if self.cuts is None else self.cuts.to_json(),
            "counts": {**counts, "classes": list(self.counts.classes.values())},
        }

    @staticmethod
    def from_json(data: Mapping[str, Any], path: Path | str = "stages/split.json") -> LabelState:
        """Invert `to_json`.

        Raises:
            InputError: the data are not what it gives; ``path`` is the file in the message.
        """
        found = check_stored(_label_state_adapter(), data, path)
        own = found.counts
        classes = {float(i): n for i, n in enumerate(own.classes)}
        return LabelState(
            Target(found.task, tuple(found.classes)), found.why,
            None if found.cuts is None else Cuts(found.cuts.valid, found.cuts.test),
            LabelCounts(
                dict(own.rows.items()), own.sampled, classes, own.label, own.weight,
                own.valid_weight,
            ),
        )  # fmt: skip


class StoredCuts(StoredObject):
    """The first times of two sets."""

    valid: int | float
    test: int | float


class StoredCounts(StoredObject):
    """Rows per set, and weights of the training labels."""

    rows: dict[SetName, Count]
    sampled: Count
    classes: list[Positive]
    label: float
    weight: Positive
    valid_weight: Positive


class StoredLabelState(StoredObject):
    """What the record of the split holds."""

    task: Task
    classes: list[Scalar]
    why: str
    cuts: StoredCuts | None
    counts: StoredCounts

    @model_validator(mode="after")
    def _fits(self) -> StoredLabelState:
        check_classes(self.task, self.classes)
        if len(self.counts.classes) != len(self.classes):
            raise ValueError("counts.classes must have a number per class")
        return self


@cache
def _label_state_adapter() -> TypeAdapter[StoredLabelState]:
    return TypeAdapter(StoredLabelState)
