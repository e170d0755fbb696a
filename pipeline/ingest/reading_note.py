"""Notes on what reading skipped, replaced or decided, for the summary and the report."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import JsonValue

NoteKind = Literal[
    "missing", "date", "number", "type", "encoding", "header", "lines", "column", "format"
]
NEW_DATA = "new data"
"""`Contract.where` of data that a finished run scores: no config says how to read them."""
YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
"""Words that YAML reads as other values than text."""


@dataclass(frozen=True)
class ReadingNote:
    """One thing that was done to the data so that they could be read."""

    kind: NoteKind
    """``missing``: words read as missing. ``date`` and ``number``: how a column is written.
    ``type``: another type than the values alone suggest. ``encoding``: another one than UTF-8.
    ``header``: names that were changed or matched. ``lines``: lines that were skipped.
    ``column``: a column that is left out. ``format``: a file that was converted."""
    message: str
    """A sentence without its full stop; a column's does not repeat its name."""
    column: str | None = None
    """The column in question; None: the files as a whole."""
    change: str | None = None
    """The line of config that decides otherwise, such as ``data.csv.encoding: latin-1``."""

    def to_json(self) -> dict[str, JsonValue]:
        """Return the note's part of ``schema.json``."""
        return asdict(self)

    def __str__(self) -> str:
        """Return the note as a line of text."""
        place = f"{self.column}: " if self.column else ""
        change = f" (to change it: {self.change})" if self.change else ""
        return f"{place}{self.message}{change}"


def suggest_type(where: str, column: str, kind: str) -> str:
    """Return the line of config that gives a column of a source (``where``) a type."""
    plain = re.fullmatch(r"[A-Za-z_]\w*", column) and column.lower() not in YAML_WORDS
    name = column if plain else json.dumps(column, ensure_ascii=False)
    return f"{where}.types: {{{name}: {kind}}}"


def merge_notes(*several: Sequence[ReadingNote]) -> tuple[ReadingNote, ...]:
    """Return all notes in order, each once."""
    return tuple(dict.fromkeys(note for notes in several for note in notes))
