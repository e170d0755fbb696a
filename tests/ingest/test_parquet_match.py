"""Any dtype in which pandas writes a column, for any that a run was trained on."""

import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.config.model import Csv, Source
from pipeline.device import cpu
from pipeline.errors import DataError, PipelineError, SchemaError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract, match_contract

INTEGERS = [3, 0, 48]
DAYS = pd.to_datetime(["2026-01-31", "2026-02-01", "2026-03-02"])
TIMES = DAYS + pd.to_timedelta(["10:00:00", "00:00:00", "01:02:03.5"])
NUMPY = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
FLOATS = ("float16", "float32", "float64")
UNITS = ("s", "ms", "us", "ns")

COLUMNS = {
    **{kind: pd.Series(INTEGERS, dtype=kind) for kind in (*NUMPY, *FLOATS)},
    "Int64 with NA": pd.Series([3, None, 48], dtype="Int64"),
    "float with NaN": pd.Series([3, None, 48], dtype="float64"),
    "Float64 with NA": pd.Series([3, None, 0.5], dtype="Float64"),
    "fractions": pd.Series([0.5, 1.5, 2.25]),
    "large floats": pd.Series([1e16, 1e20, -1e-5]),
    "uint64 beyond int64": pd.Series([2**63, 1, 2], dtype="uint64"),
    "flags": pd.Series([0, 1, 1]),
    "Int8 flags with NA": pd.Series([0, None, 1], dtype="Int8"),
    "float flags with NaN": pd.Series([0.0, None, 1.0]),
    "bool": pd.Series([True, False, True]),
    "boolean with NA": pd.Series([True, None, False], dtype="boolean"),
    "bool as objects": pd.Series([True, None, False], dtype=object),
    "str": pd.Series(["a", "b c", None], dtype="str"),
    "text as objects": pd.Series(["a", 'q"x,', "é\nf"], dtype=object),
    "string of pyarrow": pd.Series(["a", None, "c"], dtype="string[pyarrow]"),
    "text of integers": pd.Series(["3", "0", "48"]),
    "codes": pd.Series(["003", "007", "048"]),
    "text of floats": pd.Series(["3.0", "0.5", "48.25"]),
    "yes and no": pd.Series(["yes", "no", "yes"]),
    "True and False": pd.Series(["True", "False", "True"]),
    "text of dates": pd.Series(["2026-01-31", "2026-02-01", "2026-03-02"]),
    "text of times": pd.Series(["2026-01-31 10:00:00", "2026-02-01 00:00:00", None]),
    "day first": pd.Series(["31-01-2026", "01-02-2026", "02-03-2026"]),
    "text with zones": pd.Series([f"2026-01-3{d} 10:00:00+01:00" for d in "001"]),
    "money": pd.Series(["$1,234.50", "$2.00", "$30.00"]),
    "category": pd.Series(["a", "b", "a"], dtype="category"),
    "category of integers": pd.Series(INTEGERS, dtype="category"),
    "category of bool": pd.Series([True, False, True], dtype="category"),
    "category of dates": pd.Series(DAYS, dtype="category"),
    "decimals": pd.Series([decimal.Decimal("3.00"), decimal.Decimal("0.50"), None]),
    "whole decimals": pd.Series([decimal.Decimal(n) for n in INTEGERS]),
    "dates": pd.Series(DAYS.date),
    **{f"midnights, {unit}": pd.Series(DAYS.as_unit(unit)) for unit in UNITS},
    **{f"times, {unit}": pd.Series(TIMES.as_unit(unit)) for unit in UNITS},
    "nanoseconds": pd.Series(pd.to_datetime([1, 1_000_000_001, 10**15], unit="ns")),
    "times with NaT": pd.Series(TIMES).where([True, False, True]),
    "UTC": pd.Series(TIMES.tz_localize("UTC")),
    "midnights in UTC": pd.Series(DAYS.tz_localize("UTC")),
    "zone": pd.Series(TIMES.tz_localize("Europe/Paris")),
    "times of day": pd.Series(TIMES.time),
    "timedelta": pd.Series(pd.to_timedelta([1, 2, 3], unit="h")),
    "timedelta of days": pd.Series(pd.to_timedelta([1, 2, 3], unit="D")),
    "period": pd.Series(pd.period_range("2026-01", periods=3, freq="M")),
    "interval": pd.Series(pd.interval_range(0, 3)),
    "nothing": pd.Series([None] * 3, dtype=object),
    "NaN alone": pd.Series([np.nan] * 3),
    "NaT alone": pd.Series(pd.to_datetime([None] * 3)),
    "NA alone": pd.Series([None] * 3, dtype="Int64"),
    "no str": pd.Series([None] * 3, dtype="str"),
    "no boolean": pd.Series([None] * 3, dtype="boolean"),
}  # fmt: skip
FEW = (
    "int64", "float with NaN", "fractions", "flags", "bool", "str", "text of dates", "day first",
    "money", "midnights, us", "times, ns", "UTC", "decimals", "codes", "nothing",
)  # fmt: skip
"""Columns to train on in the quick test: one of each type that the contract knows."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A CSV and a Parquet file of each column."""
    folder = tmp_path_factory.mktemp("columns")
    found = {}
    for number, (name, values) in enumerate(COLUMNS.items()):
        frame = pd.DataFrame({"x": values, "k": ["u", "v", "w"]})
        frame.to_csv(folder / f"{number}.csv", index=False)
        frame.to_parquet(folder / f"{number}.parquet")
        for kind in ("csv", "parquet"):
            path = str(folder / f"{number}.{kind}")
            found[name, kind] = Source(path=path, csv=Csv(delimiter=","))
    return found


