"""The table of the columns in a terminal."""

from __future__ import annotations

from pipeline.cli.columns import format_columns
from pipeline.features.column_summary import ColumnSummary
from pipeline.ingest.reading_note import ReadingNote


def columns(count: int) -> list[ColumnSummary]:
    return [ColumnSummary(f"c{i}", "integer", 5 * i, "a number", used=True) for i in range(count)]


def test_table_has_a_line_per_column_and_shares_of_missing_values() -> None:
    made = [
        ColumnSummary("age", "integer", 0, "a number", used=True),
        ColumnSummary("city", "text", 1, "text with 9 values → categorify", used=True),
        ColumnSummary("id", "integer", None, "not used", used=False),
    ]
    assert format_columns(made, 2_000, [], 80) == [
        "read 2,000 rows, 3 columns",
        "  column  type     missing  becomes",
        "  age     integer        0  a number",
        "  city    text      <0.1 %  text with 9 values → categorify",
        "  id      integer           not used",
    ]


def test_wide_tables_are_cut_to_twelve_columns_and_the_terminal() -> None:
    lines = format_columns(columns(43), 1_000, [], 80)
    assert len(lines) == 2 + 12 + 1
    assert lines[-1] == "  … 31 more in the report"
    long = [ColumnSummary("x" * 90, "date %d.%m.%Y %H:%M:%S", 0, "y" * 90, used=True)]
    assert all(len(line) <= 60 for line in format_columns(long, 10, [], 60))


def test_columns_below_the_table_that_are_left_out_are_named() -> None:
    hidden = [ColumnSummary(f"d{i}", "text", 0, "left out: too few", used=False) for i in range(7)]
    lines = format_columns([*columns(12), *hidden], 1_000, [], 80)
    assert lines[-6:] == [
        *(f"  d{i}: left out: too few" for i in range(5)),
        "  2 more left out; the report has the reasons",
    ]


def test_notes_are_whole_lines_with_the_config_that_changes_them() -> None:
    note = ReadingNote("encoding", "the text is read as cp1252", None, "data.csv.encoding: NAME")
    lines = format_columns(columns(1), 10, [note] * 10, 40)
    assert lines[3] == ("  the text is read as cp1252 (to change it: data.csv.encoding: NAME)")
    assert lines[-1] == "  2 further notes on reading in the report"
