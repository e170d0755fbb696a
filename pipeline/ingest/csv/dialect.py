"""Dialect of a CSV file (delimiter, quotes, header), inferred from its first bytes."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice

from pydantic import JsonValue

from pipeline.config.model import Csv
from pipeline.console.plural import quantify
from pipeline.errors import ConfigError, SchemaError, shorten
from pipeline.ingest.contract_file import StoredDialect
from pipeline.ingest.csv import preamble
from pipeline.ingest.csv import text as texts
from pipeline.ingest.csv.blanks import has_leading_blanks
from pipeline.ingest.csv.header import GENERATED, check_names, looks_like_data
from pipeline.ingest.csv.missing_words import list_words
from pipeline.ingest.csv.preamble import FirstRecord, LineRules
from pipeline.ingest.csv.text import (
    BOM,
    TOO_WIDE,
    decode_head,
    decode_text,
    make_reader,
    split_lines,
)
from pipeline.ingest.reading_note import NEW_DATA

DELIMITERS = (",", ";", "\t", "|")
MAX_COLUMNS = 100_000


@dataclass(frozen=True)
class Dialect:
    """Syntax of a CSV, as its readers need it."""

    delimiter: str
    quote: str | None
    header: bool
    """True if each file begins with a line of names."""
    names: tuple[str, ...]
    """All columns in file order, including those that are not read."""
    newlines_in_values: bool
    missing: tuple[str, ...]
    """Words that mean missing in all columns but text columns of the target."""
    true: tuple[str, ...]
    false: tuple[str, ...]
    inferred_missing: tuple[str, ...] = ()
    """Further words, found in the sample, that mean missing in all columns but text."""
    skip: int | None = None
    """Lines above the header, or above the first row; None: they are found in each file."""
    comment: str | None = None
    """Character that begins comments anywhere in a file."""
    strip_blanks: bool = False
    """True if blanks after a delimiter are not part of the values."""

    @property
    def line_rules(self) -> LineRules:
        """Rules by which the lines become records."""
        return LineRules(self.delimiter, self.quote, self.skip, self.comment, self.strip_blanks)

    @property
    def multiline_quote(self) -> str | None:
        """Quote within which newlines may stand; None if they may not."""
        return self.quote if self.newlines_in_values else None

    def to_json(self) -> dict[str, JsonValue]:
        """Return the dialect's part of ``schema.json``."""
        return asdict(self)

    @staticmethod
    def from_stored(stored: StoredDialect) -> Dialect:
        """Return the dialect that a ``schema.json`` describes."""
        return Dialect(
            stored.delimiter,
            stored.quote,
            stored.header,
            tuple(stored.names),
            stored.newlines_in_values,
            tuple(stored.missing),
            tuple(stored.true),
            tuple(stored.false),
            tuple(stored.inferred_missing),
            stored.skip,
            stored.comment,
            stored.strip_blanks,
        )


def infer_dialect(
    head: bytes, path: str, config: Csv, where: str = "data", wanted: Sequence[str] = ()
) -> Dialect:
    """Infer the dialect of a file from its first bytes, which end with a whole line.

    Args:
        head: the first lines.
        path: the file, for messages.
        config: what the config says about its format.
        where: the key of the source in the config, for messages.
        wanted: names of columns that are needed. If they are f0, f1, …, a file whose first line
            holds data has no header.

    Raises:
        SchemaError: the file is empty or not text, or its header cannot be used.
        ConfigError: the delimiter or quote is not one character.
    """
    _check_characters(config)
    text = decode_head(head, path)
    above, _ = preamble.count_lines_above(text, config.skip, config.comment)
    delimiter = config.delimiter
    if delimiter is None and config.skip is None:
        delimiter = preamble.read_separator(text)
    below = preamble.drop_lines(text, above) or text
    delimiter = delimiter or _sniff_delimiter(below, config)
    strip = has_leading_blanks(below, delimiter, config.quote)
    rules = LineRules(delimiter, config.quote, config.skip, config.comment, strip)
    header = config.header in (None, True)
    first = _find_first_record(text, path, rules, header)
    body = preamble.drop_lines(text, first.above)
    if config.header is None and _is_data(text, rules, first):
        if not any(GENERATED.fullmatch(name) for name in wanted):
            raise _no_header_error(path, first, delimiter, where)
        header, first = False, _find_first_record(text, path, rules, False)
    if header:
        names = check_names(first.fields, path)
    elif not isinstance(config.header, tuple):
        names = tuple(f"f{i}" for i in range(len(first.fields)))
    else:
        names = check_names(config.header, "csv.header")
        if len(names) != len(first.fields):
            raise SchemaError(
                f"csv.header names {quantify(len(names), 'column')}, "
                f"{path} has {len(first.fields)}",
                examples=[f"its first line: {shorten(delimiter.join(first.fields))}"],
                fix="name every column, or set csv.delimiter",
            )
    newlines = config.newlines_in_values
    if newlines is None:
        newlines = _has_newlines(body, rules, cut=len(head) > texts.SNIFFED)
    return Dialect(
        delimiter,
        config.quote,
        header,
        names,
        newlines,
        list_words(config.missing),
        config.true,
        config.false,
        skip=config.skip,
        comment=config.comment,
        strip_blanks=strip,
    )