def read(contract, bad="error"):
    """The values of x, None for missing."""
    blocks = plan_blocks(contract)
    frames = [cpu.to_host(read_block(b, contract, ["x"], cpu, bad)[0]) for b in blocks]
    column = cpu.concat(frames)["x"].astype(object)
    return column.where(column.notna(), None).to_list()


def rescore(trained, source):
    """Read new data as the run would; return the error if they are refused."""
    try:
        return read(match_contract(trained, source, ["x"]))
    except PipelineError as error:
        assert error.fix
        return error


def are_equal(a, b, *, rounded):
    if isinstance(a, PipelineError) or isinstance(b, PipelineError):
        return isinstance(a, PipelineError) and isinstance(b, PipelineError)
    if rounded and any(isinstance(value, float) for value in a):
        # a CSV has the shortest text that returns a float of 16 or 32 bits
        return np.allclose(
            np.array(a, dtype=float), np.array(b, dtype=float), rtol=2**-11, equal_nan=True
        )
    return a == b


@pytest.mark.parametrize(
    "trained",
    [pytest.param(name, marks=() if name in FEW else pytest.mark.slow) for name in COLUMNS],
)
def test_csv_and_parquet_of_a_frame_are_read_to_equal_values(sources, trained):
    for kind in ("csv", "parquet"):
        contract = infer_contract(sources[trained, kind])
        if "x" not in contract.schema.names:
            assert kind == "parquet" and trained in (
                "timedelta",
                "timedelta of days",
                "times of day",
                "period",
                "interval",
            )
            continue
        assert not isinstance(rescore(contract, sources[trained, kind]), PipelineError)
        for new in COLUMNS:
            found = {form: rescore(contract, sources[new, form]) for form in ("csv", "parquet")}
            assert are_equal(*found.values(), rounded=new in FLOATS), (kind, new, found)


@pytest.mark.parametrize(
    ("trained", "new", "values"),
    [
        ("int64", "float with NaN", [3, None, 48]), ("int64", "whole decimals", INTEGERS),
        ("int64", "text of integers", INTEGERS), ("int64", "codes", [3, 7, 48]),
        ("int64", "large floats", r"1e\+20"), ("int64", "fractions", "'0.5' is not an integer"),
        ("int64", "uint64 beyond int64", "9223372036854775808"), ("int64", "bool", "integer"),
        ("int64", "times, us", "integer"), ("int64", "NaT alone", [None] * 3),
        ("flags", "bool", [1, 0, 1]), ("flags", "boolean with NA", [1, None, 0]),
        ("bool", "flags", [False, True, True]), ("bool", "float flags with NaN", [False, None, True]),
        ("bool", "yes and no", [True, False, True]), ("bool", "int64", "'3' is not one of"),
        ("str", "int64", ["3", "0", "48"]), ("str", "bool", ["True", "False", "True"]),
        ("str", "fractions", ["0.5", "1.5", "2.25"]), ("str", "category", ["a", "b", "a"]),
        ("str", "dates", ["2026-01-31", "2026-02-01", "2026-03-02"]),
        ("str", "midnights, ns", ["2026-01-31", "2026-02-01", "2026-03-02"]),
        ("str", "times of day", ["10:00:00", "00:00:00", "01:02:03.500000"]),
        ("str", "period", ["2026-01", "2026-02", "2026-03"]),
        ("money", "fractions", [0.5, 1.5, 2.25]), ("fractions", "money", [1234.5, 2, 30]),
        ("midnights, us", "day first", list(DAYS)), ("day first", "midnights, s", list(DAYS)),
        ("dates", "times, ns", list(TIMES)), ("times, us", "dates", list(DAYS)),
        ("times, us", "UTC", "no zone|must be datetime"), ("UTC", "times, us", "zone"),
        ("UTC", "zone", list(TIMES - pd.Timedelta(hours=1))),
        ("times, us", "str", "'a' is not a timestamp"), ("times, us", "int64", "timestamp|datetime"),
    ],
)  # fmt: skip
def test_values_are_those_of_the_frame(sources, trained, new, values):
    for kind in ("csv", "parquet"):
        contract = infer_contract(sources[trained, kind])
        for form in ("csv", "parquet"):
            if isinstance(values, str):
                with pytest.raises((DataError, SchemaError), match=values):
                    read(match_contract(contract, sources[new, form], ["x"]))
            elif (
                trained not in ("money", "day first") or kind == "csv"
            ):  # there it is text, as the file says
                assert read(match_contract(contract, sources[new, form], ["x"])) == values


