"""Base class of the config's sections, and types that several of them use."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Section(BaseModel):
    """Base class of the config's sections, which are frozen and refuse unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
    )


def wrap_text(value: Any) -> Any:
    """Turn a single text into a tuple of one, so that a key takes a name or a list of them."""
    return (value,) if isinstance(value, str) else value


def refuse_repeated(names: tuple[str, ...]) -> tuple[str, ...]:
    """Check that no name occurs twice.

    Raises:
        ValueError: one does.
    """
    for i, name in enumerate(names):
        if name in names[:i]:
            raise ValueError(f"names {name!r} twice")
    return names


def convert_to_texts(value: Any) -> Any:
    """Convert the values of a list to text: YAML reads ``0`` as a number."""
    return [str(v) for v in value] if isinstance(value, list | tuple) else value


Names = Annotated[tuple[str, ...], BeforeValidator(wrap_text)]
