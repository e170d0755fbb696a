"""Frames written by pandas, Polars and pyarrow are read to equal values, or a note says which not."""

import datetime
import math
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.model import Source
from pipeline.device import cpu
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract

FIRST, LAST = datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)
TRICKY = st.sampled_from(
    ["NA", "null", "nan", "None", "007", "1.50", "-", "?", "", " ", "  x", "true", "2026-01-31", "1e5",
     'say "hi"', "a,b", "a;b;c", "tab\there", "two\nlines", "two\r\nlines", "#1", "ünï – 漢字 🙂", "'", '"', "\\N", "=1+1"]
)  # fmt: skip
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=6) | TRICKY
DAYS = st.dates(FIRST.date(), LAST.date())
VALUES = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1) | st.integers(-5, 5),
    pa.float64(): st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.5, 1.0]),
    pa.bool_(): st.booleans(),
    pa.string(): TEXT,
    pa.date32(): DAYS,
    pa.timestamp("us"): st.datetimes(FIRST, LAST)
    | DAYS.map(lambda day: datetime.datetime(day.year, day.month, day.day)),
    pa.timestamp("ns"): st.datetimes(FIRST, LAST),
}


@st.composite
def tables(draw):
    """A table of two to five columns, with and without missing values."""
    rows = draw(st.integers(1, 12))
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=4))
    columns = {"k": pa.array(range(rows))}
    for number, kind in enumerate(kinds):
        cell = VALUES[kind] | st.none() if draw(st.booleans()) else VALUES[kind]
        cells = draw(st.lists(cell, min_size=rows, max_size=rows))
        if pa.types.is_string(kind):  # a column of words: that of numbers would be numbers
            cells[: (rows + 1) // 2] = [f"word {i}" for i in range((rows + 1) // 2)]
        columns[f"c{number}"] = pa.array(cells, kind)
    return pa.table(columns)


def to_pandas(table):
    """A frame as pandas' users have it: integers beside missing ones are floats."""
    return table.to_pandas()


WRITERS = {
    "pandas.csv": lambda table, path: to_pandas(table).to_csv(path, index=False),
    "pandas.parquet": lambda table, path: to_pandas(table).to_parquet(path),
    "polars.csv": lambda table, path: pl.from_arrow(table).write_csv(path),
    "polars.parquet": lambda table, path: pl.from_arrow(table).write_parquet(path),
    "pyarrow.csv": pa.csv.write_csv,
    "pyarrow.parquet": pq.write_table,
}


def read(contract):
    """The values of each column, None for missing."""
    names = contract.schema.names
    frames = [cpu.to_host(read_block(b, contract, names, cpu)[0]) for b in plan_blocks(contract)]
    frame = cpu.concat(frames).astype(object)
    return {name: frame[name].where(frame[name].notna(), None).to_list() for name in names}


def are_equal(value, found, *, is_csv):
    if isinstance(value, float) and math.isnan(value):
        value = None
    if isinstance(value, pd.Timestamp):  # of nanoseconds, which are cut off
        value = value.floor("us")
    if isinstance(value, datetime.date) and found is not None:
        return pd.Timestamp(value) == found
    if is_csv and isinstance(value, str) and not value:
        value = None  # empty text and none are the same in a CSV
    return value == found and (value is None) == (found is None)


@pytest.mark.parametrize("writer", WRITERS)
@settings(max_examples=60)
@given(table=tables())
def test_values_are_those_that_were_written(tmp_path_factory, writer, table):
    path = tmp_path_factory.mktemp("f") / f"d.{writer.rpartition('.')[2]}"
    WRITERS[writer](table, Path(path))
    contract = infer_contract(Source(path=str(path)))
    found = read(contract)
    for name in table.column_names:
        values = table[name].to_pylist()
        if writer.startswith("pandas") and pa.types.is_integer(table[name].type):
            values = [None if pd.isna(v) else int(v) for v in to_pandas(table)[name]]
        notes = [str(note) for note in contract.notes if note.column == name]
        for value, cell in zip(values, found[name], strict=True):
            if not are_equal(value, cell, is_csv=writer.endswith("csv")):
                word = f"`{value}`" if str(value).strip() else "blank cells"
                assert cell is None, (name, value, cell, contract.columns)
                assert any(word in note for note in notes), (name, value, notes)
