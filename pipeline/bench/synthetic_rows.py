"""Synthetic rows in any number, drawn at random from a config's data, with noise.

Columns, types and missing values stay as they are. Some columns keep the value of the drawn row:
text, times, keys of side tables, the column of the split, columns with few distinct values and
those that ops treat as categories. So joins match, the times of a row stay in order, and classes
stay the same. Other numbers get noise of a hundredth of their spread, within their range and
with their decimals. Rows are made in blocks, so memory is flat. A seed gives the same rows on every
machine.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
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
from pipeline.features.engine.planner import resolve_ops
from pipeline.ingest import parquet
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn, to_arrow_type
from pipeline.ingest.read_block import read_block
from pipeline.schema import RESERVED

ORIGINS = 500_000
"""Maximum number of source rows."""
SPAN = 8 << 20
"""Bytes per block of the data; the blocks to read are spread evenly over it."""
BLOCK = 100_000
"""Rows per block of synthetic rows."""
GROUP = 500_000
"""Rows per Parquet row group: at 1e7 rows there are more groups than most machines have cores."""
FEW = 100
"""A number column with fewer distinct values is a code, a class or a count, and gets no noise."""
NOISE = 0.01
"""Standard deviation of the noise, as a share of the column's own."""
DECIMALS = 6
LABELS = frozenset({
    "categorify", "target_encode", "count_encode", "one_hot", "hash", "cross", "aggregate", "lag",
    "join",
})  # fmt: skip
"""Ops that look up values: a value that does not occur in the data would be a new category."""


@dataclass(frozen=True)
class NoisyColumn:
    """Values of a number column that gets noise."""

    values: np.ndarray
    """float64 or int64 (n,); anything where missing."""
    missing: np.ndarray
    spread: float
    low: float
    high: float
    decimals: int | None
    """Decimals to round to; None: no rounding."""

    def draw(self, at: np.ndarray, rng: np.random.Generator) -> pa.Array:
        """Return the values at the positions ``at`` with noise: float64 or int64, with nulls."""
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
    """Rows from which synthetic rows are drawn."""

    schema: pa.Schema
    """Schema of the files to write, with the columns in the order of the data."""
    fixed: pa.Table
    """Columns whose values get no noise."""
    noisy: Mapping[str, NoisyColumn]

    def __len__(self) -> int:
        return int(self.fixed.num_rows)


