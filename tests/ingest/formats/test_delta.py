"""Delta tables, written by deltalake, are read as their current version."""

from __future__ import annotations

import json
import sys

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from formats_input import make_frame, read

from pipeline.config.model import Source
from pipeline.errors import InputError, MachineError, SchemaError
from pipeline.ingest.formats.convert import find_source_files
from pipeline.ingest.schema import infer_contract, match_contract


def write(path, frame, **options):
    """Write or change a table; its path as text."""
    write_deltalake(str(path), pa.Table.from_pandas(frame, preserve_index=False), **options)
    return str(path)


def by_row(frame):
    """The rows in the order of `i`."""
    return frame.sort_values("i").reset_index(drop=True)


def add_to_log(path, **change):
    """Append a version with one changed action to the log; the path."""
    log = path / "_delta_log"
    version = len(list(log.glob("*.json")))
    (log / f"{version:020}.json").write_text(json.dumps(change) + "\n")
    return path


def test_values_are_those_of_parquet(tmp_path):
    frame = make_frame()
    frame.to_parquet(tmp_path / "a.parquet")
    found, contract = read(write(tmp_path / "t", frame))
    pd.testing.assert_frame_equal(found, read(tmp_path / "a.parquet")[0])
    (note,) = contract.notes
    assert note.kind == "format"
    assert "Delta table of version 0" in note.message


def test_partition_columns_have_the_types_of_the_log(tmp_path):
    frame = make_frame()
    frame["day"] = frame["day"].dt.date.where(frame["day"].notna(), None)
    frame["word"] = [None if i % 3 else f"0{i % 2}/ü ={i % 2}" for i in range(40)]
    keys = ["word", "b", "day"]
    found, contract = read(write(tmp_path / "t", frame, partition_by=keys))
    expected, _ = read(write(tmp_path / "u", frame))
    kinds = {c.name: c.type for c in contract.columns}
    assert [kinds[key] for key in keys] == ["text", "bool", "date"]
    found, expected = by_row(found)[frame.columns], by_row(expected)
    for name in frame.columns:
        assert found[name].isna().equals(expected[name].isna()), name
        assert found[name].dropna().tolist() == expected[name].dropna().tolist(), name


def test_old_files_are_not_read(tmp_path):
    path = write(tmp_path / "t", make_frame(10))
    write(tmp_path / "t", make_frame(7), mode="overwrite")
    write(tmp_path / "t", make_frame(5).assign(i=range(100, 105)), mode="append")
    DeltaTable(path).delete("i = 101")
    found, contract = read(path)
    assert sorted(found["i"]) == [*range(-3, 4), 100, 102, 103, 104]
    assert "version 3" in contract.notes[0].message
    assert find_source_files(Source(path=path)) == contract.files
    DeltaTable(path).create_checkpoint()
    assert len(read(path)[0]) == 11


def test_columns_that_old_files_lack_are_missing(tmp_path):
    path = write(tmp_path / "t", make_frame(6))
    more = make_frame(6).assign(i=range(100, 106), z=1.5, w="x", d=pd.Timestamp("2024-01-01"))
    write(tmp_path / "t", more, mode="append", schema_mode="merge")
    found, contract = read(path)
    found = by_row(found)
    for name, value in (("z", 1.5), ("w", "x"), ("d", pd.Timestamp("2024-01-01"))):
        assert found[name].isna().tolist() == [True] * 6 + [False] * 6
        assert found[name].tolist()[-1] == value
    assert len(match_contract(contract, Source(path=path), ["z", "w"]).files) == 2
    only, _ = read(path, types={"i": "float"})
    assert only["i"].dtype == "float64"


def test_tables_whose_files_say_too_little(tmp_path):
    features = ["deletionVectors", "columnMapping", "timestampNtz"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, "readerFeatures": features,
                "writerFeatures": features}  # fmt: skip
    path = tmp_path / "t"
    write(path, make_frame(5))
    assert len(read(add_to_log(path, protocol=protocol))[0]) == 5  # allowed, but not used
    log = (path / "_delta_log" / f"{0:020}.json").read_text().splitlines()
    add = next(json.loads(line)["add"] for line in log if '"add"' in line)
    vector = {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4,
              "sizeInBytes": 40, "cardinality": 2}  # fmt: skip
    with pytest.raises(SchemaError, match=r"deletion vectors[\s\S]*PURGE"):
        read(add_to_log(path, add={**add, "deletionVector": vector}))
    write(tmp_path / "m", make_frame(5))
    log = (tmp_path / "m" / "_delta_log" / f"{0:020}.json").read_text().splitlines()
    data = next(json.loads(line)["metaData"] for line in log if '"metaData"' in line)
    data["configuration"] = {
        "delta.columnMapping.mode": "name",
        "delta.columnMapping.maxColumnId": "9",
    }
    fields = json.loads(data["schemaString"])
    for number, field in enumerate(fields["fields"], 1):
        field["metadata"] = {"delta.columnMapping.id": number,
                             "delta.columnMapping.physicalName": f"c{number}"}  # fmt: skip
    data["schemaString"] = json.dumps(fields)
    add_to_log(tmp_path / "m", protocol=protocol)
    with pytest.raises(SchemaError, match=r"columnMapping"):
        read(add_to_log(tmp_path / "m", metaData=data))


def test_damaged_and_missing_tables(tmp_path, monkeypatch):
    path = write(tmp_path / "t", make_frame(5))
    make_frame(5).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(InputError, match="t is a Delta table, whose files are named by its log"):
        read(tmp_path)
    with pytest.raises(SchemaError, match="is not a Delta table"):
        infer_contract(Source(path=[path, str(tmp_path / "a.parquet")]))
    with pytest.raises(SchemaError, match="is not a Delta table"):
        read(tmp_path / "a.parquet", format="delta")
    (tmp_path / "t" / "_delta_log" / f"{0:020}.json").write_text("{}")
    with pytest.raises(SchemaError, match="not a readable Delta table"):
        read(path)
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(MachineError, match=r'pip install "pipeline\[delta\]"'):
        read(path)
