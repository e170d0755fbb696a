"""The table of the columns that `run` prints once the data are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pipeline.console.plural import quantify

if TYPE_CHECKING:
    from pipeline.features.column_summary import ColumnSummary
    from pipeline.ingest.reading_note import ReadingNote

SHOWN = 12
"""Columns in the table."""
SHOWN_NOTES = 8
SHOWN_REASONS = 5
"""Columns below the table whose reason for being left out is named."""
WIDEST = 24
"""Characters of a column's name or type."""


def format_columns(
    columns: Sequence[ColumnSummary], rows: int, notes: Sequence[ReadingNote], width: int
) -> list[str]:
    """Format the columns as lines of at most ``width`` characters, notes on reading below them."""
    table = [("column", "type", "missing", "becomes")]
    for column in columns[:SHOWN]:
        missing = "" if column.missing is None else _format_share(column.missing, rows)
        table.append((column.column, column.type, missing, column.becomes))
    widths = [min(max(len(row[i]) for row in table), WIDEST) for i in range(3)]
    head = f"read {quantify(rows, 'row')}, {quantify(len(columns), 'column')}"
    lines = [head]
    for name, kind, missing, becomes in table:
        cells = (
            _cut(name, widths[0]).ljust(widths[0]),
            _cut(kind, widths[1]).ljust(widths[1]),
            missing.rjust(widths[2]),
            becomes,
        )
        lines.append(_cut("  " + "  ".join(cells), width))
    if len(columns) > SHOWN:
        lines.append(f"  … {len(columns) - SHOWN:,} more in the report")
    return [*lines, *_list_reasons(columns[SHOWN:], width), *_list_notes(notes)]


def _list_reasons(hidden: Sequence[ColumnSummary], width: int) -> Iterator[str]:
    """Yield why columns below the table are left out."""
    left_out = [c for c in hidden if c.becomes.startswith("left out")]
    for column in left_out[:SHOWN_REASONS]:
        yield _cut(f"  {column.column}: {column.becomes}", width)
    if len(left_out) > SHOWN_REASONS:
        yield f"  {len(left_out) - SHOWN_REASONS:,} more left out; the report has the reasons"


def _list_notes(notes: Sequence[ReadingNote]) -> Iterator[str]:
    for note in notes[:SHOWN_NOTES]:
        # not cut: the line of config at its end is there to be copied
        yield f"  {note}"
    if len(notes) > SHOWN_NOTES:
        yield f"  {quantify(len(notes) - SHOWN_NOTES, 'further note')} on reading in the report"


def _format_share(missing: int, rows: int) -> str:
    if not missing or not rows:
        return "0"
    share = 100 * missing / rows
    return "<0.1 %" if share < 0.1 else f"{share:.1f} %"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(width - 1, 1)] + "…"
