"""The identity of a stage: its kind, and for a training its model.

The ledger, the records and the folders below ``stages/`` spell it out as text. No code reads the
kind or the model back from that text.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StageId:
    """A stage of a run, such as the training of one model."""

    kind: str
    model: str = ""
    """The model that the stage trains; empty for stages that train none."""

    def __str__(self) -> str:
        return f"{self.kind} {self.model}" if self.model else self.kind

    @property
    def slug(self) -> str:
        """The text as the name of a file or folder."""
        return str(self).replace(" ", "-")


READ = StageId("read")
SPLIT = StageId("split")
FEATURES = StageId("features")
EVALUATE = StageId("evaluate")
REFIT_FEATURES = StageId("refit features")


def train_id(model: str) -> StageId:
    """Return the stage that trains a model on the training rows."""
    return StageId("train", model)


def refit_id(model: str) -> StageId:
    """Return the stage that trains a model once more, on all rows."""
    return StageId("refit", model)
