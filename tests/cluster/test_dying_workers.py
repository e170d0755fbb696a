"""Workers that die: features go on, a training that all do together ends with a clear error."""

from __future__ import annotations

import json
import os
import re
import threading
import time

import psutil
import pytest
from test_xgb_workers import feed_of, partition, trained

from pipeline.cluster import gang_tasks, partitions
from pipeline.cluster.client import connect
from pipeline.config.cluster import Cluster
from pipeline.errors import MachineError
from pipeline.train.xgboost import checkpointing


@pytest.fixture
def fragile(tmp_path):
    """Two processes that a test may kill, each once: a nanny whose worker dies while it starts
    may give it up (distributed 2026.7.1)."""
    cluster = Cluster(kind="cores", workers=2, dashboard=False)
    with connect(cluster, "cpu", 2, tmp_path / "dask" / "tmp") as client:
        yield client


def pids(client):
    return list(client.run(os.getpid).values())


def kill(pid):
    os.kill(pid, 9)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=5)


def slow_partition(i):
    time.sleep(0.1)
    return partition(i)


def checked(found, value):
    assert value == 5
    return found


def rows_of(found):
    return len(found["train"].x)


def add(a, b):
    return a + b


def test_partitions_of_a_worker_that_dies_are_made_again(fragile):
    sent = partitions.broadcast(fragile, 5)
    first, second = pids(fragile)
    killer = threading.Timer(0.3, kill, [first])
    killer.start()
    made = partitions.map_partitions(
        partitions.map_partitions(range(8), slow_partition), checked, sent
    )
    held = partitions.persist(fragile, made)
    del made, sent  # what the partitions are made of must outlive our own names for it
    killer.join()
    assert partitions.reduce_partitions(fragile, held, rows_of, add) == 8 * 1500
    kill(second)
    assert partitions.reduce_partitions(fragile, held, rows_of, add) == 8 * 1500


@pytest.mark.slow
def test_a_training_goes_on_from_its_last_segment_when_a_worker_dies(
    fragile, tmp_path, monkeypatch
):
    monkeypatch.setattr(gang_tasks, "POLL", 0.1)
    first = pids(fragile)[0]
    feed = feed_of(
        fragile, partitions.persist(fragile, partitions.map_partitions(range(8), partition))
    )
    killed = []

    def tell(text, *counts):
        if not killed and (tmp_path / checkpointing.STATE).exists():
            killed.append(first)
            os.kill(first, 9)

    params = {"rounds": 800, "max_depth": 4, "early_stopping": 0, "learning_rate": 0.02}
    fitted = trained(feed, progress=tell, checkpoint=tmp_path, **params)
    assert killed
    (lost,) = [note for note in fitted.notes if "resumed from round" in note]
    assert re.search(r"worker tcp://.* ended .*: the others resumed from round \d+$", lost)
    assert sum("boost together" in note for note in fitted.notes) == 2
    assert fitted.rounds == len(fitted.history["valid"]["logloss"]) == 800
    state = json.loads((tmp_path / checkpointing.STATE).read_text())
    assert state["done"] and state["model"] == "rounds-00800.ubj"


def test_a_worker_that_dies_before_a_segment_ends_ends_the_training(fragile):
    first = pids(fragile)[0]
    feed = feed_of(
        fragile, partitions.persist(fragile, partitions.map_partitions(range(8), partition))
    )
    dead = []

    def tell(text, done, planned):
        if text.startswith("round 20,") and not dead:
            dead.append(time.monotonic())
            os.kill(first, 9)

    with pytest.raises(MachineError, match="ended during XGBoost's training") as caught:
        trained(feed, progress=tell, rounds=20_000, max_depth=8, early_stopping=0)
    assert time.monotonic() - dead[0] < 120  # it does not hang
    assert caught.value.fix and caught.value.status == 3
