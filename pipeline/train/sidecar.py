"""The contents of ``train/<model>.json``: what the model's own file does not hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.artifacts.manifest_model import Task, check_classes
from pipeline.config.stored import Count, Positive, Scalar, StoredObject

FORMAT = 2  # 1: category codes were one lower, and missing ones NaN
MAX_MODEL = 1 << 30
"""Bytes of a model's own file, and of a checkpoint's."""


class SidecarFeature(StoredObject):
    """A column of the matrix."""

    name: str
    kind: Literal["q", "int", "c"]
    size: Count | None


class Sidecar(StoredObject):
    """The facts that every model has."""

    format: Literal[2]
    model: str
    task: Task
    classes: list[Scalar]
    features: Annotated[list[SidecarFeature], Field(min_length=1)]
    importances: dict[str, Positive]
    rounds: Count
    history: dict[str, dict[str, list[float]]]
    notes: list[str]
    device: Annotated[str, Field(pattern=r"^[a-z]{1,16}$")]
    versions: dict[str, str]

    @model_validator(mode="after")
    def _fits(self) -> Sidecar:
        check_classes(self.task, self.classes)
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            raise ValueError("two features have the same name")
        if set(self.importances) != set(names):
            raise ValueError("importances must name the features")
        return self


class ForestSidecar(Sidecar):
    """The facts of a forest: its fill values and classes besides."""

    fill: list[float] | None = None
    present: list[Count] | None = None

    @model_validator(mode="after")
    def _fits_forest(self) -> ForestSidecar:
        if self.fill is None or len(self.fill) != len(self.features):
            raise ValueError("fill must have a number per feature")
        present, classes = self.present or [], len(self.classes)
        if (
            self.present is None
            or sorted(set(present)) != present
            or any(position >= classes for position in present)
        ):
            raise ValueError("present must list classes by their positions")
        if self.classes and not present:
            raise ValueError("present must list a class")
        return self
