"""Side tables, which are read whole and on the CPU through the same contract and readers."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from pipeline.config.model import Table
from pipeline.device import cpu
from pipeline.errors import SchemaError, suggest_or_list
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.reading_note import ReadingNote
from pipeline.ingest.schema import infer_contract
from pipeline.schema import Schema


def read_table(
    name: str, table: Table, columns: list[str] | None = None
) -> tuple[Schema, pd.DataFrame, list[ReadingNote]]:
    """Read a side table's keys and the named columns (None: all) in storage dtypes.

    Args:
        name: the table's name in the config.
        table: its source and keys.
        columns: the columns to read beside the keys.

    Returns:
        (schema, CPU frame, notes), keys first; the index holds the row ids. The columns of notes
        are called ``table.column``.

    Raises:
        SchemaError: a key or column does not exist.
    """
    where = f"data.tables.{name}"
    contract = infer_contract(table, where)
    names = contract.schema.names
    for key in table.keys:
        if key not in names:
            raise SchemaError(
                f"{where}.keys: there is no column {key!r}", fix=suggest_or_list(key, names)
            )
    for column in columns or ():
        if column not in names:
            message, fix = contract.schema.explain_absence(column)
            raise SchemaError(f"{where}: {message}", fix=fix)
    wanted = list(dict.fromkeys([*table.keys, *(names if columns is None else columns)]))
    blocks = plan_blocks(contract)
    frames = [read_block(block, contract, wanted, cpu)[0] for block in blocks]
    schema = contract.schema.select(wanted)
    schema = Schema(tuple(schema[n] for n in wanted))
    notes = [
        replace(note, column=name if note.column is None else f"{name}.{note.column}")
        for note in contract.notes
        if note.column is None or note.column in wanted
    ]
    return schema, cpu.concat(frames) if frames else cpu.empty_frame(list(schema)), notes
