"""Required content of ``train/<model>.json``: what the model's own file does not say."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, model_validator

from pipeline.artifacts.manifest_model import Task, check_classes
from pipeline.config.stored import Count, Positive, Scalar, StoredObject, check_stored, misfit_error
from pipeline.errors import InputError, shorten

FORMAT = 2  # 1: category codes were one lower, and missing ones NaN
MAX_MODEL = 1 << 30
"""Bytes of a model's own file, and of a checkpoint's."""


class SidecarFeature(StoredObject):
    """A column of the matrix."""

    name: str
    kind: Literal["q", "int", "c"]
    size: Count | None


class Sidecar(StoredObject):
    """A model's facts; those of a forest have its fill values and classes besides."""

    format: Literal[2]
    model: Literal["xgboost", "forest"]
    task: Task
    classes: list[Scalar]
    features: Annotated[list[SidecarFeature], Field(min_length=1)]
    importances: dict[str, Positive]
    rounds: Count
    history: dict[str, dict[str, list[float]]]
    notes: list[str]
    device: Annotated[str, Field(pattern=r"^[a-z]{1,16}$")]
    versions: dict[str, str]
    fill: list[float] | None = None
    present: list[Count] | None = None

    @model_validator(mode="after")
    def _fits(self) -> Sidecar:
        check_classes(self.task, self.classes)
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            raise ValueError("two features have one name")
        if set(self.importances) != set(names):
            raise ValueError("importances must name the features")
        if self.model == "forest":
            self._check_forest()
        return self

    def _check_forest(self) -> None:
        if self.fill is None or len(self.fill) != len(self.features):
            raise ValueError("fill must have a number per feature")
        known, classes = self.present or [], len(self.classes)
        if self.present is None or sorted(set(known)) != known or any(c >= classes for c in known):
            raise ValueError("present must list classes by their positions")
        if self.classes and not known:
            raise ValueError("present must list a class")


@cache
def _sidecars() -> TypeAdapter[Sidecar]:
    return TypeAdapter(Sidecar)


def check_sidecar(facts: Any, name: str, path: Path) -> Sidecar:
    """Check a model's facts.

    Raises:
        InputError: they are of another version or model, or not facts; names file and place.
    """
    if isinstance(facts, dict) and facts.get("format", FORMAT) != FORMAT:
        raise InputError(
            f"{path} has format {shorten(facts['format'])}; this version reads {FORMAT}",
            fix="use the version of the pipeline that wrote the run (manifest.json names it)",
        )
    found = check_stored(_sidecars(), facts, path)
    if found.model != name:
        raise misfit_error(path, "model", f"must be {name!r}")
    return found