def write(path, *groups, **options):
    """A Parquet file of the column x, a row group per array."""
    table = pa.concat_tables(pa.table({"x": values}) for values in groups)
    pq.write_table(table, path, row_group_size=max(len(groups[0]), 1), **options)
    return Source(path=str(path))


def test_a_bad_value_is_named_by_its_row_in_the_file(tmp_path, sources):
    trained = infer_contract(sources["int64", "csv"])
    new = match_contract(
        trained, write(tmp_path / "a.parquet", [1.0, 2.0], [3.0, 4.5], [5.0, 6.0]), ["x"]
    )
    assert [str(n) for n in new.notes] == []  # whole numbers are numbers
    with pytest.raises(DataError, match=r"a\.parquet, row 4, column 'x': '4.5' is not an integer"):
        read(new)
    assert read(new, "quarantine") == [1, 2, 3, 5, 6]
    words = write(tmp_path / "b.parquet", pa.array(["1", "2.0", "NA", " ", "x", None]))
    new = match_contract(trained, words, ["x"])
    assert [str(n) for n in new.notes] == ["x: text is read as integer"]
    block = plan_blocks(new)[0]
    frame, rejected = read_block(block, new, ["x"], cpu, "quarantine")
    assert frame["x"].to_list() == [1, 2, pd.NA, pd.NA, pd.NA]
    assert frame.index.to_list() == [0, 1, 2, 3, 5]
    assert rejected[["line", "row", "column", "value"]].values.tolist() == [[5, 4, "x", "x"]]


def test_text_is_one_text_whatever_the_row_groups(tmp_path, sources):
    """pandas writes all times of a column in one way, whichever block they are in."""
    trained = infer_contract(sources["str", "csv"])
    times = pa.array([0, 86_400_000], pa.timestamp("ms")), pa.array([5, 6], pa.timestamp("ms"))
    new = match_contract(trained, write(tmp_path / "a.parquet", *times), ["x"])
    assert read(new)[:3] == [
        "1970-01-01 00:00:00.000",
        "1970-01-02 00:00:00.000",
        "1970-01-01 00:00:00.005",
    ]
    write(tmp_path / "f1.parquet", times[0])
    write(tmp_path / "f2.parquet", times[1])
    both = Source(path=(str(tmp_path / "f1.parquet"), str(tmp_path / "f2.parquet")))
    assert read(match_contract(trained, both, ["x"])) == read(new)


@pytest.mark.parametrize(
    "values",
    [
        pa.array(["3", None], pa.large_string()), pa.array(["3", None], pa.string_view()),
        pa.array(["3", None]).dictionary_encode(), pa.array([3, None], pa.uint8()),
        pa.array([3, None]).dictionary_encode(), pa.array([3, float("nan")], from_pandas=False),
        pa.array([3, None], pa.float16()), pa.array([decimal.Decimal("3.00"), None]),
        pa.array([3, None], pa.decimal256(40, 2)),
    ],
    ids=str,
)  # fmt: skip
def test_arrow_has_more_types_than_pandas(tmp_path, sources, values):
    for trained, expected in (("int64", [3, None]), ("fractions", [3.0, None])):
        contract = infer_contract(sources[trained, "csv"])
        found = read(match_contract(contract, write(tmp_path / "a.parquet", values), ["x"]))
        assert found == expected


def test_a_run_that_reads_numbers_as_text_reads_them_so_again(tmp_path):
    source = write(tmp_path / "a.parquet", pa.array([1.0, 2.5])).model_copy(
        update={"types": {"x": "text"}}
    )
    contract = infer_contract(source)
    assert read(contract) == ["1.0", "2.5"]
    assert read(match_contract(contract, source, ["x"])) == ["1.0", "2.5"]


def test_a_footer_shows_flags(tmp_path):
    flags = write(tmp_path / "a.parquet", [0, 1], [1, None], pa.nulls(2, pa.int64()))
    assert infer_contract(flags).columns[0].is_flag
    for other in ([[0, 2]], [[0, 1], [2, 1]], [[0.0, 0.5]]):
        assert (
            not infer_contract(write(tmp_path / "b.parquet", *map(pa.array, other)))
            .columns[0]
            .is_flag
        )
    silent = write(tmp_path / "c.parquet", [0, 1], write_statistics=False)
    assert not infer_contract(silent).columns[0].is_flag
