"""Required content of ``gpu.json`` (`pipeline.telemetry.gpu_timeline` writes it)."""

from __future__ import annotations

from functools import cache
from typing import Annotated

from pydantic import Field, TypeAdapter

from pipeline.config.stored import Positive, StoredObject

Course = list[float | None] | None


class TimelineStage(StoredObject):
    """A stage; one that did not end has no end."""

    stage: str
    begun: Positive
    ended: Positive | None = None


class Gpu(StoredObject):
    """A GPU and the course of what was measured on it."""

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
    """What ``gpu.json`` holds."""

    seconds: Annotated[float, Field(gt=0)]
    ended: str = ""
    stages: list[TimelineStage]
    gpus: list[Gpu]


@cache
def timeline_validator() -> TypeAdapter[TimelineFile]:
    """Return what checks a ``gpu.json``."""
    return TypeAdapter(TimelineFile)
