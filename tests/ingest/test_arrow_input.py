"""Arrow streams as a scorer's input."""

from __future__ import annotations

import datetime as dt
import decimal

import pandas as pd
import polars as pl
import pytest

from pipeline.errors import DataError, SchemaError
from pipeline.ingest.arrow_input import iter_pandas
from pipeline.ingest.pandas_input import from_pandas
from pipeline.schema import Column, Schema

SCHEMA = Schema([
    Column("f", "float64"), Column("i", "int64"), Column("b", "bool"), Column("t", "datetime"),
    Column("s", "text"), Column("m", "float64"),
])  # fmt: skip
FRAME = pl.DataFrame({
    "f": [1.5, None, 2.5], "i": [2**62 + 1, None, 3], "b": [True, None, False],
    "t": [dt.date(2024, 1, 1), None, dt.date(9999, 12, 31)], "s": ["a", None, "b"],
    "m": [decimal.Decimal("0.25"), None, decimal.Decimal(1)], "other": [[1], [2], [3]],
})  # fmt: skip


@pytest.mark.parametrize("rows", [None, 2, 1])
def test_types_and_missing_values(rows):
    blocks = [from_pandas(block, SCHEMA) for block in iter_pandas(FRAME, SCHEMA, rows)]
    assert len(blocks) == {None: 1, 2: 2, 1: 3}[rows]
    found = pd.concat([b.astype({"s": object}) for b in blocks], ignore_index=True)
    assert found["i"].tolist()[::2] == [2**62 + 1, 3]  # not by way of floats
    assert found["f"].tolist()[::2] == [1.5, 2.5] and found["m"].tolist()[::2] == [0.25, 1.0]
    assert found["b"].tolist()[::2] == [True, False] and found["s"].tolist()[::2] == ["a", "b"]
    assert [str(t)[:10] for t in found["t"]] == ["2024-01-01", "NaT", "9999-12-31"]
    assert found.isna().iloc[1].all() and list(found) == list(SCHEMA.names)


def test_an_error_names_the_row_of_the_whole_frame():
    bad = FRAME.with_columns(i=pl.Series([1.0, 2.0, 2.5]))
    with pytest.raises(DataError, match=r"column 'i', row 2: 2\.5 is not an integer"):
        for block in iter_pandas(bad, SCHEMA, 2):
            from_pandas(block, SCHEMA)


def test_missing_columns_are_named_with_the_ones_there_are():
    (block,) = iter_pandas(FRAME.rename({"f": "ff"}), SCHEMA, None)
    with pytest.raises(SchemaError, match="lacks 1 of 6") as caught:
        from_pandas(block, SCHEMA)
    assert "ff" in caught.value.fix


def test_no_rows_give_one_frame_with_the_columns():
    (block,) = iter_pandas(FRAME.head(0), SCHEMA, 2)
    assert len(from_pandas(block, SCHEMA)) == 0
