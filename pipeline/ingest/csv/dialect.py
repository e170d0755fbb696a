"""Dialect of a CSV file (delimiter, quotes, header), inferred from its first bytes."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from pydantic import JsonValue

from pipeline.config.model import Csv
from pipeline.console.plural import quantify
from pipeline.errors import ConfigError, SchemaError, shorten
from pipeline.ingest.contract_file import StoredDialect
from pipeline.ingest.csv.missing_words import list_words

DELIMITERS = (",", ";", "\t", "|")
SNIFFED = 256 << 10
"""Bytes from which the dialect is inferred."""
MAX_HEADER = 4 << 20
"""Bytes that the first line may have."""
MAX_COLUMNS = 100_000
BOM = b"\xef\xbb\xbf"
BINARY = {
    b"PK\x03\x04": "a zip or Excel file", b"\x1f\x8b": "compressed with gzip (name it .gz)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd (name it .zst)", b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text", b"ARROW1": "an Arrow file",
    b"\xd0\xcf\x11\xe0": "an old Excel file", b"%PDF": "a PDF document",
    b"<!doctype html": "an HTML page", b"<html": "an HTML page",
    b"BZh91AY&SY": "compressed with bzip2 (name it .bz2)",
    b"\xfd7zXZ": "compressed with xz (name it .xz)",
    b"version https://git-lfs": "a pointer of Git LFS (fetch the file: git lfs pull)",
}  # fmt: skip
"""Kinds of files by their first bytes; letters are lower case."""


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
        )


TO_UTF8 = "name the encoding of the file, such as csv.encoding: cp1252, or save it as UTF-8"
NEEDS_TEXT = "give a CSV of UTF-8 text; in Excel, save it as `CSV UTF-8`"
TOO_WIDE = "turn so many columns into rows"


def infer_dialect(head: bytes, path: str, config: Csv) -> Dialect:
    """Infer the dialect of a file from its first bytes, which end with a whole line.

    Raises:
        SchemaError: the file is empty or not text, or its header cannot be used.
        ConfigError: the delimiter or quote is not one character.
    """
    for key, value in (("delimiter", config.delimiter), ("quote", config.quote)):
        if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n"):
            raise ConfigError(f"csv.{key}: {value!r} is not one ASCII character")
    if config.delimiter is not None and config.delimiter == config.quote:
        raise ConfigError(f"csv.delimiter and csv.quote are both {config.quote!r}")
    text = _decode_head(head, path)
    delimiter = config.delimiter or _sniff_delimiter(text, config)
    first = _read_names(text, path, delimiter, config.quote)
    if config.header is True:
        names = check_names(first, path)
    elif config.header is False:
        names = tuple(f"f{i}" for i in range(len(first)))
    else:
        names = check_names(list(config.header), "csv.header")
        if len(names) != len(first):
            raise SchemaError(
                f"csv.header names {quantify(len(names), 'column')}, {path} has {len(first)}",
                examples=[f"its first line: {shorten(delimiter.join(first))}"],
                fix="name every column, or set csv.delimiter",
            )
    newlines = config.newlines_in_values
    if newlines is None:
        newlines = _has_newlines(text, delimiter, config.quote, cut=len(head) > SNIFFED)
    return Dialect(
        delimiter,
        config.quote,
        config.header is True,
        names,
        newlines,
        list_words(config.missing),
        config.true,
        config.false,
    )


def read_header(head: bytes, path: str, dialect: Dialect) -> tuple[str, ...]:
    """Return the names in a file's header line.

    Without a header, they are the dialect's if the file has as many fields.

    Raises:
        SchemaError: the file is empty or not text, or its header cannot be used.
    """
    first = _read_names(_decode_head(head, path), path, dialect.delimiter, dialect.quote)
    if dialect.header:
        return check_names(first, path)
    return dialect.names if len(first) == len(dialect.names) else tuple(first)


def _read_names(text: str, path: str, delimiter: str, quote: str | None) -> list[str]:
    """Return the fields of the first record, at least one and at most `MAX_COLUMNS`."""
    fields, _ = _read_first_record(text, delimiter, quote)
    if not fields:
        raise SchemaError(f"{path} is empty", fix="remove it, or name the files to read")
    if len(fields) > MAX_COLUMNS:
        raise SchemaError(
            f"{path}: its first line has {len(fields):,} fields, at most {MAX_COLUMNS:,} are read",
            fix=TOO_WIDE,
        )
    return fields


def check_names(names: list[str], path: str) -> tuple[str, ...]:
    """Check column names; an empty one becomes ``unnamed_<position>`` (pandas' index has none).

    Raises:
        SchemaError: two columns have one name, or a name is not UTF-8 text or has a NUL.
    """
    for name in names:
        if has_invalid_utf8(name):
            raise SchemaError(
                f"{path}: the column name {name.encode('utf-8', 'surrogateescape')!r} in the "
                "header is not UTF-8 text",
                fix=TO_UTF8,
            )
        check_name(name, path)
    filled = tuple(name.strip() or f"unnamed_{i}" for i, name in enumerate(names, 1))
    if twice := [name for name, count in Counter(filled).items() if count > 1]:
        at = [i for i, name in enumerate(filled, 1) if name == twice[0]]
        raise SchemaError(
            f"{path}: columns {' and '.join(map(str, at))} are both called {twice[0]!r}",
            fix="give every column a name of its own",
        )
    return filled


def check_name(name: str, path: str) -> None:
    """Refuse a column name with a NUL, at which Arrow's readers would end it.

    Raises:
        SchemaError: the name has one.
    """
    if "\0" in name:
        raise SchemaError(
            f"{path}: the column name {shorten(name)} has a NUL character", fix="rename the column"
        )


def find_data_start(head: bytes, dialect: Dialect) -> tuple[int, int]:
    """Return (byte offset, line number from 1) of the first line below the header."""
    start = len(BOM) if head.startswith(BOM) else 0
    if not dialect.header:
        return start, 1
    _, lines = _read_first_record(_decode_text(head), dialect.delimiter, dialect.quote)
    for _ in range(lines):
        end = head.find(b"\n", start)
        start = len(head) if end < 0 else end + 1
    return start, lines + 1


def has_invalid_utf8(text: str) -> bool:
    """Return whether a text decoded with ``surrogateescape`` has bytes that are not UTF-8."""
    return not text.isascii() and any("\udc80" <= c <= "\udcff" for c in text)


def guess_file_kind(head: bytes) -> str:
    """Return the kind of a file that begins with these bytes; empty if it may be a CSV."""
    low = head[:32].lower()
    return next(
        (kind for magic, kind in BINARY.items() if head.startswith(magic) or low.startswith(magic)),
        "",
    )


def _decode_head(head: bytes, path: str) -> str:
    if kind := guess_file_kind(head):
        raise SchemaError(f"{path} is not a CSV: it is {kind}", fix=NEEDS_TEXT)
    if b"\0" in head[:4096]:
        raise SchemaError(f"{path} is not a CSV: it has NUL bytes", fix=NEEDS_TEXT)
    if b"\r" in head and b"\n" not in head:
        raise SchemaError(
            f"{path}: lines end with a carriage return alone",
            fix="rewrite the line ends: tr '\\r' '\\n' < old.csv > new.csv",
        )
    # Checked before the line is split: a billion fields would not fit into memory.
    end = head.find(b"\n")
    length = len(head) if end < 0 else end
    if length > MAX_HEADER:
        raise SchemaError(
            f"{path}: its first line has {length:,} bytes, at most {MAX_HEADER:,} are read",
            fix=TOO_WIDE,
        )
    return _decode_text(head)


def _decode_text(head: bytes) -> str:
    """Decode the first `SNIFFED` bytes, and more if the first line is longer."""
    end = max(SNIFFED, head.find(b"\n", 0, MAX_HEADER) + 1)
    return head[:end].removeprefix(BOM).decode("utf-8", "surrogateescape")


def make_reader(
    lines: Iterable[str], delimiter: str, quote: str | None, *, strict: bool = False
) -> Any:
    """Return a `csv.reader` of lines that end with a newline; without a quote, none is special."""
    csv.field_size_limit(sys.maxsize)  # CSV has no limit; the default is 128 KiB
    if quote is None:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=strict)


def _split_lines(text: str) -> Iterator[str]:
    return (line.removesuffix("\r") + "\n" for line in text.split("\n"))


def _has_newlines(text: str, delimiter: str, quote: str | None, cut: bool) -> bool:
    """Return whether a record below the first has several lines, and all have equal many fields.

    Args:
        text: the beginning of a file.
        delimiter: the character between fields.
        quote: the character around them.
        cut: True if the file is longer, so that the last record may be cut off.
    """
    if quote is None or quote not in text:
        return False
    whole = text[: text.rfind("\n") + 1] if cut else text
    rows = make_reader(_split_lines(whole), delimiter, quote, strict=True)
    width, line, has_newlines = 0, 0, False
    try:
        for row in rows:
            if width and row and len(row) != width:
                return False
            has_newlines |= bool(width) and rows.line_num > line + 1
            width, line = width or len(row), rows.line_num
    except csv.Error as error:
        return has_newlines and cut and "unexpected end of data" in str(error)
    return has_newlines


def _read_first_record(text: str, delimiter: str, quote: str | None) -> tuple[list[str], int]:
    """Return (fields of the first record, lines up to its end); no fields for an empty file."""
    rows = make_reader(_split_lines(text), delimiter, quote)
    try:
        return next((row for row in rows if row), []), rows.line_num
    except csv.Error:
        return [], 0


def _sniff_delimiter(text: str, config: Csv) -> str:
    """Return the delimiter that gives most lines equally many fields, then the most fields."""

    def evenness(delimiter: str) -> tuple[float, int]:
        widths: Counter[int] = Counter()
        # An error means another delimiter, or a bad row, which the reader will name.
        with suppress(csv.Error):
            rows = make_reader(_split_lines(text), delimiter, config.quote)
            widths.update(len(row) for row in islice(rows, 200) if row)
        if not widths:
            return 0.0, 0
        fields, lines = widths.most_common(1)[0]
        return (lines / widths.total() if fields > 1 else 0.0), fields

    best = max(DELIMITERS, key=evenness)
    return best if evenness(best)[1] > 1 else ","
