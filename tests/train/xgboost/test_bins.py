"""Bins on disk make the model of bins in memory, and leave nothing behind."""

import gc

import numpy as np
import pytest
from list_feed import TARGETS, feed_of

from pipeline.memory import estimate
from pipeline.train import model
from pipeline.train.fitted_model import TrainingOptions
from pipeline.train.model import parse_models
from pipeline.train.xgboost import quantile_matrix


@pytest.fixture(autouse=True)
def small_pages(monkeypatch):
    monkeypatch.setattr(quantile_matrix, "page_rows", lambda rows, features: 250)


@pytest.fixture(autouse=True)
def no_file_is_missed_by_xgboost(recwarn):
    yield
    gc.collect()
    assert not [w for w in recwarn if "cache file" in str(w.message)]


def fit(feed, cache=None, progress=lambda *_: None, **params):
    known = {"rounds": 30, "max_depth": 4, "early_stopping": 0}
    parsed = parse_models({"xgboost": {**known, **params}})["xgboost"]
    return model.train(
        "xgboost", parsed, feed, TrainingOptions(0, 2, cache=cache, progress=progress)
    )


def raw(fitted):
    return bytes(fitted.content.save_raw("ubj"))


@pytest.mark.parametrize("task", list(TARGETS))
@pytest.mark.parametrize("blocks", [1, 17])
def test_the_model_of_bins_on_disk_is_that_of_bins_in_memory(tmp_path, task, blocks):
    feed = feed_of(task).split(blocks)
    held = fit(feed)
    seen = []

    def look(*_):
        seen.append(sum(1 for _ in (tmp_path / "bins").iterdir()))

    paged = fit(feed, cache=tmp_path / "bins", progress=look)
    assert raw(paged) == raw(held)
    assert paged.history == held.history
    assert set(seen) == {2}, "a file for each set"
    assert any(note.startswith("bins on disk: 0.00 GB") for note in paged.notes)
    assert not list(tmp_path.iterdir())


def test_bins_of_a_sample_with_weights_on_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(quantile_matrix, "EXACT_BELOW", 1000)
    monkeypatch.setattr(quantile_matrix, "BIN_ROWS", 500)
    feed, options = feed_of("binary", 1500).split(5), {"class_weight": "balanced"}
    assert raw(fit(feed, cache=tmp_path / "bins", **options)) == raw(fit(feed, **options))


def test_a_training_that_fails_leaves_no_bins(tmp_path):
    def fail(*_):
        assert list((tmp_path / "bins").iterdir())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(feed_of("binary"), cache=tmp_path / "bins", progress=fail)
    assert not list(tmp_path.iterdir())


def test_pages_are_blocks_put_together():
    feed = feed_of("regression", 1000).split(9)
    found = list(
        quantile_matrix._iter_pages(
            lambda: feed.blocks("train"), 300, quantile_matrix.frames_of("cpu").xp
        )
    )
    assert [len(page.x) for page in found] == [333 + 1, 333, 333]
    assert [i for page in found for i in page.ids] == list(range(1000))


def test_pages_are_as_large_as_costs_least_memory():
    def cost(size, rows, features):
        return rows / size * estimate.PAGE_NODES + size * features * estimate.PAGE_VALUE

    for rows, features in ((1_000_000, 22), (126_000_000, 22), (10_000_000, 1000)):
        best = estimate.page_rows(rows, features)
        assert cost(best, rows, features) < cost(1.1 * best, rows, features)
        assert cost(best, rows, features) < cost(0.9 * best, rows, features)


def test_a_worker_without_rows_trains_on_one_that_counts_for_nothing():
    block = next(iter(feed_of("binary").blocks("train")))
    empty = type(block)(*(None if column is None else column[:0] for column in block))
    width = block.x.shape[1]
    blocks = list(quantile_matrix._iter_some_rows(lambda: iter([empty, block, empty]), width, np))
    assert len(blocks) == 1 and blocks[0] is block
    (row,) = quantile_matrix._iter_some_rows(lambda: iter([empty]), width, np)
    assert row.x.shape == (1, width) and np.isnan(row.x).all()
    assert row.weight.tolist() == [0]
