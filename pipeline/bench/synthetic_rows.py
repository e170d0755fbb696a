"""Any number of rows like those of a config's data: drawn from them at random, with noise.

Columns, types and what is missing stay as they are. Text, times, keys of side tables, the column of
the split, columns with few distinct values and those that ops take for categories keep the drawn
row's value, so that joins match, a row's times stay in order, and classes stay what they are. Other
numbers get noise of a hundredth of their spread, within their range and with their decimals. Rows
are made in blocks: memory is flat. The same seed gives the same rows on any machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from pipeline.artifacts.files import atomic_write
from pipeline.config.model import Config
from pipeline.device import cpu
from pipeline.errors import DataError
from pipeline.execution.job import Job
from pipeline.features.engine.planner import walk
from pipeline.ingest import parquet
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn, arrow_type
from pipeline.ingest.read_block import read_block
from pipeline.schema import RESERVED

ORIGINS = 500_000
"""Rows of the data that others are drawn from, at most."""
SPAN = 8 << 20
"""Bytes of a block of the data: the blocks read lie evenly over all of them."""
BLOCK = 100_000
"""Rows made at a time."""
GROUP = 500_000
"""Rows of a Parquet row group: at 1e7 rows there are more groups than most machines have cores."""
FEW = 100
"""A number with fewer distinct values is a code, a class or a count: it is kept."""
NOISE = 0.01
"""Standard deviation of the noise, as a share of the column's own."""
DECIMALS = 6
LABELS = frozenset({
    "categorify", "target_encode", "count_encode", "one_hot", "hash", "cross", "aggregate", "lag",
    "join",
})  # fmt: skip
"""Ops that look values up: a value that occurs nowhere in the data would be another category."""


@dataclass(frozen=True)
class NoisyColumn:
    """A number column that gets noise."""

    values: np.ndarray
    """float64 or int64 (n,); anything where missing."""
    missing: np.ndarray
    spread: float
    low: float
    high: float
    decimals: int | None
    """Of all values; None: as many as a float has, or none for integers."""

    def drawn(self, at: np.ndarray, rng: np.random.Generator) -> pa.Array:
        """The values at these places with noise: float64 or int64, missing as null."""
        values, missing = self.values[at], self.missing[at]
        noise = rng.normal(0.0, self.spread, len(at))
        if values.dtype.kind == "i":
            moved = values + np.rint(noise).astype("int64")
        else:
            moved = values + noise
            moved = moved if self.decimals is None else moved.round(self.decimals)
        clipped = np.clip(moved, self.low, self.high).astype(values.dtype, copy=False)
        return pa.array(clipped, mask=missing)


@dataclass(frozen=True)
class SourceRows:
    """Rows that others are drawn from."""

    schema: pa.Schema
    """Of the files that are written, column by column as in the data's own."""
    kept: pa.Table
    """The columns that keep their values."""
    noisy: Mapping[str, NoisyColumn]

    def __len__(self) -> int:
        return int(self.kept.num_rows)


def load_source_rows(job: Job) -> SourceRows:
    """The rows of the job's data that others are drawn from: at most `ORIGINS`.

    Raises:
        DataError: there are none, or a bad row where the config allows none.
    """
    contract = job.contract
    names = [c.name for c in contract.columns if c.name not in RESERVED]
    frame = _read(contract, names, job.config)
    columns = {c.name: c for c in contract.picked(names)}
    types = _types(contract, columns)
    fixed = find_fixed_columns(job)
    noisy = {n: made for n in names if n not in fixed and (made := _noisy(columns[n], frame[n]))}
    others = [n for n in names if n not in noisy]
    # a column of positions, so that a table of no other columns still has rows
    kept = {"": pa.array(np.arange(len(frame)))} | {
        n: _as_arrow(columns[n], frame[n], types[n]) for n in others
    }
    return SourceRows(pa.schema([(n, types[n]) for n in names]), pa.table(kept), noisy)


