"""Names in the config and in new data that differ from those of the columns in blanks or case."""

import pytest

from pipeline.config.model import Source
from pipeline.errors import ConfigError
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.column_names import NameMatcher, find_column, match_source
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


def test_new_data_with_other_names(tmp_path):
    for name, header in (("a", "Age,City,y"), ("b", "CITY , age")):
        width = header.count(",")
        rows = "".join(",".join(["1"] * (width + 1)) + "\n" for _ in range(9))
        (tmp_path / f"{name}.csv").write_text(header + "\n" + rows)
    trained = infer_contract(Source(path=str(tmp_path / "a.csv")))
    new = match_contract(trained, Source(path=str(tmp_path / "b.csv")), ["Age", "City"])
    assert [c.name for c in new.columns] == ["City", "Age"]
    assert {n.message for n in new.notes} == {"the file calls it 'CITY'", "the file calls it 'age'"}
    assert plan_blocks(new)[0].first_line == 2
