"""XGBoost trained by two processes together, against one process."""

from __future__ import annotations

import json
import re
import time

import numpy as np
import pytest
from distributed import futures_of, wait

from pipeline.cluster import gang_tasks, partitions
from pipeline.cluster.client import worker_threads
from pipeline.errors import DataError, MachineError
from pipeline.matrix import Feature, Matrix, Target
from pipeline.train import golden, model
from pipeline.train.feed import PartitionedFeed, score_sets
from pipeline.train.fitted_model import TrainingOptions
from pipeline.train.model import parse_models
from pipeline.train.xgboost import checkpointing, distributed

FEATURES = (Feature("a", "q"), Feature("b", "q"), Feature("c", "c", 4))
BINARY = Target("binary", ("n", "y"))
SIZES = {"train": 1500, "valid": 300, "test": 400}
PARAMS = {"rounds": 30, "max_depth": 3, "learning_rate": 0.3, "early_stopping": 10}


def partition(i, skip=()):
    """Three sets of rows, or those that are not skipped."""
    rng, found = np.random.default_rng(i), {}
    for s, (which, n) in enumerate(SIZES.items()):
        x = rng.normal(size=(n, 3)).astype("float32")
        x[:, 2] = rng.integers(0, 4, n)
        odds = x[:, 0] * 1.5 + (x[:, 2] == 1)
        x[rng.random(n) < 0.1, 1] = np.nan
        label = (odds + rng.normal(size=n) > 0.5).astype("float64")
        if which not in skip:
            found[which] = Matrix(x, label, None, np.arange(n) + 10_000 * i + 3_000 * s)
    return found


def broken(i):
    found = partition(i)
    if i == 3:
        found["train"].x[7, 0] = np.inf
    return found


def held_by(client, function, n=6):
    return partitions.persist(client, partitions.map_partitions(range(n), function))


def feed_of(client, parts, skipped=()):
    counts = dict.fromkeys(SIZES, 0)
    for i in range(len(parts)):
        for which, n in SIZES.items():
            counts[which] += n * (i not in skipped)
    return PartitionedFeed(client, lambda *sets: parts, FEATURES, BINARY, "cpu", counts)


def trained(feed, name="xgboost", progress=lambda *_: None, checkpoint=None, **params):
    parsed = parse_models({name: params or PARAMS})[name]
    options = TrainingOptions(0, 1, progress=progress, checkpoint=checkpoint)
    return model.train(name, parsed, feed, options)


def scores_of(feed, fitted, which="test"):
    return score_sets(feed, [which], {"m": fitted.predict})[which]


def auc(scores):
    from sklearn.metrics import roc_auc_score

    return roc_auc_score(scores.label, scores.score["m"])


@pytest.fixture(scope="module")
def alone(client):
    feed = feed_of(client, held_by(client, partition))
    return feed, trained(feed)


def test_two_processes_train_the_model_of_one(two, alone):
    feed = feed_of(two, held_by(two, partition))
    assert feed.is_distributed
    told = []
    fitted = trained(feed, progress=lambda *event: told.append(event))
    assert "2 of 2 workers boost together" in fitted.notes
    assert fitted.rounds == fitted.content.num_boosted_rounds() <= 30
    assert len(fitted.history["valid"]["logloss"]) <= 30
    time.sleep(0.2)
    assert told and told[0][0].startswith("round 1, valid logloss") and told[0][1:] == (1, 30)
    ours, theirs = scores_of(feed, fitted), scores_of(*alone)
    assert (ours.ids == theirs.ids).all() and (ours.label == theirs.label).all()
    assert auc(ours) == pytest.approx(auc(theirs), abs=0.005)
    one, other = golden.choose_rows(feed, 20, 0), golden.choose_rows(alone[0], 20, 0)
    assert np.array_equal(one, other, equal_nan=True)


def test_a_worker_that_holds_all_partitions_shares_them(two):
    first, second = worker_threads(two)
    tasks = partitions.map_partitions(range(7), partition).make_tasks()
    kept = two.persist(tasks, workers=[first])
    wait(kept)
    found = gang_tasks.assign_members(two, partitions.Partitions(list(kept)))
    assert {m.address: m.positions for m in found} == {first: (0, 2, 4, 6), second: (1, 3, 5)}


def test_partitions_lie_where_they_did_in_every_run(two):
    first, second = worker_threads(two)
    for _ in range(3):
        parts = held_by(two, partition, 5)
        futures = [futures_of(item)[0] for item in parts.items]
        holders = two.who_has(futures)
        assert [holders[f.key] for f in futures] == [(a,) for a in (first, second) * 2 + (first,)]
        assert [m.positions for m in gang_tasks.assign_members(two, parts)] == [(0, 2, 4), (1, 3)]


def test_a_stopped_training_resumes_from_a_segment_to_the_same_bytes(two, tmp_path, monkeypatch):
    feed = feed_of(two, held_by(two, partition))
    params = {**PARAMS, "rounds": 400, "subsample": 0.5, "early_stopping": 0}
    whole = trained(feed, **params)
    save = checkpointing.save_state

    def full(plan, folder, notes, state):
        if state.done:
            raise MachineError("the disk is full")
        save(plan, folder, notes, state)

    monkeypatch.setattr(gang_tasks, "POLL", 0.05)
    monkeypatch.setattr(checkpointing, "save_state", full)
    with pytest.raises(MachineError, match="the disk is full"):
        trained(feed, checkpoint=tmp_path, **params)
    assert 1 <= json.loads((tmp_path / checkpointing.STATE).read_text())["segments"] < 6
    monkeypatch.undo()
    resumed = trained(feed, checkpoint=tmp_path, **params)
    assert any(re.match(r"resumed from round \d+ of 400", note) for note in resumed.process_notes)
    assert resumed.content.save_raw("ubj") == whole.content.save_raw("ubj")
    assert resumed.history == whole.history
    again = trained(feed, checkpoint=tmp_path, progress=lambda *a: pytest.fail("trains"), **params)
    assert again.content.save_raw("ubj") == whole.content.save_raw("ubj")


def test_a_cluster_without_workers_is_said(two, monkeypatch):
    feed = feed_of(two, held_by(two, partition, 2))

    def nobody(count, timeout):
        assert timeout == distributed.BOOTSTRAP
        raise TimeoutError

    monkeypatch.setattr(two, "wait_for_workers", nobody)
    with pytest.raises(MachineError, match="no worker is left"):
        trained(feed)


def test_scores_on_workers_are_those_of_one_process(two, alone):
    feed = feed_of(two, held_by(two, partition))
    here, there = (scores_of(f, alone[1], "valid").score["m"] for f in (alone[0], feed))
    assert (here == there).all()


def lopsided(i):
    return partition(i, skip=() if i == 0 else ("train", "valid"))


def test_workers_without_rows_of_a_set_take_part(two):
    parts = held_by(two, lopsided, 4)
    counts = {"train": 1500, "valid": 300, "test": 1600}
    feed = PartitionedFeed(two, lambda *sets: parts, FEATURES, BINARY, "cpu", counts)
    fitted = trained(feed, **PARAMS, class_weight="balanced")
    assert auc(scores_of(feed, fitted)) > 0.8


def test_bad_values_in_one_process_are_named(two):
    feed = feed_of(two, held_by(two, broken))
    started = time.monotonic()
    with pytest.raises(DataError, match="'a' has infinite values in the train set"):
        trained(feed)
    assert time.monotonic() - started < 120  # it does not hang
