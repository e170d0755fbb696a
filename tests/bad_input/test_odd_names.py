"""Column names of all kinds, in every place that names columns: read as they are, or refused."""

from __future__ import annotations

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.model import Csv, Source
from pipeline.device import cpu
from pipeline.errors import SchemaError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract

NUL = ("a\0b", "\0", "a\0", "\0a")
ODD = (
    "a\nb", "a\rb", "a\tb", "n" * 10_000, "\x1b[31m", "a\u202eb", "\U0001f600", "e\u0301", 'a"b',
    "a`b", "{a}", "[a]", "a<b", "$(x)", "a: b", "#a", "a.b", "../a", "a\u2028b", "re:a", "all",
)  # fmt: skip


def read(contract: Contract, name: str) -> pd.Series:
    (block,) = plan_blocks(contract, 1 << 20, None)
    return read_block(block, contract, [name], cpu)[0][name]


def parquet(path, name: str, **options) -> Source:
    pq.write_table(pa.table({"z": [1, 2, 3], name: [4, 5, 6]}), path, **options)
    return Source(path=str(path))


def csv(path, name: str) -> Source:
    quoted = '"' + name.replace('"', '""') + '"'
    path.write_bytes(f"z,{quoted}\n1,4\n2,5\n3,6\n".encode())
    return Source(path=str(path))


@pytest.mark.parametrize("name", [*ODD, ""])
def test_parquet_columns_keep_their_names(tmp_path, name):
    contract = infer_contract(parquet(tmp_path / "d.parquet", name))
    assert contract.schema.names == ["z", name]
    assert read(contract, name).to_list() == [4, 5, 6]


@pytest.mark.parametrize("name", ODD)
def test_csv_columns_keep_their_names(tmp_path, name):
    if name == "a\rb":
        pytest.skip("a carriage return ends a line of CSV")
    contract = infer_contract(csv(tmp_path / "d.csv", name))
    assert contract.schema.names == ["z", name]
    assert read(contract, name).to_list() == [4, 5, 6]


@pytest.mark.parametrize("name", NUL)
def test_a_name_with_nul_is_refused(tmp_path, name):
    with pytest.raises(SchemaError, match=r"d\.parquet: the column name '.*' has a NUL"):
        infer_contract(parquet(tmp_path / "d.parquet", name))
    with pytest.raises(SchemaError, match=r"d\.csv.* NUL"):
        infer_contract(csv(tmp_path / "d.csv", name))
    (tmp_path / "e.csv").write_text("1,4\n2,5\n")
    with pytest.raises(SchemaError, match=r"csv\.header: the column name '.*' has a NUL"):
        infer_contract(Source(path=str(tmp_path / "e.csv"), csv=Csv(header=("z", name))))


def test_a_nul_late_in_a_long_header_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="NUL"):
        infer_contract(csv(tmp_path / "d.csv", "n" * 10_000 + "\0"))


@pytest.mark.parametrize("raw", [b"\xff\xfe\xfd", b"a\xed\xa0\x80", b"\x80bcd"])
def test_a_parquet_name_that_is_not_utf8_is_refused(tmp_path, raw):
    sink = io.BytesIO()
    table = pa.table({"Z" * len(raw): [1, 2, 3], "y": [4, 5, 6]})
    pq.write_table(table, sink, store_schema=False)
    path = tmp_path / "d.parquet"
    path.write_bytes(sink.getvalue().replace(b"Z" * len(raw), raw))
    with pytest.raises(SchemaError, match=r"d\.parquet: the column name b'.*' is not UTF-8"):
        infer_contract(Source(path=str(path)))
