"""A sample of the data for the memory plan: text values, classes and missing values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.config.model import Data
from pipeline.device import cpu
from pipeline.errors import InputError
from pipeline.expression import Expression
from pipeline.ingest import arrow_to_frame, parquet
from pipeline.ingest.blocks import Block
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv import block as csv_block
from pipeline.ingest.csv.dialect import find_data_start
from pipeline.ingest.csv.type_inference import HEAD
from pipeline.ingest.csv.types import SourceColumn
from pipeline.ingest.labels import target as targets
from pipeline.ingest.sources.byte_ranges import read_head, read_range

ROWS = 20_000
"""Rows of the sample, which are consecutive like those of a block."""
CELLS = 8_000_000
"""Values of the sample: wide Parquet gives fewer rows, 800 of 10,000 columns."""
BYTES = 4 << 20
"""Bytes of CSV that are read for the sample."""


@dataclass(frozen=True)
class TextSample:
    """Values of a text column in the sample."""

    sampled: int
    """Sampled values that are not missing."""
    distinct: int
    mean_bytes: float
    """Bytes of a distinct value on average (UTF-8)."""

    def estimate_distinct(self, rows: int) -> float:
        """Estimate how many distinct values ``rows`` rows have, if all are equally frequent."""
        # K values show K (1 - (1 - 1/K)^m) of themselves in m draws: bisection finds the K that the
        # sample suggests. Skewed frequencies mean more values, yet few beside the rows.
        if rows <= self.sampled:
            return float(min(self.distinct, rows))
        if self.distinct >= self.sampled:
            return float(rows)
        low, high = math.log(max(self.distinct, 1)), math.log(1e12)
        for _ in range(60):
            middle = (low + high) / 2
            if _expected_distinct(middle, self.sampled) < self.distinct:
                low = middle
            else:
                high = middle
        return min(_expected_distinct(low, rows), float(rows))


def _expected_distinct(log_values: float, draws: int) -> float:
    values = math.exp(log_values)
    # expm1 and log1p stay exact where 1/K is far below the precision of 1
    return -values * math.expm1(draws * math.log1p(-1 / values)) if values > 1 else 1.0


@dataclass(frozen=True)
class DataSample:
    """Facts about the sampled rows."""

    rows: int
    text_columns: Mapping[str, TextSample]
    packed_bytes: Mapping[str, float]
    """Bytes per value of the other columns in a packed frame."""
    missing: Mapping[str, float]
    """Share of missing values per column that has any."""
    predictions_per_row: int
    """Values that a model predicts per row: the number of classes, if there are more than two."""
    staged_row_bytes: float
    """Bytes per row in an Arrow file of `stage_as_arrow`; 0 for Parquet, which is not staged."""


def sample_rows(
    contract: Contract,
    blocks: Sequence[Block],
    names: Sequence[str],
    target: Expression,
    data: Data,
) -> DataSample:
    """Sample the first rows of the block in the middle; bad rows are skipped."""
    if not blocks:
        return DataSample(0, {}, {}, {}, 1, 0.0)
    columns = [c for c in contract.select(names) if not c.partition]
    values = _read_sample(contract, blocks[len(blocks) // 2], columns)
    arrays = {}
    for column in columns:
        with suppress(pa.ArrowInvalid):  # the run reports the value when it reads the block
            arrays[column.name] = arrow_to_frame.to_storage_array(column, values[column.name])
    frame = pd.DataFrame(arrays, copy=False)
    columns = [c for c in columns if c.name in arrays]
    missing = {c.name: float(frame[c.name].isna().mean()) for c in columns if len(frame)}
    packed = cpu.pack_integers(frame).memory_usage(index=False)
    text_columns = {}
    for column in columns:
        if column.dtype == "text":
            codes, words = cpu.to_codes(frame[column.name])
            used = np.unique(codes[codes >= 0])
            mean_bytes = sum(len(str(words[i]).encode()) for i in used) / max(len(used), 1)
            present = int((codes >= 0).sum())
            text_columns[column.name] = TextSample(present, len(used), mean_bytes)
    staged_bytes = 0.0
    if contract.format == "csv":
        from pipeline.ingest.partitions import STAGING_OPTIONS

        # Only writing shows how far the compression of a staged file goes.
        table, sink = pa.Table.from_pandas(frame), pa.MockOutputStream()
        with pa.ipc.new_file(sink, table.schema, options=STAGING_OPTIONS) as writer:
            writer.write_table(table)
        staged_bytes = float(sink.size()) / max(len(frame), 1)
    return DataSample(
        rows=len(frame),
        text_columns=text_columns,
        packed_bytes={
            c.name: packed[c.name] / max(len(frame), 1) for c in columns if c.dtype != "text"
        },
        missing={name: share for name, share in missing.items() if share},
        predictions_per_row=_count_predictions(frame, target, data),
        staged_row_bytes=staged_bytes,
    )


def _read_sample(
    contract: Contract, block: Block, columns: list[SourceColumn]
) -> Mapping[str, pa.ChunkedArray]:
    file, options = contract.files[block.file], contract.storage_options
    if contract.format == "parquet":
        rows = min(ROWS, max(1, CELLS // max(len(columns), 1)))
        table = parquet.read_first_rows(file, block.groups[0], columns, options, rows)
        return {name: table[name] for name in table.column_names}
    dialect = contract.csv_dialect
    if block.stop is None or file.is_sequential:
        # the block is the whole file, perhaps a compressed one: its beginning is cheap to read
        start, _ = find_data_start(read_head(file, options, HEAD), dialect)
        data = read_head(file, options, start + BYTES)[start:]
    else:
        data = read_range(file, options, block.start, min(block.stop, block.start + BYTES))
        data = data[: data.rfind(b"\n") + 1]
    first = replace(block, rows=min(ROWS, data.count(b"\n") + 1), limited=True)
    return csv_block.parse_block(data, first, file.path, columns, dialect)[1]


def _count_predictions(frame: pd.DataFrame, target: Expression, data: Data) -> int:
    if not set(target.columns) <= set(frame.columns):  # the target is the key of a folder
        return 1
    try:
        summary = targets.summarise_target(target.evaluate(frame, cpu), cpu)
        inferred = targets.infer_target(summary, data).target
    except InputError:  # the run fails with this error, unless other rows have other values
        return 1
    return len(inferred.classes) if inferred.task == "multiclass" else 1