def _read(contract: Contract, names: Sequence[str], config: Config) -> pd.DataFrame:
    blocks = plan_blocks(contract, SPAN, config.data.rows)
    total = sum(b.rows for b in blocks)
    if total == 0:
        raise DataError("the data have no rows to draw from", fix="check data.path")
    wanted = max(1, min(len(blocks), len(blocks) * ORIGINS // total))
    some = [blocks[i] for i in np.unique(np.linspace(0, len(blocks) - 1, wanted).astype(int))]
    bad = config.data.on_bad_rows
    frames = [read_block(make_block, contract, list(names), cpu, bad)[0] for make_block in some]
    frame = cpu.concat(frames).reset_index(drop=True)
    thin = -(-len(frame) // ORIGINS)
    return frame.iloc[::thin].reset_index(drop=True)


def find_fixed_columns(job: Job) -> set[str]:
    """Columns of the data whose values another may not replace."""
    config = job.config
    found = {config.split.column} if config.split.column else set()
    found |= {key for table in config.data.tables.values() for key in table.keys}
    walked = walk(job.ops or (), job.source)
    for op, schema in zip(walked.ops[: walked.open_from], walked.schemas, strict=False):
        if op.name in LABELS:
            found |= {name for name in op.reads(schema) if name in job.source}
    return found


def _noisy(column: SourceColumn, series: pd.Series) -> NoisyColumn | None:
    if column.dtype not in ("int64", "float64"):
        return None
    values, missing = cpu.to_arrays(series)
    present = values[~missing]
    present = present[np.isfinite(present)]
    if len(np.unique(present)) < FEW:
        return None
    whole = values.dtype.kind == "i"
    spread = float(np.std(present.astype("float64"))) * NOISE
    return NoisyColumn(
        values, missing, max(spread, 0.7) if whole else spread, present.min(), present.max(),
        None if whole else _decimals(present),
    )  # fmt: skip


def _decimals(values: np.ndarray) -> int | None:
    """The decimals that all values have at most; None: more than `DECIMALS`."""
    return next((d for d in range(DECIMALS + 1) if np.array_equal(values.round(d), values)), None)


def _types(contract: Contract, columns: Mapping[str, SourceColumn]) -> dict[str, pa.DataType]:
    """What each column is written as: its own Parquet type, or what our CSV reader reads."""
    own: dict[str, pa.DataType] = {}
    if contract.format == "parquet":
        with parquet.reader(contract.files[0], contract.storage_options) as reader:
            own = {field.name: field.type for field in reader.schema_arrow}
    return {name: _type(column, own.get(name)) for name, column in columns.items()}


def _type(column: SourceColumn, own: pa.DataType | None) -> pa.DataType:
    if own is not None and not pa.types.is_decimal(own):
        found = parquet.source_column(column.name, own)
        if found is not None and found.type == column.type:
            return own
    if column.type in ("date", "datetime"):
        column = SourceColumn(column.name, column.type, ZONED if column.pattern == ZONED else ISO)
    if column.dtype == "float64":
        return pa.float64()
    kind = arrow_type(column)
    return pa.string() if pa.types.is_dictionary(kind) else kind


def _as_arrow(column: SourceColumn, series: pd.Series, kind: pa.DataType) -> pa.Array:
    """A column of the frame; text stays a dictionary, whose rows are quickly drawn."""
    if column.dtype == "text":
        codes, words = cpu.to_codes(series)
        drawn = pa.array(np.maximum(codes, 0), mask=codes < 0)
        return pa.DictionaryArray.from_arrays(drawn, pa.array(words.tolist(), pa.string()))
    values, missing = cpu.to_arrays(series)
    if column.dtype == "datetime":
        zone = getattr(kind, "tz", None)
        stamps = pa.array(values, mask=missing).cast(pa.timestamp("us", zone))
        return stamps.cast(kind, safe=False)
    return pa.array(values, mask=missing).cast(kind)


# -- writing ---------------------------------------------------------------------------------------


def make_block(source: SourceRows, seed: int, number: int, rows: int) -> pa.Table:
    """A block's rows, with the schema of the files; the first rows of a block are always the same.

    Args:
        number: the block's, from 0.
        rows: at most `BLOCK`.
    """
    rng = np.random.default_rng([seed, number])
    at = rng.integers(0, len(source), BLOCK)
    moved = {name: noisy.drawn(at, rng) for name, noisy in source.noisy.items()}
    kept = source.kept.take(pa.array(at[:rows]))
    columns = [
        (moved[f.name].slice(0, rows) if f.name in moved else kept[f.name]).cast(f.type)
        for f in source.schema
    ]
    return pa.table(columns, schema=source.schema)


def write_rows(
    source: SourceRows, path: Path, rows: int, seed: int, threads: int = 1
) -> Iterator[int]:
    """Writes so many rows to a .csv or .parquet file; yields the rows written so far.

    The file bears its name only once it is complete.

    Raises:
        MachineError: it cannot be written.
    """
    with atomic_write(path) as beside, closing(_writer(beside, path.suffix, source.schema)) as out:
        waiting: list[pa.Table] = []
        done = 0
        for table in _blocks(source, rows, seed, threads):
            waiting.append(table)
            done += table.num_rows
            if sum(map(len, waiting)) >= GROUP or done == rows:
                out.write_table(pa.concat_tables(waiting), GROUP)
                waiting = []
            yield done


def _writer(path: Path, suffix: str, schema: pa.Schema) -> Any:
    if suffix == ".csv":
        return csv.CSVWriter(path, schema)
    return pq.ParquetWriter(path, schema, compression="snappy")


def _blocks(source: SourceRows, rows: int, seed: int, threads: int) -> Iterator[pa.Table]:
    """The blocks in order, few of them made ahead."""
    sizes = deque((n, min(BLOCK, rows - at)) for n, at in enumerate(range(0, rows, BLOCK)))
    ahead: deque[Future[pa.Table]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        while sizes or ahead:
            while sizes and len(ahead) < 2 * threads:
                ahead.append(pool.submit(make_block, source, seed, *sizes.popleft()))
            yield ahead.popleft().result()


def build_config_tree(config: Config, contract: Contract, path: Path) -> dict[str, Any]:
    """The config's tree with these rows as its data.

    The refit that ``auto`` does below 500,000 rows is left out: only small runs would have it.
    """
    found: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    types = {c.name: c.type for c in contract.columns} if path.suffix == ".csv" else {}
    found["data"] |= {
        "path": str(path), "format": path.suffix[1:], "csv": {}, "types": types,
        "storage_options": {}, "rows": None,
    }  # fmt: skip
    found["refit"] = "never" if config.refit == "auto" else config.refit
    found["cluster"]["dashboard"] = False
    return found
