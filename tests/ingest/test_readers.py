"""Blocks read: types, ids, bad rows; CSV equals Parquet on every layout."""

import bz2
import gzip
import json
import lzma

import fake_cudf
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.model import Csv, Source
from pipeline.device import cpu
from pipeline.errors import DataError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.contract import Contract
from pipeline.ingest.csv.missing_words import DEFAULT_WORDS, is_blank
from pipeline.ingest.read_block import read_block
from pipeline.ingest.rejected import COLUMNS
from pipeline.ingest.schema import infer_contract

DEVICES = {"now": cpu}


@pytest.fixture(
    scope="module",
    autouse=True,
    params=["host", "device", pytest.param("gpu", marks=pytest.mark.gpu)],
)
def reader(request):
    """Every test runs with the host's reader, with a device's as cuDF's is said to be, and with it."""
    if request.param == "host":
        DEVICES["now"] = cpu
    elif request.param == "device":
        DEVICES["now"] = fake_cudf.device()
    else:
        from pipeline.device.gpu import frames

        DEVICES["now"] = frames
    yield request.param
    DEVICES["now"] = cpu


def read(source, names=None, block_bytes=32 << 20, rows=None, bad="error"):
    """(frame of all blocks, rejected rows, contract)."""
    contract = source if isinstance(source, Contract) else infer_contract(source)
    names = contract.schema.names if names is None else names
    blocks = plan_blocks(contract, block_bytes, rows)
    device = DEVICES["now"]
    made = [read_block(b, contract, names, device, bad) for b in blocks]
    rejected = [r for _, r in made if r is not None]
    frame = cpu.concat([device.to_host(f) for f, _ in made])
    return frame, pd.concat(rejected) if rejected else None, contract


def assert_same(a, b):
    """Equal frames; text by its values, whatever the dictionaries."""
    assert list(a.columns) == list(b.columns)
    assert a.index.to_list() == b.index.to_list()
    for name in a.columns:
        if a[name].dtype.name == "category":
            assert a[name].astype(object).where(a[name].notna(), None).to_list() == (
                b[name].astype(object).where(b[name].notna(), None).to_list()
            )
        else:
            pd.testing.assert_series_equal(a[name], b[name], check_index_type=False)


def write(path, text, newline="\n"):
    path.write_bytes(text.replace("\n", newline).encode())
    return Source(path=str(path))


def test_storage_dtypes_and_missing(tmp_path):
    text = "i,f,b,d,t,z,s\n1,1.5,True,2020-01-02,2020-01-02 03:04:05,2020-01-02T03:04:05+01:00,x\n"
    text += (
        "9007199254740993,NA,false,,NULL,2020-01-02 00:00:00Z,NA\n,nan,,2020-01-03,2020-01-02,,\n"
    )
    frame, _, contract = read(write(tmp_path / "a.csv", text))
    assert [c.dtype for c in contract.schema] == [
        "int64", "float64", "bool", "datetime", "datetime", "datetime", "text",
    ]  # fmt: skip
    assert [str(frame[n].dtype) for n in "ifbdtz"] == [
        "Int64", "float64", "boolean", "datetime64[us]", "datetime64[us]", "datetime64[us]",
    ]  # fmt: skip
    assert frame["i"].iloc[1] == 9007199254740993  # beyond 2^53
    assert frame["z"].iloc[0] == pd.Timestamp("2020-01-02 02:04:05")
    assert frame["s"].cat.categories.dtype == "str"
    assert frame.isna().sum().to_list() == [1, 2, 1, 1, 1, 1, 2]


columns = st.fixed_dictionaries(
    {
        "i": st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=12, max_size=12),
        "f": st.lists(st.none() | st.floats(allow_nan=False, width=32), min_size=12, max_size=12),
        "b": st.lists(st.none() | st.booleans(), min_size=12, max_size=12),
        "s": st.lists(
            st.none()
            | st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), min_size=1),
            min_size=12,
            max_size=12,
        ),
        "t": st.lists(
            st.none() | st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2200-01-01")),
            min_size=12,
            max_size=12,
        ),
    }
)
TYPES = {"i": "integer", "f": "float", "b": "bool", "s": "text", "t": "datetime"}


