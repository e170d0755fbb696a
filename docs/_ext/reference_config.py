"""The reference of config keys, generated from the pydantic models."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from pipeline.config.model import Config
from pipeline.train.model import MODEL_REGISTRY


class Key(NamedTuple):
    """One key of the config file."""

    path: str
    values: str
    default: str
    text: str


MEANINGS = {
    "name": "Name of the run; the name of its folder begins with it.",
    "seed": "Seed of splits, folds, samples and models.",
    "device": "auto: the GPU if one works. gpu: fail without one.",
    "data.format": "auto: by the names of the files.",
    "data.task": "auto: inferred from the target's values.",
    "data.on_bad_rows": "quarantine: rows that cannot be parsed are set aside and counted.",
    "csv.quote": "Quotes values that contain the delimiter. null: quotes are ordinary characters.",
    "csv.true": "Words of a bool column that mean true.",
    "csv.false": "Words of a bool column that mean false.",
    "NAME.format": "auto: by the names of the files.",
    "NAME.keys": "Columns that identify a row; the data have columns of the same names.",
    "split.by": "Rule that assigns rows to the sets: at random, by time, by group, by a column.",
    "split.valid": "Share of the rows in the valid set.",
    "split.test": "Share of the rows in the test set.",
    "cluster.dashboard": "Serve Dask's dashboard and `/metrics`.",
    "cluster.dashboard_address": "Address of the dashboard, which has no password.",
    "ucx.nvlink": "Use NVLink. null: UCX decides.",
    "ucx.infiniband": "Use InfiniBand. null: UCX decides.",
    "ucx.rdmacm": "Connect through RDMA. null: UCX decides.",
    "ucx.tcp": "Use TCP. null: UCX decides.",
    "gpus.maximum_pool_size": "Upper limit of `pool: async` and `pool: pool`. null: no limit.",
}
"""Meanings of keys whose field has no docstring, by the end of the key."""


def meaning_of(path: str, docstring: str) -> str:
    """Return a key's meaning: its field's docstring, or one of `MEANINGS`."""
    fallbacks = (text for end, text in MEANINGS.items() if f".{path}".endswith(f".{end}"))
    return docstring.replace("None:", "null:") or next(fallbacks, "")


def field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the string literal below each field, by field name; base classes included."""
    docstrings: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        if not (issubclass(owner, BaseModel) and owner is not BaseModel):
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(node, ast.ClassDef)
        for field, below in zip(node.body, node.body[1:], strict=False):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if isinstance(field, ast.AnnAssign) and is_text and isinstance(field.target, ast.Name):
                docstrings[field.target.id] = " ".join(str(below.value.value).split())
    return docstrings


def describe_type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the values that a JSON schema allows, in words."""
    if "$ref" in schema:
        return describe_type(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(v)}`".replace('"', "") for v in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(describe_type(s, definitions) for s in schema["anyOf"]))
    kind = schema.get("type", "any value")
    if kind == "array":
        items = schema.get("items") or {}
        return f"list of {describe_type(items, definitions)}" if items else "list"
    names = {"string": "text", "integer": "whole number", "object": "mapping", "boolean": "boolean"}
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {schema[name]:,}" for name, sign in signs.items() if name in schema]
    return " ".join([names.get(kind, kind), ", ".join(limits)]).strip()


def describe_default(value: Any) -> str:
    """Return a field's default as YAML would have it."""
    if value is PydanticUndefined:
        return "*required*"
    if isinstance(value, tuple | list):
        return "`[" + ", ".join(json.dumps(v) for v in value) + "]`"
    return f"`{json.dumps(value, default=str)}`"


def inner_model(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Return the model that a field holds, if any, and whether it is one of a mapping's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    if typing.get_origin(annotation) is Annotated:
        return inner_model(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = [a for a in typing.get_args(annotation) if a is not types.NoneType]
        # A section that may also be written as another value is one key.
        return inner_model(parts[0]) if len(parts) == 1 else (None, False)
    for argument in typing.get_args(annotation)[1:]:
        model, _ = inner_model(argument)
        if model is not None:
            return model, True
    return None, False


def keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[Key]:
    """Yield every key below ``prefix``, depth first, in the order of the model's fields."""
    meanings = field_docstrings(model)
    schema = model.model_json_schema(by_alias=True)
    for name, field in model.model_fields.items():
        key = field.alias or name
        path = prefix + key
        inner, is_mapping = inner_model(field.annotation)
        if inner is not None:
            yield from keys_of(inner, path + (".NAME." if is_mapping else "."))
            continue
        values = describe_type(schema["properties"][key], schema.get("$defs", {}))
        yield Key(
            path, values, describe_default(field.default), meaning_of(path, meanings.get(name, ""))
        )


def all_keys() -> list[Key]:
    """Return every key of a config file; ``NAME`` stands for a name of your choice."""
    keys = [k for k in keys_of(Config) if k.path not in ("features", "models")]
    for name, entry in MODEL_REGISTRY.items():
        keys += keys_of(entry.params, f"models.{name}.")
    return keys


def cell(text: str) -> str:
    """Return text that a Markdown table's cell can hold."""
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    return text.replace("|", r"\|") or " "


def table_of(keys: list[Key]) -> str:
    """Return a Markdown table of keys."""
    lines = ["| key | values | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        columns = (f"`{key.path}`", key.values, key.default, key.text)
        lines.append("| " + " | ".join(map(cell, columns)) + " |")
    return "\n".join(lines)


def section_of(path: str) -> str:
    """Return the heading that a key stands under."""
    parts = path.split(".")
    if parts[0] == "models":
        return ".".join(parts[:2])
    if parts[:2] == ["data", "tables"]:
        return "data.tables"
    return parts[0] if len(parts) > 1 else "top level"


def markdown() -> str:
    """Return the reference page's generated part."""
    sections: dict[str, list[Key]] = {}
    for key in all_keys():
        sections.setdefault(section_of(key.path), []).append(key)
    pages = [f"## {name}\n\n{table_of(keys)}\n" for name, keys in sections.items()]
    return "\n".join(pages)
