"""Bad rows: the error that names them, or the frame that keeps them."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pandas as pd

from pipeline.errors import DataError, shorten

COLUMNS = ("file", "line", "row", "column", "value", "reason", "text")


@dataclass(frozen=True)
class BadRow:
    """Where a row is and what is wrong with it."""

    file: str
    line: int
    """In the file, from 1; for Parquet the row in the file, from 1."""
    row: int
    """Its id."""
    column: str | None
    value: str | None
    reason: str
    text: str
    """The record as it stands in the file; empty for Parquet."""

    def describe(self) -> str:
        """Place, value and reason on one line."""
        value = "" if self.value is None else f"{shorten(self.value)} is "
        column = "" if self.column is None else f", column {self.column!r}"
        return f"{self.file}, line {self.line}{column}: {value}{self.reason}"


def build_error(bad: list[BadRow], fix: str) -> DataError:
    """The error for bad rows: the first in the message, the others as examples."""
    return DataError(bad[0].describe(), examples=[b.describe() for b in bad[1:]], fix=fix)


def build_table(bad: list[BadRow]) -> pd.DataFrame:
    """The rows of ``rejected.parquet``."""
    data = pd.DataFrame([asdict(b) for b in bad], columns=list(COLUMNS))
    text = {name: "str" for name in COLUMNS if name not in ("line", "row")}
    return data.astype({**text, "line": "int64", "row": "int64"})
