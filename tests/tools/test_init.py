"""init: the text reads back as a config whose ops fit the data, and says why."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.config.model import Config
from pipeline.errors import InputError
from pipeline.features.engine.planner import resolve_ops, select_model_columns
from pipeline.features.registry import parse_ops
from pipeline.ingest.schema import infer_contract
from pipeline.tools import init
from pipeline.tools.init import make_config
from pipeline.train.model import parse_models

N = 300


def table():
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "id": np.arange(N),
            "a b": rng.choice(["x", "y: #", "{z}"], N),
            "city,\n日本": [f"town {i % 40}" for i in range(N)],
            "price": rng.normal(size=N).round(3),
            "same": ["s"] * N,
            "gone": [None] * N,
            "when": pd.date_range("2021-01-01", periods=N, freq="D").strftime("%Y-%m-%d"),
            "sold?": rng.choice(["yes", "no"], N),
        }
    )


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "some sales (2021).csv"
    table().to_csv(path, index=False)
    return str(path)


def parsed(text):
    config = Config.parse(yaml.safe_load(text))
    parse_models(config.models)
    return config


def test_the_text_is_a_config_whose_ops_fit_the_data(tmp_path, csv):
    path = tmp_path / "sales.parquet"
    table().to_parquet(path)
    for data in (str(path), csv) if "\n" not in "".join(table().columns) else (str(path),):
        config = parsed(make_config(data, "sold?"))
        source = infer_contract(config.data).schema
        walked = resolve_ops(parse_ops(config.features), source.drop(["sold?"]))
        names = [f.name for f in select_model_columns(walked, {})]
        assert {"price", "a b"} <= set(names)
        assert not {"id", "same", "gone"} & set(names)


def test_it_says_what_was_found(tmp_path):
    path = tmp_path / "sales.parquet"
    table().to_parquet(path)
    text = make_config([str(path)], "`sold?` == 'yes'")
    config = parsed(text)
    assert config.name == "sales"
    assert config.data.task == "binary"
    assert config.data.target == "`sold?` == 'yes'"
    assert "Counts below are of all 300 rows" in text
    assert "# id: it counts the rows" in text or "# id: an id by its name" in text
    assert "# same: every row has the same value" in text
    assert "# gone: every value is missing" in text
    assert "# a b: text with 3 values" in text


def test_names_from_the_data_stay_within_their_comments(tmp_path):
    path = tmp_path / "x.parquet"
    odd = {f"a\ndevice: gpu\n{i}": table()["price"] for i in range(3)}
    odd |= {"b\nseed: 9": table()["same"], "y": table()["price"]}
    pd.DataFrame(odd).to_parquet(path)
    config = parsed(make_config(str(path), "y"))
    assert (config.device, config.seed) == ("auto", 0)


@pytest.mark.parametrize(
    ("columns", "by"),
    [({"when"}, "time"), (set(), "random"), ({"when", "second"}, "random")],
)
def test_the_split_is_by_time_where_there_is_one_time(tmp_path, columns, by):
    frame = table()[["price", "a b"]]
    times = pd.date_range("2021-01-01", periods=N, freq="h")
    path = tmp_path / "t.parquet"
    frame.assign(**dict.fromkeys(columns, times)).to_parquet(path)
    split = parsed(make_config(str(path), "price")).split
    assert (split.by, split.column) == (by, "when" if by == "time" else None)


def test_a_time_with_gaps_does_not_split(tmp_path):
    times = pd.Series(pd.date_range("2021-01-01", periods=N, freq="h"))
    times[3] = pd.NaT
    path = tmp_path / "t.parquet"
    table()[["price", "a b"]].assign(when=times).to_parquet(path)
    text = make_config(str(path), "price")
    assert parsed(text).split.by == "random"
    assert "Times: when" in text


def test_only_numbers_need_no_ops(tmp_path):
    path = tmp_path / "numbers.csv"
    pd.DataFrame({"x": np.random.default_rng(0).normal(size=N), "y": range(N)}).to_csv(path)
    config = parsed(make_config(str(path), "y"))
    assert not config.features, "the index that pandas wrote is left out"


def test_a_large_file_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(init, "SAMPLE_ROWS", 100)
    monkeypatch.setattr(init, "BLOCK_BYTES", 1_000)
    path = tmp_path / "big.csv"
    table()[["id", "a b", "price"]].to_csv(path, index=False)
    text = make_config(str(path), "price")
    sampled = int(text.split("Counts below are of ")[1].split(" of ")[0])
    assert 50 <= sampled < 150


@pytest.mark.parametrize(("columns", "size"), [(10, 100_000), (1_500, 200_000)])
def test_blocks_of_wide_tables_are_larger(tmp_path, monkeypatch, columns, size):
    asked, plan = [], init.plan_blocks

    def planned(contract, block_bytes):
        asked.append(block_bytes)
        return plan(contract, block_bytes)

    monkeypatch.setattr(init, "BLOCK_BYTES", 100_000)
    monkeypatch.setattr(init, "plan_blocks", planned)
    frame = pd.DataFrame({f"c{i}": [i, i + 1, 3] for i in range(columns)})
    frame.to_csv(tmp_path / "d.csv", index=False)
    assert "c1" in make_config(str(tmp_path / "d.csv"), "c0")
    assert asked == [size]


def test_bad_rows_of_the_sample_are_told(tmp_path):
    path = tmp_path / "bad.csv"
    lines = ["x,y", *[f"{i % 9},{i % 7}.5" for i in range(2_000)], "oops,1.5"]
    path.write_text("\n".join(lines) + "\n")
    text = make_config(str(path), "y")
    assert "1 rows of the sample" in text
    assert "on_bad_rows: quarantine" in text


@pytest.mark.parametrize(("target", "told"), [("sodl", "sodl"), ("same", "nothing to learn")])
def test_a_target_that_does_not_fit_is_an_error(tmp_path, target, told):
    path = tmp_path / "sales.parquet"
    table().to_parquet(path)
    with pytest.raises(InputError, match=told):
        make_config(str(path), target)


def test_no_such_file(tmp_path):
    with pytest.raises(InputError):
        make_config(str(tmp_path / "none.csv"), "y")


def test_rows_are_counted_where_values_go_over_lines(tmp_path):
    lines = [f'{i % 7},"a\nb",{i % 2}' for i in range(40)]
    (tmp_path / "d.csv").write_text("\n".join(["x,s,y", *lines]) + "\n")
    assert "Counts below are of all 40 rows" in make_config(str(tmp_path / "d.csv"), "y")
