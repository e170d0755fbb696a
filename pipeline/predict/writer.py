"""The file of predictions: Parquet, or CSV by RFC 4180, with cells that no spreadsheet obeys."""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts.files import atomic_write
from pipeline.config.urls import is_url, parse_url
from pipeline.errors import InputError

FORMULA = "^\\s*[=+@\t\r\n|%\uff1d\uff0b\uff0d\uff20-]"
"""How a cell begins that a spreadsheet takes for a formula (OWASP, "CSV Injection"), also behind
blanks and in full width; ``|`` and ``%`` begin DDE calls in old ones."""
NUMBER = r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$"
"""What stays as it is: -1.5 is a number."""


ENDINGS = (".csv", ".parquet")
STDOUT = "-"


def check_output(out: str, excel_safe: bool) -> None:
    """Checks where the predictions are to go.

    Raises:
        InputError: it is neither CSV nor Parquet, a URL that may not be used, or does not fit the
            options.
    """
    if out != STDOUT and not out.lower().endswith(ENDINGS):
        raise InputError(
            f"--out {out!r} ends in neither .csv nor .parquet", fix="--out - prints CSV"
        )
    if excel_safe and out.lower().endswith(".parquet"):
        raise InputError("--excel-safe is for CSV", fix="--out FILE.csv")
    if is_url(out):
        try:
            parse_url(out)
        except ValueError as error:
            raise InputError(f"--out: {error}") from None


@contextmanager
def print_file() -> Iterator[Path]:
    """A CSV file to write to, whose bytes go to standard output if the block succeeds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scores.csv")
        yield path
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def write(tables: Iterator[pa.Table], path: Path, excel_safe: bool = False) -> tuple[int, int]:
    """Writes the tables one below the other, complete or not there.

    Args:
        path: its ending tells the format.
        excel_safe: texts of a CSV that a spreadsheet would run get an apostrophe in front.

    Returns:
        (rows, rows without a prediction).
    """
    rows = unscored = 0
    with atomic_write(path) as beside, ExitStack() as opened:
        writer: Any = None
        for number, table in enumerate(tables):
            rows += table.num_rows
            unscored += table["prediction"].null_count
            if path.suffix.lower() == ".csv":
                _append(table.to_pandas(types_mapper=_nullable), beside, not number, excel_safe)
                continue
            writer = writer or opened.enter_context(pq.ParquetWriter(beside, table.schema))
            writer.write_table(table)
    return rows, unscored


def _append(frame: pd.DataFrame, path: Path, first: bool, excel_safe: bool) -> None:
    if excel_safe:
        frame = defuse_formulas(frame)
    # With the line ends of RFC 4180 a value that holds a carriage return is quoted: with others
    # it is not, and readers end the record there. Quotes around all texts keep a spreadsheet that
    # takes `;` for a delimiter from beginning a cell within one.
    frame.to_csv(
        path, mode="w" if first else "a", header=first, index=False, lineterminator="\r\n",
        quoting=csv.QUOTE_NONNUMERIC if excel_safe else csv.QUOTE_MINIMAL, encoding="utf-8",
    )  # fmt: skip


def defuse_formulas(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with ``'`` before texts and names that begin as a formula does; numbers stay."""
    made = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_string_dtype(column):
            formula = column.str.contains(FORMULA, regex=True, na=False)
            number = column.str.match(NUMBER, na=False)
            column = column.where(~formula | number, "'" + column)
        made[name] = column
    names = pd.Series(list(frame.columns), dtype="str")
    formula = names.str.contains(FORMULA, regex=True)
    return pd.DataFrame(made).set_axis(list(names.where(~formula, "'" + names)), axis=1)


def _nullable(kind: pa.DataType) -> Any:
    """Integers and bools that stay what they are beside nulls."""
    return {
        pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype(),
    }.get(kind)  # fmt: skip
