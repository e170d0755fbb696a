"""Excel workbooks to CSV, so that words, dates and numbers of people are read as in a CSV."""

from __future__ import annotations

import csv
import datetime
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.errors import ConfigError, MachineError, SchemaError, shorten, suggest_or_list
from pipeline.ingest.formats.copies import write_copy
from pipeline.ingest.reading_note import ReadingNote
from pipeline.ingest.sources.converted import ConvertedFile
from pipeline.ingest.sources.files import File
from pipeline.ingest.sources.filesystems import open_file

EXACT = 1 << 53
"""Integers below this bound are exact in Excel, where every number is a float."""
Cells = list[list[Any]]


def convert(
    file: File, options: Mapping[str, object], sheet: str | int | None, where: str
) -> ConvertedFile:
    """Convert one sheet of a workbook (xlsx, xlsm, xlsb, xls, ods).

    Each row is a line of the CSV. Dates are written in ISO 8601, whole numbers
    without a decimal point, and errors such as ``#DIV/0!`` as empty cells.

    Args:
        file: the workbook.
        options: of its storage.
        sheet: name of the sheet, or its number from 1 on; None: the first one with data.
        where: key of the source in the config, for the notes; empty if no config can change it.

    Raises:
        SchemaError: it is not a workbook, or no sheet has data.
        ConfigError: there is no such sheet.
        MachineError: python-calamine is not installed.
    """
    try:
        import python_calamine
    except ImportError:
        raise MachineError(
            f"{file.path}: the library for Excel is not installed",
            fix='install it: pip install "pipeline[excel]"',
        ) from None
    with open_file(file.path, options) as raw:
        try:
            book = python_calamine.CalamineWorkbook.from_object(raw)
            names = list(book.sheet_names)
            wanted = _find_sheets(sheet, names, file.path, where)
            sheets = {name: book.get_sheet_by_name(name) for name in wanted}
            with_data = [name for name in wanted if sheets[name].height > 1]
            cells = _read_cells(sheets[with_data[0]]) if with_data else []
        except python_calamine.PasswordError:
            raise SchemaError(
                f"{file.path} is protected by a password", fix="save it without one"
            ) from None
        except python_calamine.CalamineError as error:
            raise SchemaError(
                f"{file.path} is not a readable workbook: {error}",
                fix="open it in Excel and save it as .xlsx, or as CSV UTF-8",
            ) from None
    if not cells:
        raise SchemaError(
            f"{file.path} has no rows: {_list_names(wanted)}",
            fix="name a sheet with a header and rows" if where else "name files with rows",
        )
    name, others = with_data[0], with_data[1:]
    notes = []
    if others:
        change = f"{where}.sheet: {others[0]}" if where else None
        notes = [
            ReadingNote(
                "format", f"sheet {name!r} is read, not {_list_names(others)}", None, change
            )
        ]
    rows = [*_format_cells(cells)]
    has_newlines = any("\n" in cell or "\r" in cell for row in rows for cell in row)
    with write_copy("csv") as (beside, path):
        with beside.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            # Readers skip blank lines, and an empty row has no values.
            writer.writerows(row if any(row) else [] for row in rows)
        size = beside.stat().st_size
    return ConvertedFile(str(path), size, "csv", has_newlines, notes=tuple(notes))


def _list_names(names: Sequence[str]) -> str:
    return "sheet " + ", ".join(shorten(name) for name in names[:5]) + (", …" if names[5:] else "")


def _find_sheets(sheet: str | int | None, names: list[str], path: str, where: str) -> list[str]:
    """Return the sheets that may be read."""
    if sheet is None:
        return names
    if isinstance(sheet, int) and 1 <= sheet <= len(names):
        return [names[sheet - 1]]
    if str(sheet) in names:  # a sheet may be called 2024
        return [str(sheet)]
    if not where:  # new data may lie on a sheet of another name
        return names
    raise ConfigError(
        f"{where}.sheet: {path} has no sheet {sheet!r}",
        fix=suggest_or_list(str(sheet), names),
    )


def _read_cells(sheet: Any) -> Cells:
    """Return the cells without empty columns and without empty rows at the end."""
    rows: Cells = sheet.to_python()
    while rows and all(cell == "" for cell in rows[-1]):
        rows.pop()
    used = [i for i in range(len(rows[0]) if rows else 0) if any(row[i] != "" for row in rows)]
    return [[row[i] for i in used] for row in rows] if len(rows) > 1 else []


def _format_cells(cells: Cells) -> Iterator[list[str]]:
    """Yield the rows as text; a column of dates has times if any of them has one."""
    timed = [
        any(isinstance(row[i], datetime.datetime) for row in cells) for i in range(len(cells[0]))
    ]
    for row in cells:
        yield [_format_cell(cell, has_time) for cell, has_time in zip(row, timed, strict=True)]


def _format_cell(cell: Any, has_time: bool) -> str:
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < EXACT else repr(cell)
    if isinstance(cell, datetime.timedelta):
        return repr(cell.total_seconds())
    if isinstance(cell, datetime.date) and not isinstance(cell, datetime.datetime) and has_time:
        cell = datetime.datetime.combine(cell, datetime.time())
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ")
    return cell.isoformat() if isinstance(cell, datetime.date | datetime.time) else str(cell)
