"""Blocks read by the device's own readers, and which of them are left to the host's.

cuDF never raises: it drops fields, and turns numbers and timestamps that are none into others. So a
block is read on the device only where everything in it is plain, and otherwise a sentence says why
it is not. The host's reader then reads it, and it alone says what is bad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.config.urls import is_url
from pipeline.device import Array, FileReaders, Frame, Frames, Series
from pipeline.ingest import arrow_to_frame, parquet
from pipeline.ingest.blocks import NEWLINE, Block
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv import block as csv_block
from pipeline.ingest.csv import gpu_fields
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.types import SourceColumn
from pipeline.ingest.sources.byte_ranges import read_range

LARGEST = 1 << 30
"""Bytes of CSV that are given to the device at once."""
Columns = dict[str, Series]


class NeedsCpuReader(Exception):
    """The block is for the host's reader; says why, without values, so that one can count."""


def read_on_gpu(
    block: Block, contract: Contract, names: Sequence[str], device: Frames, reading: FileReaders
) -> Frame:
    """The named columns of a block, with the row ids as index: what the host's reader would give.

    Raises:
        NotPlain: the host's reader must read it.
        DataError: the file became shorter, or is damaged.
    """
    columns = contract.select(names)
    read_of = _row_groups if contract.format == "parquet" else _records
    found, ids = read_of(block, contract, [c for c in columns if not c.partition], device, reading)
    words = contract.folder_values(block.file)
    for column in columns:
        if column.partition:
            found[column.name] = _repeated(column, words[column.name], len(ids), device)
    return device.frame_with_ids({name: found[name] for name in names}, ids)


def _repeated(column: SourceColumn, word: str | None, rows: int, device: Frames) -> Series:
    """A folder's ``key=value`` as a column of n equal values; None is missing."""
    xp, missing = device.xp, None
    if column.dtype == "text":
        values = np.array([] if word is None else [word], dtype=object)
        return device.make_text(xp.full(rows, -1 if word is None else 0, dtype="int32"), values)
    value: Any = 0
    if word is None:
        missing = xp.ones(rows, dtype=bool)
    else:
        only = pa.chunked_array([pa.array([word], pa.string())])
        value = arrow_to_frame.to_storage_array(column, only)[0]
        value = value.astype("int64").item() if column.dtype == "datetime" else value
    dtype = "int64" if column.dtype == "datetime" else column.dtype
    return device.make_series(xp.full(rows, value, dtype=dtype), column.dtype, missing)


def _ids(ids: pd.Index, device: Frames) -> Array:
    if isinstance(ids, pd.RangeIndex):
        return device.xp.arange(ids.start, ids.stop, dtype="int64")
    return device.to_device(ids.to_numpy(dtype="int64"))


# -- CSV -------------------------------------------------------------------------------------------


def _records(
    block: Block, contract: Contract, columns: Sequence[SourceColumn], device: Frames,
    reading: FileReaders,
) -> tuple[Columns, Array]:  # fmt: skip
    dialect = contract.csv_dialect
    if dialect.newlines_in_values:
        raise NeedsCpuReader("values may hold newlines")
    file = contract.files[block.file]
    data = read_range(file, contract.storage_options, block.start, block.stop)
    if block.limited:
        data = csv_block.take_lines(data, block.rows)
    if why := find_ambiguity(data, dialect):
        raise NeedsCpuReader(why)
    if b"\r" in data:  # before every newline: `find_ambiguity`
        data = data.replace(b"\r\n", b"\n")
    data = data if data.endswith(b"\n") else data + b"\n"
    place = {name: i for i, name in enumerate(dialect.names)}
    last = len(place) - 1
    used = sorted({last, last + 1, *(place[c.name] for c in columns)})
    table = reading.csv_fields(data, last + 2, used, dialect.delimiter, dialect.quote)
    lacking, beyond = (device.to_arrays(table[str(i)].isna())[0] for i in (last, last + 1))
    if bool(lacking.any()) or not bool(beyond.all()):
        raise NeedsCpuReader(f"records that have not {last + 1} fields")
    ids = csv_block.compute_row_ids(data, len(table), block, dialect)
    if ids is None or len(ids) == 0:
        raise NeedsCpuReader("lines that are no records")
    found: Columns = {}
    for column in columns:
        made = gpu_fields.parse_fields(column, table[str(place[column.name])], dialect, device)
        if made is None:
            raise NeedsCpuReader(f"{column.name}: not all are plainly {column.type}")
        found[column.name] = made
    return found, _ids(ids, device)


def find_ambiguity(data: bytes, dialect: Dialect) -> str:
    """What in the bytes two readers may take for different things; empty if there is nothing."""
    if len(data) > LARGEST:
        return f"more than {LARGEST:,} bytes of CSV"
    if not data.isascii() and not _is_utf8(data):
        return "text that is not UTF-8"
    if b"\0" in data:
        return "NUL bytes"
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return "carriage returns within lines"
    if dialect.quote is not None and not _plainly_quoted(data, dialect.quote, dialect.delimiter):
        return "quotes that do not enclose a field of one line"
    return ""


