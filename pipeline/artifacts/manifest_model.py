"""Contents of ``manifest.json``.

`pipeline.execution.stages.save` writes the file, and `pipeline.artifacts.manifest` opens it.
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


def check_name(name: str) -> str:
    """Check that a text can be the name of a file, and return it."""
    if "\0" in name:
        raise ValueError("must be text without NUL")
    return name


Name = Annotated[str, AfterValidator(check_name)]


class Input(StoredObject):
    """A file of the input data."""

    path: Name
    bytes: Count
    fingerprint: str


class Fallback(StoredObject):
    """A failed attempt at a stage, as the ledger records it."""

    stage: str
    fallback_level: str = Field(alias="rung")
    reason: str
    lost_seconds: Positive = Field(alias="lost")


class Manifest(StoredObject):
    """The manifest of a finished run."""

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
    def _check_models(self) -> Manifest:
        check_classes(self.task, self.classes)
        if self.best not in self.models:
            raise ValueError(f"best must be one of models, not {self.best!r:.80}")
        return self


def check_classes(task: Task, classes: list[Scalar]) -> None:
    """Check that a target of the task can have these classes.

    Raises:
        ValueError: The number of classes is wrong, they have several types, or one occurs twice.
    """
    is_possible = {"binary": len(classes) == 2, "regression": not classes}
    if not is_possible.get(task, len(classes) > 1):
        raise ValueError(f"a {task} target cannot have {len(classes):,} classes")
    if len(set(map(str, classes))) < len(classes):
        raise ValueError("two classes are the same")
    # Integers and floats may be mixed; bools are integers in Python, but a type of their own here.
    are_numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in classes)
    if len({type(value) for value in classes}) > 1 and not are_numbers:
        raise ValueError("classes must be of one type")


@cache
def manifest_adapter() -> TypeAdapter[Manifest]:
    """Return the checker of manifests, which is built on first use."""
    return TypeAdapter(Manifest)