@settings(max_examples=25, deadline=None)
@given(data=columns, block=st.integers(1, 400), newlines=st.booleans(), end=st.sampled_from(["\n", "\r\n"]))  # fmt: skip
def test_csv_gives_what_parquet_gives(data, block, newlines, end, tmp_path_factory):
    folder = tmp_path_factory.mktemp("law")
    words = [None if v in DEFAULT_WORDS or is_blank(v) else v for v in data["s"]]
    words = [None if v is None else v + "\n" * newlines for v in words]
    frame = pd.DataFrame(
        {
            "i": pd.array(data["i"], "Int64"),
            "f": pd.array([np.nan if v is None else v for v in data["f"]], "float64"),
            "b": pd.array(data["b"], "boolean"),
            "s": pd.Series(words, dtype="object"),
            "t": pd.Series(data["t"], dtype="datetime64[us]"),
        }
    )
    frame.to_csv(folder / "a.csv", index=False, lineterminator=end)
    frame.astype({"s": pd.ArrowDtype(pa.string())}).to_parquet(
        folder / "a.parquet", row_group_size=5
    )
    csv = Csv(newlines_in_values=newlines, delimiter=",")
    a, _, contract = read(
        Source(path=str(folder / "a.csv"), csv=csv, types=TYPES), block_bytes=block
    )
    b, _, _ = read(Source(path=str(folder / "a.parquet")), block_bytes=block)
    if not newlines:
        assert_same(a, b)
    assert_same(a.reset_index(drop=True), b)
    assert_same(a, read(contract)[0])
    assert Contract.from_json(json.loads(json.dumps(contract.to_json()))) == contract


