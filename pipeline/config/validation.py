"""Turns pydantic's complaints into our one-message errors, with the nearest name for a typo."""

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
ELSEWHERE: Mapping[str, tuple[str, ...]] = {
    "n_estimators": ("trees", "rounds"), "num_boost_round": ("rounds",),
    "early_stopping_rounds": ("early_stopping",), "random_state": ("seed",),
    "sep": ("delimiter",), "quotechar": ("quote",), "names": ("header",),
    "na_values": ("missing",), "true_values": ("true",), "false_values": ("false",),
    "dtype": ("types",), "nrows": ("rows",), "label": ("target",), "sample_weight": ("weight",),
    "test_size": ("test", "split"), "groups": ("column", "split"),
}  # fmt: skip
"""Keys of pandas, scikit-learn and XGBoost, and what says the same here."""
_FOUND = "leave it out: it is found from the column's values, and `types` may say float"
KEPT_BY_READING: Mapping[str, str] = {
    "decimal": _FOUND, "thousands": _FOUND,
    "encoding": "CSV must be UTF-8 text: iconv -f latin1 -t utf-8 OLD > NEW",
}  # fmt: skip
"""What pandas must be told of a CSV."""
KEYS = "must be keys with values, {{key: value}}"
RULES: Mapping[str, str] = {
    "extra_forbidden": "unknown key", "missing": "missing", "invalid_key": "a key must be text",
    "string_type": "must be text", "bool_type": "must be true or false",
    "bool_parsing": "must be true or false", "int_type": "must be a whole number",
    "int_parsing": "must be a whole number", "int_from_float": "must be a whole number",
    "int_parsing_size": "must be a smaller number", "float_type": "must be a number",
    "float_parsing": "must be a number", "finite_number": "must be a finite number",
    "tuple_type": "must be a list", "list_type": "must be a list", "dict_type": KEYS,
    "mapping_type": KEYS, "model_type": KEYS, "too_short": "must not be empty",
    "greater_than": "must be more than {gt}", "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}", "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "string_too_long": "must have at most {max_length} letters",
    "recursion_loop": "holds itself",
}  # fmt: skip
"""pydantic's types of errors, in words of the config."""
COMPLETE = frozenset({"extra_forbidden", "missing"})
"""Told without the value."""
UNION = re.compile(r"(literal|tuple|list|constrained-|function-).*|int|float|str|bool|none")


def validate(model: type[M], value: Any, where: str = "") -> M:
    """``model`` made from ``value``.

    Raises:
        ConfigError: with a line for each wrong key (at most five): path, value, rule, nearest name.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise _explained(model, error, where) from None


def _explained(model: type[BaseModel], error: ValidationError, where: str) -> ConfigError:
    lines: dict[str, list[str]] = {}
    values: dict[str, str] = {}
    fixes: dict[str, str] = {}
    for item in error.errors(include_url=False):
        path = ".".join(str(part) for part in (where, *strip_union_parts(item["loc"])) if str(part))
        if item["type"] == "extra_forbidden":
            fixes[path] = _meant(str(item["loc"][-1]), _known(model, item["loc"][:-1]))
        elif fix := _fix(item):
            fixes[path] = fix
        lines.setdefault(path, []).append(_rule(item, model))
        values[path] = "" if item["type"] in COMPLETE else show_value(item["input"], path)
    told = [f"{path}: {' or '.join(rules)}{values[path]}" for path, rules in lines.items()]
    if len(told) == 1:
        return ConfigError(told[0], fix=next(iter(fixes.values()), ""))
    shown = "; ".join(f"{path}: {fix}" for path, fix in list(fixes.items())[:MAX_FIXES])
    return ConfigError(f"{where or 'config'}: {len(told)} mistakes", examples=told, fix=shown)


def _meant(key: str, known: list[str]) -> str:
    """What an unknown key is called here, where it is one of another library; else the nearest."""
    if key in KEPT_BY_READING and "delimiter" in known:
        return KEPT_BY_READING[key]
    ours = next((name for name in ELSEWHERE.get(key, ()) if name in known), None)
    return suggest_or_list(key, known) if ours is None else f"here it is {ours!r}"


def strip_union_parts(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """Return the keys of a place, without what pydantic puts there for the parts of a union."""
    return loc[:-1] if len(loc) > 1 and UNION.fullmatch(str(loc[-1])) else loc


def _rule(item: Mapping[str, Any], model: type[BaseModel]) -> str:
    """What a value must be, in the config's terms."""
    if item["type"] == "string_pattern_mismatch":
        field = _model_at(model, item["loc"][:-1]).model_fields.get(str(item["loc"][-1]))
        if field is not None and field.examples:
            return "must be such as " + ", ".join(map(str, field.examples))
    return describe_rule(item)


def describe_rule(item: Mapping[str, Any]) -> str:
    """Describe what a value must be, from one of pydantic's errors."""
    if rule := RULES.get(item["type"]):
        return rule.format(**item.get("ctx", {}))
    return str(item["msg"]).removeprefix("Value error, ")


def _fix(item: Mapping[str, Any]) -> str:
    """What to write instead, where that is clear."""
    value, kind = item["input"], item["type"]
    fix = ""
    if kind == "missing":
        fix = "add it; `python -m pipeline schema` describes every key"
    elif kind == "string_type" and isinstance(value, bool):
        fix = "YAML reads yes, no, on and off as true and false: quote the text"
    elif kind == "string_type" and isinstance(value, int | float):
        fix = f'quote it: "{value}"'
    elif kind == "literal_error" and isinstance(value, str):
        fix = suggest_name(value, re.findall(r"'([^']*)'", str(item["ctx"]["expected"])))
    elif kind in ("int_parsing", "float_parsing"):
        fix = _as_number(str(value).strip(), whole=kind == "int_parsing")
    return fix


def _as_number(text: str, *, whole: bool) -> str:
    """How a number is written that people wrote as ``1e3``, ``1,000`` or ``10%``."""
    share = text.endswith("%")
    try:
        number = float(text.removesuffix("%").replace(",", "")) / (100 if share else 1)
    except ValueError:
        return ""
    if not math.isfinite(number) or (whole and number != int(number)):
        return ""
    return f"write {int(number) if whole else number}"


def show_value(value: Any, path: str) -> str:
    """Show the value, unless it is a whole section or may be a secret."""
    hidden = isinstance(value, Mapping) or "storage_options" in path
    return "" if hidden else f" (got {hide_literals(shorten(value))})"


def _known(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The keys that the (nested) model at ``path`` knows."""
    fields = _model_at(model, path).model_fields
    return [f.alias or name for name, f in fields.items()]


def _model_at(model: type[BaseModel], path: tuple[int | str, ...]) -> type[BaseModel]:
    """The (nested) model at ``path``."""
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
