"""Files without a header, and headers that are numbers."""

import pytest

from pipeline.config.model import Csv, Data, Source
from pipeline.errors import SchemaError
from pipeline.ingest.csv.header import looks_like_data
from pipeline.ingest.schema import infer_contract, match_contract

IRIS = "5.1,3.5,1.4,setosa\n4.9,3.0,1.4,setosa\n7.0,3.2,4.7,versicolor\n" * 5


def test_a_file_without_a_header_is_named_as_one(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(IRIS)
    with pytest.raises(SchemaError) as error:
        infer_contract(Data(path=str(path), target="species"))
    message = str(error.value)
    assert "has no header" in message
    assert "'5.1,3.5,1.4,setosa'" in message
    assert "set data.csv.header: false" in message and "the last one is f3" in message
    for csv in (Csv(header=False), Csv()):
        contract = infer_contract(Data(path=str(path), target="f3", csv=csv))
        assert contract.dialect.names == ("f0", "f1", "f2", "f3")
        assert not contract.dialect.header
    (note,) = contract.notes
    assert note.kind == "header" and note.change == "data.csv.header: true"
    asked = infer_contract(Source(path=str(path), csv=Csv(header=True)))
    assert asked.dialect.names[3] == "setosa"
    new = match_contract(contract, Source(path=str(path)), ["f0", "f1", "f2"])
    assert new.dialect.names == contract.dialect.names


def test_new_data_without_the_header_of_the_run(tmp_path):
    (tmp_path / "a.csv").write_text("a,b,c,d\n" + IRIS)
    (tmp_path / "b.csv").write_text(IRIS)
    trained = infer_contract(Source(path=str(tmp_path / "a.csv")))
    with pytest.raises(SchemaError, match="write the names that the run was trained with"):
        match_contract(trained, Source(path=str(tmp_path / "b.csv")), ["a"])


@pytest.mark.parametrize(
    ("first", "rows", "expected"),
    [
        ("5.1,3.5,setosa", "4.9,3.0,virginica", True),
        ("1,0,0,7", "3,4,5,6", True),  # a repeated name
        ("2020-01-31,5", "2020-02-01,6", True),
        ("39,State-gov,77516", "40,State-gov,8", True),
        ("?,2.5", "1,3", True),
        ("country,2019,2020", "Peru,1.5,2.5", False),
        ("0,1,2", "5.5,6.5,7.5", False),
        ("1100.5,1102.5", "0.1,0.2", False),  # wavelengths
        ("2020-01-01,2021-01-01", "5,6", False),
        ("age,income", "1,2", False),
        ("name,city", "Ann,Oslo", False),
        ("3,1,2", "7,8,9", False),  # nothing shows that these are not names
    ],
)
def test_lines_that_hold_data(first, rows, expected):
    assert looks_like_data(first.split(","), [rows.split(",")] * 5) is expected
