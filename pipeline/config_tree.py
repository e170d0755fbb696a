"""The config's YAML as a tree: read, overridden, and filled from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from pipeline.config_size import SafeLoader, check_size
from pipeline.errors import ConfigError

MAX_BYTES = 2 << 20
"""Of a config: 40,000 column names take half of it."""


def read_yaml(path: Path) -> Any:
    """The tree in a YAML file, read by the safe loader; of bounded size, aliases included."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no config {str(path)!r}",
            fix="name a YAML file, or make one: python -m pipeline init DATA --target T",
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{str(path)!r} is a folder", fix="name a YAML file") from None
    except PermissionError:
        raise ConfigError(f"{str(path)!r} cannot be read: permission denied") from None
    return yaml_tree(data, path)


def yaml_tree(data: bytes, path: Path) -> Any:
    """The tree in the bytes of a YAML file.

    Raises:
        ConfigError: it is not YAML, or too large or too deep; names the line.
    """
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{str(path)!r} is too large for a config: more than {MAX_BYTES >> 20} MB",
            fix="was a data file meant? Name that with --data",
        )
    try:
        return parsed(data.decode("utf-8"), str(path))
    except UnicodeDecodeError:
        raise ConfigError(f"{str(path)!r} is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "not YAML"
        raise ConfigError(f"{str(path)!r}{at}: {problem}") from None


def parsed(text: str, where: str) -> Any:
    """The tree in a YAML text.

    Raises:
        ConfigError: it is too large or too deep, or a value is not of the type that its tag says.
        yaml.YAMLError: it is not YAML.
    """
    try:
        check_size(text, where)
        return yaml.load(text, Loader=SafeLoader)
    except (ValueError, LookupError, AttributeError) as error:  # 2026-99-99, !!int x, 5,000 digits
        raise ConfigError(f"{where}: {error}", fix="write it in quotes to have a text") from None


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Sets ``a.b=value`` in the tree, where the value is YAML."""
    path, eq, text = override.partition("=")
    if not eq or not path.strip():
        raise ConfigError(
            f"--set {override!r} is not key=value", fix="for example models.xgboost.rounds=50"
        )
    try:
        value = parsed(text, f"--set {path.strip()}")
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


SECRET_KEY = r"secret|passw|passphrase|pwd|token|credential|authori[sz]ation|signature|key$|string$"
"""Names of storage options that hold secrets; ``connection_string`` is one."""
REFERENCE = r"(\w+ )?\$\{\w+\}"
"""``${NAME}``, or ``Bearer ${NAME}``."""
IN_URL = (
    r"[\w+.-]+://[^/@:]*:[^/@]+@"  # user:password@host
    r"|[?&#;](sig|signature|[\w-]*(token|key|secret|password|credential|signature)[\w-]*)=[^&]"
)


def refuse_secrets(options: Mapping[str, Any]) -> None:
    """Checks that secrets, however deep, are ``${NAME}``, and that no URL holds one.

    Raises:
        ValueError: one is literal; names its key.
    """
    for key, value in options.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if isinstance(one, Mapping):
                refuse_secrets(one)
            elif has_password(str(one)) or (
                re.search(SECRET_KEY, str(key), re.I)
                and not (isinstance(one, str) and re.fullmatch(REFERENCE, one))
            ):
                raise ValueError(f"{key} is a literal secret: write it as ${{NAME}}")


def has_password(url: str) -> bool:
    """Whether a URL holds a password, or a signature that is as good as one."""
    return re.search(IN_URL, url, re.I) is not None


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


_filled_in: dict[str, str] = {}
"""Names of the variables that were filled in, by value: what this process must not tell."""
SHORTEST = 4
"""Letters; shorter values (a region's "eu") are words that occur anywhere."""


def _variable(match: re.Match[str]) -> str:
    name = match[1]
    if name not in os.environ:
        raise ConfigError(f"the environment has no {name!r}", fix=f"export {name}=…")
    value = os.environ[name]
    if len(value) >= SHORTEST:
        _filled_in[value] = name
    return value


def redacted(text: str) -> str:
    """The text with ``${NAME}`` for each value that the environment gave to a config.

    Libraries put what they were called with into errors and logs.
    """
    for value in sorted(_filled_in, key=len, reverse=True):
        for told in (value, repr(value)[1:-1], quote(value, safe="")):
            text = text.replace(told, f"${{{_filled_in[value]}}}")
    return text
