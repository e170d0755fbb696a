"""The text of Arrow values is what pandas writes to CSV."""

import csv
import datetime
import io

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.model import Csv
from pipeline.ingest.csv.dialect import infer_dialect
from pipeline.ingest.csv.types import ISO, SourceColumn
from pipeline.ingest.parquet_text import find_time_unit, parse_text, write_text

DIALECT = infer_dialect(b"x,k\n1,a\n", "a.csv", Csv())
TIMES = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1))
VALUES = {
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.uint64(): st.integers(0, 2**64 - 1),
    pa.float64(): st.floats(allow_infinity=False),
    pa.float32(): st.floats(width=32, allow_nan=False, allow_infinity=False),
    pa.float16(): st.floats(width=16, allow_nan=False, allow_infinity=False),
    pa.bool_(): st.booleans(),
    pa.decimal128(20, 2): st.decimals(-(10**9), 10**9, places=2),
    pa.date32(): st.dates(),
    pa.time64("us"): st.times(),
    pa.duration("us"): st.timedeltas(datetime.timedelta(-999), datetime.timedelta(999)),
    **{pa.timestamp(unit): TIMES for unit in ("s", "ms", "us", "ns")},
    pa.timestamp("us", "UTC"): TIMES,
}


@pytest.mark.parametrize("kind", VALUES, ids=str)
@given(data=st.data())
def test_text_is_that_of_pandas(kind, data):
    values = data.draw(st.lists(VALUES[kind], min_size=1, max_size=5))
    if pa.types.is_timestamp(kind) and data.draw(st.booleans()):
        values = [value.replace(microsecond=0, second=0) for value in values]
    if pa.types.is_timestamp(kind) and kind.unit in ("s", "ms"):
        values = [value.replace(microsecond=0) for value in values]
    array = pa.chunked_array([pa.array(values, kind, from_pandas=False)])
    written = array.to_pandas().to_csv(index=False, header=False)
    expected = [row[0] or None for row in csv.reader(io.StringIO(written))]
    is_plain_time = pa.types.is_timestamp(kind) and kind.tz is None
    unit = find_time_unit(array) if is_plain_time else None
    assert write_text(array, unit).to_pylist() == expected
    with_missing = pa.chunked_array([array.chunk(0), pa.nulls(1, kind)])
    assert write_text(with_missing, unit).to_pylist() == [*expected, None]


def test_each_distinct_cell_is_parsed_and_the_bad_ones_are_named_by_position():
    cells = pa.chunked_array([["2.0", None, "x"], ["", "NA", "x", "1"]])
    values, bad = parse_text(SourceColumn("n", "integer"), cells, DIALECT)
    assert values.to_pylist() == [2, None, None, None, None, None, 1]
    assert bad == {2: "x", 5: "x"}
    times = pa.chunked_array([["2020-01-01 10:00:00.123456", "0000-00-00"]])
    values, bad = parse_text(SourceColumn("t", "datetime", ISO), times, DIALECT)
    assert values.to_pylist() == [datetime.datetime(2020, 1, 1, 10, 0, 0, 123456), None]
    assert bad == {1: "0000-00-00"}
    for column in (SourceColumn("n", "integer"), SourceColumn("t", "datetime", ISO)):
        for nothing in (pa.chunked_array([], pa.string()), pa.chunked_array([[]], pa.string())):
            values, bad = parse_text(column, nothing, DIALECT)
            assert len(values) == 0
            assert not bad


def test_pandas_own_types_have_the_text_of_pandas():
    for values in (pd.period_range("2026-01", periods=2, freq="M"), pd.interval_range(0, 2)):
        array = pa.chunked_array([pa.array(values)])
        assert write_text(array).to_pylist() == [str(value) for value in values]
