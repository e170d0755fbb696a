"""Names of columns in the config, matched with those in the files.

A name matches exactly, or else apart from blanks around it, or else apart from blanks and case, if
one column does. The config then gets the name in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pipeline.config.model import Data, Source
from pipeline.errors import MAX_EXAMPLES, ConfigError, suggest_or_list
from pipeline.expression import parse, rename_columns
from pipeline.ingest.reading_note import ReadingNote
from pipeline.schema import rename_keys

AnySource = TypeVar("AnySource", bound=Source)


def list_alike(name: str, names: Collection[str]) -> list[str]:
    """Return the columns that a name may mean: one if it is exact, several if it is ambiguous."""
    if name in names:
        return [name]
    for simplify in (str.strip, _fold):
        if alike := [other for other in names if simplify(other) == simplify(name)]:
            return alike
    return []


def find_column(name: str, names: Collection[str]) -> str | None:
    """Return the only column that a name may mean; None if there is none, or several are alike."""
    alike = list_alike(name, names)
    return alike[0] if len(alike) == 1 else None


def _fold(name: str) -> str:
    return " ".join(name.split()).casefold()


class NameMatcher:
    """Replacement of the names in a config by those of the columns, with the notes on it."""

    def __init__(self, names: Iterable[str], table: str | None = None) -> None:
        """Prepare the match with the names of columns, of a side table if one is named."""
        self.names = list(dict.fromkeys(names))
        self.prefix = "" if table is None else f"{table}."
        self.used: dict[str, str] = {}

    def match(self, name: str, where: str, names: Collection[str] | None = None) -> str:
        """Return the name of the column, or the name itself if it means none.

        Args:
            name: the name in the config.
            where: its key in the config, for messages.
            names: the columns; None: those of the matcher.

        Raises:
            ConfigError: the name may mean several columns.
        """
        alike = list_alike(name, self.names if names is None else names)
        if len(alike) > 1:
            raise ConfigError(
                f"{where}: {name!r} may mean any of {len(alike)} columns",
                examples=[repr(column) for column in alike],
                fix="write the name of one of them exactly, with its blanks and case",
            )
        if not alike or alike[0] == name:
            return name
        self.used[name] = alike[0]
        return alike[0]

    def match_expression(self, text: str, where: str) -> str:
        """Replace the names in an expression, or in a text that is a column's name."""
        if list_alike(text, self.names):
            return self.match(text, where)
        try:
            parse(text)
        except ConfigError:  # the check of the target reports it
            return text
        return rename_columns(text, lambda name: self.match(name, where))

    def match_source(self, source: Source, where: str) -> dict[str, Any]:
        """Return the fields of a source that change: target, weight and types."""
        changed: dict[str, Any] = {
            "types": rename_keys(source.types, lambda name: self.match(name, f"{where}.types"))
        }
        if isinstance(source, Data):
            changed["target"] = self.match_expression(source.target, f"{where}.target")
            if source.weight is not None:
                changed["weight"] = self.match(source.weight, f"{where}.weight")
        return {key: value for key, value in changed.items() if value != getattr(source, key)}

    def list_notes(self) -> list[ReadingNote]:
        """Return a note per name of the config that is not exactly that of its column."""
        return [
            ReadingNote("header", f"the config calls it {name!r}", f"{self.prefix}{column}")
            for name, column in self.used.items()
        ]


def match_source(source: AnySource, names: Iterable[str], where: str) -> AnySource:
    """Return a source whose target, weight and types have the names of the columns.

    Raises:
        ConfigError: a name may mean several columns.
    """
    changed = NameMatcher(names).match_source(source, where)
    return source.model_copy(update=changed) if changed else source


def suggest_column(name: str, names: Collection[str]) -> str:
    """Return a fix for a column that data lack: the columns that are alike, or the closest one."""
    if alike := list_alike(name, names):
        shown = ", ".join(map(repr, alike[:MAX_EXAMPLES])) + ", …" * (len(alike) > MAX_EXAMPLES)
        return f"rename the right one of {shown}"
    return suggest_or_list(name, names)


def note_header(renamed: Mapping[str, str]) -> list[ReadingNote]:
    """Return a note per column that the files of new data call by another name."""
    return [
        ReadingNote("header", f"the file calls it {stored!r}", name)
        for stored, name in renamed.items()
    ]


def match_header(names: Sequence[str], expected: Collection[str]) -> dict[str, str]:
    """Return the names of columns that a run knows by another name, with that name."""
    missing = [name for name in expected if name not in names]
    matched = {name: find_column(name, missing) for name in names if name not in expected}
    columns = [column for column in matched.values() if column is not None]
    return {n: c for n, c in matched.items() if c is not None and columns.count(c) == 1}
