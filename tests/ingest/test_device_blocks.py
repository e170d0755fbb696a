"""The device's own readers: what they are trusted with, what they are not, and that it shows."""

import fake_cudf
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.model import Csv, Source
from pipeline.device import cpu
from pipeline.errors import DataError
from pipeline.ingest import reader_stats
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract
from tests.ingest.test_readers import assert_same


@pytest.fixture(params=["stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def own(request):
    """A device with readers of its own."""
    reader_stats.take_counts()
    if request.param == "stand-in":
        return fake_cudf.device()
    from pipeline.device.gpu import frames

    return frames


def both(source, device, bad="quarantine", **plan):
    """(the device's frame, the host's, why the host read some blocks)."""
    contract = infer_contract(source)
    made = []
    for where in (device, cpu):
        reader_stats.take_counts()
        blocks = plan_blocks(contract, **plan)
        frames = [read_block(b, contract, contract.schema.names, where, bad)[0] for b in blocks]
        made.append(cpu.concat([where.to_host(f) for f in frames]))
        if where is device:
            told = reader_stats.take_counts()
    assert not reader_stats.take_counts(), "the CPU has no readers to tell of"
    return *made, {reason: n for (_, reason), n in told.items()}


def csv(path, text, types=None, **syntax):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return Source(path=str(path), csv=Csv(delimiter=",", **syntax), types=types or {})


PLAIN = {
    "integers": ("integer", ["1", "-2", "", "NA", "9007199254740993", "007"]),
    "long integers": ("integer", ["9190000000000000001", "-9100000000000000000", "", "0"]),
    "floats": ("float", ["1.5", "-.25", "3.", "1e5", "2.5E-3", "", "nan", "NULL", "-0"]),
    "bools": ("bool", ["true", "False", "", "NA", "TRUE"]),
    "text": ("text", ["a", "", "NA", "é", "ß", "a b", "12"]),
    "quoted": ("text", ['"a"', '""', '"x,y"', '"he said ""no"""', '""""', "plain"]),
    "dates": ("date", ["2020-01-31", "", "1969-12-31", "2024-02-29", "NA"]),
    "days as times": ("datetime", ["2020-01-31", "", "1969-12-31"]),
    "times": ("datetime", ["2020-01-31 12:30:01", "2020-01-31T00:00:00", "", "1900-01-01 00:00:00"]),
    "fractions": ("datetime", ["2020-01-31 12:30:01.5", "2020-01-31T00:00:00.123456", "NA",
                               "2020-01-31 12:30:01"]),
    "zones": ("datetime", ["2020-01-31T12:30:01Z", "2020-01-31 12:30:01+01:30", "",
                           "2020-01-31T12:30:01.25-05:00"]),
    "patterns": ("date", ["31.01.2020", "", "29.02.2024", "01.12.1999"]),
    "digits that lack": ("date", ["1/31/20", "", "2/1/69", "12/12/68", "2/1/69", "NA"]),
    "noon": ("datetime", ["1/31/2020 1:05 PM", "1/31/2020", "", "2/1/2020 12:00 am"]),
    "zones by name": ("datetime", ["2020-01-31 12:30:01 UTC", "", "2020-01-31 12:30:01.5 GMT"]),
    "months": ("date", ['"Jan 31, 2020"', "", '"September 1, 2020"']),
    "since 1970": ("epoch ms", ["1577836800001", "-1", "", "0.5"]),
    "no dates": ("%d.%m.%Y", ["", "NA"]),
}  # fmt: skip


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_plain_values_are_read_on_the_device(tmp_path, own, name, end):
    kind, words = PLAIN[name]
    rows = [f"{w},x{i % 3}" for i, w in enumerate(words * 3)]
    source = csv(tmp_path / "a.csv", end.join(["v,s", *rows]), {"v": kind, "s": "text"})
    found, expected, told = both(source, own, bad="error")
    assert told == {"": 1}
    assert [str(d) for d in found.dtypes] == [str(d) for d in expected.dtypes]
    assert_same(found, expected)


ODD = {
    "a fraction among integers": ("1.5,x", "v: not all are plainly integer"),
    "an exponent among integers": ("1e5,x", "v: not all are plainly integer"),
    "a word for true among integers": ("True,x", "v: not all are plainly integer"),
    "letters of hexadecimal digits": ("abc,x", "v: not all are plainly integer"),
    "plus signs": ("1+2,x", "v: not all are plainly integer"),
    "an integer beyond int64": ("99999999999999999999,x", "v: not all are plainly integer"),
    "an integer just beyond int64": ("9223372036854775808,x", "v: not all are plainly integer"),
    "spaces": (" 1,x", "v: not all are plainly integer"),
    "a field too many": ("1,x,y", "records that do not have 2 fields"),
    "an empty field too many": ("1,x,", "records that do not have 2 fields"),
    "a field too few": ("1", "records that do not have 2 fields"),
    "one too few and one too many": ("1\n1,x,", "records that do not have 2 fields"),
    "a quote within a field": ('1,a"b', "quotes that do not enclose a field of one line"),
    "quotes around half a field": ('1,"a"b', "quotes that do not enclose a field of one line"),
    "a newline in quotes": ('1,"a\nb"', "quotes that do not enclose a field of one line"),
    "a quote that stays open": ('1,"a', "quotes that do not enclose a field of one line"),
    "a carriage return": ("1,a\rb", "carriage returns within lines"),
    "a zero byte": ("1,a\0b", "NUL bytes"),
    "latin-1": ("1,ü".encode("latin-1"), "text that is not UTF-8"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_bytes_are_left_to_the_host(tmp_path, own, name):
    odd, why = ODD[name]
    odd = odd.encode() if isinstance(odd, str) else odd
    good = b"".join(b"%d,s\n" % i for i in range(1500))  # the dialect knows the head
    text = b"v,s\n" + good + odd + b"\n" + good + "1,üü\n".encode()
    source = csv(tmp_path / "a.csv", text, {"v": "integer"}, newlines_in_values=False)
    found, expected, told = both(source, own)
    assert told == {why: 1}
    assert_same(found, expected)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        ("float", "1.5+2"), ("float", "inf"), ("float", "True"), ("float", "1,5"), ("bool", "2"),
        ("bool", "yes!"), ("date", "2023-02-29"), ("date", "2023-13-01"), ("date", "12"),
        ("datetime", "2023-02-30 00:00:00"), ("datetime", "2023-02-03 24:00:00"),
        ("datetime", "2023-02-03 10:00"), ("datetime", "2023-02-03"), ("datetime", "garbage"),
    ],
)  # fmt: skip
def test_values_that_are_not_plain_are_left_to_the_host(tmp_path, own, kind, word):
    good = {"float": "2.5", "bool": "true", "date": "2020-01-02", "datetime": "2020-01-02 03:04:05"}
    rows = "".join(f"{good[kind]},{i}\n" for i in range(60))
    source = csv(tmp_path / "a.csv", f'v,i\n{rows}"{word}",0\n{rows}', {"v": kind})
    found, expected, told = both(source, own)
    assert told == {f"v: not all are plainly {kind}": 1}
    assert_same(found, expected)


def test_the_host_names_line_and_value_of_what_the_device_left(tmp_path, own):
    good = "".join(f"{i},s\n" for i in range(40))
    source = csv(tmp_path / "a.csv", f"v,s\n{good}1.5,s\n", {"v": "integer"})
    contract = infer_contract(source)
    with pytest.raises(DataError, match=r"line 42, column 'v': '1.5' is not an integer"):
        read_block(plan_blocks(contract)[0], contract, ["v"], own)


def test_only_what_is_read_is_judged_and_blank_lines_keep_their_ids(tmp_path, own):
    source = csv(tmp_path / "a.csv", "v,s\n1,a\n\nx,b\n2,c\n", {"v": "integer", "s": "text"})
    contract = infer_contract(source)
    frame, _ = read_block(plan_blocks(contract)[0], contract, ["s"], own)
    host = own.to_host(frame)
    assert list(host.index) == [0, 2, 3]
    assert host["s"].astype(object).to_list() == ["a", "b", "c"]
    assert reader_stats.take_counts() == {("cuDF", ""): 1}
    frame, _ = read_block(plan_blocks(contract)[0], contract, [], own)
    assert own.to_host(frame).shape == (3, 0)


def test_blocks_of_a_file_are_judged_one_by_one(tmp_path, own):
    rows = [f"{i},x" for i in range(300)]
    rows[200] = "200,x,y"
    source = csv(tmp_path / "a.csv", "v,s\n" + "\n".join(rows) + "\n")
    found, expected, told = both(source, own, block_bytes=400)
    assert told[""] == sum(told.values()) - 1 > 3
    assert told["records that do not have 2 fields"] == 1
    assert_same(found, expected)
    assert_same(*both(source, own, block_bytes=400, rows=150)[:2])


def table():
    """Every Parquet type that is read, with missing values."""
    return pa.table(
        {
            "i8": pa.array([1, None, -3], pa.int8()),
            "u": pa.array([1, 2**40, None], pa.uint64()),
            "f": pa.array([1.5, None, np.nan], pa.float32()),
            "d": pa.array([1, None, 3], pa.decimal128(10, 2)),
            "b": pa.array([True, None, False]),
            "day": pa.array([0, 1, None], pa.date32()),
            "ns": pa.array([0, 1_500, None], pa.timestamp("ns", "Europe/Berlin")),
            "ms": pa.array([0, -1_500, None], pa.timestamp("ms")),
            "s": pa.array(["a", None, "b"]),
            "cat": pa.array(["a", None, "b"]).dictionary_encode(),
            "large": pa.array(["a", "", None], pa.large_string()),
        }
    )


def test_parquet_is_read_on_the_device(tmp_path, own):
    pq.write_table(pa.concat_tables([table()] * 5), tmp_path / "a.parquet", row_group_size=4)
    source = Source(path=str(tmp_path / "a.parquet"))
    for rows in (None, 7, 1):
        found, expected, told = both(source, own, block_bytes=1, rows=rows)
        assert set(told) == {""}
        assert [str(d) for d in found.dtypes] == [str(d) for d in expected.dtypes]
        assert_same(found, expected)


@pytest.mark.parametrize(
    ("array", "kind", "why"),
    [
        (pa.array([2**63 - 1, 2**63], pa.uint64()), "float", None),
        (pa.array([1.0, 2.0]), "integer", "v: double read as integer"),
        (pa.array([1, 2]), "text", "v: int64 read as text"),
        (pa.nulls(2), "float", "v: null read as float"),
    ],
)
def test_parquet_types_that_need_a_look_are_left_to_the_host(tmp_path, own, array, kind, why):
    pq.write_table(pa.table({"v": array, "k": [1, 2]}), tmp_path / "a.parquet")
    source = Source(path=str(tmp_path / "a.parquet"), types={"v": kind})
    found, expected, told = both(source, own)
    assert told == {why or "": 1}
    assert_same(found, expected)


def test_integers_beyond_int64_are_left_to_the_host(tmp_path, own):
    pq.write_table(pa.table({"u": pa.array([2**63], pa.uint64())}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column 'u'.*9223372036854775808"):
        both(Source(path=str(tmp_path / "a.parquet")), own)
    assert reader_stats.take_counts() == {("cuDF", "u: integers beyond int64"): 1}


def test_a_column_that_the_library_does_not_find_is_left_to_the_host(tmp_path, own):
    pq.write_table(pa.table({"a.b": [1, 2], "c": [3, 4]}), tmp_path / "a.parquet")
    found, expected, told = both(Source(path=str(tmp_path / "a.parquet")), own)
    assert set(told) <= {"", "columns that cuDF does not find"}
    assert_same(found, expected)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_folders_of_key_value_names(tmp_path, own, ending):
    frame = pd.DataFrame({"n": [1, 2, 3]})
    for k, (day, name) in enumerate(
        [("2020-01-02", "a"), ("2020-01-03", "__HIVE_DEFAULT_PARTITION__")]
    ):
        folder = tmp_path / f"day={day}" / f"name={name}" / f"k={k}"
        folder.mkdir(parents=True)
        if ending == "csv":
            frame.to_csv(folder / "a.csv", index=False)
        else:
            frame.to_parquet(folder / "a.parquet")
    found, expected, told = both(Source(path=str(tmp_path)), own)
    assert told == {"": 2}
    assert [str(d) for d in found.dtypes] == [str(d) for d in expected.dtypes]
    assert_same(found, expected)


def test_the_bytes_of_a_file_are_counted_once(tmp_path):
    reading = fake_cudf.Reading()
    pq.write_table(table(), tmp_path / "a.parquet")
    both(Source(path=str(tmp_path / "a.parquet")), fake_cudf.device(reading))
    assert 0 < reading.bytes < (tmp_path / "a.parquet").stat().st_size
    reading = fake_cudf.Reading()
    source = csv(tmp_path / "a.csv", "v,s\n1,a\n2,b\n")
    both(source, fake_cudf.device(reading))
    assert reading.bytes == len("1,a\n2,b\n")


def test_the_note_of_the_ledger():
    reader_stats.take_counts()
    for reason in ["", "", "rows", "", "NUL bytes", "rows"]:
        reader_stats.count_block("cuDF", reason)
    line = "read by cuDF: 3 blocks, by the host: 3 (2: rows; 1: NUL bytes)"
    assert reader_stats.describe_counts(
        [reader_stats.take_counts(), reader_stats.take_counts()]
    ) == [line]
    assert reader_stats.describe_counts([]) == []
