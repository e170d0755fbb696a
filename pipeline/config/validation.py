"""Errors of pydantic as one config error, with the closest name for a typo."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.config.urls import hide_literals
from pipeline.errors import ConfigError, shorten, suggest_name, suggest_or_list

M = TypeVar("M", bound=BaseModel)
MAX_FIXES = 3
OTHER_LIBRARIES: Mapping[str, tuple[str, ...]] = {
    "n_estimators": ("trees", "rounds"), "num_boost_round": ("rounds",),
    "early_stopping_rounds": ("early_stopping",), "random_state": ("seed",),
    "sep": ("delimiter",), "quotechar": ("quote",), "names": ("header",),
    "na_values": ("missing",), "true_values": ("true",), "false_values": ("false",),
    "dtype": ("types",), "nrows": ("rows",), "label": ("target",), "sample_weight": ("weight",),
    "test_size": ("test", "split"), "groups": ("column", "split"),
}  # fmt: skip
"""Our keys, by the key of pandas, scikit-learn or XGBoost that means the same."""
_INFERRED = "leave it out: numbers are parsed by the column's values; `types` may name float"
PANDAS_ONLY: Mapping[str, str] = {
    "decimal": _INFERRED, "thousands": _INFERRED,
}  # fmt: skip
"""Options of pandas for CSV that have no counterpart here, and what to do instead."""
MAPPING_RULE = "must be a mapping of keys to values, {{key: value}}"
RULES: Mapping[str, str] = {
    "extra_forbidden": "unknown key", "missing": "missing", "invalid_key": "a key must be text",
    "string_type": "must be text", "bool_type": "must be true or false",
    "bool_parsing": "must be true or false", "int_type": "must be a whole number",
    "int_parsing": "must be a whole number", "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number", "float_type": "must be a number",
    "float_parsing": "must be a number", "finite_number": "must be a finite number",
    "tuple_type": "must be a list", "list_type": "must be a list", "dict_type": MAPPING_RULE,
    "mapping_type": MAPPING_RULE, "model_type": MAPPING_RULE, "too_short": "must not be empty",
    "greater_than": "must be more than {gt}", "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}", "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_long": "must have at most {max_length} characters",
    "recursion_loop": "contains itself",
}  # fmt: skip
"""Rules in words of the config, by pydantic's type of error."""
COMPLETE = frozenset({"extra_forbidden", "missing"})
"""Types of errors that are reported without the value."""
UNION_PART = re.compile(r"(literal|tuple|list|constrained-|function-).*|int|float|str|bool|none")


def validate(model: type[M], value: Any, where: str = "") -> M:
    """Build ``model`` from ``value``.

    Args:
        model: The class of the section.
        value: A tree of plain values.
        where: Path of the section in the config, for messages.

    Raises:
        ConfigError: Keys or values are wrong. At most five are listed, each with path, rule, value
            and the closest valid name.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        mistakes = error.errors(include_url=False)
    lines: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    fixes: dict[str, str] = {}
    for item in mistakes:
        path = ".".join(str(part) for part in (where, *strip_union_parts(item["loc"])) if str(part))
        if item["type"] == "extra_forbidden":
            fixes[path] = _fix_unknown_key(str(item["loc"][-1]), list_keys(model, item["loc"][:-1]))
        elif fix := _fix_value(item):
            fixes[path] = fix
        lines.setdefault(path, []).append(_describe_rule_at(item, model))
        values[path] = "" if item["type"] in COMPLETE else show_value(item["input"], path)
    # One value may break several rules: those of each part of a union.
    texts = [f"{path}: {' or '.join(rules)}{values[path]}" for path, rules in lines.items()]
    if len(texts) == 1:
        raise ConfigError(texts[0], fix=next(iter(fixes.values()), ""))
    first_fixes = "; ".join(f"{path}: {fix}" for path, fix in list(fixes.items())[:MAX_FIXES])
    raise ConfigError(
        f"{where or 'config'}: {len(texts)} mistakes", examples=texts, fix=first_fixes
    )


def _fix_unknown_key(key: str, valid: list[str]) -> str:
    """Return a fix with our name for a key of another library, or else with the closest name."""
    if key in PANDAS_ONLY and "delimiter" in valid:
        return PANDAS_ONLY[key]
    ours = next((name for name in OTHER_LIBRARIES.get(key, ()) if name in valid), None)
    return suggest_or_list(key, valid) if ours is None else f"write {ours!r}, as it is named here"


def strip_union_parts(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the keys of a place, without the name that pydantic appends for a part of a union."""
    return loc[:-1] if len(loc) > 1 and UNION_PART.fullmatch(str(loc[-1])) else loc


def _describe_rule_at(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Describe the rule that a value breaks, with the examples of its field if it has some."""
    if item["type"] == "string_pattern_mismatch":
        field = _model_at(model, item["loc"][:-1]).model_fields.get(str(item["loc"][-1]))
        if field is not None and field.examples:
            return "must be such as " + ", ".join(map(str, field.examples))
    return describe_rule(item)


def describe_rule(item: Mapping[str, Any]) -> str:
    """Describe the rule that a value breaks, from one of pydantic's errors."""
    if rule := RULES.get(item["type"]):
        return rule.format(**item.get("ctx", {}))
    return str(item["msg"]).removeprefix("Value error, ")


def _fix_value(item: Mapping[str, Any]) -> str:
    """Return what to write instead of a value; empty if that is not clear."""
    value, kind = item["input"], item["type"]
    fix = ""
    if kind == "missing":
        fix = "add it (`python -m pipeline schema` describes every key)"
    elif kind == "string_type" and isinstance(value, bool):
        fix = "quote the text, because YAML reads yes, no, on and off as true and false"
    elif kind == "string_type" and isinstance(value, int | float):
        fix = f'quote it: "{value}"'
    elif kind == "literal_error" and isinstance(value, str):
        fix = suggest_name(value, re.findall(r"'([^']*)'", str(item["ctx"]["expected"])))
    elif kind in ("int_parsing", "float_parsing"):
        fix = _suggest_number(str(value).strip(), whole=kind == "int_parsing")
    return fix


def _suggest_number(text: str, *, whole: bool) -> str:
    """Return a fix for numbers such as ``1e3``, ``1,000`` and ``10%``; empty for other texts."""
    is_percentage = text.endswith("%")
    try:
        number = float(text.removesuffix("%").replace(",", "")) / (100 if is_percentage else 1)
    except ValueError:
        return ""
    if not math.isfinite(number) or (whole and number != int(number)):
        return ""
    return f"write {int(number) if whole else number}"


def show_value(value: Any, path: str) -> str:
    """Show a value for a message; empty for a whole section, and for what may be a secret."""
    hidden = isinstance(value, Mapping) or "storage_options" in path
    return "" if hidden else f" (got {hide_literals(shorten(value))})"


def list_keys(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """List the valid keys of the (nested) model at ``path``."""
    fields = _model_at(model, path).model_fields
    return [f.alias or name for name, f in fields.items()]


def _model_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """Find the (nested) model at ``path``; stop where the path leaves the models."""
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
    return model
