"""Parquet files of a few kilobytes that hold, or claim, as many rows as one likes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Struct = dict[int, tuple[int, Any]]
"""A Thrift struct: (type, value) by field."""
LIST, STRUCT, BINARY, DOUBLE, BYTE = 9, 12, 8, 7, 3


class Reader:
    """Thrift's compact protocol, as much as Parquet's footers use."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def varint(self) -> int:
        found = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found

    def integer(self) -> int:
        found = self.varint()
        return (found >> 1) ^ -(found & 1)

    def take(self, size: int) -> bytes:
        self.at += size
        return self.data[self.at - size : self.at]

    def struct(self) -> Struct:
        found: Struct = {}
        field = 0
        while (head := self.take(1)[0]) != 0:
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self.integer()
            found[field] = (kind, self.value(kind))
        return found

    def value(self, kind: int, *, in_list: bool = False) -> Any:
        if kind in (1, 2):
            return self.take(1) if in_list else None
        if kind in (BYTE, DOUBLE):
            return self.take(1 if kind == BYTE else 8)
        if kind == BINARY:
            return self.take(self.varint())
        if kind == STRUCT:
            return self.struct()
        if kind != LIST:
            return self.integer()
        head = self.take(1)[0]
        size = self.varint() if head >> 4 == 15 else head >> 4
        return (head & 15, [self.value(head & 15, in_list=True) for _ in range(size)])


def varint(number: int) -> bytes:
    """An unsigned number of Thrift's, and of the run-length encoding."""
    found = bytearray()
    while number >= 128:
        found.append(number % 128 + 128)
        number //= 128
    return bytes([*found, number])


def write_struct(struct: Struct) -> bytes:
    """The bytes of a struct."""
    found, last = bytearray(), 0
    for field, (kind, value) in sorted(struct.items()):
        step = field - last
        found += bytes([step << 4 | kind]) if 0 < step < 16 else bytes([kind]) + write_value(4, field)  # fmt: skip
        found += write_value(kind, value)
        last = field
    return bytes(found) + b"\0"


def write_value(kind: int, value: Any) -> bytes:
    """The bytes of a value of this type."""
    if value is None or kind in (BYTE, DOUBLE):
        return value or b""
    if kind == BINARY:
        return varint(len(value)) + value
    if kind == STRUCT:
        return write_struct(value)
    if kind == LIST:
        own, values = value
        head = bytes([len(values) << 4 | own]) if len(values) < 15 else bytes([240 | own]) + varint(len(values))  # fmt: skip
        return head + b"".join(v if own in (1, 2) else write_value(own, v) for v in values)
    return varint(value << 1 ^ value >> 63)


def footer_of(data: bytes) -> tuple[Struct, int]:
    """The footer, and where it begins."""
    begin = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    return Reader(data, begin).struct(), begin


def with_footer(body: bytes, footer: Struct) -> bytes:
    """The file of a body that begins with ``PAR1``."""
    text = write_struct(footer)
    return body + text + len(text).to_bytes(4, "little") + b"PAR1"


def claim_rows(data: bytes, rows: int) -> bytes:
    """The same file, whose footer claims so many rows and values."""
    footer, begin = footer_of(data)
    footer[3] = (6, rows)
    for group in footer[4][1][1]:
        group[3] = (6, rows)
        for chunk in group[1][1][1]:
            chunk[3][1][5] = (6, rows)
    return with_footer(data[:begin], footer)


def repeat_row(table: pa.Table, rows: int) -> bytes:
    """A sound file of the table's first row, so many times: a run of equal values in each column."""
    stream = io.BytesIO()
    pq.write_table(
        table.slice(0, 1),
        stream,
        compression="none",
        data_page_version="1.0",
        write_statistics=False,
    )
    data = stream.getvalue()
    footer, _ = footer_of(data)
    body = bytearray(b"PAR1")
    group = footer[4][1][1][0]
    for chunk in group[1][1][1]:
        _repeat_column(data, chunk, rows, body)
    group[3] = footer[3] = (6, rows)
    group[2] = (6, len(body))
    group.pop(6, None)
    return with_footer(bytes(body), footer)


def _repeat_column(data: bytes, chunk: Struct, rows: int, body: bytearray) -> None:
    """Append one column's pages; its metadata are changed to fit."""
    column = chunk[3][1]
    for field in (10, 12, 13, 14, 15, 16):
        column.pop(field, None)
    for field in (4, 5, 6, 7):
        chunk.pop(field, None)
    begin, at = len(body), column[9][1]
    if 11 in column:
        start = column[11][1]
        column[11] = (6, len(body))
        body += data[start:at]
    reader = Reader(data, at)
    header = reader.struct()
    level = data[reader.at + 5]  # four bytes of length, a run, its value: 1 if there is a value
    run = varint(rows << 1)
    levels = run + bytes([level])
    page = len(levels).to_bytes(4, "little") + levels
    if 11 in column:
        page += b"\1" + run + b"\0"
    else:  # of bool, which has no dictionary
        page += len(run + b"\1").to_bytes(4, "little") + run + b"\1"
        header[5][1][2] = (5, 3)
        column[2] = (LIST, (5, [3]))
    header[2] = header[3] = (5, len(page))
    header.pop(4, None)
    header[5][1][1] = (5, rows)
    header[5][1].pop(5, None)
    column[9] = (6, len(body))
    body += write_struct(header) + page
    column[5], column[6], column[7] = (6, rows), (6, len(body) - begin), (6, len(body) - begin)
    chunk[2] = (6, 0)


def repeat_file(path: Path, rows: int) -> None:
    """Replace a Parquet file by its first row, so many times."""
    with pq.ParquetFile(path) as file:  # one row: the file may claim any number already
        first = pa.Table.from_batches([next(file.iter_batches(batch_size=1, use_threads=False))])
    path.write_bytes(repeat_row(first, rows))
