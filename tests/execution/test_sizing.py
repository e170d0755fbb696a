"""What the memory plan is told of XGBoost's histograms, and of rows with very long texts."""

from __future__ import annotations

import pandas as pd
import pytest

from pipeline.artifacts.stage_id import train_id
from pipeline.config.model import Config
from pipeline.execution.job import prepare_job
from pipeline.execution.memory_inputs import collect_sizes
from pipeline.ingest import partitions
from pipeline.memory import booster_bytes
from pipeline.memory.booster_bytes import TreeGrowth, histogram_bytes, sketch_bytes, tree_bytes
from pipeline.memory.estimate import estimate_stages
from pipeline.memory.text_bytes import summary_bytes

ROWS = 1_000


@pytest.fixture
def data(tmp_path):
    """1,000 rows of two numbers, and of a text that is another one in each row."""
    path = tmp_path / "d.parquet"
    columns = {"s": [f"w{i}" for i in range(ROWS)], "x": range(ROWS), "z": range(ROWS)}
    pd.DataFrame({**columns, "y": [0, 1] * (ROWS // 2)}).to_parquet(path)
    return path


def sizes(data, ops, **xgboost):
    tree = {
        "data": {"path": str(data), "target": "y"}, "features": ops, "device": "cpu",
        "models": {"xgboost": {"max_depth": 3, **xgboost}}, "split": {"valid": 0.1, "test": 0.2},
    }  # fmt: skip
    job = prepare_job(Config.parse(tree))
    return collect_sizes(job, partitions.plan_partitions(job.contract, None, 2, 32 << 20), 2)


@pytest.mark.parametrize(
    ("ops", "xgboost", "bins"),
    [
        ([{"drop": ["s"]}], {}, 2 * 256),
        ([{"drop": ["s"]}], {"max_bin": 16}, 2 * 16),
        ([{"drop": ["s"]}], {"max_bin": 5_000}, 2 * ROWS),
        # codes have a bin each, however few there may be for numbers
        ([{"categorify": {"columns": ["s"]}}], {"max_bin": 16}, 700 + 2 * 16),
        ([{"categorify": {"columns": ["s"], "max_size": 30}}], {"max_bin": 16}, 30 + 2 * 16),
        ([{"categorify": {"columns": ["s"], "min_count": 7}}], {"max_bin": 16}, 100 + 2 * 16),
    ],
)
def test_every_bin_of_every_node_has_a_histogram(data, ops, xgboost, bins):
    found = sizes(data, ops, **xgboost)
    assert found.histograms == pytest.approx(16 * bins * 7, rel=0.01)
    stage = next(
        s for s in estimate_stages(found, in_memory=True) if s.stage == train_id("xgboost")
    )
    assert stage.parts["training"] >= found.histograms


def test_columns_of_earlier_ops_and_other_models_have_none_that_are_known(data):
    ops = [{"derive": {"t": "x + z"}}, {"categorify": {"columns": ["t"]}}, {"drop": ["s"]}]
    assert sizes(data, ops).histograms == 16 * 3 * 256 * 7


def test_few_rows_split_few_nodes_and_a_tree_without_a_limit_ends():
    assert histogram_bytes(256, TreeGrowth(6), 10**6) == 16 * 256 * 63
    assert histogram_bytes(256, TreeGrowth(6), 44) == 16 * 256 * 10
    assert histogram_bytes(256, TreeGrowth(0), 10**9) == 16 * 256 * 4095
    assert histogram_bytes(256, TreeGrowth(0, max_leaves=32), 10**9) == 16 * 256 * 31
    assert histogram_bytes(256, TreeGrowth(64), 10**9) == 16 * 256 * 65_536


@pytest.mark.parametrize(("has_windows", "most"), [(True, 2**26), (False, 140 * 2**30 // 32)])
def test_a_sketch_is_bounded_by_what_xgboost_sorts_at_a_time(monkeypatch, has_windows, most):
    monkeypatch.setattr(booster_bytes, "has_change", lambda change: has_windows)
    assert sketch_bytes(10**6, 140 * 2**30) == 24 * 10**6
    assert sketch_bytes(10**10, 140 * 2**30) == 24 * most


def test_trees_of_xgboost_take_what_their_nodes_take():
    assert tree_bytes(10, TreeGrowth(6), 10**6) == 10 * (5_000 + 250 * 127)
    assert tree_bytes(10, TreeGrowth(6), 40) == 10 * (5_000 + 250 * 19)


def test_long_words_are_there_more_than_once():
    assert summary_bytes(lambda rows: 100.0, 1e6, 1_000, 1) > 2e8
