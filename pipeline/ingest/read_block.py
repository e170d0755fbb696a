"""One block read: a frame of the named columns in storage dtypes, and its bad rows.

The device's own readers come first, where it has some (`device_blocks`); what they leave, and
everything on a CPU, is read here, on the host.
"""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pyarrow as pa

from pipeline.device import Frame, Frames
from pipeline.errors import DataError, shorten
from pipeline.ingest import arrow_to_frame, gpu_read_block, parquet, reader_stats, rejected
from pipeline.ingest.blocks import Block
from pipeline.ingest.contract import NEW_DATA, Contract
from pipeline.ingest.csv import block as csv_block
from pipeline.ingest.csv.dialect import TO_UTF8, Dialect
from pipeline.ingest.csv.types import ISO, SourceColumn, find_misfits
from pipeline.ingest.rejected import BadRow
from pipeline.ingest.sources.byte_ranges import read_range
from pipeline.ingest.sources.files import check_unchanged


def read_block(
    block: Block, contract: Contract, names: list[str], device: Frames, on_bad_rows: str = "error"
) -> tuple[Frame, pd.DataFrame | None]:
    """The named columns of a block, and its rejected rows (None where there are none).

    Args:
        block: from `plan_blocks` of the same contract.
        contract: what the files hold.
        names: the columns to read, in any order; the frame has them in this order.
        device: where the frame goes.
        on_bad_rows: ``error`` or ``quarantine``.

    Returns:
        (frame with the row ids as its index; rejected rows with columns `rejected.COLUMNS`).

    Raises:
        DataError: a bad row (``error``), or the file changed since the schema was settled.
        SchemaError: there is no such column.
    """
    check_unchanged(contract.files[block.file])
    try:
        return _read(block, contract, names, device, on_bad_rows)
    finally:  # what was read of a file that is written to meanwhile proves nothing, nor do errors
        check_unchanged(contract.files[block.file])


def _read(
    block: Block, contract: Contract, names: list[str], device: Frames, on_bad_rows: str
) -> tuple[Frame, pd.DataFrame | None]:
    if (reading := device.file_readers()) is not None:
        try:
            made = gpu_read_block.read_on_gpu(block, contract, names, device, reading)
        except gpu_read_block.NeedsCpuReader as why:
            reader_stats.count_block(reading.name, str(why))
        else:
            reader_stats.count_block(reading.name)
            return made, None
    columns = contract.select(names)
    read = [c for c in columns if not c.partition]
    if contract.format == "parquet":
        ids, arrays, bad = _read_parquet(block, contract, read)
    else:
        ids, arrays, bad = _read_csv(block, contract, read)
    if bad and on_bad_rows != "quarantine":
        raise rejected.build_error(bad, _fix(bad[0], contract))
    data = arrays | _partitions(block, contract, columns, len(ids))
    frame = arrow_to_frame.build_frame({name: data[name] for name in names}, ids)
    return device.to_device(frame), rejected.build_table(bad) if bad else None


def _partitions(
    block: Block, contract: Contract, columns: list[SourceColumn], rows: int
) -> dict[str, Any]:
    words = contract.folder_values(block.file)
    return {
        c.name: arrow_to_frame.repeat_folder_value(c, words[c.name], rows)
        for c in columns
        if c.partition
    }


def _fix(bad: BadRow, contract: Contract) -> str:
    """What to do about a bad row; the type that its value has, where that is clear."""
    aside = f"{contract.where}.on_bad_rows: quarantine sets such rows aside"
    if contract.where != "data":
        aside = "correct the file"
    if "does not end" in bad.reason:
        return (
            f"{contract.where}.csv: {{newlines_in_values: true}} if values hold newlines; {aside}"
        )
    if "UTF-8" in bad.reason:
        return f"{TO_UTF8}; {aside}"
    if bad.column is None or bad.value is None:
        return f"{aside}; is the delimiter {contract.csv_dialect.delimiter!r}, the text UTF-8?"
    known = next(c for c in contract.columns if c.name == bad.column)
    if contract.where == NEW_DATA:
        return _as_trained(known, bad.value, contract.csv_dialect)
    better = _wider(known, bad.value, contract.csv_dialect)
    types = f"{contract.where}.types: {{{bad.column}: {better}}} reads the column as {better}"
    hint = _hint(bad.value, contract.where) if better == "text" else ""
    return f"{hint}{types}; {aside}"


def _hint(value: str, where: str) -> str:
    """What a value that is none of its column may have been meant to be."""
    if re.fullmatch(r"[-+]?\d[\d.,' ]*[.,]\d+", value):
        return "all numbers of a column must be written in one way; "
    if re.fullmatch(
        r"0000-.*|\W{1,3}|n[./]?a\.?|none|nil|null|nan|missing|unknown|empty", value, re.I
    ):
        return f"if {shorten(value)} means missing, name it in {where}.csv.missing; "
    return ""


def _as_trained(column: SourceColumn, value: str, dialect: Dialect | None) -> str:
    fix = f"the run was trained on {column.rule()} there: correct the file"
    if column.type == "integer" and dialect and _wider(column, value, dialect) == "float":
        fix += ' (pandas writes integers beside missing values as 1.0, unless astype("Int64"))'
    return fix


def _wider(column: SourceColumn, value: str, dialect: Dialect) -> str:
    wider = {"integer": ("float", None), "date": ("datetime", ISO)}.get(column.type)
    if wider and not find_misfits(SourceColumn(column.name, *wider), [value], dialect):  # type: ignore[arg-type]
        return wider[0]
    return "text"


def _read_parquet(
    block: Block, contract: Contract, columns: list[SourceColumn]
) -> tuple[pd.Index, dict[str, Any], list[BadRow]]:
    file = contract.files[block.file]
    table = parquet.read_row_groups(file, list(block.groups), columns, contract.storage_options)
    table = table.slice(0, block.rows)
    ids = pd.RangeIndex(block.first_row, block.first_row + block.rows)
    arrays = {}
    for column in columns:
        try:
            arrays[column.name] = arrow_to_frame.to_storage_array(column, table[column.name])
        except pa.ArrowInvalid as error:
            fix = f"{contract.where}.types: {{{column.name}: float}} or text"
            if column.type == "text":
                fix = "write it as UTF-8 text, or leave the column out"
            if column.dtype == "datetime":
                fix = "correct the values, or write them as missing"
            if contract.where == NEW_DATA:
                fix = _as_trained(column, "", None)
            raise DataError(
                f"{file.path}, column {column.name!r}: {str(error).splitlines()[0]}", fix=fix
            ) from None
    return ids, arrays, []


def _read_csv(
    block: Block, contract: Contract, columns: list[SourceColumn]
) -> tuple[pd.Index, dict[str, Any], list[BadRow]]:
    file = contract.files[block.file]
    data = read_range(file, contract.storage_options, block.start, block.stop)
    dialect = contract.csv_dialect
    ids, arrays, bad = csv_block.parse_block(data, block, file.path, columns, dialect)
    return ids, {c.name: arrow_to_frame.to_storage_array(c, arrays[c.name]) for c in columns}, bad
