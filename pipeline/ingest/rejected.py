"""Bad rows, as an error that names them or as the table ``rejected.parquet``."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import pandas as pd

from pipeline.errors import DataError, shorten

COLUMNS = ("file", "line", "row", "column", "value", "reason", "text")


@dataclass(frozen=True)
class BadRow:
    """Place of a row that cannot be read, and what is wrong with it."""

    file: str
    line: int
    """Line of the file, from 1; for Parquet the row of the file, from 1."""
    row: int
    """Id of the row."""
    column: str | None
    value: str | None
    reason: str
    text: str
    """Text of the record in the file; empty for Parquet."""

    def describe(self) -> str:
        """Return place, value and reason on one line."""
        value = "" if self.value is None else f"{shorten(self.value)} is "
        column = "" if self.column is None else f", column {self.column!r}"
        place = f"line {self.line}" if self.text else f"row {self.line}"
        return f"{self.file}, {place}{column}: {value}{self.reason}"


def build_error(bad: list[BadRow], fix: str) -> DataError:
    """Return the error for bad rows, the first in the message and the others as examples."""
    return DataError(bad[0].describe(), examples=[b.describe() for b in bad[1:]], fix=fix)


def build_table(bad: list[BadRow]) -> pd.DataFrame:
    """Return the content of ``rejected.parquet``."""
    data = pd.DataFrame([asdict(b) for b in bad], columns=list(COLUMNS))
    text = {name: "str" for name in COLUMNS if name not in ("line", "row")}
    return data.astype({**text, "line": "int64", "row": "int64"})
