"""Reading of one block: a frame of the named columns in storage dtypes, and its bad rows.

The GPU's readers try first (`gpu_read_block`). This module reads the blocks that they leave, and
all blocks of a CPU run.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.config.model import ColumnType
from pipeline.device import Frame, Frames
from pipeline.errors import DataError
from pipeline.ingest import (
    arrow_to_frame,
    gpu_read_block,
    parquet,
    parquet_text,
    reader_stats,
    rejected,
)
from pipeline.ingest.blocks import Block
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv import block as csv_block
from pipeline.ingest.csv.dialect import Dialect
from pipeline.ingest.csv.missing_words import COMMON_WORDS
from pipeline.ingest.csv.preamble import COMMENT
from pipeline.ingest.csv.types import ISO, SourceColumn, find_misfits
from pipeline.ingest.reading_note import NEW_DATA
from pipeline.ingest.rejected import BadRow
from pipeline.ingest.sources.byte_ranges import read_range
from pipeline.ingest.sources.files import check_unchanged


def read_block(
    block: Block, contract: Contract, names: list[str], device: Frames, on_bad_rows: str = "error"
) -> tuple[Frame, pd.DataFrame | None]:
    """Read the named columns of a block, and its rejected rows (None if there are none).

    Args:
        block: from `plan_blocks` of the same contract.
        contract: format, columns and files of the data.
        names: the columns to read; the frame has them in this order.
        device: where the frame goes.
        on_bad_rows: ``error`` or ``quarantine``.

    Returns:
        (frame with the row ids as its index; rejected rows with columns `rejected.COLUMNS`).

    Raises:
        DataError: a row is bad (``error``), or the file changed since the contract was inferred.
        SchemaError: there is no such column.
    """
    file = contract.files[block.file]
    check_unchanged(file)
    try:
        if (readers := device.file_readers()) is not None:
            try:
                frame = gpu_read_block.read_on_gpu(block, contract, names, device, readers)
            except gpu_read_block.NeedsCpuReader as reason:
                reader_stats.count_block(readers.name, str(reason))
            else:
                reader_stats.count_block(readers.name)
                return frame, None
        return _read_on_cpu(block, contract, names, device, on_bad_rows)
    finally:
        # If the file changed meanwhile, neither the rows nor an error about them mean anything.
        check_unchanged(file)


def _read_on_cpu(
    block: Block, contract: Contract, names: list[str], device: Frames, on_bad_rows: str
) -> tuple[Frame, pd.DataFrame | None]:
    columns = contract.select(names)
    stored = [c for c in columns if not c.partition]
    bad: list[BadRow] = []
    if contract.format == "parquet":
        ids, arrays, bad = _read_parquet(block, contract, stored)
    else:
        file, dialect = contract.files[block.file], contract.csv_dialect
        data = read_range(file, contract.storage_options, block.start, block.stop)
        ids, values, bad = csv_block.parse_block(data, block, file.path, stored, dialect)
        arrays = {c.name: arrow_to_frame.to_storage_array(c, values[c.name]) for c in stored}
    if bad and on_bad_rows != "quarantine":
        raise rejected.build_error(bad, _suggest_fix(bad[0], contract))
    folders = contract.folder_values(block.file)
    for column in columns:
        if column.partition:
            value = folders[column.name]
            arrays[column.name] = arrow_to_frame.repeat_folder_value(column, value, len(ids))
    frame = arrow_to_frame.build_frame({name: arrays[name] for name in names}, ids)
    return device.to_device(frame), rejected.build_table(bad) if bad else None


def _suggest_fix(bad: BadRow, contract: Contract) -> str:
    """Return the fix for a bad row, with the type that its value has, if that is clear."""
    where = contract.where
    skip = f"set {where}.on_bad_rows: quarantine to skip such rows"
    if where != "data":  # side tables and new data have no such key
        skip = "correct the file"
    csv = contract.dialect
    if bad.column is None and bad.text.startswith(COMMENT) and csv and csv.comment is None:
        return f'set {where}.csv.comment: "{COMMENT}" if such lines are comments, or {skip}'
    if "does not end" in bad.reason:
        return f"set {where}.csv: {{newlines_in_values: true}} if values hold newlines, or {skip}"
    if "UTF-8" in bad.reason:
        return f"set {where}.csv.encoding, such as cp1252, if the file is not UTF-8, or {skip}"
    if bad.column is None or bad.value is None:
        delimiter = contract.csv_dialect.delimiter
        return f"check that the delimiter is {delimiter!r} and the text UTF-8, or {skip}"
    column = next(c for c in contract.columns if c.name == bad.column)
    if where == NEW_DATA:
        rule = column.describe_rule(contract.csv_dialect)
        return f"correct the file: the run was trained on {rule} there"
    better = _find_wider_type(column, bad.value, contract.csv_dialect)
    hint = ""
    if better == "text" and re.fullmatch(r"[-+]?\d[\d.,' ]*[.,]\d+", bad.value):
        hint = "write all numbers of the column in one way; or "
    elif better == "text" and COMMON_WORDS.fullmatch(bad.value.strip()):
        word = json.dumps(bad.value, ensure_ascii=False)
        hint = f"if it means missing, add it to the words: {where}.csv.missing: [{word}]; else "
    types = f"set {where}.types: {{{bad.column}: {better}}} to read the column as {better}"
    return f"{hint}{types}, or {skip}"


def _find_wider_type(column: SourceColumn, value: str, dialect: Dialect) -> ColumnType:
    """Return a type that has the column's values and this one."""
    wider: SourceColumn | None = None
    if column.type == "integer":
        wider = SourceColumn(column.name, "float")
    elif column.type == "date":
        wider = SourceColumn(column.name, "datetime", ISO)
    return wider.type if wider and not find_misfits(wider, [value], dialect) else "text"


def _read_parquet(
    block: Block, contract: Contract, columns: list[SourceColumn]
) -> tuple[pd.Index, dict[str, Any], list[BadRow]]:
    file = contract.files[block.file]
    table = parquet.read_row_groups(file, list(block.groups), columns, contract.storage_options)
    table = table.slice(0, block.rows)
    bad: dict[int, BadRow] = {}
    arrays = {}
    for column in columns:
        try:
            array, misfits = parquet_text.to_storage_array(
                column, table[column.name], contract.dialect
            )
        except pa.ArrowInvalid as error:
            fix = f"set {contract.where}.types: {{{column.name}: float}} or text"
            if column.type == "text":
                fix = "write it as UTF-8 text, or leave the column out"
            if column.dtype == "datetime":
                fix = "correct the values, or write them as missing"
            if contract.where == NEW_DATA:
                fix = f"correct the file: the run was trained on {column.describe_rule()} there"
            raise DataError(
                f"{file.path}, column {column.name!r}: {str(error).splitlines()[0]}", fix=fix
            ) from None
        arrays[column.name] = array
        for row, value in misfits.items():
            reason = f"not {column.describe_rule(contract.dialect)}"
            place = (block.first_line + row, block.first_row + row)
            bad.setdefault(row, BadRow(file.path, *place, column.name, value, reason, ""))
    ids: pd.Index = pd.RangeIndex(block.first_row, block.first_row + block.rows)
    if bad:
        good = np.ones(block.rows, dtype=bool)
        good[list(bad)] = False
        ids, arrays = ids[good], {name: array[good] for name, array in arrays.items()}
    return ids, arrays, [bad[row] for row in sorted(bad)]
