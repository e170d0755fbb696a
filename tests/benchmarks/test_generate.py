import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from benchmarks import generate


@pytest.fixture(scope="module")
def real():
    return generate.source()


def written(path, rows, seed=0):
    assert list(generate.generate(path, rows, seed))[-1] == rows
    return path


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    return written(tmp_path_factory.mktemp("rows") / "a.parquet", 3_000)


def test_parquet_has_the_schema_of_the_real_flights_and_the_rows_asked_for(parquet):
    found = pq.read_table(parquet)
    assert found.schema.equals(pq.read_schema(generate.SOURCE))
    assert len(found) == 3_000


def test_csv_and_parquet_hold_the_same_rows(tmp_path, parquet):
    text = pd.read_csv(written(tmp_path / "a.csv", 3_000))
    columns = pd.read_parquet(parquet)
    assert list(text) == list(columns)
    text["time_hour"] = pd.to_datetime(text["time_hour"], utc=True)
    for name in text:
        assert text[name].isna().equals(columns[name].isna()), name
        known = text[name].notna()
        assert (text.loc[known, name] == columns.loc[known, name]).all(), name


def test_same_seed_same_bytes_and_another_seed_other_rows(tmp_path, parquet):
    again = written(tmp_path / "b.parquet", 3_000)
    assert again.read_bytes() == parquet.read_bytes()
    other = pq.read_table(written(tmp_path / "c.parquet", 3_000, seed=1))
    assert not other.equals(pq.read_table(parquet))


def test_rows_look_like_flights(parquet):
    real, made = pd.read_parquet(generate.SOURCE), pd.read_parquet(parquet)
    assert abs((real["arr_delay"] > 15).mean() - (made["arr_delay"] > 15).mean()) < 0.03
    assert made["sched_dep_time"].equals(made["hour"] * 100 + made["minute"])
    assert made["dep_time"].dropna().between(1, 2400).all()
    assert (made["dep_time"].dropna() % 100 < 60).all()
    assert made["dep_time"].isna().equals(made["dep_delay"].isna())
    same = made.merge(real, on=list(made), how="inner")
    assert len(same) < len(made) / 10  # there is noise


def test_a_block_has_the_same_first_rows_however_many_are_asked_for(real):
    few, many = generate.block(real, 7, 3, 10), generate.block(real, 7, 3, 500)
    for name, values in few.items():
        assert np.array_equal(values, many[name][:10])


def test_lines_are_csv_with_empty_fields_for_missing_values(real):
    block = generate.block(real, 0, 0, 2_000)
    text = generate.CsvWriter(real).lines(block).decode()
    assert "\0" not in text
    frame = pd.read_csv(io.StringIO(text), header=None, names=real.schema.names)
    missing = block["dep_time"] == generate.LOWEST
    assert missing.any()
    assert (frame["dep_time"].isna() == missing).all()


def test_the_size_asked_for_is_met_within_two_percent(real):
    rows = generate.rows_of_bytes(generate.SOURCE, 1e6, 0)
    lines = generate.CsvWriter(real).lines(generate.block(real, 0, 0, rows))
    assert abs(len(lines) - 1e6) < 2e4


def test_nothing_is_left_under_the_final_name_when_writing_stops(tmp_path):
    rows = generate.generate(tmp_path / "a.parquet", 200_000)
    next(rows)
    rows.close()
    assert not (tmp_path / "a.parquet").exists()


def test_the_command_refuses_other_formats(tmp_path):
    command = [sys.executable, "-m", "benchmarks.generate", "--rows", "10", "--out", "x.json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--out must end in .csv or .parquet" in done.stderr
