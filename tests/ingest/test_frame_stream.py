"""Frames of several libraries as streams: names, types, and refusals with a fix."""

from __future__ import annotations

import datetime as dt
import decimal
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from pipeline.errors import DataError, SchemaError
from pipeline.ingest.frame_stream import name_as_text, open_stream


class Minimal:
    """A frame of which nothing is known but the interface."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


class LikeCudf:
    """A frame with the methods of cuDF that are used, and without the interface."""

    def __init__(self, frame):
        self._frame = frame
        self.iloc, self.columns, self.index = frame.iloc, frame.columns, frame.index

    def to_arrow(self):
        return pa.Table.from_pandas(self._frame)

    def to_pandas(self):
        return self._frame


def read(frame, needed=None):
    stream = open_stream(frame, needed)
    return pa.Table.from_batches(stream.batches, stream.schema)


def test_every_library_gives_the_same_table():
    frame = pd.DataFrame({
        "text": pd.array(["a", None, "ü"], dtype="str"),
        "category": pd.Categorical(["x", "y", None]),
        "whole": pd.array([1, None, 3], dtype="Int64"),
        "real": [0.5, np.nan, 1.5],
        "flag": pd.Series([True, None, False], dtype=object),
        "time": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
    })  # fmt: skip
    frame["arrow"] = frame["text"].astype(pd.ArrowDtype(pa.string()))
    expected = read(frame)
    assert [str(t) for t in expected.schema.types] == [
        "large_string", "large_string", "int64", "double", "bool", "timestamp[us]", "large_string",
    ]  # fmt: skip
    table = pa.Table.from_pandas(frame)
    for other in (table, Minimal(table), pl.from_pandas(frame), LikeCudf(frame)):
        assert read(other).equals(expected), type(other)


@pytest.mark.gpu
def test_a_frame_of_cudf_gives_the_table_of_pandas():
    import cudf

    frame = pd.DataFrame({
        "text": pd.array(["a", None, "ü"], dtype="str"), "real": [0.5, np.nan, 1.5],
        "category": pd.Categorical(["x", "y", None]),
        "time": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
    })  # fmt: skip
    assert read(cudf.DataFrame.from_pandas(frame)).equals(read(frame))


def test_types_of_polars():
    frame = pl.DataFrame({
        "enum": pl.Series(["a", None], dtype=pl.Enum(["b", "a"])),
        "category": pl.Series(["c", None], dtype=pl.Categorical),
        "decimal": [decimal.Decimal("1.50"), None],
        "day": [dt.date(2024, 1, 1), None],
        "nothing": [None, None],
        "list": [["a"], ["b"]],
        "struct": [{"a": 1}, {"a": 2}],
        "clock": [dt.time(1), None],
        "bytes": [b"a", b"b"],
    })  # fmt: skip
    found = read(frame)
    assert found["enum"].to_pylist() == ["a", None] and found["category"].to_pylist() == ["c", None]
    assert found["decimal"].to_pylist() == [decimal.Decimal("1.5"), None]
    assert found["day"].to_pylist() == [dt.date(2024, 1, 1), None]
    # not read, so their values are not kept either
    for name in ("nothing", "list", "struct", "clock", "bytes"):
        assert found[name].to_pylist() == [None, None]
    assert pa.types.is_large_list(found.schema.field("list").type)


def test_an_index_is_a_column_if_it_has_a_name():
    days = pd.date_range("2024", periods=2, name="date")
    assert read(pd.DataFrame({"x": [1, 2]}, index=days)).column_names == ["x", "date"]
    for index in (pd.RangeIndex(5, 7, name="n"), pd.Index([3, 1])):
        assert read(pd.DataFrame({"x": [1, 2]}, index=index)).column_names == ["x"]
    levels = pd.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["a", None])
    assert read(pd.DataFrame({"x": [1, 2]}, index=levels)).column_names == ["x", "a"]


def test_names_that_are_not_text_become_text(recwarn):
    frame = pd.DataFrame([[1, 2, 3]], columns=[0, ("a", 1), "y"])
    stream = open_stream(frame)
    assert stream.schema.names == ["0", "('a', '1')", "y"]
    assert read(frame).column_names == [name_as_text(name) for name in frame]
    assert stream.renamed == ("0", "('a', '1')")
    assert not recwarn.list
    assert open_stream(pl.DataFrame({"y": [1]})).renamed == ()


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pd.DataFrame([[1, 2]], columns=[1, "1"]).rename(columns={1: "a", "1": "a"}),
        pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]),
    ],
)
def test_two_columns_of_one_name_are_refused(frame):
    with pytest.raises(SchemaError, match="two columns of the frame are called 'a'"):
        open_stream(frame)


@pytest.mark.parametrize(
    ("frame", "message", "fix"),
    [
        ([1, 2], "this is a list", "pd.DataFrame"),
        ({"x": [1]}, "this is a dict", "pd.DataFrame"),
        (pl.LazyFrame({"x": [1]}), "this is a LazyFrame", r"frame\.collect\(\)"),
        (pd.Series([1]), "this is a Series", r"to_frame\(\)"),
        (pl.Series([1]), "this is a Series", r"to_frame\(\)"),
        (pd.DataFrame(index=[1, 2]), "no columns", "target"),
        (pd.DataFrame({"d": pd.to_timedelta([1])}), r"'d' .* a duration", "total_seconds"),
        (pl.DataFrame({"d": [dt.timedelta(1)]}), r"'d' .* a duration", "total_seconds"),
        (pd.DataFrame({"p": pd.period_range("2024", periods=1, freq="M")}), "period", "convert"),
        (pl.DataFrame({"i": [1]}).cast(pl.Int128), "to Arrow", "convert or drop"),
        (pd.DataFrame({"s": pd.arrays.SparseArray([1])}), "column s", "convert or drop"),
    ],
)
def test_what_is_no_frame_or_cannot_be_kept_is_refused(frame, message, fix):
    with pytest.raises(SchemaError, match=message) as caught:
        open_stream(frame)
    assert re.search(fix, caught.value.fix)


def test_a_column_without_a_common_type_is_refused_by_row():
    frame = pd.DataFrame({"x": [1.5, 2.5, 3.5], 7: [None, 1, "b"]}, index=["k", "l", "m"])
    with pytest.raises(DataError, match=r"column '7', row 'm': 'b' is text, and 1 is an integer"):
        open_stream(frame)
    with pytest.raises(DataError, match=r"column 'u' cannot be converted to Arrow: .*object"):
        open_stream(pd.DataFrame({"u": [object()]}))


def test_only_needed_columns_are_converted_and_all_of_them_must_be_readable():
    frame = pl.DataFrame({"x": [1], "d": [dt.timedelta(1)], "l": [[1]]})
    assert read(frame, ["x"]).to_pylist() == [{"x": 1, "d": None, "l": None}]
    with pytest.raises(SchemaError, match="column 'l' of the frame is of type"):
        open_stream(frame, ["x", "l"])


def test_a_stream_that_fails_is_an_error_of_the_data():
    def batches():
        yield pa.record_batch({"x": [1]})
        raise ValueError("the connection was lost")

    reader = pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), batches())
    with pytest.raises(DataError, match="rows cannot be read: .*connection was lost"):
        read(reader)
