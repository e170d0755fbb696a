"""The sample that the memory plan is made of: words, missing values, classes, staged bytes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.config.model import Data
from pipeline.ingest import sample as sampling
from pipeline.ingest.blocks import plan_blocks
from pipeline.ingest.labels.target import parse_target
from pipeline.ingest.sample import TextSample, sample_rows
from pipeline.ingest.schema import infer_contract


def frame(rows=3000):
    rng = np.random.default_rng(0)
    return pd.DataFrame({
        "few": rng.choice(["a", "bb", "ccc"], rows),
        "own": [f"id-{i:08d}" for i in range(rows)],
        "gaps": np.where(np.arange(rows) % 4 == 0, np.nan, 0.5),
        "y": rng.choice(["x", "y", "z"], rows),
    })  # fmt: skip


def sampled(tmp_path, ending, **changes):
    path = tmp_path / f"d{ending}"
    made = frame()
    made.to_parquet(path) if ending == ".parquet" else made.to_csv(path, index=False)
    data = Data(path=str(path), target="y", **changes)
    contract = infer_contract(data)
    names = [c.name for c in contract.columns]
    target = parse_target(data.target, names)
    return sample_rows(contract, plan_blocks(contract, 40_000), names, target=target, data=data)


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet"])
def test_a_sample_tells_words_gaps_and_classes(tmp_path, ending):
    found = sampled(tmp_path, ending)
    assert found.rows > 500
    assert found.text_columns["few"].distinct == 3 and found.text_columns[
        "few"
    ].mean_bytes == pytest.approx(2)
    assert (
        found.text_columns["own"].distinct == found.rows
        and found.text_columns["own"].mean_bytes == 11
    )
    assert found.missing == {"gaps": pytest.approx(0.25, abs=0.01)}
    assert found.predictions_per_row == 3
    assert found.staged_row_bytes == 0 if ending == ".parquet" else 8 < found.staged_row_bytes < 60


def test_only_so_many_rows_are_looked_at(tmp_path, monkeypatch):
    monkeypatch.setattr(sampling, "ROWS", 100)
    for ending in (".csv", ".parquet"):
        assert sampled(tmp_path, ending).rows == 100


def test_bad_rows_are_left_to_the_run(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("x,y\n" + "1,a\n2,b\n" * 300 + "oops,a\n" + "3,b\n" * 300)
    data = Data(path=str(path), target="y", types={"x": "integer"})
    contract = infer_contract(data)
    target = parse_target("y", ["x", "y"])
    found = sample_rows(contract, plan_blocks(contract), ["x", "y"], target=target, data=data)
    assert found.rows == 900 and found.predictions_per_row == 1


@pytest.mark.parametrize("true", [3, 500, 20_000, 300_000])
def test_distinct_words_of_more_rows_than_sampled(true):
    rng = np.random.default_rng(1)
    values = rng.integers(0, true, 20_000)
    known = TextSample(len(values), len(np.unique(values)), 10.0)
    for rows in (1_000, 100_000, 1_000_000):
        expected = len(np.unique(rng.integers(0, true, rows)))
        assert known.estimate_distinct(rows) == pytest.approx(expected, rel=0.2)


def test_a_word_of_its_own_in_every_row_stays_so():
    assert TextSample(20_000, 20_000, 10.0).estimate_distinct(5_000_000) == 5_000_000
