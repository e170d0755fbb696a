"""The catalogue's Parquet: files that are none, types that no model takes, files that differ."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from bad_case import GOOD, Case, Content, bad_config, bad_data
from pyarrow import feather

N = 60
COLUMNS: dict[str, Any] = {
    "a": list(range(N)), "b": ["xyz"[i % 3] for i in range(N)], "y": [i % 2 for i in range(N)],
}  # fmt: skip


def parquet(*, store_schema: bool = True, **columns: Any) -> bytes:
    """The good table with these columns instead (None: without)."""
    made = {k: v for k, v in {**COLUMNS, **columns}.items() if v is not None}
    sink = io.BytesIO()
    pq.write_table(pa.table(made), sink, row_group_size=20, store_schema=store_schema)
    return sink.getvalue()


def bad_parquet(content: Content, *says: str, **changes: Any) -> Case:
    return bad_data(content, *says, name="d.parquet", **changes)


def two(second: Content, *says: str, **changes: Any) -> Case:
    """A folder of the good file and another one."""
    return Case(says, files={"f/1.parquet": parquet(), "f/2.parquet": second}, config={"data__path": "f", **changes})  # fmt: skip


def spoilt_page() -> bytes:
    """Compressed values of which some bytes are others."""
    values = np.random.default_rng(0).integers(0, 2**40, N)
    sink = io.BytesIO()
    table = pa.table({**COLUMNS, "a": values})
    pq.write_table(table, sink, compression="zstd", use_dictionary=False)
    data = bytearray(sink.getvalue())
    data[20:60] = bytes(40)
    return bytes(data)


def two_of_one_name() -> bytes:
    sink = io.BytesIO()
    columns = [pa.array(COLUMNS[n]) for n in ("a", "b", "y")]
    pq.write_table(pa.Table.from_arrays(columns, ["a", "a", "y"]), sink)
    return sink.getvalue()


def arrow(path: Path) -> None:
    feather.write_feather(pa.table(COLUMNS), str(path), compression="uncompressed")


LISTS = pa.array([[i] for i in range(N)])
NO_UTF8 = pa.Array.from_buffers(pa.string(), N, pa.array([b"\xff\xfe"] * N).buffers())
STRUCTS = pa.array([{"x": i} for i in range(N)])
BYTES = pa.array([b"\xff"] * N)


def used(name: str) -> dict[str, Any]:
    """Changes of the config so that the column is a feature."""
    return {"features": [{"fill": {"columns": [name], "with": 0}}, {"drop": ["b"]}]}


PARQUET: dict[str, Case] = {
    "no Parquet": bad_parquet("hello, y\n", r"d\.parquet is not a readable Parquet file", "magic"),
    "CSV, renamed": bad_parquet(GOOD, r"d\.parquet is not a readable Parquet file", "CSV|csv"),
    "empty": bad_parquet(b"", r"d\.parquet is not a readable Parquet file", "0 bytes|empty"),
    "the magic word alone": bad_parquet(b"PAR1", r"d\.parquet is not a readable Parquet file"),
    "its footer cut off": bad_parquet(parquet()[:-20], r"d\.parquet is not a readable Parquet file", "written to the end"),
    "its beginning alone": bad_parquet(parquet()[:300], r"d\.parquet is not a readable Parquet file", "written to the end"),
    "its beginning missing": bad_parquet(parquet()[300:], r"d\.parquet"),
    "a page with wrong bytes": bad_parquet(spoilt_page(), r"d\.parquet is not a readable Parquet file"),
    "a pointer of Git LFS": bad_parquet("version https://git-lfs.github.com/spec/v1\nsize 132\n", r"d\.parquet", "git lfs pull"),
    "an Arrow file, renamed": bad_parquet(arrow, r"d\.parquet is not a readable Parquet file"),
    "encrypted": bad_parquet(b"PARE" + b"\0" * 40 + b"\x10\0\0\0PARE", r"d\.parquet is not a readable Parquet file"),
    "no rows": bad_parquet(parquet(a=pa.array([], pa.int64()), b=pa.array([], pa.string()), y=pa.array([], pa.int64())), "no rows"),
    "no columns": bad_parquet(parquet(a=None, b=None, y=None), "no rows"),
    "two columns of one name": bad_parquet(two_of_one_name(), "two columns are called 'a'"),
    "a target of lists": bad_parquet(parquet(y=LISTS), "'y'", "list"),
    "a target of bytes": bad_parquet(parquet(y=BYTES), "'y'", "binary"),
    "a target without values": bad_parquet(parquet(y=pa.nulls(N)), "'y'", "missing in every row"),
    "a feature of lists": bad_parquet(parquet(a=LISTS), "'a'", "list", **used("a")),
    "a feature of structs": bad_parquet(parquet(a=STRUCTS), "'a'", "struct", **used("a")),
    "lists and structs alone": bad_parquet(parquet(a=LISTS, b=STRUCTS), "no column|no feature|left"),
    "a name with NUL": bad_parquet(parquet(**{"a\0b": COLUMNS["a"]}), r"d\.parquet: the column name 'a\\x00b' has a NUL", "rename"),
    "a name that is not UTF-8": bad_parquet(
        parquet(store_schema=False, ZZZ=COLUMNS["a"]).replace(b"ZZZ", b"a\xff\xfe"), r"d\.parquet: the column name b'a\\xff\\xfe' is not UTF-8", "rename",
    ),
    "seconds beyond the year 9999": bad_parquet(
        parquet(a=pa.array([2**60] * N).cast(pa.timestamp("ms"))), r"d\.parquet, column 'a'", "out of bounds|years 1 to 9999", "correct",
    ),
    "the year 0": bad_parquet(
        parquet(a=pa.array([-62_167_219_200_000_000] * N).cast(pa.timestamp("us"))), r"d\.parquet, column 'a'", "0000-01-01T00:00:00.000000 lies outside of the years 1 to 9999",
    ),
    "integers beyond int64": bad_parquet(parquet(a=pa.array([2**63 + i for i in range(N)], pa.uint64())), r"d\.parquet, column 'a'", "float"),
    "fractions read as integers": bad_parquet(parquet(a=[i + 0.5 for i in range(N)]), r"d\.parquet, column 'a'", "0.5|truncated", data__types={"a": "integer"}),
    "text read as a number": bad_parquet(parquet(), "'b' is text, it must be integer", "cast", data__types={"b": "integer"}),
    "text of bytes that are no UTF-8": bad_parquet(parquet(b=NO_UTF8), r"d\.parquet", "'b'", "UTF"),
    "another type in a second file": two(parquet(a=[str(i) for i in range(N)]), r"f/2\.parquet", "~ a: integer → text"),
    "a column less in a second file": two(parquet(b=None), r"f/2\.parquet", "- b"),
    "a column more in a second file": two(parquet(c=[0] * N), r"f/2\.parquet", r"\+ c"),
    "a zone in a second file": two(
        parquet(a=pd.date_range("2024", periods=N, tz="UTC")), r"f/2\.parquet", "~ a: integer → datetime with zone",
    ),
    "a damaged second file": two(parquet()[:-9], r"f/2\.parquet is not a readable Parquet file"),
    "folders of other keys": Case(
        (r"lies in folders", "same key=value folders"), files={"f/k=1/1.parquet": parquet(), "f/j=1/2.parquet": parquet()}, config={"data__path": "f"},
    ),
    "a folder's key that is a column": Case((r"'a' is a folder's key", "rename"), files={"f/a=1/1.parquet": parquet()}, config={"data__path": "f"}),
    "a folder's name that is not its type": Case(
        (r"the folder k=x is not an integer", "text"), files={"f/k=x/1.parquet": parquet()}, config={"data__path": "f", "data__types": {"k": "integer"}},
    ),
    "format: parquet for CSV": bad_config(r"d\.csv is not a readable Parquet file", data__format="parquet"),
    "format: csv for Parquet": bad_parquet(parquet(), r"d\.parquet is not a CSV", "Parquet", data__format="csv"),
    "JSON, renamed": bad_parquet(json.dumps({"a": 1}), r"d\.parquet is not a readable Parquet file"),
}  # fmt: skip
