"""Names of columns in the config, matched with those in the files.

A name matches exactly, or else apart from blanks around it, or else apart from blanks and case, if
one column does. The config then gets the name in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar

from pipeline.config.model import Config, Data, Source
from pipeline.errors import ConfigError
from pipeline.expression import parse
from pipeline.expression.nodes import iter_names
from pipeline.ingest.reading_note import ReadingNote

AnySource = TypeVar("AnySource", bound=Source)


def find_column(name: str, names: Collection[str]) -> str | None:
    """Return the only column that a name may mean; None if there is none, or several are alike."""
    if name in names:
        return name
    for simplify in (str.strip, _fold):
        alike = [other for other in names if simplify(other) == simplify(name)]
        if alike:
            return alike[0] if len(alike) == 1 else None
    return None


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()


class NameMatcher:
    """Replacement of the names in a config by those of the columns, with the notes on it."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = list(dict.fromkeys(names))
        self.used: dict[str, str] = {}

    def match(self, name: str) -> str:
        """Return the name of the column, or the name itself if it means none."""
        column = find_column(name, self.names)
        if column is None or column == name:
            return name
        self.used[name] = column
        return column

    def match_expression(self, text: str) -> str:
        """Replace the names in an expression, or in a text that is a column's name."""
        if text in self.names:
            return text
        if find_column(text, self.names) is not None:
            return self.match(text)
        try:
            nodes = sorted(iter_names(parse(text).root), key=lambda node: -node.at)
        except ConfigError:  # the check of the target reports it
            return text
        for node in nodes:
            if (column := self.match(node.column)) != node.column:
                quoted = text[node.at] == "`"
                end = node.at + len(node.column) + 2 * quoted
                text = f"{text[: node.at]}`{column}`{text[end:]}"
        return text

    def match_source(self, source: Source) -> dict[str, Any]:
        """Return the fields of a source that change: target, weight and types."""
        changed: dict[str, Any] = {
            "types": {self.match(name): kind for name, kind in source.types.items()}
        }
        if isinstance(source, Data):
            changed["target"] = self.match_expression(source.target)
            if source.weight is not None:
                changed["weight"] = self.match(source.weight)
        return {key: value for key, value in changed.items() if value != getattr(source, key)}

    def list_notes(self) -> list[ReadingNote]:
        """Return a note per name of the config that is not exactly that of its column."""
        return [
            ReadingNote("header", f"the config calls it {name!r}", column)
            for name, column in self.used.items()
        ]


def match_source(source: AnySource, names: Iterable[str]) -> AnySource:
    """Return a source whose target, weight and types have the names of the columns."""
    changed = NameMatcher(names).match_source(source)
    return source.model_copy(update=changed) if changed else source


def match_header(names: Sequence[str], expected: Collection[str]) -> dict[str, str]:
    """Return the names of columns that a run knows by another name, with that name."""
    missing = [name for name in expected if name not in names]
    matched = {name: find_column(name, missing) for name in names if name not in expected}
    columns = [column for column in matched.values() if column is not None]
    return {n: c for n, c in matched.items() if c is not None and columns.count(c) == 1}


def match_config(config: Config, names: Iterable[str]) -> tuple[Config, list[ReadingNote]]:
    """Return the config with the names of the columns, and notes on the others."""
    matcher = NameMatcher(names)
    changed: dict[str, Any] = {}
    if data := matcher.match_source(config.data):
        changed["data"] = config.data.model_copy(update=data)
    if config.split.column is not None:
        column = matcher.match(config.split.column)
        if column != config.split.column:
            changed["split"] = config.split.model_copy(update={"column": column})
    slices = tuple(matcher.match(name) for name in config.evaluate.slices)
    if slices != config.evaluate.slices:
        changed["evaluate"] = config.evaluate.model_copy(update={"slices": slices})
    return (config.model_copy(update=changed) if changed else config), matcher.list_notes()
