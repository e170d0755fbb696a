"""The schema settled once: types, checks over files, new data against a run's contract."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.model import Csv, Source, Table
from pipeline.device import cpu
from pipeline.errors import ConfigError, DataError, SchemaError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv import types as values
from pipeline.ingest.csv.gpu_fields import parse_fields
from pipeline.ingest.csv.types import SourceColumn
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract, match_contract
from pipeline.ingest.tables import read_table


def csv(path, text, **more):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Source(path=str(path), **more)


def parquet(path, **columns):
    pq.write_table(pa.table(columns), path)
    return Source(path=str(path))


def types(source):
    return {c.name: (c.type, c.pattern) for c in infer_contract(source).columns}


def whole(contract):
    made = [read_block(b, contract, contract.schema.names, cpu)[0] for b in plan_blocks(contract)]
    return cpu.concat(made)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["1", "-2", "NA"], "integer"),
        (["1", "2.5", "1e3"], "float"),
        (["0", "1"], "integer"),
        (["true", "FALSE", ""], "bool"),
        (["007", "12"], "text"),
        (["0", "0.5"], "float"),
        (["9223372036854775808", "1"], "text"),
        (["NA", ""], "float"),
        (["2020-01-01"], "date"),
        (["2020-01-01", "2020-01-01 10:00"], "datetime"),
        (["2020-01-01T10:00Z", "2020-01-01T10:00:00.5+02:00"], "datetime"),
        (["1/31/2020", "2/1/2020"], "date"),
        (["31/1/2020 10:00", "2/1/2020 11:00"], "datetime"),
        (["1/2/2020", "2/1/2020"], "date"),
        (["1/31/2020 1:05 PM", "2/1/2020 12:00:01 am"], "datetime"),
        (["1/31/2020 1:05 PM", "2/1/2020 12:00 am"], "datetime"),
        (["10:30", "11:00"], "text"),
        (["1", "x"], "text"),
        (["1"] * 400 + ["x"], "integer"),
        (["x"] + ["1"] * 20, "text"),
        (["1"] * 20 + ["x"] * 19, "integer"),
    ],
)
def test_types_from_a_sample(tmp_path, values, found):
    lines = "".join(f"{v},k\n" for v in values)
    assert types(csv(tmp_path / "a.csv", "v,k\n" + lines))["v"][0] == found


@pytest.mark.parametrize(
    ("delimiter", "words", "read", "way"),
    [
        (";", ["1,5", "-2", "3.000,25"], [1.5, -2, 3000.25], "1.234,56"),
        (";", ["48,137", "9,000"], [48.137, 9.0], "1.234,56"),
        (";", ["1,234.5", "2"], [1234.5, 2], "1,234.56"),
        (",", ["1,234", "999", "-7"], [1234, 999, -7], "1,234.56"),
        (",", ["$1,234.50", "-$3", "$-4", "5"], [1234.5, -3, -4, 5], "$1,234.56"),
        (";", ["1.234,50 €", "0,99 €"], [1234.5, 0.99], "1.234,56 €"),
        (",", ["12.5%", "+3 %"], [12.5, 3], "1,234.56%"),
        (",", ["1 234.5", "7"], [1234.5, 7], "1 234.56"),
        (";", ["1\u202f234,5", "7"], [1234.5, 7], "1 234,56"),
        (",", ["1'234.5", "7e2"], [1234.5, 700], "1'234.56"),
        (";", ["1,5", "x"] + ["2,5"] * 200, None, "1.234,56"),
    ],
)
def test_numbers_as_people_write_them(tmp_path, delimiter, words, read, way):
    lines = [f'"{word}"{delimiter}k' for word in words]
    source = csv(tmp_path / "a.csv", "\n".join([f"v{delimiter}k", *lines, f"NA{delimiter}k"]))
    contract = infer_contract(source)
    assert contract.columns[0] == SourceColumn("v", "float", way)
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract
    if read is None:
        with pytest.raises(
            DataError, match=r"line 3, column 'v': 'x' is not a number \(1.234,56\)"
        ):
            whole(contract)
        return
    values = whole(contract)["v"].to_list()
    assert values[:-1] == read and np.isnan(values[-1])
    found = parse_fields(contract.columns[0], pd.Series(words), contract.csv_dialect, cpu)
    assert found is None, "a device's reader leaves them to the host's"


@pytest.mark.parametrize(
    ("delimiter", "words"),
    [
        (",", ["1,5", "2,5"]),  # a list, where commas separate fields
        (";", ["007", "1,5"]),
        (",", ["$1", "€2"]),
        (",", ["$1", "2%"]),
        (",", ["560 001", "110 001"]),
        (",", ["192.168.100.200", "10.0.0.1"]),
        (",", ["0,123", "1,234"]),
        (",", ["1,23,456", "2"]),
        (",", ["%", "$"]),
    ],
)
def test_what_only_looks_like_numbers_stays_text(tmp_path, delimiter, words):
    lines = "".join(f'"{word}"{delimiter}k\n' for word in words)
    assert types(csv(tmp_path / "a.csv", f"v{delimiter}k\n{lines}"))["v"] == ("text", None)


def test_types_said_in_the_config(tmp_path):
    source = csv(tmp_path / "a.csv", "id,n,d\n007,1,2/3/2020\n012,2,2020-01-01\n")
    source = source.model_copy(update={"types": {"id": "integer", "n": "text"}})
    frame = whole(infer_contract(source))
    assert frame["id"].to_list() == [7, 12]
    assert frame["n"].to_list() == ["1", "2"]
    with pytest.raises(
        ConfigError, match=r"types: there is no column 'idd'[\s\S]*did you mean 'id'"
    ):
        infer_contract(source.model_copy(update={"types": {"idd": "text"}}))
    dates = csv(tmp_path / "b.csv", "d,k\n1/2/2020,1\n", types={"d": "date"})
    assert infer_contract(dates).columns[0].pattern == "%m/%d/%Y"


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b\n1,5;2\n", ";"),
        ("a\tb\n1\t2\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ('a,b\n"x;y;z",2\n', ","),
        ("a\n1\n", ","),
    ],
)
def test_the_delimiter_is_found(tmp_path, text, delimiter):
    assert infer_contract(csv(tmp_path / "a.csv", text)).dialect.delimiter == delimiter


def test_headers(tmp_path):
    bom = csv(tmp_path / "a.csv", b"\xef\xbb\xbf\n,b ,c\r\n0,1,2\r\n3,4,5")
    frame = whole(infer_contract(bom))
    assert list(frame.columns) == ["b", "c"]
    assert frame["c"].to_list() == [2, 5]
    none = csv(tmp_path / "b.csv", "1,x\n2,y\n", csv=Csv(header=False))
    assert whole(infer_contract(none))["f0"].to_list() == [1, 2]
    given = none.model_copy(update={"csv": Csv(header=("n", "s"))})
    assert whole(infer_contract(given))["s"].to_list() == ["x", "y"]
    with pytest.raises(SchemaError, match="names 3 columns.*has 2"):
        infer_contract(none.model_copy(update={"csv": Csv(header=("n", "s", "t"))}))
    quoted = csv(tmp_path / "c.csv", '"a\nb",c\n1,2\n')
    contract = infer_contract(quoted)
    assert contract.schema.names == ["a\nb", "c"]
    assert plan_blocks(contract)[0].first_line == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"a,b\n", "has a header but no rows"),
        (b"a,b,a\n1,2,3\n", "columns 1 and 3 are both called 'a'"),
        (b"a" + b",a" * 8 + b"\n", r"columns 1 and 2 and 3 and 4 and 5 and 4 more are all called"),
        (
            b"a,b\nx,y,z\nu,v,w\n",
            r"no line has as many[\s\S]*others have 3\n[\s\S]*: 'a,b'[\s\S]*then: 'x,y,z'[\s\S]*skip",
        ),
        (b"PK\x03\x04zip", "a zip or Excel file"),
        (b"BZh91AY&SY\0", "compressed with bzip2"),
        (b"\xfd7zXZ\0", "compressed with xz"),
        (b"\x1f\x8b\x08", "compressed with gzip"),
        (b"PAR1....PAR1", "a Parquet file"),
        (b"a,b\r1,2\r", "carriage return alone"),
        (b"a,\0b\n", "NUL bytes"),
    ],
)
def test_files_that_are_no_csv(tmp_path, content, message):
    with pytest.raises(SchemaError, match=message):
        infer_contract(csv(tmp_path / "a.csv", content))


@pytest.mark.parametrize("wrong", [{"delimiter": ",,"}, {"quote": "«"}, {"delimiter": '"'}])
def test_characters_of_the_dialect(tmp_path, wrong):
    with pytest.raises(ConfigError, match=r"csv\."):
        infer_contract(csv(tmp_path / "a.csv", "a,b\n1,2\n", csv=Csv(**wrong)))


def test_files_that_differ(tmp_path):
    csv(tmp_path / "a.csv", "a,b\n1,2\n")
    csv(tmp_path / "b.csv", "a,c\n1,2\n")
    with pytest.raises(SchemaError, match=r"b.csv does not have[\s\S]*- b\n\s*\+ c"):
        infer_contract(Source(path=str(tmp_path)))
    csv(tmp_path / "b.csv", "b,a\n1,2\n")
    with pytest.raises(SchemaError, match="another order"):
        infer_contract(Source(path=str(tmp_path)))


def test_parquet_files_that_differ(tmp_path):
    parquet(tmp_path / "a.parquet", a=[1], b=["x"], c=pa.nulls(1))
    parquet(tmp_path / "b.parquet", b=["y"], a=pa.array([2], pa.int16()), c=[1.5])
    contract = infer_contract(Source(path=str(tmp_path)))
    assert contract.rows == 2
    assert whole(contract)["a"].to_list() == [1, 2]
    parquet(tmp_path / "b.parquet", b=["y"], a=[2.0], c=[1])
    with pytest.raises(SchemaError, match=r"~ a: integer → float"):
        infer_contract(Source(path=str(tmp_path)))
    assert whole(infer_contract(Source(path=str(tmp_path), types={"a": "float"})))[
        "a"
    ].to_list() == [1, 2]
    parquet(tmp_path / "b.parquet", b=["y"], c=[1], d=[1])
    with pytest.raises(SchemaError, match=r"- a integer\n\s*\+ d integer"):
        infer_contract(Source(path=str(tmp_path)))


def test_damaged_parquet(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(SchemaError, match="not a readable Parquet file"):
        infer_contract(Source(path=str(tmp_path / "a.parquet")))
    pq.write_table(
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]),
        tmp_path / "a.parquet",
    )
    with pytest.raises(SchemaError, match="two columns are called 'a'"):
        infer_contract(Source(path=str(tmp_path / "a.parquet")))


def test_parquet_types_that_cannot_be_said(tmp_path):
    source = parquet(tmp_path / "a.parquet", s=["1"], f=[1.5])
    with pytest.raises(SchemaError, match="column 's' is text, it must be integer"):
        infer_contract(source.model_copy(update={"types": {"s": "integer"}}))
    with pytest.raises(DataError, match="column 'f'.*1.5"):
        whole(infer_contract(source.model_copy(update={"types": {"f": "integer"}})))


def test_columns_that_cannot_be_read(tmp_path):
    source = parquet(tmp_path / "a.parquet", n=[1], l=[[1]], __label__=[1])
    contract = infer_contract(source)
    assert contract.schema.names == ["n", "__label__"]
    for name, message in (
        ("l", "Parquet type is list"),
        ("__label__", "reserved"),
        ("m", "no col"),
    ):
        with pytest.raises(SchemaError, match=message):
            contract.select([name])


def test_a_pandas_index_is_left_out(tmp_path):
    frame = pd.DataFrame({"n": [1, 2, 3]})
    frame[frame["n"] > 1].to_parquet(tmp_path / "a.parquet")
    assert infer_contract(Source(path=str(tmp_path / "a.parquet"))).schema.names == ["n"]


def test_the_contract_through_a_file(tmp_path):
    contract = infer_contract(csv(tmp_path / "a.csv", "n,d\n1,31.1.2020\n"))
    contract.write(tmp_path / "schema.json")
    assert Contract.read(tmp_path / "schema.json") == contract


# -- new data ---------------------------------------------------------------------------------

OLD = "n,f,s,t\n1,1.5,a,2020-01-01 10:00\n2,2.5,b,2020-01-02 10:00\n"


@pytest.fixture
def wanted(tmp_path):
    return infer_contract(csv(tmp_path / "old.csv", OLD))


def test_new_csv_is_read_with_the_old_types(tmp_path, wanted):
    new = csv(tmp_path / "new.csv", "extra;t;s;f\nx;2020-01-01;007;1\n")
    contract = match_contract(wanted, new, ["f", "s", "t"])
    assert contract.extra == ("extra",)
    frame = whole(contract)
    assert frame["s"].to_list() == ["007"]
    assert str(frame["f"].dtype) == "float64"
    header_only = match_contract(wanted, csv(tmp_path / "new.csv", "f,s\n"), ["f"])
    assert plan_blocks(header_only) == []


def test_new_data_that_lack_columns(tmp_path, wanted):
    new = csv(tmp_path / "new.csv", "n,G,s\n1,2,a\n")
    with pytest.raises(SchemaError, match=r"2 needed columns missing[\s\S]*- f \(float\)"):
        match_contract(wanted, new, ["n", "f", "t"])
    bad = match_contract(wanted, csv(tmp_path / "new.csv", "n\n1\nx\n"), ["n"])
    with pytest.raises(DataError, match="line 3, column 'n': 'x' is not an integer"):
        whole(bad)


def test_new_parquet(tmp_path, wanted):
    stamps = pa.array(np.array(["2020-01-01"], "datetime64[ns]"))
    new = parquet(
        tmp_path / "a.parquet",
        n=pa.array([1.0, None]).slice(0, 1),
        f=[3],
        s=["x"],
        t=stamps,
        u=[[1]],
    )
    frame = whole(match_contract(wanted, new, ["n", "f", "s", "t"]))
    assert [str(frame[n].dtype) for n in "nft"] == ["Int64", "float64", "datetime64[us]"]
    for wrong, message in (
        ({"f": [True]}, "column 'f' is bool, it must be float"),
        ({"n": pa.array([1], pa.date32())}, "column 'n' is date, it must be integer"),
        (
            {"t": pa.array([0], pa.timestamp("us", "UTC"))},
            "datetime with zone, it must be datetime",
        ),
    ):
        name = next(iter(wrong))
        with pytest.raises(SchemaError, match=message):
            match_contract(wanted, parquet(tmp_path / "a.parquet", **wrong), [name])


def test_csv_for_a_run_on_parquet(tmp_path):
    old = parquet(
        tmp_path / "a.parquet", n=[1.0], z=pa.array([0], pa.timestamp("us", "UTC")),
        d=pa.array([0], pa.date32()),
    )  # fmt: skip
    new = csv(tmp_path / "a.csv", "n,z,d\n1,2020-01-01T00:00+01:00,31.12.2020\n")
    frame = whole(match_contract(infer_contract(old), new, ["n", "z", "d"]))
    assert frame.iloc[0].to_list() == [
        1.0, pd.Timestamp("2019-12-31 23:00"), pd.Timestamp("2020-12-31"),
    ]  # fmt: skip
    naive = csv(tmp_path / "a.csv", "z\n2020-01-01T00:00\n")
    with pytest.raises(DataError, match="not a timestamp with a zone"):
        whole(match_contract(infer_contract(old), naive, ["z"]))


# -- side tables ------------------------------------------------------------------------------


def test_side_tables(tmp_path):
    csv(tmp_path / "w.csv", "temp,origin,hour,wind\n1.5,EWR,2020-01-01 10:00,3\n,JFK,,4\n")
    table = Table(path=str(tmp_path / "w.csv"), keys=("origin", "hour"))
    schema, frame, _ = read_table("weather", table, ["temp"])
    assert schema.names == ["origin", "hour", "temp"] == list(frame.columns)
    assert read_table("weather", table)[0].names == ["origin", "hour", "temp", "wind"]
    wrong = table.model_copy(update={"keys": ("orign",)})
    with pytest.raises(SchemaError, match=r"data.tables.weather.keys[\s\S]*did you mean 'origin'"):
        read_table("weather", wrong)
    other = table.model_copy(update={"keys": ("Origin", " HOUR")})
    schema, other_frame, notes = read_table("weather", other, ["Temp"])
    assert schema.names == ["Origin", " HOUR", "Temp"] == list(other_frame.columns)
    assert other_frame["Temp"].equals(frame["temp"].rename("Temp"))
    assert "weather.Temp: the file calls it 'temp'" in map(str, notes)
    integers = table.model_copy(update={"types": {"origin": "integer"}})
    with pytest.raises(DataError, match=r"data.tables.weather.types: \{origin: text\}"):
        read_table("weather", integers)


def test_new_data_may_be_a_file_or_folder_below_the_keys_of_the_run(tmp_path, monkeypatch):
    for month in ("01", "02"):
        folder = tmp_path / f"y=2024/m={month}"
        folder.mkdir(parents=True)
        csv(folder / "a.csv", "x\n1\n2\n")
    wanted = infer_contract(Source(path=str(tmp_path)))
    assert [c.name for c in wanted.columns if c.partition] == ["y", "m"]
    for place in ("y=2024", "y=2024/m=02", "y=2024/m=02/a.csv"):
        frame = whole(match_contract(wanted, Source(path=str(tmp_path / place)), ["x", "y", "m"]))
        assert frame["y"].to_list()[-2:] == [2024, 2024], place
        assert frame["m"].to_list()[-2:] == ["02", "02"], place
    monkeypatch.chdir(tmp_path / "y=2024/m=01")
    assert whole(match_contract(wanted, Source(path="a.csv"), ["m"]))["m"].to_list() == ["01", "01"]
    with pytest.raises(SchemaError, match=r"1 needed column[\s\S]*- m \(text\)"):
        match_contract(wanted, csv(tmp_path / "y=2024/b.csv", "x,y\n1,2024\n"), ["x", "m"])


def test_what_is_neither_csv_nor_parquet(tmp_path):
    for name, told in (
        ("a.csv.7z", "compress it with gzip"),
        ("a.json", "frame.to_json"),
        ("a.orc", "frame.to_parquet"),
    ):
        with pytest.raises(SchemaError, match=told):
            infer_contract(csv(tmp_path / name, "a,b\n1,2\n"))


@pytest.mark.parametrize(
    ("trained", "new", "read"),
    [
        ("x;k\n1,5;a\n2;a\n", "x,k\n1.5,a\n2,a\n", [1.5, 2]),
        ("x,k\n1.5,a\n2,a\n", "x;k\n1,5;a\n2;a\n", [1.5, 2]),
        ("x,k\n1.5,a\n2,a\n", "x,k\n$1.5,a\n2%,a\n", None),
        ("x;k\n1,5;a\n2;a\n", "x;k\n1.234;a\n2.345;a\n", [1234, 2345]),  # as in training
        ("x;k\n1,5;a\n2;a\n", "x;k\n;a\n", [np.nan]),
    ],
)
def test_numbers_of_new_data_may_be_written_in_another_way(tmp_path, trained, new, read):
    wanted = infer_contract(csv(tmp_path / "a.csv", trained))
    found = match_contract(wanted, csv(tmp_path / "b.csv", new), ["x"])
    if read is None:
        with pytest.raises(DataError, match="is not a number"):
            whole(found)
        return
    np.testing.assert_equal(whole(found)["x"].to_list(), read)


@pytest.mark.parametrize(
    ("cell", "kind", "parses"),
    [("{}.5", "float", 1), ("{}", "integer", 2), ("w{}", "text", 0)],
)
def test_a_column_of_many_is_parsed_as_seldom_as_can_be(tmp_path, monkeypatch, cell, kind, parses):
    lines = [",".join(f"c{i}" for i in range(40))]
    lines += [",".join([cell.format(row)] * 40) for row in range(70)]
    source = csv(tmp_path / "d.csv", "\n".join(lines) + "\n")
    calls, parse = [], values.parse_values

    def counted(*arguments):
        calls.append(arguments)
        return parse(*arguments)

    monkeypatch.setattr(values, "parse_values", counted)
    assert set(types(source).values()) == {(kind, None)}
    assert len(calls) == parses * 40
