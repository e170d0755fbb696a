"""Any bytes as the rows of a CSV: read by one parser or the other, at once or in small blocks.

The first byte says how the config describes it (`fuzz_schema.source_of`). With its highest bit the
rest are fields, which Python's ``csv`` writes and we read.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd
from fuzz_laws import SCRATCH, refused
from fuzz_schema import source_of

from pipeline.config.model import Csv, Source
from pipeline.device import cpu
from pipeline.errors import DataError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv import block as csv_block
from pipeline.ingest.csv.records import parse_records, split_records
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract
from pipeline.ingest.sources.byte_ranges import read_range

Rows = tuple[list[int], dict[str, list[Any]], list[tuple[Any, ...]]]
"""Row ids, values by column, rejected rows."""


def one(data: bytes) -> None:
    """What is read does not depend on the parser, nor on the blocks; nothing vanishes."""
    flags, content = (data[0] if data else 0), data[1:]
    if flags >> 7:
        _written_by_python(content)
        return
    path = Path(SCRATCH, "r.csv")
    path.write_bytes(content)
    with refused():
        contract = infer_contract(source_of(flags, path))
        whole = _rows(contract, 1 << 20)
        small = _rows(contract, max(7, len(content) // 5))
        assert small == whole, "small blocks give other rows"
        _nothing_vanishes(contract, whole)
        _parsers_agree(contract)
        _as_error(contract, whole)


def _rows(contract: Contract, block_bytes: int) -> Rows:
    names = [c.name for c in contract.columns]
    ids: list[int] = []
    values: dict[str, list[Any]] = {name: [] for name in names}
    bad: list[tuple[Any, ...]] = []
    for block in plan_blocks(contract, block_bytes):
        frame, rejected = read_block(block, contract, names, cpu, "quarantine")
        ids += frame.index.tolist()
        for name in names:
            values[name] += _plain(frame[name])
        if rejected is not None:
            bad += list(rejected.itertuples(index=False, name=None))
    return ids, values, [tuple(None if pd.isna(v) else v for v in row) for row in bad]


def _plain(values: Any) -> list[Any]:
    """Python values; missing ones None."""
    listed = pd.Series(values).astype(object).tolist()
    return [None if pd.isna(v) else v for v in listed]


def _nothing_vanishes(contract: Contract, rows: Rows) -> None:
    ids, _, bad = rows
    found = 0
    for block in plan_blocks(contract, 1 << 20):
        data = read_range(contract.files[block.file], {}, block.start, block.stop)
        found += sum(1 for _ in split_records(data, contract.csv_dialect))
    assert len(ids) + len(bad) == found, f"{len(ids)} rows and {len(bad)} bad ones of {found}"
    rejected = [row[2] for row in bad]
    assert not set(ids) & set(rejected), "a row is good and bad"
    assert sorted(ids) == ids and sorted(rejected) == rejected, "rows are out of order"


def _parsers_agree(contract: Contract) -> None:
    """pyarrow's parser, where it is believed, and the one line by line."""
    dialect = contract.csv_dialect
    columns = [c for c in contract.columns if not c.partition]
    for block in plan_blocks(contract, 1 << 20):
        file = contract.files[block.file]
        data = read_range(file, {}, block.start, block.stop)
        fast = csv_block._parse_with_arrow(data, block, columns, dialect)
        if fast is None:
            continue
        first = (block.first_line, block.first_row)
        lines, slow, bad = parse_records(data, file.path, first, columns, dialect)
        assert not bad, f"the fast parser takes what the slow one does not: {bad[0]}"
        assert (lines + block.first_row).tolist() == fast[0].tolist(), "the parsers' ids differ"
        for column in columns:
            a, b = (_plain(table[column.name].to_pandas()) for table in (fast[1], slow))
            assert a == b, f"the parsers read column {column.name!r} in two ways: {a} and {b}"


def _as_error(contract: Contract, rows: Rows) -> None:
    """Under ``error`` the first bad row of a block is the one that is named."""
    for block in plan_blocks(contract, 1 << 20):
        names = [c.name for c in contract.columns]
        try:
            read_block(block, contract, names, cpu, "error")
        except DataError as error:
            assert rows[2] and f"line {rows[2][0][1]}" in str(error), str(error)
            return
    assert not rows[2], "bad rows and no error"


def _written_by_python(content: bytes) -> None:
    """Fields, between the separators 0x1f and 0x1e, as Python writes and we read them."""
    text = content.decode("utf-8", "replace").replace("\r", "").replace("\0", "")
    table = [line.split("\x1f") for line in text.split("\x1e")]
    width = max(map(len, table))
    table = [row + [""] * (width - len(row)) for row in table]
    names = [f"c{i}" for i in range(width)]
    path = Path(SCRATCH, "w.csv")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(table)
    settings = Csv(delimiter=",", newlines_in_values="\n" in text, missing=())
    source = Source(path=str(path), csv=settings, types=dict.fromkeys(names, "text"))
    for block_bytes in (1 << 20, max(7, len(content) // 5)):
        ids, values, bad = _rows(infer_contract(source), block_bytes)
        assert not bad and len(ids) == len(table), f"{len(ids)} of {len(table)} rows"
        for i, name in enumerate(names):
            expected = [row[i] or None for row in table]
            assert values[name] == expected, f"{name} is {values[name]}, not {expected}"
