"""The base of models for files of a run folder, and the error for a file that does not fit.

Each package has the models of the files that it writes. A file is checked once, when it is opened.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.config.validation import COMPLETE, describe_rule, show_value, strip_union_parts
from pipeline.errors import InputError

T = TypeVar("T")
MAX_TOLD = 1_000
"""More mistakes than these are counted, not described: a description takes a kilobyte."""
MAX_DEPTH = 50
"""Levels of a value that has no model of its own."""
FIX = "it was damaged or altered after the run: restore it from a copy, or run the config again"


class StoredObject(BaseModel):
    """A JSON object of a run folder: strict types, finite numbers; other keys are ignored."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True,
        arbitrary_types_allowed=True,
    )  # fmt: skip


def _check_plain(value: Any, depth: int = 0) -> Any:
    """The value, if all its numbers are finite and fit a column, and it is not too deep."""
    if depth > MAX_DEPTH:
        raise ValueError(f"must have at most {MAX_DEPTH} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must hold finite numbers")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("must hold numbers of at most 64 bits")
    parts = value.values() if isinstance(value, Mapping) else value
    if isinstance(value, Mapping | list):
        for part in parts:
            _check_plain(part, depth + 1)
    return value


Count = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(ge=0)]
Scalar = bool | Annotated[int, Field(ge=-(2**63), lt=2**64)] | float | str
"""A value of a column."""
Plain = Annotated[Any, AfterValidator(_check_plain)]
"""JSON that has no model of its own: what users or ops name as they like."""


def check_stored(kind: TypeAdapter[T], value: Any, path: str | os.PathLike[str]) -> T:
    """Return what ``kind`` makes of the value in a file.

    Raises:
        InputError: names the file, the place in it and the rule, for at most five mistakes.
    """
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise _damaged(error, os.fspath(path)) from None
    except (RecursionError, OverflowError) as error:
        raise misfit_error(path, "", f"must be a plainer value ({type(error).__name__})") from None


def misfit_error(path: str | os.PathLike[str], place: str, rule: str) -> InputError:
    """Return the error for a value that breaks a rule at a place (``steps.0.op``) of a file."""
    return InputError(": ".join(p for p in (os.fspath(path), place, rule) if p), fix=FIX)


def _damaged(error: ValidationError, path: str) -> InputError:
    if error.error_count() > MAX_TOLD:
        return misfit_error(path, "", f"holds {error.error_count():,} wrong values")
    rules: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    for item in error.errors(include_url=False):
        place = ".".join(map(str, strip_union_parts(item["loc"])))
        rule = describe_rule(item)
        if rule not in rules.setdefault(place, []):
            rules[place].append(rule)
        values[place] = "" if item["type"] in COMPLETE else show_value(item["input"], place)
    told = [
        ": ".join(p for p in (place, f"{' or '.join(own)}{values[place]}") if p)
        for place, own in rules.items()
    ]
    if len(told) == 1:
        return InputError(f"{path}: {told[0]}", fix=FIX)
    return InputError(f"{path}: {len(told)} values are wrong", examples=told, fix=FIX)
