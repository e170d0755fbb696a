"""How a CSV file is written: delimiter, quotes, header; found out from its first bytes."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from pipeline.config.model import Csv
from pipeline.errors import ConfigError, SchemaError, shorten
from pipeline.ingest.contract_file import StoredDialect

DELIMITERS = (",", ";", "\t", "|")
SNIFFED = 256 << 10  # bytes
MAX_HEADER = 4 << 20
"""Bytes of the first line."""
MAX_COLUMNS = 100_000
BOM = b"\xef\xbb\xbf"
BINARY = {
    b"PK\x03\x04": "a zip or Excel file", b"\x1f\x8b": "compressed with gzip (name it .gz)",
    b"\x28\xb5\x2f\xfd": "compressed with zstd (name it .zst)", b"PAR1": "a Parquet file",
    b"\xff\xfe": "UTF-16 text", b"\xfe\xff": "UTF-16 text", b"ARROW1": "an Arrow file",
    b"\xd0\xcf\x11\xe0": "an old Excel file", b"%PDF": "a PDF document",
    b"<!doctype html": "an HTML page", b"<html": "an HTML page",
    b"BZh91AY&SY": "compressed with bzip2 (take gzip or zstd)",
    b"\xfd7zXZ": "compressed with xz (take gzip or zstd)",
    b"version https://git-lfs": "a pointer of Git LFS (fetch the file: git lfs pull)",
}  # fmt: skip
"""By the first bytes, in small letters where they are letters."""


@dataclass(frozen=True)
class Dialect:
    """Everything the readers must know of a CSV's syntax."""

    delimiter: str
    quote: str | None
    header: bool
    """Whether each file begins with a line of names."""
    names: tuple[str, ...]
    """All columns in file order, also those that are not read."""
    newlines_in_values: bool
    missing: tuple[str, ...]
    true: tuple[str, ...]
    false: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For ``schema.json``."""
        return asdict(self)

    @staticmethod
    def from_stored(found: StoredDialect) -> Dialect:
        """Return the dialect that a ``schema.json`` describes."""
        return Dialect(
            found.delimiter, found.quote, found.header, tuple(found.names),
            found.newlines_in_values, tuple(found.missing), tuple(found.true), tuple(found.false),
        )  # fmt: skip


TO_UTF8 = "save the file as UTF-8, such as: iconv -f latin1 -t utf-8 OLD > NEW"
TEXT = "CSV must be UTF-8 text: in Excel, save it as `CSV UTF-8`"


def infer_dialect(head: bytes, path: str, config: Csv) -> Dialect:
    """The dialect of a file from its first bytes, which end with a line where the file goes on.

    Raises:
        SchemaError: the file is empty or no text, or its header is not usable.
        ConfigError: the delimiter or quote is not one character.
    """
    _check_characters(config)
    text = _decode_head(head, path)
    delimiter = config.delimiter or _sniff_delimiter(text, config)
    first, _ = _read_first_record(text, delimiter, config.quote)
    if not first:
        raise SchemaError(f"{path} is empty", fix="remove it, or name the files to read")
    _check_count(first, path)
    if config.header is True:
        names = check_names(first, path)
    elif config.header is False:
        names = tuple(f"f{i}" for i in range(len(first)))
    else:
        names = check_names(list(config.header), "csv.header")
        if len(names) != len(first):
            raise SchemaError(
                f"csv.header names {len(names)} columns, {path} has {len(first)}",
                examples=[f"its first line: {shorten(delimiter.join(first))}"],
                fix="name every column, or set csv.delimiter",
            )
    newlines = config.newlines_in_values
    if newlines is None:
        newlines = _has_newlines(text, delimiter, config.quote, cut=len(head) > SNIFFED)
    return Dialect(
        delimiter, config.quote, config.header is True, names, newlines,
        tuple(dict.fromkeys(("", *config.missing))), config.true, config.false,
    )  # fmt: skip


def read_header(head: bytes, path: str, dialect: Dialect) -> tuple[str, ...]:
    """The names in a file's header line; without header, as many as it has fields.

    Raises:
        SchemaError: the file is empty, no text, or its header is not usable.
    """
    first, _ = _read_first_record(_decode_head(head, path), dialect.delimiter, dialect.quote)
    if not first:
        raise SchemaError(f"{path} is empty", fix="remove it, or name the files to read")
    _check_count(first, path)
    if dialect.header:
        return check_names(first, path)
    return dialect.names if len(first) == len(dialect.names) else tuple(first)


def check_names(names: list[str], path: str) -> tuple[str, ...]:
    """Column names; an empty one becomes ``unnamed_<position>`` (as pandas writes its index).

    Raises:
        SchemaError: two columns have one name, or one is not UTF-8 text or has a NUL.
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
    twice = [name for name, count in Counter(filled).items() if count > 1]
    if twice:
        at = [i for i, name in enumerate(filled, 1) if name == twice[0]]
        raise SchemaError(
            f"{path}: columns {' and '.join(map(str, at))} are both called {twice[0]!r}",
            fix="give every column a name of its own",
        )
    return filled


def check_name(name: str, path: str) -> None:
    """Refuse a column name with a NUL: Arrow's readers take it for its text up to there.

    Raises:
        SchemaError: the name has one.
    """
    if "\0" in name:
        raise SchemaError(
            f"{path}: the column name {shorten(name)} has a NUL character", fix="rename the column"
        )