def _is_utf8(data: bytes) -> bool:
    ends = pa.py_buffer(np.array([0, len(data)], dtype="int64"))
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(data)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _plainly_quoted(data: bytes, quote: str, delimiter: str) -> bool:
    """Whether every quote opens or closes a whole field of one line, or is doubled within one."""
    if quote.encode() not in data:
        return True
    bytes_, mark = np.frombuffer(data, dtype=np.uint8), ord(quote)
    at = np.flatnonzero(bytes_ == mark)
    if len(at) % 2:
        return False
    opening, closing = at[::2], at[1::2]
    before, after = bytes_[opening - 1], bytes_[np.minimum(closing + 1, len(bytes_) - 1)]
    # of a doubled quote the first looks like a closing one, the second like an opening one
    opens = (opening == 0) | np.isin(before, [ord(delimiter), NEWLINE, mark])
    ends = [ord(delimiter), NEWLINE, ord("\r"), mark]
    closes = (closing == len(bytes_) - 1) | np.isin(after, ends)
    newlines = np.flatnonzero(bytes_ == NEWLINE)
    within = np.searchsorted(newlines, opening) != np.searchsorted(newlines, closing)
    return bool(opens.all() and closes.all() and not within.any())


# -- Parquet ---------------------------------------------------------------------------------------


def _row_groups(
    block: Block, contract: Contract, columns: Sequence[SourceColumn], device: Frames,
    reading: FileReaders,
) -> tuple[Columns, Array]:  # fmt: skip
    file = contract.files[block.file]
    if is_url(file.path):
        raise NeedsCpuReader("files of an object store")
    with parquet.open_parquet(file, contract.storage_options) as opened:
        types = {c.name: opened.schema_arrow.field(c.name).type for c in columns}
        size = _stored_bytes(opened.metadata, block.groups, types)
    for column in columns:
        if not _same_meaning(column, types[column.name]):
            raise NeedsCpuReader(f"{column.name}: {types[column.name]} read as {column.type}")
    ids = device.xp.arange(block.first_row, block.first_row + block.rows, dtype="int64")
    if not columns:
        return {}, ids
    table = reading.row_groups(file.path, block.groups, list(types), size)
    if len(table) < block.rows or set(types) - set(table.columns):
        raise NeedsCpuReader(f"columns that {reading.name} does not find")
    table = table.head(block.rows).reset_index(drop=True)
    return {c.name: _stored(c, table[c.name], device) for c in columns}, ids


def _stored_bytes(metadata: Any, groups: Sequence[int], names: Mapping[str, Any]) -> int:
    """Bytes that the columns of these row groups take in the file."""
    parts = (metadata.row_group(g).column(i) for g in groups for i in range(metadata.num_columns))
    return sum(part.total_compressed_size for part in parts if part.path_in_schema in names)


def _same_meaning(column: SourceColumn, arrow: pa.DataType) -> bool:
    """Whether values of the type are those of the column without a check of each, or nearly so."""
    kinds = pa.types
    if kinds.is_dictionary(arrow):
        arrow = arrow.value_type
    if column.dtype == "text":
        return bool(kinds.is_string(arrow) or kinds.is_large_string(arrow))
    if column.dtype == "int64":
        return bool(kinds.is_integer(arrow))
    if column.dtype == "bool":
        return bool(kinds.is_boolean(arrow))
    if column.dtype == "datetime":
        return bool(kinds.is_timestamp(arrow) or kinds.is_date32(arrow))
    numbers = (kinds.is_float32, kinds.is_float64, kinds.is_integer, kinds.is_decimal)
    return any(test(arrow) for test in numbers)


def _stored(column: SourceColumn, series: Series, device: Frames) -> Series:
    """The library's column in its storage dtype."""
    if column.dtype == "text":
        return series.astype("category")
    if column.dtype == "float64":
        series = series.astype("float64")
    values, missing = device.to_arrays(series)
    if column.dtype == "datetime":
        # whole seconds first: a cast to µs that overflows wraps around to another time
        seconds = device.to_arrays(series.astype("datetime64[s]").astype("int64"))[0]
        seconds = device.xp.where(missing, 0, seconds)
        if not (
            gpu_fields.has_known_years(seconds, 1_000_000) and gpu_fields.has_known_years(values)
        ):
            raise NeedsCpuReader(f"{column.name}: times outside of the years 1 to 9999")
    if column.dtype == "int64":
        if values.dtype.kind == "u" and int(values.max()) > np.iinfo("int64").max:
            raise NeedsCpuReader(f"{column.name}: integers beyond int64")
        values = values.astype("int64")
    return device.make_series(values, column.dtype, missing)
