"""Content of ``manifest.json``.

`pipeline.execution.stages.save` writes it, `pipeline.artifacts.manifest` opens it.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from pipeline.config.stored import Count, Positive, Scalar, StoredObject

FORMAT = 1
Task = Literal["binary", "multiclass", "regression"]
SetName = Literal["train", "valid", "test"]
Device = Literal["cpu", "gpu"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["64 letters 0-9a-f"])]


def _no_null(name: str) -> str:
    if "\0" in name:
        raise ValueError("must be text without NUL")
    return name


Name = Annotated[str, AfterValidator(_no_null)]


class Input(StoredObject):
    """A file of the data."""

    path: Name
    bytes: Count
    fingerprint: str


class Fallback(StoredObject):
    """A stage that did not end where it ran."""

    stage: str
    rung: str
    reason: str
    lost: Positive


class Manifest(StoredObject):
    """A finished run."""

    format: Literal[1]
    pipeline: str
    name: str
    task: Task
    why: str
    target: str
    classes: list[Scalar]
    models: Annotated[list[str], Field(min_length=1)]
    best: str
    refit: bool
    rows: dict[SetName, Count]
    device: Device
    fallbacks: list[Fallback]
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    keys: dict[str, str]
    versions: dict[str, str]
    inputs: list[Input]
    warnings: list[str]
    files: dict[str, Sha256]

    @model_validator(mode="after")
    def _fits(self) -> Manifest:
        check_classes(self.task, self.classes)
        if self.best not in self.models:
            raise ValueError(f"best must be one of models, not {self.best!r:.80}")
        return self


def check_classes(task: Task, classes: list[Scalar]) -> None:
    """Check that a target of the task can have these classes.

    Raises:
        ValueError: too many or too few, of several types, or one twice.
    """
    fits = {"binary": len(classes) == 2, "regression": not classes}.get(task, len(classes) > 1)
    if not fits:
        raise ValueError(f"a {task} target cannot have {len(classes):,} classes")
    if len(set(map(str, classes))) < len(classes):
        raise ValueError("two classes are the same")
    if len({type(value) for value in classes}) > 1 and not _are_numbers(classes):
        raise ValueError("classes must be of one type")


def _are_numbers(values: list[Scalar]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


@cache
def manifest_adapter() -> TypeAdapter[Manifest]:
    """Return what checks a manifest."""
    return TypeAdapter(Manifest)
