"""Rows drawn from a config's data: any number, like the data, the same for the same seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.bench import synthetic_rows
from pipeline.config.model import Config
from pipeline.errors import InputError
from pipeline.execution.job import prepare_job

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def flights():
    return _job("conf/flights.yaml")


def _job(config, *overrides):
    import os

    before = Path.cwd()
    os.chdir(ROOT)
    try:
        return prepare_job(Config.load(config, ["device=cpu", *overrides]))
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def drawn(flights, tmp_path_factory):
    """30,000 rows like the flights."""
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    import os

    before = Path.cwd()
    os.chdir(ROOT)
    try:
        source = synthetic_rows.load_source_rows(flights)
    finally:
        os.chdir(before)
    assert list(synthetic_rows.write_rows(source, path, 30_000, 0))[-1] == 30_000
    return pd.read_parquet(path), pq.read_schema(path)


def test_schema_and_shares_are_those_of_the_data(drawn):
    real = pq.read_table(ROOT / "data/flights/flights.parquet")
    frame, schema = drawn
    assert schema.remove_metadata() == real.schema.remove_metadata()
    own = real.to_pandas()
    assert abs((frame["arr_delay"] > 15).mean() - (own["arr_delay"] > 15).mean()) < 0.01
    assert (abs(frame.isna().mean() - own.isna().mean()) < 0.005).all()
    for name in ("air_time", "distance", "arr_delay"):
        assert frame[name].min() >= own[name].min() and frame[name].max() <= own[name].max()


def test_numbers_have_noise_and_keys_times_and_codes_have_none(drawn, flights):
    frame, _ = drawn
    real = pd.read_parquet(ROOT / "data/flights/flights.parquet")
    assert not set(frame["air_time"].dropna()) <= set(real["air_time"].dropna())
    for name in ("tailnum", "origin", "carrier", "month", "hour", "time_hour"):
        assert set(frame[name].dropna()) <= set(real[name].dropna())
    keys = pd.MultiIndex.from_frame(real[["origin", "time_hour"]])
    assert pd.MultiIndex.from_frame(frame[["origin", "time_hour"]]).isin(keys).all()
    assert {"origin", "time_hour", "tailnum", "carrier"} <= synthetic_rows.find_fixed_columns(
        flights
    )


def _data(tmp_path, frame, name="d.parquet"):
    path = tmp_path / name
    frame.to_csv(path, index=False) if name.endswith(".csv") else frame.to_parquet(path)
    return path


def _odd(n=400):
    rng = np.random.default_rng(1)
    return pd.DataFrame({
        "price": (rng.random(n) * 100).round(2), "big": rng.integers(2**60, 2**61, n),
        "exact": rng.random(n), "word": rng.choice(["a", "b, c", 'say "x"', None], n),
        "flag": rng.random(n) < 0.5, "day": pd.date_range("2020-01-01", periods=n).date,
        "at": pd.date_range("2020-01-01 10:00", periods=n, freq="h"),
        "shop": rng.integers(0, 300, n), "y": rng.integers(0, 2, n),
    })  # fmt: skip


@pytest.mark.parametrize("name", ["d.csv", "d.parquet"])
def test_any_data_give_rows_that_read_back_with_the_same_types(tmp_path, name):
    path = _data(tmp_path, _odd(), name)
    features = [{"target_encode": {"columns": ["word"]}}, {"drop": ["day", "at"]}]
    tree = {"name": "odd", "data": {"path": str(path), "target": "y"}, "features": features}
    job = prepare_job(Config.parse(tree, ["device=cpu"]))
    out = tmp_path / f"rows{path.suffix}"
    list(synthetic_rows.write_rows(synthetic_rows.load_source_rows(job), out, 1_000, 3))
    again = prepare_job(
        Config.parse(synthetic_rows.build_config_tree(job.config, job.contract, out))
    )
    assert [(c.name, c.type) for c in again.contract.columns] == [
        (c.name, c.type) for c in job.contract.columns
    ]
    assert again.config.refit == "never" and again.config.data.rows is None
    frame = pd.read_csv(out) if name.endswith("csv") else pd.read_parquet(out)
    assert len(frame) == 1_000
    assert (frame["price"].round(2) == frame["price"]).all()  # with its decimals
    assert frame["big"].between(2**60, 2**61).all() and set(frame["y"]) == {0, 1}
    assert set(frame["word"].dropna()) == {"a", "b, c", 'say "x"'}


def test_integers_that_an_op_takes_for_categories_keep_their_values(tmp_path):
    path = _data(tmp_path, _odd())
    tree = {"data": {"path": str(path), "target": "y"}, "device": "cpu"}
    plain = prepare_job(Config.parse({**tree, "features": [{"drop": ["word", "day", "at"]}]}))
    assert "shop" in synthetic_rows.load_source_rows(plain).noisy
    ops = [{"count_encode": {"columns": ["shop"]}}, {"drop": ["word", "day", "at"]}]
    kept = prepare_job(Config.parse({**tree, "features": ops}))
    assert "shop" not in synthetic_rows.load_source_rows(kept).noisy


def test_the_same_seed_gives_the_same_rows_however_many_and_however_made(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_rows, "BLOCK", 64)
    path = _data(tmp_path, _odd())
    ops = [{"drop": ["word", "day", "at"]}]
    tree = {"data": {"path": str(path), "target": "y"}, "features": ops, "device": "cpu"}
    source = synthetic_rows.load_source_rows(prepare_job(Config.parse(tree)))

    def made(count, seed, threads):
        out = tmp_path / "out.parquet"
        assert list(synthetic_rows.write_rows(source, out, count, seed, threads))[-1] == count
        return pq.read_table(out)

    assert made(500, 7, 1).equals(made(500, 7, 3))
    assert made(500, 7, 2).slice(0, 100).equals(made(100, 7, 1))
    assert not made(100, 7, 1).equals(made(100, 8, 1))


def test_large_data_are_thinned_to_rows_from_all_over(tmp_path, monkeypatch):
    monkeypatch.setattr(synthetic_rows, "ORIGINS", 1_000)
    monkeypatch.setattr(synthetic_rows, "SPAN", 500)  # a row group a block
    path = tmp_path / "d.parquet"
    table = pa.table({"x": np.arange(20_000.0), "y": np.arange(20_000) % 2})
    pq.write_table(table, path, row_group_size=500)
    tree = {"data": {"path": str(path), "target": "y"}, "device": "cpu", "features": []}
    source = synthetic_rows.load_source_rows(prepare_job(Config.parse(tree)))
    assert 400 <= len(source) <= 1_000
    found = source.noisy["x"].values
    assert found.min() < 2_000 and found.max() > 18_000


def test_data_without_rows_are_an_error(tmp_path):
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"x": pa.array([], "f8"), "y": pa.array([], "i8")}), path)
    tree = {"data": {"path": str(path), "target": "y"}, "device": "cpu", "features": []}
    with pytest.raises(InputError, match="has columns but no rows"):
        synthetic_rows.load_source_rows(prepare_job(Config.parse(tree)))
