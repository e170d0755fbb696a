"""Base class for the contents of a run folder's files, and errors for files that do not fit.

Each package defines the contents of the files that it writes. A file is checked once, on opening.
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
MAX_DESCRIBED = 1_000
"""Above this number mistakes are only counted, because a description takes a kilobyte."""
MAX_DEPTH = 50
"""Maximum depth of a value that has no model of its own."""
FIX = "restore it from a copy, because it was damaged or altered; or run the config again"


class StoredObject(BaseModel):
    """A JSON object in a run folder, with strict types and finite numbers; ignores other keys."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True,
        arbitrary_types_allowed=True,
    )  # fmt: skip


def _check_plain(value: Any, depth: int = 0) -> Any:
    """Check that a value is not too deep and that its numbers are finite and fit a column."""
    if depth > MAX_DEPTH:
        raise ValueError(f"must have at most {MAX_DEPTH} levels")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("must hold finite numbers")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("must hold numbers of at most 64 bits")
    if isinstance(value, Mapping | list):
        for part in value.values() if isinstance(value, Mapping) else value:
            _check_plain(part, depth + 1)
    return value


Count = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(ge=0)]
Scalar = bool | Annotated[int, Field(ge=-(2**63), lt=2**64)] | float | str
"""A value of a column."""
Plain = Annotated[Any, AfterValidator(_check_plain)]
"""JSON without a model of its own, whose keys users or ops choose."""


def check_stored(kind: TypeAdapter[T], value: Any, path: str | os.PathLike[str]) -> T:
    """Check the value in a file and build an object of ``kind`` from it.

    Raises:
        InputError: The value does not fit. At most five mistakes are listed, each with the place in
            the file and the rule.
    """
    try:
        return kind.validate_python(value)
    except ValidationError as error:
        raise _describe_errors(error, os.fspath(path)) from None
    except (RecursionError, OverflowError) as error:
        raise misfit_error(path, "", f"must be a simpler value ({type(error).__name__})") from None


def misfit_error(path: str | os.PathLike[str], place: str, rule: str) -> InputError:
    """Create the error for a value that breaks a rule at a place (``steps.0.op``) of a file."""
    return InputError(": ".join(p for p in (os.fspath(path), place, rule) if p), fix=FIX)


def _describe_errors(error: ValidationError, path: str) -> InputError:
    if error.error_count() > MAX_DESCRIBED:
        return misfit_error(path, "", f"has {error.error_count():,} wrong values")
    rules: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    for item in error.errors(include_url=False):
        place = ".".join(map(str, strip_union_parts(item["loc"])))
        rule = describe_rule(item)
        if rule not in rules.setdefault(place, []):
            rules[place].append(rule)
        values[place] = "" if item["type"] in COMPLETE else show_value(item["input"], place)
    mistakes = [
        ": ".join(part for part in (place, f"{' or '.join(broken)}{values[place]}") if part)
        for place, broken in rules.items()
    ]
    if len(mistakes) == 1:
        return InputError(f"{path}: {mistakes[0]}", fix=FIX)
    return InputError(f"{path}: {len(mistakes)} values are wrong", examples=mistakes, fix=FIX)