def load_source_rows(job: Job) -> SourceRows:
    """Read the source rows of a job: at most `ORIGINS`, spread evenly over the data.

    Raises:
        DataError: there are no rows, or a bad row where the config allows none.
    """
    contract, config = job.contract, job.config.data
    names = [c.name for c in contract.columns if c.name not in RESERVED]
    blocks = plan_blocks(contract, SPAN, config.rows)
    total = sum(b.rows for b in blocks)
    if total == 0:
        raise DataError("the data have no rows to draw from", fix="check data.path")
    # Files are often sorted, so blocks from all over the data are read, not the first ones.
    wanted = max(1, min(len(blocks), len(blocks) * ORIGINS // total))
    some = [blocks[i] for i in np.unique(np.linspace(0, len(blocks) - 1, wanted).astype(int))]
    frame = cpu.concat(
        [read_block(block, contract, names, cpu, config.on_bad_rows)[0] for block in some]
    ).reset_index(drop=True)
    frame = frame.iloc[:: -(-len(frame) // ORIGINS)].reset_index(drop=True)
    columns = {c.name: c for c in contract.select(names)}
    # A Parquet file gets the types of the source, a CSV file those that it is read back as.
    stored: dict[str, pa.DataType] = {}
    if contract.format == "parquet":
        with parquet.open_parquet(contract.files[0], contract.storage_options) as reader:
            stored = {field.name: field.type for field in reader.schema_arrow}
    types = {name: _choose_type(column, stored.get(name)) for name, column in columns.items()}
    fixed = find_fixed_columns(job)
    noisy = {
        name: column
        for name in names
        if name not in fixed and (column := _noisy(columns[name], frame[name]))
    }
    others = [n for n in names if n not in noisy]
    # The column of positions gives the table its rows where every other column gets noise.
    fixed_values = {"": pa.array(np.arange(len(frame)))} | {
        n: _as_arrow(columns[n], frame[n], types[n]) for n in others
    }
    return SourceRows(pa.schema([(n, types[n]) for n in names]), pa.table(fixed_values), noisy)


def find_fixed_columns(job: Job) -> set[str]:
    """Return the columns that keep their values because a join, a split or an op relies on them."""
    config = job.config
    fixed = {config.split.column} if config.split.column else set()
    fixed |= {key for table in config.data.tables.values() for key in table.keys}
    walked = resolve_ops(job.ops or (), job.source)
    for op, schema in zip(walked.ops[: walked.unresolved_from], walked.schemas, strict=False):
        if op.name in LABELS:
            fixed |= {name for name in op.reads(schema) if name in job.source}
    return fixed


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
    decimals = None
    if whole:
        spread = max(spread, 0.7)  # with less, most integers would round to no change
    else:
        # Noise must not add digits that the data do not have; None: more than `DECIMALS`.
        digits = range(DECIMALS + 1)
        decimals = next((d for d in digits if np.array_equal(present.round(d), present)), None)
    return NoisyColumn(values, missing, spread, present.min(), present.max(), decimals)


def _choose_type(column: SourceColumn, stored: pa.DataType | None) -> pa.DataType:
    """Return the type to write a column with: its Parquet type, or one that CSV reads back."""
    if stored is not None and not pa.types.is_decimal(stored):
        source = parquet.to_source_column(column.name, stored)
        if source is not None and source.type == column.type:
            return stored
    if column.type in ("date", "datetime"):
        column = SourceColumn(column.name, column.type, ZONED if column.pattern == ZONED else ISO)
    if column.dtype == "float64":
        return pa.float64()
    kind = to_arrow_type(column)
    return pa.string() if pa.types.is_dictionary(kind) else kind


def _as_arrow(column: SourceColumn, series: pd.Series, kind: pa.DataType) -> pa.Array:
    """Convert a column of the frame; text stays a dictionary, from which rows are drawn fast."""
    if column.dtype == "text":
        codes, values = cpu.to_codes(series)
        drawn = pa.array(np.maximum(codes, 0), mask=codes < 0)
        return pa.DictionaryArray.from_arrays(drawn, pa.array(values.tolist(), pa.string()))
    values, missing = cpu.to_arrays(series)
    if column.dtype == "datetime":
        zone = getattr(kind, "tz", None)
        stamps = pa.array(values, mask=missing).cast(pa.timestamp("us", zone))
        return stamps.cast(kind, safe=False)
    return pa.array(values, mask=missing).cast(kind)


# -- writing ---------------------------------------------------------------------------------------


def make_block(source: SourceRows, seed: int, number: int, rows: int) -> pa.Table:
    """Return the rows of a block; the first rows of a block do not depend on ``rows``.

    Args:
        source: rows to draw from.
        seed: seed of the benchmark.
        number: number of the block, from 0.
        rows: at most `BLOCK`.
    """
    rng = np.random.default_rng([seed, number])
    # A whole block is drawn also for fewer rows, so that the number of rows changes no value.
    at = rng.integers(0, len(source), BLOCK)
    moved = {name: noisy.draw(at, rng) for name, noisy in source.noisy.items()}
    fixed = source.fixed.take(pa.array(at[:rows]))
    columns = [
        (moved[f.name].slice(0, rows) if f.name in moved else fixed[f.name]).cast(f.type)
        for f in source.schema
    ]
    return pa.table(columns, schema=source.schema)


def write_rows(
    source: SourceRows, path: Path, rows: int, seed: int, threads: int = 1
) -> Iterator[int]:
    """Write rows to a .csv or .parquet file; yield the number of rows written so far.

    The file gets its name only when it is complete.

    Raises:
        MachineError: it cannot be written.
    """
    with ExitStack() as stack:
        beside = stack.enter_context(atomic_write(path))
        writer = csv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter
        out = stack.enter_context(closing(writer(beside, source.schema)))
        waiting: list[pa.Table] = []
        done = 0
        for table in _blocks(source, rows, seed, threads):
            waiting.append(table)
            done += table.num_rows
            # A row group is written when it is full, so that memory holds one of them.
            if sum(map(len, waiting)) >= GROUP or done == rows:
                out.write_table(pa.concat_tables(waiting), GROUP)
                waiting = []
            yield done


def _blocks(source: SourceRows, rows: int, seed: int, threads: int) -> Iterator[pa.Table]:
    """Yield the blocks in order; a few of them are prepared ahead."""
    sizes = deque((n, min(BLOCK, rows - at)) for n, at in enumerate(range(0, rows, BLOCK)))
    ahead: deque[Future[pa.Table]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        while sizes or ahead:
            while sizes and len(ahead) < 2 * threads:
                ahead.append(pool.submit(make_block, source, seed, *sizes.popleft()))
            yield ahead.popleft().result()


def build_config_tree(config: Config, contract: Contract, path: Path) -> dict[str, Any]:
    """Return the config's tree with the file of synthetic rows as its data.

    ``refit: auto`` becomes ``never``: it refits below 500,000 rows, so that only small runs would
    include the refit.
    """
    tree: dict[str, Any] = config.model_dump(mode="json", by_alias=True)
    types = {c.name: c.type for c in contract.columns} if path.suffix == ".csv" else {}
    tree["data"] |= {
        "path": str(path), "format": path.suffix[1:], "csv": {}, "types": types,
        "storage_options": {}, "rows": None,
    }  # fmt: skip
    tree["refit"] = "never" if config.refit == "auto" else config.refit
    tree["cluster"]["dashboard"] = False
    return tree
