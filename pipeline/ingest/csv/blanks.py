"""Blanks after delimiters and comments between rows: removal from a block's bytes.

No newline is removed, so that the lines keep their numbers.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from contextlib import suppress
from itertools import islice

import numpy as np

from pipeline.ingest.csv.text import make_reader, split_lines

SAMPLED = 200
"""Records that show whether blanks follow delimiters."""
SHARE = 0.99
"""Share of a column's values that begin with a blank, if all do."""
RUNS = (32, 8)
"""Lengths of runs of blanks that are removed at once."""
NEWLINE = 10


def has_leading_blanks(text: str, delimiter: str, quote: str | None) -> bool:
    """Return whether the values of a column, except the first, begin with blanks.

    Args:
        text: the beginning of a file; its first record is not inspected.
        delimiter: the character between fields.
        quote: the character around them.
    """
    if delimiter == " " or f"{delimiter} " not in text:
        return False
    rows: list[list[str]] = []
    with suppress(csv.Error):  # the reader of blocks reports it
        records = make_reader(split_lines(text), delimiter, quote)
        rows += islice((row for row in records if row), SAMPLED + 1)
    widths = Counter(len(row) for row in rows)
    for place in range(1, max(widths, key=lambda w: (widths[w], w), default=0)):
        values = [row[place] for row in rows[1:] if len(row) > place and row[place].strip()]
        if values and sum(value.startswith(" ") for value in values) >= SHARE * len(values):
            return True
    return False


def strip_blanks(data: bytes, delimiter: str, quote: str | None) -> bytes | None:
    """Remove the blanks after delimiters and at the beginnings of lines, except within quotes.

    Returns:
        The bytes; None if it is unclear what the quotes enclose.
    """
    mark, between = quote.encode() if quote else b"", delimiter.encode()
    parts = data.split(mark) if mark and mark in data else [data]
    # Every second part lies within quotes.
    parts[::2] = [_squeeze(part, between) for part in parts[::2]]
    parts[0] = parts[0].lstrip(b" ")
    stripped = mark.join(parts)
    if quote is not None and not is_plainly_quoted(stripped, quote, delimiter):
        return None
    return stripped


def _squeeze(part: bytes, delimiter: bytes) -> bytes:
    for before in (delimiter, b"\n"):
        if before + b" " not in part:
            continue
        for length in RUNS:
            part = part.replace(before + b" " * length, before)
        while before + b" " in part:
            part = part.replace(before + b" ", before)
    return part


def is_plainly_quoted(data: bytes, quote: str, delimiter: str) -> bool:
    """Return whether every quote opens or closes a field of one line, or is doubled within it."""
    if quote.encode() not in data:
        return True
    characters, mark = np.frombuffer(data, dtype=np.uint8), ord(quote)
    at = np.flatnonzero(characters == mark)
    if len(at) % 2:
        return False
    opening, closing = at[::2], at[1::2]
    before, after = (
        characters[opening - 1],
        characters[np.minimum(closing + 1, len(characters) - 1)],
    )
    # The first of a doubled quote seems to close a field, and the second to open one.
    opens = (opening == 0) | np.isin(before, [ord(delimiter), NEWLINE, mark])
    ends = [ord(delimiter), NEWLINE, ord("\r"), mark]
    closes = (closing == len(characters) - 1) | np.isin(after, ends)
    newlines = np.flatnonzero(characters == NEWLINE)
    within = np.searchsorted(newlines, opening) != np.searchsorted(newlines, closing)
    return bool(opens.all() and closes.all() and not within.any())


def erase_comments(data: bytes, comment: str | None, quote: str | None) -> bytes:
    """Make the lines empty that begin with the comment character.

    Args:
        data: whole lines.
        comment: the character; None: there are no comments.
        quote: the quote, if newlines may stand within quotes; None if they may not.
    """
    if comment is None:
        return data
    mark = comment.encode()
    if not data.startswith(mark) and b"\n" + mark not in data:
        return data
    if quote is None:
        return re.sub(rb"(?m)^" + re.escape(mark) + rb".*", b"", data)
    lines, is_open = data.split(b"\n"), False
    for number, line in enumerate(lines):
        if not is_open and line.startswith(mark):
            lines[number] = b""
        else:
            is_open ^= line.count(quote.encode()) % 2 == 1
    return b"\n".join(lines)
