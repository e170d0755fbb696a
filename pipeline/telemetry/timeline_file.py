"""The content of ``gpu.json``, for validation (`pipeline.telemetry.gpu_timeline` writes it)."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import Field, TypeAdapter

from pipeline.config.stored import Positive, StoredObject

Course = list[float | None] | None


class TimelineStage(StoredObject):
    """A stage; ``ended`` is None if it did not end."""

    stage: str
    begun: Positive
    ended: Positive | None = None


class Gpu(StoredObject):
    """A GPU and the values measured on it over time."""

    gpu: str
    name: str
    memory: Positive
    busy: Course = None
    used: Course = None
    watts: Course = None
    celsius: Course = None
    received: Course = None
    sent: Course = None


class TimelineFile(StoredObject):
    """The content of ``gpu.json``."""

    seconds: Annotated[float, Field(gt=0)]
    ended: str = ""
    stages: list[TimelineStage]
    gpus: list[Gpu]


@cache
def timeline_validator() -> TypeAdapter[TimelineFile]:
    """Return the validator of a ``gpu.json``."""
    return TypeAdapter(TimelineFile)
