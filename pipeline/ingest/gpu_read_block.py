"""Reading of blocks with the GPU's readers, and the choice of blocks that need the CPU reader.

cuDF never raises: it drops fields, and turns text that is not a number or a time into one. The GPU
therefore reads a block only if everything in it is unambiguous. For other blocks a sentence gives
the reason; the CPU reader reads them, and it alone reports bad rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.config.urls import is_url
from pipeline.device import Array, FileReaders, Frame, Frames, Series
from pipeline.ingest import arrow_to_frame, parquet
from pipeline.ingest.blocks import Block
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv import block as csv_block
from pipeline.ingest.csv import gpu_fields
from pipeline.ingest.csv.blanks import erase_comments, is_plainly_quoted
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.types import SourceColumn
from pipeline.ingest.sources.byte_ranges import read_range

LARGEST = 1 << 30
"""Bytes of CSV that are given to the device at once."""
Columns = dict[str, Series]


class NeedsCpuReader(Exception):
    """A block that the GPU cannot read safely, with a reason that other blocks may share."""


def read_on_gpu(
    block: Block, contract: Contract, names: Sequence[str], device: Frames, readers: FileReaders
) -> Frame:
    """Read the named columns of a block, with the row ids as index, as the CPU reader would.

    Raises:
        NeedsCpuReader: the CPU reader must read the block.
        DataError: the file became shorter, or is damaged.
    """
    selected = contract.select(names)
    stored = [c for c in selected if not c.partition]
    read = _read_row_groups if contract.format == "parquet" else _read_records
    columns, ids = read(block, contract, stored, device, readers)
    folders = contract.folder_values(block.file)
    for column in selected:
        if column.partition:
            value = folders[column.name]
            columns[column.name] = _repeat_folder_value(column, value, len(ids), device)
    return device.frame_with_ids({name: columns[name] for name in names}, ids)


def _repeat_folder_value(
    column: SourceColumn, folder_value: str | None, rows: int, device: Frames
) -> Series:
    """Repeat the value of a ``key=value`` folder as a column of n rows; None is missing."""
    xp, missing = device.xp, None
    if column.dtype == "text":
        values = np.array([] if folder_value is None else [folder_value], dtype=object)
        codes = xp.full(rows, -1 if folder_value is None else 0, dtype="int32")
        return device.make_text(codes, values)
    value: Any = 0
    if folder_value is None:
        missing = xp.ones(rows, dtype=bool)
    else:
        # parsed on the CPU, so that both readers give the same value
        text = pa.chunked_array([pa.array([folder_value], pa.string())])
        value = arrow_to_frame.to_storage_array(column, text)[0]
        value = value.astype("int64").item() if column.dtype == "datetime" else value
    dtype = "int64" if column.dtype == "datetime" else column.dtype
    return device.make_series(xp.full(rows, value, dtype=dtype), column.dtype, missing)


# -- CSV -------------------------------------------------------------------------------------------


def _read_records(
    block: Block,
    contract: Contract,
    columns: Sequence[SourceColumn],
    device: Frames,
    readers: FileReaders,
) -> tuple[Columns, Array]:
    dialect = contract.csv_dialect
    if dialect.newlines_in_values:
        raise NeedsCpuReader("values may hold newlines")
    file = contract.files[block.file]
    data = read_range(file, contract.storage_options, block.start, block.stop)
    if block.limited:
        data = csv_block.take_lines(data, block.rows)
    data = erase_comments(data, dialect.comment, None)
    plain = csv_block.strip_values(data, dialect)
    if plain is None:
        raise NeedsCpuReader("quotes that do not enclose a field of one line")
    data = plain
    if reason := find_ambiguity(data, dialect):
        raise NeedsCpuReader(reason)
    if b"\r" in data:  # each before a newline, as `find_ambiguity` has checked
        data = data.replace(b"\r\n", b"\n")
    data = data if data.endswith(b"\n") else data + b"\n"
    place = {name: i for i, name in enumerate(dialect.names)}
    last = len(place) - 1
    # The last field, and one beyond it, show records that have too few or too many fields.
    used = sorted({last, last + 1, *(place[c.name] for c in columns)})
    table = readers.csv_fields(data, last + 2, used, dialect.delimiter, dialect.quote)
    lacking, beyond = (device.to_arrays(table[str(i)].isna())[0] for i in (last, last + 1))
    if bool(lacking.any()) or not bool(beyond.all()):
        raise NeedsCpuReader(f"records that do not have {last + 1} fields")
    ids = csv_block.compute_row_ids(data, len(table), block, dialect)
    if ids is None or len(ids) == 0:
        raise NeedsCpuReader("lines that are not records")
    parsed: Columns = {}
    for column in columns:
        series = gpu_fields.parse_fields(column, table[str(place[column.name])], dialect, device)
        if series is None:
            raise NeedsCpuReader(f"{column.name}: not all are plainly {column.type}")
        parsed[column.name] = series
    if isinstance(ids, pd.RangeIndex):  # made on the device, which spares a transfer
        return parsed, device.xp.arange(ids.start, ids.stop, dtype="int64")
    return parsed, device.to_device(ids.to_numpy(dtype="int64"))


def find_ambiguity(data: bytes, dialect: Dialect) -> str:
    """Return what two readers may parse differently in the bytes; empty if there is nothing."""
    if len(data) > LARGEST:
        return f"more than {LARGEST:,} bytes of CSV"
    if not data.isascii() and not _is_utf8(data):
        return "text that is not UTF-8"
    if b"\0" in data:
        return "NUL bytes"
    if b"\r" in data and data.count(b"\r") != data.count(b"\r\n"):
        return "carriage returns within lines"
    if dialect.quote is not None and not is_plainly_quoted(data, dialect.quote, dialect.delimiter):
        return "quotes that do not enclose a field of one line"
    return ""


def _is_utf8(data: bytes) -> bool:
    # Arrow validates a buffer without copying it, unlike `bytes.decode`.
    ends = pa.py_buffer(np.array([0, len(data)], dtype="int64"))
    text = pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(data)])
    try:
        text.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


# -- Parquet ---------------------------------------------------------------------------------------


def _read_row_groups(
    block: Block,
    contract: Contract,
    columns: Sequence[SourceColumn],
    device: Frames,
    readers: FileReaders,
) -> tuple[Columns, Array]:
    file = contract.files[block.file]
    if is_url(file.read_path):
        raise NeedsCpuReader("files of an object store")
    stored_names = dict(file.stored_names)
    names = {c.name: stored_names.get(c.name, c.name) for c in columns}
    with parquet.open_parquet(file, contract.storage_options) as reader:
        if lacking := [n for n in names.values() if n not in reader.schema_arrow.names]:
            raise NeedsCpuReader(f"{lacking[0]}: a column that a file of a Delta table lacks")
        types = {n: reader.schema_arrow.field(n).type for n in names.values()}
        groups = [reader.metadata.row_group(g) for g in block.groups]
        chunks = [group.column(i) for group in groups for i in range(group.num_columns)]
        size = sum(c.total_compressed_size for c in chunks if c.path_in_schema in types)
    for column in columns:
        stored = types[names[column.name]]
        if not _has_values_of(column, stored):
            raise NeedsCpuReader(f"{column.name}: {stored} read as {column.type}")
    ids = device.xp.arange(block.first_row, block.first_row + block.rows, dtype="int64")
    if not columns:
        return {}, ids
    table = readers.row_groups(file.read_path, block.groups, list(types), size)
    if len(table) < block.rows or set(types) - set(table.columns):
        raise NeedsCpuReader(f"columns that {readers.name} does not find")
    table = table.head(block.rows).reset_index(drop=True)
    return {c.name: _to_storage_dtype(c, table[names[c.name]], device) for c in columns}, ids


def _has_values_of(column: SourceColumn, arrow: pa.DataType) -> bool:
    """Return whether values of the Arrow type become those of the column by a mere cast."""
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


def _to_storage_dtype(column: SourceColumn, series: Series, device: Frames) -> Series:
    """Convert a column that the GPU's reader gave to its storage dtype."""
    if column.dtype == "text":
        return series.astype("category")
    if column.dtype == "float64":
        series = series.astype("float64")
    values, missing = device.to_arrays(series)
    if column.dtype == "datetime":
        # Whole seconds first: a cast to µs that overflows wraps around to another time.
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
