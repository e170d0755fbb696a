"""Feather and Arrow IPC give the same values as Parquet."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from formats_input import make_frame, read
from pyarrow import feather

from pipeline.errors import SchemaError


def make_table() -> pa.Table:
    """Types that one of Arrow and Parquet writes in another way."""
    table = pa.Table.from_pandas(make_frame())
    text = pa.chunked_array([pa.array(["x", "y"] * 10), pa.array(["y", None] * 10)])
    table = table.append_column("category", text.dictionary_encode())
    table = table.append_column("half", pa.array([1.5] * 40, pa.float16()))
    table = table.append_column("view", text.cast(pa.string_view()))
    table = table.append_column("utc", table["time"].cast(pa.timestamp("us", "UTC")))
    return table.append_column("date", table["day"].cast(pa.date32()))


@pytest.mark.parametrize("name", ["a.feather", "a.arrow", "a.arrows", "unusual"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_values_are_those_of_parquet(tmp_path, name, compression):
    table, path = make_table(), tmp_path / name
    options = pa.ipc.IpcWriteOptions(compression=compression)
    if name == "a.feather":
        feather.write_feather(table, str(path), compression or "uncompressed", chunksize=7)
    elif name == "a.arrows":
        with pa.ipc.new_stream(str(path), table.schema, options=options) as writer:
            writer.write_table(table, 7)
    else:
        # a file has one dictionary for all batches
        with pa.ipc.new_file(str(path), table.schema, options=options) as writer:
            writer.write_table(table.unify_dictionaries(), 7)
    pq.write_table(table, tmp_path / "a.parquet")
    found, contract = read(path)
    pd.testing.assert_frame_equal(found, read(tmp_path / "a.parquet")[0])
    assert [str(n) for n in contract.notes] == ["Arrow converted to Parquet for this run"]


def test_columns_that_are_not_read(tmp_path):
    table = pa.table({"a": [1], "l": [[1]], "t": pa.array([3], pa.duration("s")), "n": pa.nulls(1)})
    feather.write_feather(table, str(tmp_path / "a.feather"))
    _, contract = read(tmp_path / "a.feather")
    assert [c.name for c in contract.columns] == ["a", "n"]
    assert contract.unreadable["t"] == "its Arrow type is duration[s]"
    assert set(contract.unreadable) == {"l", "t"}


def test_damaged_files(tmp_path):
    feather.write_feather(make_table(), str(tmp_path / "a.feather"))
    whole = (tmp_path / "a.feather").read_bytes()
    for name, wrong in (("cut", whole[:-50]), ("text", b"a,b\n1,2\n"), ("empty", b"")):
        (tmp_path / f"{name}.arrow").write_bytes(wrong)
        with pytest.raises(SchemaError, match=f"{name}.arrow is not a readable Arrow file"):
            read(tmp_path / f"{name}.arrow")
    (tmp_path / "old.feather").write_bytes(b"FEA1" + whole)
    with pytest.raises(SchemaError, match="version 1"):
        read(tmp_path / "old.feather")