def find_data_start(head: bytes, dialect: Dialect) -> tuple[int, int]:
    """(byte offset, 1-based line number) of the first line after byte-order mark and header."""
    start = len(BOM) if head.startswith(BOM) else 0
    if not dialect.header:
        return start, 1
    _, lines = _read_first_record(_decode_text(head), dialect.delimiter, dialect.quote)
    for _ in range(lines):
        end = head.find(b"\n", start)
        start = len(head) if end < 0 else end + 1
    return start, lines + 1


def has_invalid_utf8(word: str) -> bool:
    """Whether bytes of a text decoded with ``surrogateescape`` were no UTF-8."""
    return not word.isascii() and any("\udc80" <= c <= "\udcff" for c in word)


def _check_characters(config: Csv) -> None:
    for key, value in (("delimiter", config.delimiter), ("quote", config.quote)):
        if value is not None and (len(value) != 1 or not value.isascii() or value in "\r\n"):
            raise ConfigError(f"csv.{key}: {value!r} is not one ASCII character")
    if config.delimiter is not None and config.delimiter == config.quote:
        raise ConfigError(f"csv.delimiter and csv.quote are both {config.quote!r}")


def guess_file_kind(head: bytes) -> str:
    """What a file that begins so is, if it is plainly no CSV; else an empty text."""
    low = head[:32].lower()
    return next(
        (w for magic, w in BINARY.items() if head.startswith(magic) or low.startswith(magic)), ""
    )


def _decode_head(head: bytes, path: str) -> str:
    if found := guess_file_kind(head):
        raise SchemaError(f"{path} is no CSV: it is {found}", fix=TEXT)
    if b"\0" in head[:4096]:
        raise SchemaError(f"{path} is no CSV: it has NUL bytes", fix=TEXT)
    if b"\r" in head and b"\n" not in head:
        raise SchemaError(
            f"{path}: lines end with a carriage return alone",
            fix="rewrite the line ends: tr '\\r' '\\n' < old.csv > new.csv",
        )
    _check_width(head, path)
    return _decode_text(head)


def _check_width(head: bytes, path: str) -> None:
    """Checks the first line's length before it is taken apart."""
    end = head.find(b"\n")
    first = head if end < 0 else head[:end]
    if len(first) > MAX_HEADER:
        raise SchemaError(
            f"{path}: its first line has {len(first):,} bytes, at most {MAX_HEADER:,} are read",
            fix="a table of so many columns is better turned into rows",
        )


def _check_count(fields: list[str], path: str) -> None:
    if len(fields) > MAX_COLUMNS:
        raise SchemaError(
            f"{path}: its first line has {len(fields):,} fields, at most {MAX_COLUMNS:,} are read",
            fix="a table of so many columns is better turned into rows",
        )


def _decode_text(head: bytes) -> str:
    """The beginning, with all of the first line."""
    end = max(SNIFFED, head.find(b"\n", 0, MAX_HEADER) + 1)
    return head[:end].removeprefix(BOM).decode("utf-8", "surrogateescape")


def make_reader(
    lines: Iterable[str], delimiter: str, quote: str | None, *, strict: bool = False
) -> Any:
    """`csv.reader` of lines that end with a newline; no quote: it is a letter as any other."""
    csv.field_size_limit(sys.maxsize)  # the default of 128 KiB is no rule of CSV
    if quote is None:
        return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader(lines, delimiter=delimiter, quotechar=quote, strict=strict)


def _split_lines(text: str) -> Iterator[str]:
    return (line.removesuffix("\r") + "\n" for line in text.split("\n"))


def _has_newlines(text: str, delimiter: str, quote: str | None, cut: bool) -> bool:
    """Whether a record below the first goes over lines, and all have as many fields as the first.

    Args:
        text: the beginning of a file.
        delimiter: between fields.
        quote: around them.
        cut: the file goes on, perhaps within the last record.
    """
    if quote is None or quote not in text:
        return False
    whole = text[: text.rfind("\n") + 1] if cut else text
    rows = make_reader(_split_lines(whole), delimiter, quote, strict=True)
    width, line, found = 0, 0, False
    try:
        for row in rows:
            if width and row and len(row) != width:
                return False
            found |= bool(width) and rows.line_num > line + 1
            width, line = width or len(row), rows.line_num
    except csv.Error as error:
        return found and cut and "unexpected end of data" in str(error)
    return found


def _read_first_record(text: str, delimiter: str, quote: str | None) -> tuple[list[str], int]:
    """(fields of the first record, lines up to its end); no fields in an empty file."""
    rows = make_reader(_split_lines(text), delimiter, quote)
    try:
        return next((row for row in rows if row), []), rows.line_num
    except csv.Error:
        return [], 0


def _count_widths(text: str, delimiter: str, quote: str | None) -> Counter[int]:
    """How many of the first records have how many fields."""
    found: Counter[int] = Counter()
    with suppress(csv.Error):  # not this delimiter, or a bad row: the reader will name it
        found.update(
            len(row)
            for row in islice(make_reader(_split_lines(text), delimiter, quote), 200)
            if row
        )
    return found


def _sniff_delimiter(text: str, config: Csv) -> str:
    """The delimiter that gives most lines the same number of fields, of these the most fields."""

    def evenness(delimiter: str) -> tuple[float, int]:
        counts = _count_widths(text, delimiter, config.quote)
        if not counts:
            return 0.0, 0
        fields, lines = counts.most_common(1)[0]
        return (lines / counts.total() if fields > 1 else 0.0), fields

    best = max(DELIMITERS, key=evenness)
    return best if evenness(best)[1] > 1 else ","
