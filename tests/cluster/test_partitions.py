"""Partitions: mapped, held, reduced in order, regrouped; errors come out as they were raised."""

from __future__ import annotations

import time
import weakref

import numpy as np
import pandas as pd
import pytest

from pipeline.cluster import client as clients
from pipeline.cluster import partitions
from pipeline.config.cluster import Cluster
from pipeline.device import cpu
from pipeline.errors import DataError


def doubled(number, factor):
    return number * factor


def paired(number, value):
    return number, value


MADE = []
ALIVE = []


def remembered(number):
    array = np.full(10, number)
    ALIVE.append(weakref.ref(array))
    return array


def summed(array):
    return int(array.sum())


def noted(number):
    MADE.append(number)
    return number


def listed(number):
    return [number]


def joined(a, b):
    return a + b


def refused(number):
    if number == 3:
        raise DataError("row 3 is bad", examples=["x"], fix="mend it")
    return number


def marked(number, folder):
    (folder / str(number)).touch()
    return number


def made(folder):
    return sorted(int(path.name) for path in folder.iterdir())


def test_the_next_values_are_made_in_the_background_and_no_more_than_these(client, tmp_path):
    parts = partitions.map_partitions(range(12), marked, tmp_path)
    found = partitions.iter_results(client, parts, ahead=3)
    assert made(tmp_path) == [], "nothing is made before the first is asked for"
    for number in range(4):
        assert next(found) == number
        deadline = time.monotonic() + 120
        while len(made(tmp_path)) < number + 4 and time.monotonic() < deadline:
            time.sleep(0.01)  # the caller is at work on its value
        time.sleep(0.2)
        assert made(tmp_path) == list(range(number + 4))
    assert list(found) == list(range(4, 12))


@pytest.mark.parametrize("count", [1, 3, 17, 100])
def test_reduce_keeps_partition_order(client, count):
    parts = partitions.map_partitions(range(count), doubled, 2)
    found = partitions.reduce_partitions(client, parts, listed, joined)
    assert found == [2 * i for i in range(count)]


@pytest.mark.parametrize("value", [(), {}, [], (1, 2), {"a": 1}, None])
def test_values_of_any_type_are_shared_whole(client, value):
    sent = partitions.broadcast(client, value)
    assert list(partitions.iter_results(client, partitions.map_partitions([0], paired, sent))) == [
        (0, value)
    ]


def test_shared_values_are_not_copied_within_the_process(client):
    big = np.arange(10)
    sent = partitions.broadcast(client, {"big": big})
    parts = partitions.persist(client, partitions.map_partitions([0], pick, sent))
    assert next(partitions.iter_results(client, parts)) is big


def pick(_, value):
    return value["big"]


def test_partitions_that_are_not_held_are_made_again_at_each_pass(client):
    MADE.clear()
    parts = partitions.map_partitions(range(3), noted)
    assert list(partitions.iter_results(client, parts)) == [0, 1, 2]
    assert partitions.reduce_partitions(client, parts, listed, joined) == [0, 1, 2]
    assert sorted(MADE) == [0, 0, 1, 1, 2, 2]


def test_held_results_stay_and_can_be_used_twice(client):
    parts = partitions.persist(client, partitions.map_partitions(range(5), doubled, 3))
    assert list(partitions.iter_results(client, parts)) == [0, 3, 6, 9, 12]
    again = partitions.map_partitions(parts, doubled, 10)
    assert list(partitions.iter_results(client, again)) == [0, 30, 60, 90, 120]


@pytest.mark.parametrize("way", ["held", "reduced", "results"])
def test_an_error_in_a_task_is_raised_here_as_it_was(client, way):
    parts = partitions.map_partitions(range(6), refused)
    with pytest.raises(DataError, match="row 3 is bad") as caught:
        if way == "held":
            partitions.persist(client, parts)
        elif way == "reduced":
            partitions.reduce_partitions(client, parts, listed, joined)
        else:
            list(partitions.iter_results(client, parts))
    assert caught.value.fix == "mend it"
    assert caught.value.examples == ("x",)