messy = st.lists(
    st.sampled_from(
        [
            "1,a",
            "2,b",
            '3,"c"',
            "",
            'x,"d"',
            "4",
            "5,e,f",
            '6,"open',
            '7",q',
            "8,é",
            "\r",
            '9,"a""b"',
        ]
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=25, deadline=None)
@given(lines=messy, block=st.integers(1, 60), end=st.sampled_from(["", "\n"]))
def test_every_layout_gives_the_same_rows_and_rejects(lines, block, end, tmp_path_factory):
    path = tmp_path_factory.mktemp("law") / "a.csv"
    path.write_bytes(("n,s\n0,z\n" + "\n".join(lines) + end).encode())
    csv = Csv(delimiter=",")
    source = Source(path=str(path), csv=csv, types={"n": "integer", "s": "text"})
    one, bad, contract = read(source, bad="quarantine")
    many, bads, _ = read(contract, block_bytes=block, bad="quarantine")
    assert_same(one, many)
    assert (bad is None) == (bads is None)
    if bad is not None:
        pd.testing.assert_frame_equal(bad.reset_index(drop=True), bads.reset_index(drop=True))
        assert set(bad["row"]).isdisjoint(one.index)
    kept = sum(bool(line.strip("\r")) for line in lines) + 1
    assert len(one) + (0 if bad is None else len(bad)) == kept  # nothing vanishes


def test_a_column_that_turns_to_text_in_the_last_block_of_the_last_file(tmp_path):
    for k in range(3):
        rows = [f"{k},{i}" for i in range(200)]
        if k == 2:
            rows[197:] = ["2,abc", "2,5", "2,def"]
        write(tmp_path / f"part{k}.csv", "k,n\n" + "\n".join(rows) + "\n")
    source = Source(path=str(tmp_path))
    with pytest.raises(DataError) as raised:
        read(source, block_bytes=300)
    last = tmp_path / "part2.csv"
    assert raised.value.message == f"{last}, line 199, column 'n': 'abc' is not an integer"
    assert raised.value.examples == (f"{last}, line 201, column 'n': 'def' is not an integer",)
    assert "data.types: {n: text}" in raised.value.fix
    assert "quarantine" in raised.value.fix
    frame, rejected, _ = read(source, block_bytes=300, bad="quarantine")
    assert len(frame) + len(rejected) == 600
    assert tuple(rejected.columns) == COLUMNS
    first = rejected.iloc[0]
    assert (first.file, first.line, first.row, first.column, first.value) == (
        str(last), 199, 597, "n", "abc",
    )  # fmt: skip
    assert first.text == "2,abc"
    assert set(range(600)) - set(frame.index) == {597, 599}
    texts = read(source.model_copy(update={"types": {"n": "text"}}))[0]
    assert texts["n"].iloc[597] == "abc"


def test_a_turn_beyond_the_sampled_part_is_named_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.ingest.csv.type_inference.HEAD", 2000)
    monkeypatch.setattr("pipeline.ingest.csv.type_inference.PIECE", 200)
    rows = [f"{i},x" for i in range(3000)]
    rows[1400] = "1400.5,x"
    with pytest.raises(DataError) as raised:
        read(write(tmp_path / "a.csv", "n,s\n" + "\n".join(rows)), block_bytes=999)
    assert "line 1402, column 'n': '1400.5' is not an integer" in raised.value.message
    assert "data.types: {n: float}" in raised.value.fix


@pytest.mark.parametrize(
    ("rows", "reason", "value"),
    [
        ("1,2,3", "3 fields instead of 2", None),
        ("1", "1 fields instead of 2", None),
        ('1,"x', "a quoted field does not end on its line", None),
        (b"1,\xff\xfe", "not UTF-8 text", "\\xff\\xfe"),  # beside letters of UTF-8 in the last row
        ("1.5,x", "not an integer", "1.5"),
        ("99999999999999999999,x", "not an integer", "99999999999999999999"),
        ("1,x\ry", "a carriage return stands outside of quotes", None),
    ],
)
def test_bad_rows_are_set_aside(tmp_path, rows, reason, value):
    bad = rows if isinstance(rows, bytes) else rows.encode()
    good = b"".join(b"%d,a\n" % i for i in range(100))
    (tmp_path / "a.csv").write_bytes(b"n,s\n" + good + bad + "\n7,ääää\n".encode())
    types = {"n": "integer"}
    source = Source(path=str(tmp_path / "a.csv"), csv=Csv(delimiter=","), types=types)
    frame, rejected, _ = read(source, bad="quarantine")
    assert len(frame) == 101
    assert frame.index[-1] == 101
    (row,) = rejected.to_dict("records")
    assert (row["line"], row["row"], row["reason"]) == (102, 100, reason)
    assert (row["value"] == value) if value else pd.isna(row["value"])
    with pytest.raises(DataError, match="line 102"):
        read(source)


def test_only_columns_that_are_read_are_judged(tmp_path):
    source = write(tmp_path / "a.csv", "n,s\n" + "1,a\n" * 50 + "x,a\n")
    frame, rejected, _ = read(source, ["s"])
    assert rejected is None
    assert len(frame) == 51


def test_no_columns_give_the_row_ids(tmp_path):
    frame, _, _ = read(write(tmp_path / "a.csv", "n,s\n1,a\n2,b\n"), [])
    assert list(frame.index) == [0, 1]
    assert frame.shape == (2, 0)


def test_blank_lines_leave_gaps_in_the_ids(tmp_path):
    source = write(tmp_path / "a.csv", "\nn,s\n1,a\n\n\n2,b\n", newline="\r\n")
    frame, _, _ = read(source)
    assert list(frame.index) == [0, 3]
    assert frame["n"].to_list() == [1, 2]


@pytest.mark.parametrize("rows", [1, 5, 12, 13, 1000])
@pytest.mark.parametrize("newlines", [False, True])
def test_the_first_rows_only(tmp_path, rows, newlines):
    for k in "ab":
        write(tmp_path / f"{k}.csv", "n,s\n" + "".join(f"{i},x\n" for i in range(10)))
    csv = Csv(newlines_in_values=newlines)
    frame, _, _ = read(Source(path=str(tmp_path), csv=csv), rows=rows, block_bytes=15)
    assert list(frame.index) == list(range(min(rows, 20)))
    assert frame["n"].to_list() == [*range(10), *range(10)][:rows]


@pytest.mark.parametrize("rows", [1, 7, 15, 100])
def test_the_first_rows_of_parquet(tmp_path, rows):
    pd.DataFrame({"n": range(20)}).to_parquet(tmp_path / "a.parquet", row_group_size=6)
    frame, _, _ = read(Source(path=str(tmp_path / "a.parquet")), rows=rows, block_bytes=1)
    assert frame["n"].to_list() == list(range(min(rows, 20)))


def test_quoted_newlines_where_declared_are_read_at_once(tmp_path, monkeypatch):
    source = write(tmp_path / "a.csv", 'n,s\n1,"a\nb"\n\n2,"c ""d""\n"\n3,e\n')
    source = source.model_copy(update={"csv": Csv(newlines_in_values=True)})
    monkeypatch.setattr("pipeline.ingest.csv.block.parse_records", None)
    frame, _, _ = read(source)
    assert list(frame.index) == [0, 3, 5]
    assert frame["s"].to_list() == ["a\nb", 'c "d"\n', "e"]


@pytest.mark.parametrize("sniffed", [None, 20, 23, 27])
def test_quoted_newlines_are_found_in_the_first_lines(tmp_path, monkeypatch, sniffed):
    if sniffed:
        monkeypatch.setattr("pipeline.ingest.csv.text.SNIFFED", sniffed)
    source = write(tmp_path / "a.csv", 'n,s\n1,"a\n""b"""\n\n2,c\n3,"d\ne"\n4,f\n')
    frame, _, contract = read(source)
    assert contract.dialect.newlines_in_values
    assert frame["s"].to_list() == ['a\n"b"', "c", "d\ne", "f"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('n,s\n1,"a\nb"\n2,c\n3\n', "line 2"),  # a record of another width
        ('n,s\n1,"a\n2,b"c\n3,d\n', "line 2"),  # two stray quotes
        ('n,s\n1,"a\n2,b\n3,c\n', "line 2"),  # one that is never closed
        ('n,s\n1,"a b"\n2,"c\n', "line 3"),
    ],
)
def test_stray_quotes_are_no_newlines_in_values(tmp_path, text, line):
    with pytest.raises(DataError, match=rf"{line}: a quoted[\s\S]*newlines_in_values: true"):
        read(write(tmp_path / "a.csv", text))


