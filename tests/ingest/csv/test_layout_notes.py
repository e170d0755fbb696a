"""Columns without names, delimiters at the ends of rows, and files without rows."""

import fake_cudf
import pandas as pd
import pytest

from pipeline.config.model import Source
from pipeline.device import cpu
from pipeline.errors import SchemaError
from pipeline.ingest import reader_stats
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv import block as csv_block
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract, match_contract

FRAME = pd.DataFrame({"age": range(30), "city": ["Oslo", "Bern", "Lima"] * 10})


def csv(path, text, **source):
    path.write_text(text)
    return Source(path=str(path), **source)


def read(contract, device):
    frames = [
        read_block(b, contract, contract.schema.names, device)[0] for b in plan_blocks(contract, 90)
    ]
    return cpu.concat([device.to_host(frame) for frame in frames])


@pytest.mark.parametrize("device", ["cpu", "stand-in"])
@pytest.mark.parametrize(
    ("header", "end"), [("age,city\n", ","), ("age,city,\n", ","), ("age,city,\n", "")]
)
def test_delimiters_at_the_ends_of_rows(tmp_path, monkeypatch, device, header, end):
    device = cpu if device == "cpu" else fake_cudf.device()
    monkeypatch.setattr(csv_block, "parse_records", None)  # Arrow reads them, or the device
    rows = "".join(f"{r.age},{r.city}{end}\n" for r in FRAME.itertuples())
    contract = infer_contract(csv(tmp_path / "a.csv", header + rows))
    assert contract.schema.names == ["age", "city"]
    reader_stats.take_counts()
    frame = read(contract, device)
    assert list(frame["age"]) == list(FRAME["age"])
    assert list(frame["city"]) == list(FRAME["city"])
    assert not any(reason for _, reason in reader_stats.take_counts()), "no block was left"
    if end:
        (note,) = contract.notes
        assert note.column == "unnamed_3" and "neither a name nor values" in note.message


def test_several_files_with_delimiters_at_the_ends(tmp_path):
    csv(tmp_path / "a.csv", "age,city\n1,x,\n2,y,\n3,z,\n")
    csv(tmp_path / "b.csv", "age,city,\n4,x,\n")
    assert len(read(infer_contract(Source(path=str(tmp_path))), cpu)) == 4


@pytest.mark.parametrize("device", ["cpu", "stand-in"])
def test_an_index_is_left_out(tmp_path, device):
    device = cpu if device == "cpu" else fake_cudf.device()
    FRAME.to_csv(tmp_path / "a.csv")
    pd.read_csv(tmp_path / "a.csv").to_csv(tmp_path / "b.csv")  # the index of the index
    FRAME.rename(index=str).to_parquet(tmp_path / "c.parquet")
    pd.read_csv(tmp_path / "a.csv").to_parquet(tmp_path / "d.parquet")
    for name, columns in (
        ("a.csv", ["unnamed_1"]),
        ("b.csv", ["unnamed_1", "Unnamed: 0"]),
        ("c.parquet", ["__index_level_0__"]),
        ("d.parquet", ["Unnamed: 0"]),
    ):
        contract = infer_contract(Source(path=str(tmp_path / name)))
        assert contract.schema.names == ["age", "city"], name
        assert list(contract.unreadable) == columns, name
        assert [n.column for n in contract.notes] == columns, name
        assert list(read(contract, device)["age"]) == list(range(30))
        contract.write(tmp_path / "schema.json")
        assert Contract.read(tmp_path / "schema.json") == contract


def test_an_index_is_read_on_request(tmp_path):
    FRAME.to_csv(tmp_path / "a.csv")
    asked = infer_contract(Source(path=str(tmp_path / "a.csv"), types={"unnamed_1": "integer"}))
    assert asked.schema.names == ["unnamed_1", "age", "city"] and not asked.notes
    new = match_contract(asked, Source(path=str(tmp_path / "a.csv")), ["unnamed_1"])
    assert "unnamed_1" in new.schema.names, "a run that used the column still finds it"


def test_rows_with_labels_that_the_header_does_not_name(tmp_path):
    text = "age,city\n" + "".join(f"r{i},{i},Oslo\n" for i in range(9))  # as R writes them
    contract = infer_contract(csv(tmp_path / "a.csv", text))
    assert contract.schema.names == ["age", "city"]
    assert list(read(contract, cpu)["age"]) == list(range(9))
    assert contract.notes[0].column == "unnamed_1"


def test_other_columns_without_a_name_are_read(tmp_path):
    contract = infer_contract(csv(tmp_path / "a.csv", "a,,c,\n" + "1,2,3,4\n" * 5))
    assert contract.schema.names == ["a", "unnamed_2", "c", "unnamed_4"]


def test_a_header_without_rows(tmp_path):
    with pytest.raises(SchemaError, match=r"header but no rows\n.*'a,b'\n.*csv.header: false"):
        infer_contract(csv(tmp_path / "a.csv", "# x\na,b\n"))
