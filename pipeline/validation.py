"""Turns pydantic's complaints into our one-message errors, with the nearest name for a typo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.errors import ConfigError, nearest, shorten

M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], value: Any, where: str = "") -> M:
    """``model`` made from ``value``.

    Raises:
        ConfigError: with a line for each wrong key (at most five): path, value, rule, nearest name.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _explained(model, error, where) from None


def _explained(model: type[BaseModel], error: ValidationError, where: str) -> ConfigError:
    lines, fix = [], ""
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in (where, *item["loc"]) if str(part))
        if item["type"] == "extra_forbidden":
            fix = fix or nearest(str(item["loc"][-1]), _keys(model, item["loc"][:-1]))
            lines.append(f"{path}: unknown key")
        elif item["type"] == "missing":
            lines.append(f"{path}: missing")
        else:
            text = item["msg"].removeprefix("Value error, ")
            lines.append(f"{path}: {text}{_got(item['input'], path)}")
    if len(lines) == 1:
        return ConfigError(lines[0], fix=fix)
    return ConfigError(f"{where or 'config'}: {len(lines)} mistakes", examples=lines, fix=fix)


def _got(value: Any, path: str) -> str:
    """The value, unless it is a whole section or may be a secret."""
    hidden = isinstance(value, Mapping) or "storage_options" in path
    return "" if hidden else f" (got {shorten(value)})"


def _keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that the (nested) model at ``path`` knows."""
    for part in path:
        info = model.model_fields.get(str(part)) or next(
            (f for f in model.model_fields.values() if f.alias == part), None
        )
        inner = getattr(info, "annotation", None)
        candidates = [inner, *getattr(inner, "__args__", ())]
        nested = [c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)]
        if not nested:
            break
        model = nested[0]
    return [f.alias or name for name, f in model.model_fields.items()]
