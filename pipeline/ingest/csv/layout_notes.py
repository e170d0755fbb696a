"""Notes and errors on what lies around the rows of a CSV: lines above, columns without names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice

from pipeline.console.plural import quantify
from pipeline.errors import SchemaError, shorten
from pipeline.ingest.csv.dialect import Dialect, find_data_start
from pipeline.ingest.csv.header import UNNAMED, is_unnamed
from pipeline.ingest.csv.records import split_records
from pipeline.ingest.csv.text import decode_text
from pipeline.ingest.csv.type_inference import SampledValues
from pipeline.ingest.csv.types import SourceColumn
from pipeline.ingest.reading_note import NEW_DATA, ReadingNote, suggest_type

EMPTY = "it has neither a name nor values"


def note_layout(
    head: bytes, above: Sequence[int], dialect: Dialect, header: object, where: str
) -> Iterator[ReadingNote]:
    """Yield notes on lines that are skipped and blanks that are removed.

    Args:
        head: the first lines of the first file.
        above: the lines above the header, or the first row, of each file.
        dialect: the dialect of the files.
        header: ``csv.header`` of the config.
        where: the key of the source in the config.
    """
    place = "header" if dialect.header else "first row"
    skipping = [count for count in above if count]
    if skipping and dialect.skip is None:
        lines = decode_text(head).split("\n")[: above[0]]
        shown = next((line.strip() for line in lines if line.strip()), "")
        example = f": {shorten(shown)}" if shown else ""
        count = quantify(max(skipping), "line")
        some = "" if min(skipping) == max(skipping) else "up to "
        files = "" if len(skipping) == len(above) else f" of {quantify(len(skipping), 'file')}"
        verb = "is" if max(skipping) == 1 else "are"
        change = None if where == NEW_DATA else f"{where}.csv.skip: 0"
        message = f"{some}{count} above the {place}{files} {verb} skipped{example}"
        yield ReadingNote("lines", message, None, change)
    if not dialect.header and header is None:
        change = None if where == NEW_DATA else f"{where}.csv.header: true"
        message = "the first line holds data, so the columns are called f0, f1, …"
        yield ReadingNote("header", message, None, change)
    if dialect.strip_blanks:
        yield ReadingNote("lines", "blanks after delimiters are not part of the values")


def find_unnamed_columns(
    columns: Sequence[SourceColumn], sample: SampledValues, asked: Collection[str]
) -> dict[str, str]:
    """Return columns without a name that hold labels of rows or nothing, with the reason.

    Args:
        columns: the columns of the file, in its order.
        sample: their values.
        asked: names for which the config, or the run, has a type; these are read.
    """
    unnamed: dict[str, str] = {}
    leading = True
    for place, column in enumerate(columns):
        leading = leading and is_unnamed(column.name, place)
        if column.name in asked:
            continue
        if column.name == f"unnamed_{place + 1}" and not sample.values[place]:
            if not sample.missing[place]:
                unnamed[column.name] = EMPTY
        elif leading:
            unnamed[column.name] = UNNAMED
    return {} if len(unnamed) == len(columns) else unnamed


def note_unnamed(
    unnamed: dict[str, str], columns: Sequence[SourceColumn], where: str
) -> Iterator[ReadingNote]:
    """Yield a note per column that is left out because it has no name."""
    types = {column.name: column.type for column in columns}
    for name, reason in unnamed.items():
        yield ReadingNote(
            "column", f"left out: {reason}", name, suggest_type(where, name, types[name])
        )


def make_no_rows_error(path: str, head: bytes, dialect: Dialect, where: str) -> SchemaError:
    """Return the error for a sample without a record that has as many fields as the header."""
    start, line = find_data_start(head, dialect)
    records = list(islice(split_records(head[start:], dialect), 200))
    if not records:
        header = dialect.delimiter.join(dialect.names)
        return SchemaError(
            f"{path} has a header but no rows",
            examples=[f"its header: {shorten(header)}"] if dialect.header else [],
            fix=f"name files with rows; if the line is a row, set {where}.csv.header: false",
        )
    widths = sorted({len(r.fields) for r in records if r.fields})
    fields = " or ".join(map(str, widths[:3])) or "unclear"
    above = decode_text(head).split("\n")[: line - 1] or [""]
    return SchemaError(
        f"{path}: no line has as many fields as the header ({len(dialect.names)}); "
        f"the others have {fields}",
        examples=[
            f"line {line - 1}: {shorten(above[-1].strip())}",
            f"then: {shorten(records[0].text)}",
        ],
        fix=f"if other lines lie above the names, set {where}.csv.skip to their number; if the "
        f"delimiter is not {dialect.delimiter!r}, set {where}.csv.delimiter; else give every "
        "column a name, and put values that contain the delimiter in quotes",
    )