def _check_characters(config: Csv) -> None:
    named = {"delimiter": config.delimiter, "quote": config.quote, "comment": config.comment}
    for key, value in named.items():
        if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n"):
            raise ConfigError(f"csv.{key}: {value!r} is not one ASCII character")
    keys = list(named)
    for i, key in enumerate(keys):
        for other in keys[i + 1 :]:
            if named[key] is not None and named[key] == named[other]:
                raise ConfigError(f"csv.{key} and csv.{other} are both {named[key]!r}")


def _is_data(text: str, rules: LineRules, first: FirstRecord) -> bool:
    records = preamble.iter_records(text, rules, first.end)
    return looks_like_data(first.fields, [r.fields for r in islice(records, preamble.SAMPLED)])


def _no_header_error(path: str, first: FirstRecord, delimiter: str, where: str) -> SchemaError:
    fix = (
        f"set {where}.csv.header: false, which names the columns f0, f1, … (the last one is "
        f"f{len(first.fields) - 1}), or to a list of names; if the line does hold the names, set "
        f"{where}.csv.header: true"
    )
    if where == NEW_DATA:
        fix = "write the names that the run was trained with into the first line"
    return SchemaError(
        f"{path} has no header: its first line seems to hold data",
        examples=[f"its first line: {shorten(delimiter.join(first.fields))}"],
        fix=fix,
    )


def read_header(head: bytes, path: str, dialect: Dialect) -> tuple[tuple[str, ...], int]:
    """Return the names in a file's header line, and the number of lines above it.

    They are the dialect's if the file has those apart from case, or if it has as many fields and
    no header.

    Raises:
        SchemaError: the file is empty or not text, or its header cannot be used.
    """
    text = decode_head(head, path)
    if dialect.header:
        located = preamble.locate_header(text, dialect.line_rules, dialect.names)
        if located is not None:
            return dialect.names, located.above
    first = _find_first_record(text, path, dialect.line_rules, dialect.header)
    if dialect.header:
        return check_names(first.fields, path), first.above
    same = len(first.fields) == len(dialect.names)
    return dialect.names if same else first.fields, first.above


def _find_first_record(text: str, path: str, rules: LineRules, header: bool) -> FirstRecord:
    """Return the header, or the first row: at least one field and at most `MAX_COLUMNS`."""
    find = preamble.find_header if header else preamble.find_first_row
    first = find(text, rules)
    if first is None:
        raise SchemaError(f"{path} is empty", fix="remove it, or name the files to read")
    if len(first.fields) > MAX_COLUMNS:
        raise SchemaError(
            f"{path}: its first line has {len(first.fields):,} fields, "
            f"at most {MAX_COLUMNS:,} are read",
            fix=TOO_WIDE,
        )
    return first


def find_data_start(head: bytes, dialect: Dialect) -> tuple[int, int]:
    """Return (byte offset, line number from 1) of the first line below the header."""
    text, rules = decode_text(head), dialect.line_rules
    if dialect.header:
        first = preamble.locate_header(text, rules, dialect.names)
        first = first or preamble.find_header(text, rules)
        lines = 0 if first is None else first.end
    else:
        # Blank lines above the first row are lines of the data.
        row = preamble.find_first_row(text, rules)
        above, _ = preamble.count_lines_above(text, rules.skip, rules.comment)
        lines = above if row is None else min(above, row.above)
    start = len(BOM) if head.startswith(BOM) else 0
    for _ in range(lines):
        end = head.find(b"\n", start)
        start = len(head) if end < 0 else end + 1
    return start, lines + 1


def _has_newlines(text: str, rules: LineRules, cut: bool) -> bool:
    """Return whether a record below the first has several lines, and all have equal many fields.

    Args:
        text: the beginning of a file.
        rules: delimiter, quote and blanks.
        cut: True if the file is longer, so that the last record may be cut off.
    """
    if rules.quote is None or rules.quote not in text:
        return False
    whole = text[: text.rfind("\n") + 1] if cut else text
    lines, strip = split_lines(whole), rules.strip_blanks
    rows = make_reader(lines, rules.delimiter, rules.quote, strict=True, strip=strip)
    width, line, has_newlines = 0, 0, False
    blank = [""] if strip else []
    try:
        for row in rows:
            if width and row and len(row) != width and row != blank:
                return False
            has_newlines |= bool(width) and rows.line_num > line + 1
            width, line = width or len(row), rows.line_num
    except csv.Error as error:
        return has_newlines and cut and "unexpected end of data" in str(error)
    return has_newlines


def _sniff_delimiter(text: str, config: Csv) -> str:
    """Return the delimiter that gives most lines equally many fields, then the most fields."""

    def evenness(delimiter: str) -> tuple[float, int]:
        widths: Counter[int] = Counter()
        # An error means another delimiter, or a bad row, which the reader will name.
        with suppress(csv.Error):
            rows = make_reader(split_lines(text), delimiter, config.quote)
            widths.update(len(row) for row in islice(rows, 200) if row)
        if not widths:
            return 0.0, 0
        fields, lines = widths.most_common(1)[0]
        return (lines / widths.total() if fields > 1 else 0.0), fields

    best = max(DELIMITERS, key=evenness)
    return best if evenness(best)[1] > 1 else ","
