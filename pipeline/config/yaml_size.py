"""How much a YAML text may hold, looked at before anything is built of it."""

from __future__ import annotations

from typing import Any

import yaml

from pipeline.errors import ConfigError

MAX_VALUES = 250_000
"""Keys and values, those that an alias repeats counted each time."""
LETTERS = 64
"""So many of a text count as one value more."""
MAX_DEPTH = 50
SafeLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""LibYAML's, where it is there: ten times as fast."""


def check_size(text: str, where: str) -> None:
    """Checks depth and size of a text: LibYAML's loader recurses until the stack ends.

    An alias counts as much as what it repeats, so that neither aliases nor merge keys explode.

    Raises:
        ConfigError: it is too large or too deep, or an alias holds itself.
        yaml.YAMLError: it is not YAML.
    """
    sizes: dict[str, int] = {}  # of what has an anchor, once it has ended
    around: list[tuple[int, str | None]] = []  # (size before, anchor) of the collections around
    size = 0
    for event in yaml.parse(text, Loader=SafeLoader):
        size += 1
        if isinstance(event, yaml.ScalarEvent):
            weight = len(event.value) // LETTERS
            size += weight
            sizes |= {event.anchor: 1 + weight} if event.anchor else {}
        if isinstance(event, yaml.CollectionStartEvent):
            around.append((size, event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            before, anchor = around.pop()
            sizes |= {anchor: size - before + 1} if anchor else {}
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for _, anchor in around):
                raise ConfigError(f"{where}: the alias *{event.anchor} holds itself")
            size += sizes.get(str(event.anchor), 1)
        if len(around) > MAX_DEPTH or size > MAX_VALUES:
            raise ConfigError(
                f"{where}: more than {MAX_VALUES:,} values, what aliases repeat counted each time"
                if size > MAX_VALUES
                else f"{where}: more than {MAX_DEPTH} levels"
            )