def test_quoted_newlines_where_not_declared_say_so(tmp_path):
    source = write(tmp_path / "a.csv", 'n,s\n1,"a\nb"\n2,c\n')
    source = source.model_copy(update={"csv": Csv(newlines_in_values=False)})
    with pytest.raises(DataError, match="newlines_in_values: true"):
        read(source)


def test_an_unclosed_quote_in_a_file_with_newlines_in_values(tmp_path):
    source = write(tmp_path / "a.csv", 'n,s\n1,a\n2,"b\n3,c\n')
    source = source.model_copy(update={"csv": Csv(newlines_in_values=True, delimiter=",")})
    frame, rejected, _ = read(source, bad="quarantine")
    assert frame["n"].to_list() == [1]
    assert rejected["text"].to_list() == ['2,"b\n3,c']


@pytest.mark.parametrize("ending", [".csv.gz", ".csv.zst", ".csv.bz2", ".csv.xz", ".csv"])
def test_compressed_files_give_the_same(tmp_path, ending):
    text = "n,s\n" + "".join(f"{i},v{i % 7}\n" for i in range(500))
    path = tmp_path / f"a{ending}"
    if ending.endswith("gz"):
        half = len(text) // 2
        path.write_bytes(gzip.compress(text[:half].encode()) + gzip.compress(text[half:].encode()))
    elif ending.endswith("zst"):
        path.write_bytes(pa.compress(text.encode(), "zstd", asbytes=True))
    elif ending.endswith(("bz2", "xz")):
        compress = bz2.compress if ending.endswith("bz2") else lzma.compress
        path.write_bytes(compress(text[:-99].encode()) + compress(text[-99:].encode()))
    else:
        path.write_text(text)
    frame, _, contract = read(Source(path=str(path)), block_bytes=100)
    assert frame["n"].to_list() == list(range(500))
    assert list(frame.index) == list(range(500))
    assert len(plan_blocks(contract, 100)) == (1 if contract.files[0].compression else 33)


