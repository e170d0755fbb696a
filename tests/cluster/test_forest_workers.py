"""The forest grown by two processes, against one process."""

from __future__ import annotations

import numpy as np
import pytest
from test_xgb_workers import BINARY, FEATURES, auc, feed_of, held_by, partition, scores_of, trained

from pipeline.matrix import Matrix, Target
from pipeline.train import model_io
from pipeline.train.feed import PartitionedFeed
from pipeline.train.forest import distributed

TREES = {"trees": 20, "max_depth": 8, "min_samples_leaf": 5}


@pytest.mark.parametrize("enough", [200_000, 100])
def test_two_processes_grow_the_forest_of_one(two, client, tmp_path, monkeypatch, enough):
    monkeypatch.setattr(distributed, "ENOUGH", enough)
    here, there = (feed_of(c, held_by(c, partition)) for c in (client, two))
    alone, fitted = (trained(feed, "forest", **TREES) for feed in (here, there))
    share = "9,000" if enough > 9000 else "about 4,500"
    assert f"2 workers grow trees, each on {share} of 9,000 training rows" in fitted.notes
    assert fitted.rounds == 20
    assert sum(fitted.importances.values()) == pytest.approx(1)
    ours, theirs = scores_of(there, fitted), scores_of(here, alone)
    assert auc(ours) == pytest.approx(auc(theirs), abs=0.005)
    if enough > 9000:
        assert fitted.details["fill"] == alone.details["fill"]
    model_io.save(fitted, tmp_path)
    (tmp_path / "forest.json").stat()
    again = trained(there, "forest", **TREES)
    assert again.content == fitted.content


def rare(i):
    """Three classes, of which the last has a single row."""
    found = partition(i)
    train = found["train"]
    label = train.label.copy()
    if i == 2:
        label[5] = 2
    return {**found, "train": Matrix(train.x, label, None, train.ids)}


def test_a_class_that_one_worker_lacks_is_known_to_all_trees(two, monkeypatch):
    monkeypatch.setattr(distributed, "ENOUGH", 100)
    feed = feed_of(two, held_by(two, rare))
    feed = PartitionedFeed(
        two, feed.parts, FEATURES, Target("multiclass", ("a", "b", "c")), "cpu", feed.counts
    )
    fitted = trained(feed, "forest", **TREES)
    scores = scores_of(feed, fitted).score["m"]
    assert scores.shape == (2400, 3)
    assert np.allclose(scores.sum(axis=1), 1, atol=1e-5)


def number(i):
    found = partition(i)
    return {w: m._replace(label=m.x[:, 0].astype("float64") * 2) for w, m in found.items()}


def test_a_regression_and_fewer_trees_than_workers(two):
    feed = feed_of(two, held_by(two, number, 1))
    feed = PartitionedFeed(two, feed.parts, FEATURES, Target("regression"), "cpu", feed.counts)
    fitted = trained(feed, "forest", trees=1, max_depth=8)
    found = scores_of(feed, fitted)
    assert np.corrcoef(found.score["m"], found.label)[0, 1] > 0.9


def one_class(i):
    found = partition(i)
    return {w: m._replace(label=m.label * 0) for w, m in found.items()}


def test_a_single_class_is_always_predicted(two):
    feed = feed_of(two, held_by(two, one_class, 2))
    fitted = trained(feed, "forest", **TREES)
    assert fitted.target == BINARY and fitted.name == "forest"
    assert (scores_of(feed, fitted).score["m"] == 0).all()


def infinite(i):
    found = partition(i)
    if i == 1:
        found["train"].x[3, 1] = np.inf
    return found


def test_infinite_values_are_named(two):
    from pipeline.errors import DataError

    with pytest.raises(DataError, match="'b' has infinite values"):
        trained(feed_of(two, held_by(two, infinite, 2)), "forest", **TREES)


def test_a_forest_that_has_scored_can_still_be_sent(two):
    from distributed.protocol.pickle import dumps, loads

    feed = feed_of(two, held_by(two, partition, 2))
    fitted = trained(feed, "forest", trees=2)
    x = partition(0)["test"].x
    few, many = fitted.predict(x[:5]), fitted.predict(np.concatenate([x] * 3))
    again = loads(dumps(fitted))
    assert (again.predict(x[:5]) == few).all()
    assert (again.predict(np.concatenate([x] * 3)) == many).all()
