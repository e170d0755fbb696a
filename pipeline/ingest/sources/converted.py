"""The copy of a file of another format, which the readers of CSV and Parquet read in its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.ingest.reading_note import ReadingNote


@dataclass(frozen=True)
class ConvertedFile:
    """A local copy with the same rows as CSV or Parquet."""

    path: str
    size: int
    """Bytes of the copy."""
    format: Literal["csv", "parquet"]
    newlines_in_values: bool = False
    """True if values of a CSV hold newlines."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """Columns that the copy lacks because they cannot be read, with the reason."""
    notes: tuple[ReadingNote, ...] = ()
    """Decisions of the conversion."""
