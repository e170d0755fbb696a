"""Names of columns in a config that differ from those of the files in blanks or case."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pipeline.config.model import Config
from pipeline.errors import ConfigError, SchemaError
from pipeline.execution.job import prepare_job
from pipeline.execution.runner import run
from pipeline.tools.init import examine_data
from pipeline.tools.plan import describe_plan

N = 120
EXACT = {"y": "Y", "amount": "Amount", "city": "Home City", "day": "Day", "w": "W", "lat": "Lat"}
"""Names of the columns of the data, by the names in `make_tree`."""


def make_frames():
    rows = np.arange(N)
    frame = pd.DataFrame(
        {
            "Y": rows * 7 % 11 + rows % 3 * 0.5,
            "Amount": rows * 13 % 17 + 0.25,
            "Home City": [f"c{i % 4}" for i in rows],
            "Day": pd.to_datetime("2024-01-01") + pd.to_timedelta(rows, "D"),
            "W": rows % 2 + 1,
            "Lat": rows % 90 + 0.5,
        }
    )
    cities = pd.DataFrame({"HOME city": [f"c{i}" for i in range(4)], "Size": [5, 2, 9, 1]})
    return frame, cities


@pytest.fixture(scope="module", params=["csv", "parquet"])
def files(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    paths = []
    for name, frame in zip(("data", "cities"), make_frames(), strict=True):
        path = folder / f"{name}.{request.param}"
        if request.param == "csv":
            frame.to_csv(path, index=False)
        else:
            frame.to_parquet(path, index=False)
        paths.append(str(path))
    return paths


def make_tree(files, names, size="Size", key=None):
    """Return a config with a name in every key that names columns."""
    n = names
    return {
        "data": {
            "path": files[0],
            "target": f"`{n['y']}` * 2",
            "weight": n["w"],
            "types": {n["amount"]: "float"},
            "tables": {
                "cities": {
                    "path": files[1],
                    "keys": [key or n["city"]],
                    "types": {size: "float"},
                }
            },
        },
        "split": {"by": "time", "column": n["day"]},
        "features": [
            {"filter": f"`{n['amount']}` > 1"},
            {"join": {"table": "cities", "columns": [size]}},
            {"derive": {"twice": f"`{n['amount']}` * 2", "more": f"twice + `{n['lat']}`"}},
            {"elapsed": {"from": "2024-01-01", "to": n["day"], "as": "age"}},
            {"haversine": {"from": [n["lat"], 1.0], "to": [0, 0], "as": "km"}},
            {"cross": {"columns": [n["city"], n["w"]], "as": "both"}},
            {"aggregate": {"by": n["city"], "columns": {"all": "numeric", "but": [n["y"]]}}},
            {
                "lag": {
                    "by": [n["city"]], "order": n["day"], "columns": n["amount"], "shift": 1,
                }
            },
            {"clip": {"columns": [n["amount"], "re:^twi"], "lower": 2}},
            {"target_encode": {"columns": ["both"], "by": "group", "column": n["city"]}},
            {"rename": {n["lat"]: "latitude"}},
            {"one_hot": {"columns": [n["city"]], "values": {n["city"]: ["c0", "c1"]}}},
            {"drop": [n["day"]]},
        ],
        "models": {
            "xgboost": {"rounds": 3, "monotone": {n["amount"]: 1}},
            "forest": {"trees": 2, "max_depth": 3},
        },
        "evaluate": {"slices": [n["city"]]},
        "refit": "never",
        "device": "cpu",
        "cluster": {"kind": "process", "dashboard": False},
    }  # fmt: skip


def shout(name):
    return f" {name.upper()}  "


LOUD = {key: shout(name) for key, name in EXACT.items()}


def test_an_exact_config_is_left_as_it_is(files):
    config = Config.parse(make_tree(files, EXACT))
    job = prepare_job(config)
    assert job.config == config and job.config.features is config.features
    notes = [str(n) for n in job.contract.notes if n.kind == "header"]
    assert notes == ["cities.Home City: the file calls it 'HOME city'"]


def test_every_key_gets_the_names_of_the_columns(files):
    exact = prepare_job(Config.parse(make_tree(files, EXACT)))
    job = prepare_job(Config.parse(make_tree(files, LOUD, size=shout("Size"))))
    assert job.ops == exact.ops and job.filters == exact.filters and job.models == exact.models
    for part in ("data", "split", "evaluate"):
        assert getattr(job.config, part) == getattr(exact.config, part)
    notes = {n.column: n.message for n in job.contract.notes if "config" in n.message}
    assert notes == {
        **{name: f"the config calls it {shout(name)!r}" for name in EXACT.values()},
        "cities.Size": f"the config calls it {shout('Size')!r}",
    }
    assert examine_data(Config.parse(make_tree(files, LOUD)).data)


def test_the_plan_shows_the_names_of_the_columns(files):
    plan = describe_plan(Config.parse(make_tree(files, LOUD)))
    assert plan["target"]["expression"] == "`Y` * 2"
    assert plan["split"]["column"] == "Day"


@pytest.mark.parametrize(
    ("op", "place"),
    [
        ({"drop": ["CITY"]}, r"features\[0\].drop: 'CITY' may mean any of 2 columns"),
        ({"derive": {"z": "CITY == 'a'"}}, r"features\[0\].derive: 'CITY' may"),
        ({"filter": "CITY == 'a'"}, r"features\[0\].filter: 'CITY' may"),
        ({"rename": {"A": "p", " a": "q"}}, "'A' and ' a' both mean column 'a'"),
    ],
)
def test_an_ambiguous_name_is_an_error_with_the_candidates(tmp_path, op, place):
    frame = pd.DataFrame({"City": list("ab") * 20, "city": list("cd") * 20, "a": range(40)})
    frame.assign(y=range(40)).to_parquet(tmp_path / "d.parquet")
    tree = {"data": {"path": str(tmp_path), "target": "y"}, "features": [op]}
    with pytest.raises(ConfigError, match=place):
        prepare_job(Config.parse(tree))


def test_columns_that_one_hot_makes_are_named_exactly(tmp_path):
    frame = pd.DataFrame({"c": list("ab") * 20, "C__A": range(40), "y": range(40)})
    frame.to_parquet(tmp_path / "d.parquet")
    tree = {
        "data": {"path": str(tmp_path), "target": "y"},
        "features": [{"one_hot": {"columns": "C"}}],
        "models": {"xgboost": {"monotone": {"c__a": 1}}},
    }
    config = prepare_job(Config.parse(tree)).config
    assert config.features == ({"one_hot": {"columns": {"all": ["c"]}}},)
    assert config.models == {"xgboost": {"monotone": {"c__a": 1}}}
    tree["features"][0] = {"drop": "C"}
    assert prepare_job(Config.parse(tree)).models["xgboost"].monotone == {"C__A": 1}


def test_keys_that_no_column_has_are_named(files):
    with pytest.raises(SchemaError, match="data.tables.cities.keys: there is no column 'town'"):
        prepare_job(Config.parse(make_tree(files, EXACT, key="town")))


@pytest.fixture(scope="module")
def exact_run(files, tmp_path_factory):
    return run(Config.parse(make_tree(files, EXACT)), out=tmp_path_factory.mktemp("exact") / "run")


def _read_keys(folder):
    """Return the fingerprints of the stages."""
    return {p.stem: json.loads(p.read_text())["key"] for p in (folder / "stages").glob("*.json")}


def spell(name):
    """Return a strategy of other spellings of a name."""
    blanks = st.sampled_from(["", " ", "\t", "  "])
    cases = st.sampled_from([str, str.upper, str.lower, str.swapcase])
    wide = st.sampled_from([" ", "  "])
    return st.builds(
        lambda a, case, gap, b: a + case(name).replace(" ", gap) + b, blanks, cases, wide, blanks
    )


@settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.generate],  # a run takes seconds
)
@given(
    names=st.fixed_dictionaries({key: spell(name) for key, name in EXACT.items()}),
    size=spell("Size"),
)
def test_any_spelling_gives_the_same_models(files, exact_run, tmp_path_factory, names, size):
    config = Config.parse(make_tree(files, names, size))
    folder = run(config, out=tmp_path_factory.mktemp("other") / "run").folder
    for name in ("train/xgboost.ubj", "train/forest.tl", "evaluate/predictions.parquet"):
        assert (folder / name).read_bytes() == (exact_run.folder / name).read_bytes(), name
    keys = [_read_keys(run_folder) for run_folder in (folder, exact_run.folder)]
    assert keys[0] == keys[1]
    chosen = (folder / "chosen.yaml").read_text()
    assert Config.load(folder / "chosen.yaml").split.column == "Day"
    assert "Home City" in chosen
    for name in {*names.values()} - {*EXACT.values()} - {"city"}:
        assert f"{name!r}:" not in chosen
