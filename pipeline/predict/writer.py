"""The file of predictions: Parquet, or CSV by RFC 4180 without formulas for spreadsheets."""

from __future__ import annotations

import csv
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts.files import atomic_write
from pipeline.config.urls import is_url, parse_url
from pipeline.errors import InputError

FORMULA = "^\\s*[=+@\t\r\n|%\uff1d\uff0b\uff0d\uff20-]"
"""Pattern of cells that a spreadsheet takes for a formula (OWASP, "CSV Injection"), also after
blanks and in full width; ``|`` and ``%`` begin DDE calls in old spreadsheets."""
NUMBER = r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$"
"""Pattern of numbers, which stay as they are, such as -1.5."""
NULLABLE = {
    pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype(),
}  # fmt: skip
"""Pandas types in which integers and bools stay what they are beside nulls."""
ENDINGS = (".csv", ".parquet")
STDOUT = "-"


def check_output(out: str, excel_safe: bool) -> None:
    """Check where the predictions are to go.

    Raises:
        InputError: ``out`` is neither CSV nor Parquet, is a URL that may not be used, or does not
            fit the options.
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
    """Provide a CSV file, whose bytes go to standard output if the block succeeds."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "scores.csv")
        yield path
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.buffer.flush()


def write(tables: Iterator[pa.Table], path: Path, excel_safe: bool = False) -> tuple[int, int]:
    """Write the tables into one file, which is complete or absent.

    Args:
        tables: output rows, in order.
        path: the file, CSV or Parquet by its ending.
        excel_safe: texts of a CSV that a spreadsheet would run get an apostrophe in front.

    Returns:
        The number of rows, and of those without a prediction.
    """
    rows = unscored = 0
    with atomic_write(path) as beside, ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for number, table in enumerate(tables):
            rows += table.num_rows
            unscored += table["prediction"].null_count
            if path.suffix.lower() == ".csv":
                _append(table.to_pandas(types_mapper=NULLABLE.get), beside, not number, excel_safe)
                continue
            if writer is None:
                writer = stack.enter_context(pq.ParquetWriter(beside, table.schema))
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
    """Put ``'`` before texts and names that begin like a formula; numbers stay."""
    columns = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_string_dtype(column):
            formula = column.str.contains(FORMULA, regex=True, na=False)
            number = column.str.match(NUMBER, na=False)
            column = column.where(~formula | number, "'" + column)
        columns[name] = column
    names = pd.Series(list(frame.columns), dtype="str")
    formula = names.str.contains(FORMULA, regex=True)
    return pd.DataFrame(columns).set_axis(list(names.where(~formula, "'" + names)), axis=1)
