"""Side tables, which are read whole and on the CPU through the same contract and readers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from pipeline.config.model import Table
from pipeline.device import cpu
from pipeline.errors import SchemaError, suggest_or_list
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.column_names import NameMatcher
from pipeline.ingest.contract import Contract
from pipeline.ingest.read_block import read_block
from pipeline.ingest.reading_note import ReadingNote
from pipeline.ingest.schema import infer_contract
from pipeline.schema import Schema


def infer_table(name: str, table: Table) -> Contract:
    """Infer the contract of the side table of this name."""
    return infer_contract(table, f"data.tables.{name}")


def find_stored(contract: Contract, names: Iterable[str]) -> dict[str, str]:
    """Return the name in the files of a side table for each name of a key or column.

    A name means the column of another spelling if the table has only one that is alike.

    Raises:
        ConfigError: a name may mean several columns.
    """
    matcher = NameMatcher(contract.schema.names)
    return {name: matcher.match(name, contract.where) for name in names}


def read_table(
    name: str, table: Table, columns: list[str] | None = None, contract: Contract | None = None
) -> tuple[Schema, pd.DataFrame, list[ReadingNote]]:
    """Read a side table's keys and the named columns (None: all) in storage dtypes.

    Args:
        name: the table's name in the config.
        table: its source and keys.
        columns: the columns to read beside the keys.
        contract: that of the table, if it is known.

    Returns:
        (schema, CPU frame, notes), keys first; the index holds the row ids. The columns of notes
        are called ``table.column``.

    Raises:
        SchemaError: a key or column does not exist.
    """
    contract = infer_table(name, table) if contract is None else contract
    stored = find_stored(contract, dict.fromkeys([*table.keys, *(columns or ())]))
    names = contract.schema.names
    for key in table.keys:
        if stored[key] not in names:
            raise SchemaError(
                f"{contract.where}.keys: there is no column {key!r}",
                fix=suggest_or_list(key, names),
            )
    for column in columns or ():
        if stored[column] not in names:
            message, fix = contract.schema.explain_absence(column)
            raise SchemaError(f"{contract.where}: {message}", fix=fix)
    if columns is None:
        stored |= {n: n for n in names if n not in stored.values()}
    blocks = plan_blocks(contract)
    wanted = list(dict.fromkeys(stored.values()))
    frames = [read_block(block, contract, wanted, cpu)[0] for block in blocks]
    schema = Schema(tuple(replace(contract.schema[at], name=n) for n, at in stored.items()))
    frame = cpu.concat(frames) if frames else cpu.empty_frame([*contract.schema.select(wanted)])
    notes = [
        replace(note, column=name if note.column is None else f"{name}.{note.column}")
        for note in contract.notes
        if note.column is None or note.column in wanted
    ]
    notes += [
        ReadingNote("header", f"the file calls it {at!r}", f"{name}.{n}")
        for n, at in stored.items()
        if n != at
    ]
    frame = frame[list(stored.values())].set_axis(list(stored), axis="columns")
    return schema, frame, notes
