"""The config's YAML as a tree: read, overridden, and filled from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import ConfigError


def read_yaml(path: Path) -> Any:
    """The tree in a YAML file, read by the safe loader."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no config {str(path)!r}",
            fix="name a YAML file, or make one: python -m pipeline init DATA --target T",
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{str(path)!r} is a folder", fix="name a YAML file") from None
    except PermissionError:
        raise ConfigError(f"{str(path)!r} cannot be read: permission denied") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{str(path)!r} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{str(path)!r}{at}: {problem}") from None


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Sets ``a.b=value`` in the tree, where the value is YAML."""
    path, eq, text = override.partition("=")
    if not eq or not path.strip():
        raise ConfigError(
            f"--set {override!r} is not key=value", fix="for example models.xgboost.rounds=50"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override!r}: the value is not YAML") from None
    node: Any = tree
    *parents, last = path.strip().split(".")
    for part in parents:
        child = node.setdefault(part, {})
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"--set {override!r}: {part!r} holds {child!r}, not keys")
        node = child
    node[last] = value


def refuse_secrets(options: Mapping[str, Any]) -> None:
    """Checks that secrets, however deep, are ``${NAME}``.

    Raises:
        ValueError: one is literal; names its key.
    """
    for key, value in options.items():
        if isinstance(value, Mapping):
            refuse_secrets(value)
        elif re.search(r"secret|password|token|credential|key$", str(key), re.I) and not (
            isinstance(value, str) and value.startswith("${")
        ):
            raise ValueError(f"{key} is a literal secret: write it as ${{NAME}}")


def from_environment(value: Any) -> Any:
    """``${NAME}`` in text, however deep, replaced by the environment's value.

    Raises:
        ConfigError: the variable is not set.
    """
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", _variable, value)
    if isinstance(value, Mapping):
        return {k: from_environment(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(from_environment(v) for v in value)
    return value


def _variable(match: re.Match[str]) -> str:
    name = match[1]
    if name not in os.environ:
        raise ConfigError(f"the environment has no {name!r}", fix=f"export {name}=…")
    return os.environ[name]