@pytest.mark.parametrize(
    ("ending", "kind", "compress"),
    [("gz", "gzip", gzip.compress), ("bz2", "bz2", bz2.compress), ("xz", "xz", lzma.compress)],
)
def test_a_damaged_archive(tmp_path, ending, kind, compress):
    text = b"n,s\n" + b"1,a\n" * 10000
    whole = compress(text)
    path = tmp_path / f"a.csv.{ending}"
    for wrong in (whole[: len(whole) // 2], whole[:-3], text):
        path.write_bytes(wrong)
        with pytest.raises(DataError, match=f"damaged, or not {kind}"):
            read(Source(path=str(path)))


def test_a_file_that_changes_while_it_is_read(tmp_path):
    source = write(tmp_path / "a.csv", "n,s\n1,a\n2,b\n")
    contract = infer_contract(source)
    blocks = plan_blocks(contract)
    write(tmp_path / "a.csv", "n,s\n1,a\n2,b\n3,c\n")
    with pytest.raises(DataError, match="changed while"):
        read_block(blocks[0], contract, ["n"], DEVICES["now"])
    (tmp_path / "a.csv").unlink()
    with pytest.raises(DataError, match="vanished"):
        read_block(blocks[0], contract, ["n"], DEVICES["now"])


def test_own_words_for_missing_true_and_false(tmp_path):
    source = write(tmp_path / "a.csv", "b,n,s\nY,1,x\nN,-999,NA\n,2,-999\n")
    csv = Csv(missing={"only": ["-999"]}, true=["Y"], false=["N"])
    frame, _, _ = read(source.model_copy(update={"csv": csv}))
    assert frame["b"].to_list() == [True, False, pd.NA]
    assert frame["n"].to_list() == [1, pd.NA, 2]
    assert frame["s"].iloc[1] == "NA"
    assert pd.isna(frame["s"].iloc[2])


def test_patterned_dates(tmp_path):
    source = write(tmp_path / "a.csv", "d,e\n31.01.2020,1/31/2020 10:30\n,2/1/2020 00:00\n")
    frame, _, contract = read(source)
    assert [c.pattern for c in contract.columns] == ["%d.%m.%Y", "%m/%d/%Y %H:%M"]
    assert frame["d"].iloc[0] == pd.Timestamp("2020-01-31")
    assert frame["e"].iloc[0] == pd.Timestamp("2020-01-31 10:30")
    bad = write(tmp_path / "b.csv", "d\n" + "31.01.2020\n" * 20 + "32.01.2020\n")
    with pytest.raises(DataError, match=r"line 22, column 'd': '32.01.2020' is not a date"):
        read(bad)


def test_parquet_types(tmp_path):
    table = pa.table(
        {
            "u": pa.array([1, 2**40, None], pa.uint64()),
            "d": pa.array([1, None, 3], pa.decimal128(10, 2)),
            "day": pa.array([0, 1, None], pa.date32()),
            "ns": pa.array([0, 1_500, None], pa.timestamp("ns", "Europe/Berlin")),
            "cat": pa.array(["a", None, "b"]).dictionary_encode(),
            "large": pa.array(["a", "", None], pa.large_string()),
            "none": pa.nulls(3),
            "f32": pa.array([1.5, None, np.nan], pa.float32()),
            "list": pa.array([[1], [2], [3]]),
            "a.b": pa.array([1, 2, 3], pa.int8()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    frame, _, contract = read(Source(path=str(tmp_path / "a.parquet")))
    assert {c.name: c.dtype for c in contract.schema} == {
        "u": "int64", "d": "float64", "day": "datetime", "ns": "datetime", "cat": "text",
        "large": "text", "none": "float64", "f32": "float64", "a.b": "int64",
    }  # fmt: skip
    assert contract.unreadable == {"list": "its Parquet type is list<element: int64>"}
    assert frame["ns"].iloc[1] == pd.Timestamp("1970-01-01 00:00:00.000001")
    assert frame["f32"].isna().sum() == 2
    assert frame["large"].iloc[1] == ""


def test_unsigned_integers_beyond_int64(tmp_path):
    pq.write_table(pa.table({"u": pa.array([2**63], pa.uint64())}), tmp_path / "a.parquet")
    source = Source(path=str(tmp_path / "a.parquet"))
    with pytest.raises(DataError, match="column 'u'.*9223372036854775808"):
        read(source)
    texts, _, _ = read(source.model_copy(update={"types": {"u": "text"}}))
    assert texts["u"].to_list() == ["9223372036854775808"]
    floats, _, _ = read(source.model_copy(update={"types": {"u": "float"}}))
    assert floats["u"].to_list() == [2.0**63]


@pytest.mark.parametrize(("true", "false"), [("yes", "no"), ("on", "off"), ("1", "0")])
def test_words_of_bools_that_the_config_names(tmp_path, true, false):
    text = "a,b\n" + f"{true},1\n{false},2\n,3\n" * 20
    words = {"true": [true], "false": [false]}
    source = write(tmp_path / "d.csv", text).model_copy(update={"csv": Csv(**words)})
    frame, rejected, contract = read(source)
    assert rejected is None and contract.schema["a"].dtype == "bool"
    assert frame["a"].to_list()[:2] == [True, False] and frame["a"].isna().to_list()[2]
    late = source.model_copy(update={"path": (str(tmp_path / "e.csv"),)})
    write(tmp_path / "e.csv", text + "maybe,4\n")
    with pytest.raises(DataError, match=f"line 62, column 'a': 'maybe' is not one of {true}"):
        read(late)
