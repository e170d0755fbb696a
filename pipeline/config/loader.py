"""The config's YAML as a tree: read, overridden, and filled from the environment."""

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
"""Of a config: 40,000 column names take half of it."""
DATA_ENDINGS = (".csv", ".tsv", ".txt", ".gz", ".zst", ".parquet", ".pq")


def read_yaml(path: Path) -> dict[str, Any]:
    """The tree in a YAML file, read by the safe loader; of bounded size, aliases included.

    Raises:
        ConfigError: no such file, not YAML, or not keys with values.
    """
    what = repr(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no config {what}",
            fix="name a YAML file, or make one: python -m pipeline init DATA --target T",
        ) from None
    except IsADirectoryError:
        raise ConfigError(f"{what} is a folder", fix="name a YAML file") from None
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise ConfigError(f"{what} cannot be read: {problem}", fix="name a YAML file") from None
    tree = parse_yaml_bytes(data, path)
    if not isinstance(tree, dict):
        raise ConfigError(
            f"the config {what} is no mapping of keys",
            fix=_as_data(path) or "start it with `data:`",
        )
    return tree


def parse_yaml_bytes(data: bytes, path: Path) -> Any:
    """The tree in the bytes of a YAML file.

    Raises:
        ConfigError: it is not YAML, or too large or too deep; names the line.
    """
    what = repr(str(path))
    if len(data) > MAX_BYTES:
        raise ConfigError(
            f"{what} is too large for a config: more than {MAX_BYTES >> 20} MB",
            fix="was a data file meant? Name that with --data",
        )
    try:
        return parse_yaml(data.decode("utf-8-sig"), what)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{what} is not UTF-8 text (line {line})", fix=_as_data(path) or "save it as UTF-8"
        ) from None


def _as_data(path: Path) -> str:
    """What to do with a config that is data."""
    if path.suffix.lower() not in DATA_ENDINGS:
        return ""
    return f"it looks like data: python -m pipeline run --data {quote_path(path)} --target T"


def apply_override(tree: dict[str, Any], override: str, option: str = "--set") -> None:
    """Set ``a.b=value``, which the command line's option gives, in the tree; the value is YAML."""
    path, eq, text = override.partition("=")
    if not eq or not path.strip():
        raise ConfigError(
            f"{option} {override!r} is not key=value", fix="for example models.xgboost.rounds=50"
        )
    *parents, last = path.strip().split(".")
    is_list = last != "header" or text.lstrip().startswith("[")
    words = parents[-1:] == ["csv"] and last in CSV_WORDS and is_list
    value = parse_yaml(text, f"{option} {path.strip()}", words=words)
    node: Any = tree
    for part in parents:
        child = node.setdefault(part, {})
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"{option} {override!r}: {part!r} holds {child!r}, not keys")
        node = child
    node[last] = value


def expand_environment(value: Any) -> Any:
    """``${NAME}`` in text, however deep, replaced by the environment's value.

    Raises:
        ConfigError: the variable is not set.
    """
    if isinstance(value, str):
        return re.sub(r"\$\{(\w+)\}", _variable, value)
    if isinstance(value, Mapping):
        return {k: expand_environment(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(expand_environment(v) for v in value)
    return value


def expand_url(text: str) -> str:
    """Fill in ``${NAME}`` in the user-info and the query of an HTTP URL.

    User-info is quoted, since ``/`` and ``@`` would end it; a query is taken as it is.

    Raises:
        ValueError: the URL may not be used. ConfigError: a variable is not set.
    """
    url = parse_url(text)
    if not url.is_http:
        return text
    user = re.sub(r"\$\{(\w+)\}", lambda m: quote(_variable(m), safe=""), url.user)
    query = expand_environment(url.parameters)
    at, mark = "@" if user else "", "?" if query else ""
    return f"{url.protocol}://{user}{at}{url.host}{url.path}{mark}{query}"


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


def redact(text: str) -> str:
    """Replace each value that the environment gave to a config by ``${NAME}``, and hide user-info
    and queries of URLs: libraries put what they were called with into errors and logs.
    """
    text = hide_literals(text)
    for value in sorted(_filled_in, key=len, reverse=True):
        for told in (value, repr(value)[1:-1], quote(value, safe="")):
            text = text.replace(told, f"${{{_filled_in[value]}}}")
    return text
