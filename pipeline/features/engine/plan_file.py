"""The content of ``features/plan.json``; `plan_check` checks that its steps fit each other."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from pipeline.config.stored import Count, StoredObject
from pipeline.schema import StoredSchema


class StoredStep(StoredObject):
    """An op with its parameters and its fitted state."""

    op: Annotated[dict[str, Any], Field(min_length=1, max_length=1)]
    phase: Count
    reads: list[str]
    produces: list[str]
    schema_: Annotated[StoredSchema, Field(alias="schema")]
    state: dict[str, Any]


class StoredFeature(StoredObject):
    """A column of the models' matrix."""

    name: str
    kind: Literal["q", "int", "c"]


class Dropped(StoredObject):
    """A column of the data that no model uses."""

    column: str
    reason: str


class StoredPlan(StoredObject):
    """Content of ``features/plan.json``."""

    source: StoredSchema
    steps: list[StoredStep]
    features: Annotated[list[StoredFeature], Field(min_length=1)]
    dropped: list[Dropped]
    filters: list[str]


@cache
def plan_adapter() -> TypeAdapter[StoredPlan]:
    """Return the adapter that checks a ``plan.json``."""
    return TypeAdapter(StoredPlan)
