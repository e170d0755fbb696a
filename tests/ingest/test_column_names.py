"""Names in the config and in new data that differ from those of the columns in blanks or case."""

import pytest

from pipeline.config.model import Config, Source
from pipeline.errors import ConfigError
from pipeline.execution.job import prepare_job
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.column_names import find_column, match_config
from pipeline.ingest.schema import infer_contract, match_contract
from pipeline.tools.init import examine_data

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


def config(path, **keys):
    tree = {"data": {"path": str(path), "target": "Life expectancy ", **keys.pop("data", {})}}
    return Config.parse({**tree, **keys})


@pytest.fixture(params=["csv", "parquet"])
def path(request, tmp_path):
    file = tmp_path / "a.csv"
    rows = "".join(f"{i}.5,{i},{i},{i},1\n" for i in range(40))
    file.write_text("Life expectancy ,GDP,gdp, Year,w\n" + rows)
    if request.param == "csv":
        return file
    contract = infer_contract(Source(path=str(file)))
    from pipeline.device import cpu
    from pipeline.ingest.read_block import read_block

    frame = read_block(plan_blocks(contract)[0], contract, NAMES, cpu)[0]
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    return tmp_path / "a.parquet"


def test_the_config_gets_the_names_of_the_columns(path):
    job = prepare_job(
        config(
            path,
            data={"weight": "W", "types": {"YEAR": "float"}},
            split={"by": "time", "column": "year "},
            evaluate={"slices": ["YEAR"]},
        )
    )
    assert job.config.data.target == "Life expectancy"
    assert job.config.data.weight == "w"
    assert job.config.split.column == "Year" and job.config.evaluate.slices == ("Year",)
    assert job.source["Year"].dtype == "float64"
    notes = {str(n) for n in job.contract.notes if n.kind == "header"}
    assert "Life expectancy: the config calls it 'Life expectancy '" in notes
    assert len(notes) == 4
    assert examine_data(config(path).data)


def test_names_in_expressions(path):
    matched, notes = match_config(config(path, data={"target": "year > `life expectancy` "}), NAMES)
    assert matched.data.target == "`Year` > `Life expectancy` "
    assert [n.column for n in notes] == ["Life expectancy", "Year"]
    assert match_config(config(path, data={"target": "Gdp > 1"}), NAMES)[1] == []
    with pytest.raises(ConfigError, match="Gdp"):
        prepare_job(config(path, data={"target": "Gdp > 1"}))


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