def key_of(frame):
    return frame["k"].to_numpy() % 4 << 30


@pytest.mark.parametrize("count", [1, 2, 5])
def test_regrouped_brings_the_rows_of_a_group_together(client, count):
    rng = np.random.default_rng(0)
    frames = []
    for start in range(0, 500, 100):
        index = np.arange(start, start + 100)
        word = pd.Categorical([f"w{start}", None] * 50)
        own = {"_partitions": index, "__group__": index, "group": 1}  # names of Dask's, and ours
        frames.append(pd.DataFrame({"k": rng.integers(0, 9, 100), "t": word, **own}, index=index))
    chosen = np.array_split(np.arange(5), count)
    frames = [cpu.concat([frames[i] for i in some]) for some in chosen]
    parts = partitions.persist(
        client, partitions.map_partitions(range(len(frames)), frames.__getitem__)
    )
    meta = frames[0].iloc[:0]
    found = partitions.shuffle_by_group(parts, meta, key_of, device="cpu")
    moved = list(partitions.iter_results(client, found))
    assert sum(map(len, moved)) == 500
    seen = [set(f["k"] % 4) for f in moved]
    assert all(not a & b for i, a in enumerate(seen) for b in seen[:i])
    whole = pd.concat([f.astype({"t": object}) for f in moved])
    before = pd.concat([f.astype({"t": object}) for f in frames])
    order = np.lexsort((before.index, before["k"] % 4))  # whatever the partitions
    pd.testing.assert_frame_equal(whole, before.iloc[order], check_index_type=False)


def test_dashboard_moves_to_another_port_when_its_own_is_taken():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        cluster = Cluster(dashboard_address=f"127.0.0.1:{port}")
        assert clients.choose_dashboard_address(cluster) == "127.0.0.1:0"


def test_nothing_listens_beyond_this_machine(client):
    import psutil

    open_ports = [c.laddr for c in psutil.Process().net_connections("inet") if c.status == "LISTEN"]
    assert all(address.ip == "127.0.0.1" for address in open_ports), open_ports


def test_without_dashboard_there_is_none(client):
    from urllib.error import HTTPError
    from urllib.request import urlopen

    assert clients.dashboard_url(client, Cluster(dashboard=False)) is None
    port = client.cluster.scheduler.http_server.port
    with pytest.raises(HTTPError, match="404"):
        urlopen(f"http://127.0.0.1:{port}/status")


def test_the_dashboard_answers_where_it_says(tmp_path):
    from urllib.request import urlopen

    cluster = Cluster(dashboard_address="127.0.0.1:0")
    with (
        clients.connect(cluster, "cpu", 1, tmp_path / "tmp") as own,
        urlopen(clients.dashboard_url(own, cluster)) as page,
    ):
        assert page.status == 200


def test_held_partitions_go_once_others_are_made_of_them(client):
    ALIVE.clear()
    first = partitions.persist(client, partitions.map_partitions(range(5), remembered))
    assert all(array() is not None for array in ALIVE)
    made = partitions.persist(client, partitions.map_partitions(first, summed), instead_of=first)
    assert list(partitions.iter_results(client, made)) == [0, 10, 20, 30, 40]
    deadline = time.monotonic() + 120  # the scheduler tells the worker in its own time
    while any(array() is not None for array in ALIVE) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [array() for array in ALIVE] == [None] * 5
    assert len(first) == 0


def test_held_partitions_stay_unless_they_are_let_go(client):
    ALIVE.clear()
    first = partitions.persist(client, partitions.map_partitions(range(3), remembered))
    partitions.persist(client, partitions.map_partitions(first, summed))
    assert list(partitions.iter_results(client, partitions.map_partitions(first, summed))) == [
        0,
        10,
        20,
    ]
    assert len(ALIVE) == 3
