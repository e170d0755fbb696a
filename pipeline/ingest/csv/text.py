"""The beginning of a CSV as text: its bytes decoded, and Python's reader of records over it."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.errors import SchemaError

SNIFFED = 256 << 10
"""Bytes from which the dialect is inferred."""
MAX_HEADER = 4 << 20
"""Bytes that the first line may have."""
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


NEEDS_TEXT = "give a CSV of UTF-8 text; in Excel, save it as `CSV UTF-8`"
TOO_WIDE = "reshape the table, so that columns become rows"


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


def decode_head(head: bytes, path: str) -> str:
    """Decode the first lines of a file.

    Raises:
        SchemaError: the file is not a text, or its first line is too long.
    """
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
    return decode_text(head)


def decode_text(head: bytes) -> str:
    """Decode the first `SNIFFED` bytes, and the rest of the line, which may be the header."""
    end = max(SNIFFED, head.find(b"\n", SNIFFED - 1, MAX_HEADER) + 1)
    return head[:end].removeprefix(BOM).decode("utf-8", "surrogateescape")


def make_reader(
    lines: Iterable[str],
    delimiter: str,
    quote: str | None,
    *,
    strict: bool = False,
    strip: bool = False,
) -> Any:
    """Return a `csv.reader` of lines that end with a newline; without a quote, none is special.

    It drops blanks after delimiters if ``strip`` is true.
    """
    csv.field_size_limit(sys.maxsize)  # CSV has no limit; the default is 128 KiB
    if quote is None:
        return csv.reader(
            lines, delimiter=delimiter, quoting=csv.QUOTE_NONE, skipinitialspace=strip
        )
    return csv.reader(
        lines, delimiter=delimiter, quotechar=quote, strict=strict, skipinitialspace=strip
    )


def split_lines(text: str) -> Iterator[str]:
    """Yield the lines as Python's reader of CSV takes them."""
    return (line.removesuffix("\r") + "\n" for line in text.split("\n"))
