"""The config as a tree of values: read from YAML, overridden, filled from the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.config.urls import hide_literals, parse_url
from pipeline.config.yaml_text import CSV_WORDS, parse_yaml
from pipeline.errors import ConfigError, quote_path

MAX_BYTES = 2 << 20
"""Maximum size of a config in bytes; 40,000 column names take half of it."""
DATA_ENDINGS = (".csv", ".tsv", ".txt", ".gz", ".zst", ".parquet", ".pq")


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the tree in a YAML file.

    Raises:
        ConfigError: The file is missing, too large, not YAML, or not a mapping of keys to values.
    """
    what = repr(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no config {what}",
            fix="name a YAML file, or create one: python -m pipeline init DATA --target T",
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{what} is a folder", fix="name a YAML file") from None
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise ConfigError(f"{what} cannot be read: {problem}", fix="name a YAML file") from None
    tree = parse_yaml_bytes(data, path)
    if not isinstance(tree, dict):
        raise ConfigError(
            f"the config {what} is not a mapping of keys to values",
            fix=_suggest_data_option(path) or "start it with `data:`",
        )
    return tree


def parse_yaml_bytes(data: bytes, path: Path) -> Any:
    """Parse the bytes of a YAML file.

    Raises:
        ConfigError: The file is not YAML, or is too large or too deep; the message names the line.
    """
    what = repr(str(path))
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{what} is too large for a config: more than {MAX_BYTES >> 20} MB",
            fix="name a config; if this is a data file, name it with --data",
        )
    try:
        return parse_yaml(data.decode("utf-8-sig"), what)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{what} is not UTF-8 text (line {line})",
            fix=_suggest_data_option(path) or "save it as UTF-8",
        ) from None


def _suggest_data_option(path: Path) -> str:
    """Return the fix for a data file that was named as a config; empty for other files."""
    if path.suffix.lower() not in DATA_ENDINGS:
        return ""
    return f"name data with --data: python -m pipeline run --data {quote_path(path)} --target T"


def derive_name(path: str) -> str:
    """Derive the name of a config from the path of its data."""
    stem = Path(path.rstrip("/")).name.split(".")[0]
    cleaned = "".join(c if c.isalnum() and c.isascii() else "-" for c in stem).strip("-")
    return cleaned[:64] or "run"


def apply_override(tree: dict[str, Any], override: str, option: str = "--set") -> None:
    """Set a key of the tree from ``a.b=value``, where the value is YAML.

    Raises:
        ConfigError: The override has no key, its value is not YAML, or a parent is not a mapping.
    """
    path, eq, text = override.partition("=")
    if not eq or not path.strip():
        raise ConfigError(
            f"{option} {override!r} is not key=value",
            fix="write KEY=VALUE, for example models.xgboost.rounds=50",
        )
    *parents, last = path.strip().split(".")
    is_list = last != "header" or text.lstrip().startswith("[")
    words = parents[-1:] == ["csv"] and last in CSV_WORDS and is_list
    words |= parents[-2:] == ["csv", "missing"]
    value = parse_yaml(text, f"{option} {path.strip()}", words=words)
    node: Any = tree
    for part in parents:
        child = node.setdefault(part, {})
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict):
            raise ConfigError(
                f"{option} {override!r}: {part!r} is {child!r}, not a mapping of keys to values",
                fix=f"set {part!r} itself, or correct the path of keys",
            )
        node = child
    node[last] = value


def expand_environment(value: Any) -> Any:
    """Replace ``${NAME}`` in all texts of a value by the variables of the environment.

    Raises:
        ConfigError: A variable is not set.
    """
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", _variable, value)
    if isinstance(value, Mapping):
        return {k: expand_environment(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(expand_environment(v) for v in value)
    return value


def expand_url(text: str) -> str:
    """Replace ``${NAME}`` in the user-info and the query of an HTTP URL.

    Raises:
        ValueError: The URL is not allowed.
        ConfigError: A variable is not set.
    """
    url = parse_url(text)
    if not url.is_http:
        return text
    # Quoted, because ``/`` and ``@`` would end the user-info. A query is used as it is.
    user = re.sub(r"\$\{(\w+)\}", lambda m: quote(_variable(m), safe=""), url.user)
    query = expand_environment(url.parameters)
    at, mark = "@" if user else "", "?" if query else ""
    return f"{url.protocol}://{user}{at}{url.host}{url.path}{mark}{query}"


_secrets: dict[str, str] = {}
"""Variable name by value, for the values that this process must never print."""
MIN_SECRET_CHARS = 4
"""Shorter values (such as the region "eu") occur in ordinary text, so they are not hidden."""


def _variable(match: re.Match[str]) -> str:
    name = match[1]
    if name not in os.environ:
        raise ConfigError(f"the environment has no variable {name!r}", fix=f"export {name}=…")
    value = os.environ[name]
    if len(value) >= MIN_SECRET_CHARS:
        _secrets[value] = name
    return value


def redact(text: str) -> str:
    """Replace secrets by ``${NAME}`` and hide user-info and queries of URLs.

    Libraries put their arguments into errors and logs, so all shown text passes through here.
    """
    text = hide_literals(text)
    # The longest first, because one secret may be a part of another.
    for value in sorted(_secrets, key=len, reverse=True):
        for spelling in (value, repr(value)[1:-1], quote(value, safe="")):
            text = text.replace(spelling, f"${{{_secrets[value]}}}")
    return text
