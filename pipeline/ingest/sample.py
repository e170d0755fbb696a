"""What a few rows of the data tell the memory plan: their words, classes and missing values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

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
"""Rows of the sample: they follow each other, as a block's do."""
CELLS = 8_000_000
"""Of wide Parquet fewer rows: with 10,000 columns 800."""
BYTES = 4 << 20
"""Of CSV at most so many bytes."""


@dataclass(frozen=True)
class TextSample:
    """The values of a text column in the sample."""

    sampled: int
    """Sampled values that are not missing."""
    distinct: int
    mean_bytes: float
    """Bytes of a distinct value on average (UTF-8)."""

    def estimate_distinct(self, rows: int) -> float:
        """How many distinct values so many rows are likely to have, if all are equally frequent.

        With K of them, m draws show K (1 - (1 - 1/K)^m): K is found from the sample by bisection.
        Skewed frequencies have more; their words are few beside the rows all the same.
        """
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


def _expected_distinct(log_k: float, draws: int) -> float:
    k = math.exp(log_k)
    return -k * math.expm1(draws * math.log1p(-1 / k)) if k > 1 else 1.0


@dataclass(frozen=True)
class DataSample:
    """What the sampled rows tell."""

    rows: int
    text_columns: Mapping[str, TextSample]
    """By text column."""
    packed_bytes: Mapping[str, float]
    """Bytes of a value of the other columns in held frames."""
    missing: Mapping[str, float]
    """Share of missing values by column, where there are any."""
    predictions_per_row: int
    """Values that a model predicts for a row: as many as there are classes beyond two."""
    staged_row_bytes: float
    """Bytes of a row in an Arrow file as `load.staged` writes it; 0 of Parquet, which is not."""


def sample_rows(
    contract: Contract,
    blocks: Sequence[Block],
    names: Sequence[str],
    target: Expression,
    data: Data,
) -> DataSample:
    """Looks at the first rows of the block in the middle.

    Bad rows are passed over: the run will judge them.
    """
    if not blocks:
        return DataSample(0, {}, {}, {}, 1, 0.0)
    columns = [c for c in contract.select(names) if not c.partition]
    arrays = _read_sample(contract, blocks[len(blocks) // 2], columns)
    made: dict[str, Any] = {}
    for column in columns:
        with suppress(pa.ArrowInvalid):  # the run will name the value
            made[column.name] = arrow_to_frame.to_storage_array(column, arrays[column.name])
    frame = pd.DataFrame(made, copy=False)
    columns = [c for c in columns if c.name in made]
    missing = {c.name: float(frame[c.name].isna().mean()) for c in columns if len(frame)}
    small = cpu.pack_integers(frame).memory_usage(index=False)
    return DataSample(
        rows=len(frame),
        text_columns={c.name: _sample_text(frame[c.name]) for c in columns if c.dtype == "text"},
        packed_bytes={
            c.name: small[c.name] / max(len(frame), 1) for c in columns if c.dtype != "text"
        },
        missing={name: share for name, share in missing.items() if share},
        predictions_per_row=_count_predictions(frame, target, data),
        staged_row_bytes=_measure_staged_row(frame) if contract.format == "csv" else 0.0,
    )


def _read_sample(
    contract: Contract, block: Block, columns: list[SourceColumn]
) -> Mapping[str, Any]:
    file, options = contract.files[block.file], contract.storage_options
    if contract.format == "parquet":
        rows = min(ROWS, max(1, CELLS // max(len(columns), 1)))
        table = parquet.read_first_rows(file, block.groups[0], columns, options, rows)
        return {name: table[name] for name in table.column_names}
    dialect = contract.csv_dialect
    if block.stop is None or file.compression is not None:
        start, _ = find_data_start(read_head(file, options, HEAD), dialect)
        data = read_head(file, options, start + BYTES)[start:]
    else:
        data = read_range(file, options, block.start, min(block.stop, block.start + BYTES))
        data = data[: data.rfind(b"\n") + 1]
    cut = replace(block, rows=min(ROWS, data.count(b"\n") + 1), limited=True)
    return csv_block.parse_block(data, cut, file.path, columns, dialect)[1]


def _sample_text(column: pd.Series) -> TextSample:
    codes, words = cpu.to_codes(column)
    seen = np.unique(codes[codes >= 0])
    letters = sum(len(str(words[i]).encode()) for i in seen) / max(len(seen), 1)
    return TextSample(int((codes >= 0).sum()), len(seen), letters)


def _count_predictions(frame: pd.DataFrame, target: Expression, data: Data) -> int:
    if not set(target.columns) <= set(frame.columns):  # the target is a folder's name
        return 1
    try:
        found = targets.infer_target(
            targets.summarise_target(target.evaluate(frame, cpu), cpu), data
        ).target
    except InputError:  # the run will say so, if all rows are like these
        return 1
    return len(found.classes) if found.task == "multiclass" else 1


def _measure_staged_row(frame: pd.DataFrame) -> float:
    from pipeline.ingest.partitions import STAGING_OPTIONS

    table = pa.Table.from_pandas(frame)
    sink = pa.MockOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=STAGING_OPTIONS) as writer:
        writer.write_table(table)
    return float(sink.size()) / max(len(frame), 1)
