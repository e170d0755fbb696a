"""What a Parquet file claims, read from its footer and page headers before anything is decoded.

A footer may say ten rows where a page has 300 million, and a page of a few bytes may decompress to
gigabytes: Arrow believes the page. Only the fields that tell amounts are looked at. Arrow's own
accessors of a footer end the process where a field is missing (pyarrow 26), so they are not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PLAIN_ENCODINGS = frozenset({0, 2, 3, 4, 8})
"""PLAIN, PLAIN_DICTIONARY, RLE, BIT_PACKED, RLE_DICTIONARY: a value is not made of others."""
MAX_NESTING = 8
MAX_PARTS = 3_000_000
"""Structs and fields of a footer: those of 70,000 columns."""
UNCOMPRESSED, SNAPPY = 0, 1
_REPEATED = 2
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _STRUCT = 1, 2, 3, 7, 8, 9, 12
_INTEGERS = (4, 5, 6)
_HEADERS = {5: "data", 7: "dictionary", 8: "data of version 2"}


class DamagedPages(ValueError):
    """Headers that do not describe pages, or a footer that does not describe columns."""


@dataclass(frozen=True)
class Chunk:
    """A column of a row group."""

    codec: int
    start: int
    """Where its first page begins; ``end``: where its last one ends."""
    end: int


@dataclass(frozen=True)
class Footer:
    """The amounts in a footer."""

    rows: int
    columns: int
    groups: list[tuple[int, list[Chunk]]]
    """(rows, a chunk per column) of each row group."""


def read_footer(data: memoryview) -> Footer:
    """Read a footer, which is a struct of Thrift's.

    Raises:
        DamagedPages: it is not one, or its columns are nested.
    """
    found, _ = _Reader(data).read_struct(0, 0)
    schema, groups = _structs(found, 2), _structs(found, 4)
    if any(leaf.get(5) or leaf.get(3) == _REPEATED for leaf in schema[1:]):
        raise DamagedPages("a column is nested")
    columns = len(schema) - 1
    return Footer(_count(found, 3), columns, [_read_group(group, columns) for group in groups])


def _read_group(group: dict[int, Any], columns: int) -> tuple[int, list[Chunk]]:
    chunks = []
    for column in _structs(group, 1):
        meta = column.get(3)
        if not isinstance(meta, dict):
            raise DamagedPages("a column has no metadata")
        # 0: there is no such page; without rows there is none at all
        offsets = [at for at in (meta.get(9), meta.get(11)) if isinstance(at, int) and at > 0]
        start = min(offsets, default=0)
        chunks.append(Chunk(_count(meta, 4), start, start + _count(meta, 7)))
    if len(chunks) != columns:
        raise DamagedPages("a row group has other columns than the file")
    return _count(group, 3), chunks


def _structs(found: dict[int, Any], field: int) -> list[dict[int, Any]]:
    listed = found.get(field)
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise DamagedPages(f"field {field} of the footer is not a list of structs")
    return listed


def _count(found: dict[int, Any], field: int) -> int:
    number = found.get(field)
    if not isinstance(number, int) or number < 0:
        raise DamagedPages(f"field {field} of the footer is not a count")
    return number


@dataclass(frozen=True)
class Pages:
    """The pages of one column in one row group."""

    values: int
    """Of the data pages: one per row, as no column is nested."""
    bytes: int
    """Of all pages, uncompressed."""


def count_pages(data: memoryview, start: int, end: int) -> Pages:
    """Add up the pages between two offsets.

    Raises:
        DamagedPages: the headers do not lead from the start to the end, or have odd encodings.
    """
    values, size = 0, 0
    while start < end:
        header, start = _Reader(data).read_struct(start, 0)
        kind = next((k for k in _HEADERS if k in header), None)
        packed, whole = header.get(3), header.get(2)
        if kind is None or not isinstance(packed, int) or not isinstance(whole, int):
            raise DamagedPages("a page has no sizes")
        own = header[kind]
        count = own.get(1) if isinstance(own, dict) else None
        encoding = own.get(4 if kind == 8 else 2) if isinstance(own, dict) else None
        if not isinstance(count, int) or min(count, packed, whole) < 0:
            raise DamagedPages("a page has no count")
        if encoding not in PLAIN_ENCODINGS:
            raise DamagedPages(f"a page has encoding {encoding}")
        values += 0 if kind == 7 else count
        size, start = size + whole, start + packed
    if start != end:
        raise DamagedPages("the last page does not end where the footer says")
    return Pages(values, size)


class _Reader:
    """Reads structs of Thrift's compact protocol: integers, structs and lists of them."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.parts = 0

    def read_struct(self, at: int, depth: int) -> tuple[dict[int, Any], int]:
        """Return what is in a struct, by field, and where it ends."""
        if depth > MAX_NESTING:
            raise DamagedPages("a header is nested too deep")
        found: dict[int, Any] = {}
        field = 0
        while True:
            self._count_part()
            first, at = self._byte(at)
            if first == 0:
                return found, at
            kind, step = first & 15, first >> 4
            if step:
                field += step
            else:
                number, at = self._varint(at)
                field = _signed(number)
            found[field], at = self._value(at, kind, depth)

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
        found = []
        for _ in range(count):
            self._count_part()
            if kind in (_TRUE, _FALSE):  # in a list they take a byte each
                at += 1
            else:
                value, at = self._value(at, kind, depth + 1)
                found.append(value)
        return found, at

    def _count_part(self) -> None:
        self.parts += 1
        if self.parts > MAX_PARTS:
            raise DamagedPages(f"a header has more than {MAX_PARTS:,} parts")

    def _byte(self, at: int) -> tuple[int, int]:
        if not 0 <= at < len(self.data):
            raise DamagedPages("a header leads out of the file")
        return self.data[at], at + 1

    def _varint(self, at: int) -> tuple[int, int]:
        number = shift = 0
        while shift < 70:
            byte, at = self._byte(at)
            number |= (byte & 127) << shift
            if byte < 128:
                return number, at
            shift += 7
        raise DamagedPages("a header has a number without end")


def _signed(number: int) -> int:
    return (number >> 1) ^ -(number & 1)
