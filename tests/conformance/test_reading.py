"""Blocks read by a device's own readers: what is done to their columns is what cuDF has."""

import importlib
import sys
from types import ModuleType

import fake_cudf
import pandas as pd
import pyarrow.dataset as ds
import pytest
from conformance import Findings, wrap
from conforming import ConformingDevice
from pyarrow import parquet

from pipeline.config.model import Csv, Source
from pipeline.device import cpu
from pipeline.device import gpu as package
from pipeline.ingest import gpu_read_block
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract
from tests.ingest.test_device_blocks import ODD, PLAIN, pq, table
from tests.ingest.test_readers import assert_same


class Wrapped(fake_cudf.Reading):
    """Its frames are cuDF's, as far as the stand-in goes."""

    def __init__(self, findings):
        super().__init__()
        self.findings = findings

    def csv_fields(self, *args):
        return wrap(super().csv_fields(*args), self.findings)

    def row_groups(self, *args):
        return wrap(super().row_groups(*args), self.findings)


def read(source):
    """(frame read behind the stand-ins, the host's, findings)."""
    found, contract = Findings(), infer_contract(source)
    block, names = plan_blocks(contract)[0], contract.schema.names
    device = ConformingDevice(found)
    made = gpu_read_block.read_on_gpu(block, contract, names, device, Wrapped(found))
    expected, _ = read_block(block, contract, names, cpu)
    return device.to_host(made), expected, found


def csv(path, kind, words):
    path.write_text("\n".join(["v,s", *(f"{w},x" for w in words)]))
    return Source(path=str(path), csv=Csv(delimiter=","), types={"v": kind, "s": "text"})


@pytest.mark.parametrize("name", PLAIN)
def test_fields_of_csv(tmp_path, name):
    made, expected, found = read(csv(tmp_path / "a.csv", *PLAIN[name]))
    assert_same(made, expected)
    assert found.errors == []


def test_fields_that_are_left_to_the_host(tmp_path):
    for name in ("a fraction among integers", "a field too many", "an integer beyond int64"):
        odd, why = ODD[name]
        (tmp_path / "a.csv").write_text("v,s\n" + "1,x\n" * 40 + odd + "\n")
        source = Source(
            path=str(tmp_path / "a.csv"), csv=Csv(delimiter=","), types={"v": "integer"}
        )
        with pytest.raises(gpu_read_block.NeedsCpuReader, match=why):
            read(source)


def test_columns_of_parquet(tmp_path):
    pq.write_table(table(), tmp_path / "a.parquet")
    made, expected, found = read(Source(path=str(tmp_path / "a.parquet")))
    assert_same(made, expected)
    assert found.errors == []


def read_parquet(path, *, columns, row_groups, use_pandas_metadata, dataset_kwargs=None):
    """`cudf.read_parquet` of one file on pandas, as far as folders go (26.10.2, `io/parquet.py`)."""
    assert use_pandas_metadata is False
    found = parquet.ParquetFile(path).read_row_groups(row_groups, columns=columns).to_pandas()
    if dataset_kwargs is not None and dataset_kwargs.get("partitioning") is None:
        return found
    (fragment,) = ds.dataset(path, partitioning="hive").get_fragments()
    return found.assign(**ds.get_partition_keys(fragment.partition_expression))


def test_folders_make_no_columns_of_parquet(tmp_path, monkeypatch):
    cudf = ModuleType("cudf")
    cudf.read_parquet = read_parquet
    monkeypatch.setitem(sys.modules, "cudf", cudf)
    for name in ("reading", "transfer_bytes"):
        monkeypatch.delitem(sys.modules, f"pipeline.device.gpu.{name}", raising=False)
        monkeypatch.delattr(package, name, raising=False)
    path = tmp_path / "year=2020" / "a.parquet"
    path.parent.mkdir()
    pd.DataFrame({"year": [1, 2], "v": [3, 4]}).to_parquet(path, row_group_size=1)
    try:
        reading = importlib.import_module("pipeline.device.gpu.reading")
        made = reading.row_groups(str(path), [1], ["year", "v"], 9)
    finally:
        for name in ("reading", "transfer_bytes"):
            sys.modules.pop(f"pipeline.device.gpu.{name}", None)
            vars(package).pop(name, None)
    assert made.to_dict("list") == {"year": [2], "v": [4]}
