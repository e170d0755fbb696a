"""Names in the config and in new data that differ from those of the columns in blanks or case."""

import fake_cudf
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.config.model import Source
from pipeline.device import cpu
from pipeline.errors import ConfigError, SchemaError
from pipeline.ingest import reader_stats
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.column_names import NameMatcher, find_column, match_source
from pipeline.ingest.read_block import read_block
from pipeline.ingest.schema import infer_contract, match_contract

NAMES = ["Life expectancy", "GDP", "gdp", "Year", "w"]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("Life expectancy ", "Life expectancy"),
        ("life  expectancy", "Life expectancy"),
        ("gdp", "gdp"),
        (" GDP", "GDP"),
        ("Gdp", None),  # two columns are alike
        ("year ", "Year"),
        ("month", None),
    ],
)
def test_the_column_that_a_name_means(name, column):
    assert find_column(name, NAMES) == column


def test_an_ambiguous_name_is_an_error_with_at_most_five_candidates():
    matcher = NameMatcher([*NAMES, *(" " * i + "Year" for i in range(1, 7))])
    assert matcher.match("Year", "data.weight") == "Year"
    with pytest.raises(ConfigError, match="data.weight: 'Gdp' may mean any of 2") as error:
        matcher.match("Gdp", "data.weight")
    assert error.value.examples == ("'GDP'", "'gdp'")
    with pytest.raises(ConfigError, match=r"and 2 more\n  Fix: write .* exactly"):
        matcher.match("year", "data.weight")


def test_names_in_expressions():
    matcher = NameMatcher(NAMES)
    text = "year > `life expectancy` * log(w) "
    assert matcher.match_expression(text, "t") == "Year > `Life expectancy` * log(w) "
    assert [n.column for n in matcher.list_notes()] == ["Life expectancy", "Year"]
    assert matcher.match_expression("LIFE expectancy ", "t") == "Life expectancy"
    assert matcher.match_expression("year >", "t") == "year >"
    with pytest.raises(ConfigError, match="t: 'Gdp' may mean"):
        matcher.match_expression("Gdp > 1", "t")


def test_two_types_of_one_column_are_an_error():
    source = Source(path="a.csv", types={"year": "float", "Year ": "text"})
    with pytest.raises(ConfigError, match="'year' and 'Year ' both mean column 'Year'"):
        match_source(source, NAMES, "data")


@pytest.fixture(params=["csv", "parquet", "excel", "delta"])
def write(request):
    """Write a frame as a file, and return its path."""

    def write_as(frame, path):
        if request.param == "excel":
            pytest.importorskip("python_calamine")
            from openpyxl import Workbook

            book = Workbook()
            for row in [list(frame), *frame.to_numpy().tolist()]:
                book.active.append(row)
            book.save(path := path.with_suffix(".xlsx"))
        elif request.param == "delta":
            deltalake = pytest.importorskip("deltalake")
            deltalake.write_deltalake(str(path), pa.Table.from_pandas(frame))
        elif request.param == "csv":
            frame.to_csv(path := path.with_suffix(".csv"), index=False)
        else:
            frame.to_parquet(path := path.with_suffix(".parquet"))
        return str(path)

    return write_as


@pytest.mark.parametrize("device", [cpu, fake_cudf.device()], ids=["cpu", "stand-in"])
def test_new_data_with_other_names(write, tmp_path, device):
    rows = np.arange(9)
    frame = pd.DataFrame({"Age": rows, "City": [f"c{i}" for i in rows], "y": rows})
    trained = infer_contract(Source(path=write(frame, tmp_path / "a")))
    other = frame[["City", "Age"]].set_axis(["CITY ", "age"], axis="columns")
    new = match_contract(trained, Source(path=write(other, tmp_path / "b")), ["Age", "City"])
    assert [c.name for c in new.columns] == ["City", "Age"]
    messages = {n.column: n.message for n in new.notes if n.kind == "header"}
    assert set(messages) == {"Age", "City"} and messages["Age"] == "the file calls it 'age'"
    reader_stats.take_counts()
    read = read_block(plan_blocks(new)[0], new, ["Age", "City"], device)[0]
    host, fallbacks = device.to_host(read), {reason for _, reason in reader_stats.take_counts()}
    assert fallbacks <= {""}
    assert host["Age"].tolist() == rows.tolist() and host["City"].tolist() == [*frame["City"]]


@pytest.mark.parametrize("write", ["csv", "parquet", "excel"], indirect=True)  # Delta refuses such
def test_ambiguous_names_of_new_data_are_listed(write, tmp_path):
    frame = pd.DataFrame({"Age": range(9), "y": range(9)})
    trained = infer_contract(Source(path=write(frame, tmp_path / "a")))
    other = frame.set_axis(["AGE", "age"], axis="columns")
    path = write(other, tmp_path / "b")
    with pytest.raises(SchemaError, match=r"Age \(integer\) rename the right one of 'AGE', 'age'"):
        match_contract(trained, Source(path=path), ["Age"])
    exact = write(frame.set_axis(["Age", "AGE"], axis="columns"), tmp_path / "c")
    new = match_contract(trained, Source(path=exact), ["Age"])
    assert [c.name for c in new.columns] == ["Age"] and new.extra == ("AGE",)
