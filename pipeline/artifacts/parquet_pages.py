"""Sizes in the footer and page headers of a Parquet file, read before anything is decoded.

A footer may claim ten rows while a page has 300 million, and a page of a few bytes may decompress
to gigabytes: Arrow trusts the page. Only fields with sizes are read here. Arrow's own accessors are
not used, because they end the process if a field of the footer is missing (pyarrow 26).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PLAIN_ENCODINGS = frozenset({0, 2, 3, 4, 8})
"""PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, RLE_DICTIONARY: no value is built from others."""
MAX_NESTING = 8
MAX_PARTS = 3_000_000
"""Maximum number of structs and fields in a footer, enough for 70,000 columns."""
UNCOMPRESSED, SNAPPY = 0, 1
_REPEATED = 2
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 7, 8, 9, 12
_INTEGERS = (4, 5, 6)
_HEADERS = {5: "data", 7: "dictionary", 8: "data of version 2"}


class DamagedPages(ValueError):
    """An error in headers that do not describe pages, or in a footer without valid columns."""


@dataclass(frozen=True)
class Chunk:
    """A column of a row group."""

    codec: int
    start: int
    """Offset in bytes of its first page; ``end``: offset after its last page."""
    end: int


@dataclass(frozen=True)
class Footer:
    """The sizes in a footer."""

    rows: int
    columns: int
    groups: list[tuple[int, list[Chunk]]]
    """Rows and one chunk per column, for each row group."""


def read_footer(data: memoryview) -> Footer:
    """Read a footer, which is a Thrift struct.

    Raises:
        DamagedPages: The bytes are not a footer, or its columns are nested.
    """
    # Numbers of fields and values of enumerations are those of Parquet's parquet.thrift.
    footer, _ = _Reader(data).read_struct(0, 0)
    schema, groups = _structs(footer, 2), _structs(footer, 4)
    if any(leaf.get(5) or leaf.get(3) == _REPEATED for leaf in schema[1:]):
        raise DamagedPages("a column is nested")
    columns = len(schema) - 1
    return Footer(_count(footer, 3), columns, [_read_group(group, columns) for group in groups])


def _read_group(group: dict[int, Any], columns: int) -> tuple[int, list[Chunk]]:
    chunks = []
    for column in _structs(group, 1):
        meta = column.get(3)
        if not isinstance(meta, dict):
            raise DamagedPages("a column has no metadata")
        # An offset of 0 means that there is no such page; without rows there are no pages at all.
        offsets = [at for at in (meta.get(9), meta.get(11)) if isinstance(at, int) and at > 0]
        start = min(offsets, default=0)
        chunks.append(Chunk(_count(meta, 4), start, start + _count(meta, 7)))
    if len(chunks) != columns:
        raise DamagedPages("a row group and the file have different columns")
    return _count(group, 3), chunks


def _structs(struct: dict[int, Any], field: int) -> list[dict[int, Any]]:
    listed = struct.get(field)
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise DamagedPages(f"field {field} of the footer is not a list of structs")
    return listed


def _count(struct: dict[int, Any], field: int) -> int:
    number = struct.get(field)
    if not isinstance(number, int) or number < 0:
        raise DamagedPages(f"field {field} of the footer is not a count")
    return number


@dataclass(frozen=True)
class Pages:
    """The pages of one column in one row group."""

    values: int
    """Values in the data pages: one per row, because no column is nested."""
    bytes: int
    """Uncompressed bytes of all pages."""


def count_pages(data: memoryview, start: int, end: int) -> Pages:
    """Add up the pages between two offsets.

    Raises:
        DamagedPages: The pages do not end exactly at ``end``, or have an unexpected encoding.
    """
    values, size = 0, 0
    while start < end:
        header, start = _Reader(data).read_struct(start, 0)
        kind = next((k for k in _HEADERS if k in header), None)
        compressed, uncompressed = header.get(3), header.get(2)
        if kind is None or not isinstance(compressed, int) or not isinstance(uncompressed, int):
            raise DamagedPages("a page has no sizes")
        details = header[kind]
        count = details.get(1) if isinstance(details, dict) else None
        encoding = details.get(4 if kind == 8 else 2) if isinstance(details, dict) else None
        if not isinstance(count, int) or min(count, compressed, uncompressed) < 0:
            raise DamagedPages("a page has no count")
        if encoding not in PLAIN_ENCODINGS:
            raise DamagedPages(f"a page has encoding {encoding}")
        values += 0 if kind == 7 else count
        size, start = size + uncompressed, start + compressed
    if start != end:
        raise DamagedPages("the last page does not end at the footer's offset")
    return Pages(values, size)


class _Reader:
    """A reader of Thrift's compact protocol that keeps integers, structs and lists of them."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.parts = 0

    def read_struct(self, at: int, depth: int) -> tuple[dict[int, Any], int]:
        """Return the values of a struct by field, and the offset after it."""
        if depth > MAX_NESTING:
            raise DamagedPages("a header is nested too deep")
        fields: dict[int, Any] = {}
        field = 0
        while True:
            self._count_part()
            first, at = self._byte(at)
            if first == 0:
                return fields, at
            # The header of a field has its type and the difference to the last field's number.
            kind, step = first & 15, first >> 4
            if step:
                field += step
            else:
                number, at = self._varint(at)
                field = _signed(number)
            fields[field], at = self._value(at, kind, depth)

    def _value(self, at: int, kind: int, depth: int) -> tuple[Any, int]:
        if kind in (_TRUE, _FALSE):
            return None, at
        if kind in _INTEGERS:
            number, at = self._varint(at)
            return _signed(number), at
        if kind == _STRUCT:
            return self.read_struct(at, depth + 1)
        if kind in (_BYTE, _DOUBLE):
            return None, at + (1 if kind == _BYTE else 8)
        if kind == _BINARY:
            length, at = self._varint(at)
            return None, at + length
        if kind == _LIST:
            return self._list(at, depth)
        raise DamagedPages(f"a header has a field of type {kind}")

    def _list(self, at: int, depth: int) -> tuple[list[Any], int]:
        first, at = self._byte(at)
        count, kind = first >> 4, first & 15
        if count == 15:
            count, at = self._varint(at)
        items = []
        for _ in range(count):
            self._count_part()
            if kind in (_TRUE, _FALSE):  # only in a list do booleans take a byte each
                at += 1
            else:
                value, at = self._value(at, kind, depth + 1)
                items.append(value)
        return items, at

    def _count_part(self) -> None:
        # A damaged length could make a loop of billions of parts from a few bytes.
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise DamagedPages(f"a header has more than {MAX_PARTS:,} parts")

    def _byte(self, at: int) -> tuple[int, int]:
        if not 0 <= at < len(self.data):
            raise DamagedPages("a header continues after the end of the file")
        return self.data[at], at + 1

    def _varint(self, at: int) -> tuple[int, int]:
        number = shift = 0
        while shift < 70:
            byte, at = self._byte(at)
            number |= (byte & 127) << shift
            if byte < 128:
                return number, at
            shift += 7
        raise DamagedPages("a header has a number that does not end")


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)  # zigzag: 0, -1, 1, -2, …
