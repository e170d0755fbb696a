"""Clients of every kind: what they start, what they say when they cannot."""

from __future__ import annotations

import json
import os
from urllib.request import urlopen

import pytest

from pipeline.cluster import client as clients
from pipeline.cluster import partitions, processes, remote
from pipeline.config.cluster import Cluster
from pipeline.config.model import Config
from pipeline.device.choose import DeviceChoice
from pipeline.errors import ConfigError, DeviceError, InputError, MachineError


def pid_of(_):
    return os.getpid()


def same(_, value):
    return value


def test_cores_are_processes_of_one_thread(two):
    assert clients.is_distributed(two)
    assert list(clients.worker_threads(two).values()) == [1, 1]
    pids = set(partitions.iter_results(two, partitions.map_partitions(range(12), pid_of)))
    assert os.getpid() not in pids


@pytest.mark.parametrize("value", [(), {}, [], (1, 2), {"a": 1}, None])
def test_values_are_shared_whole_between_processes(two, value):
    sent = partitions.broadcast(two, value)
    assert list(partitions.iter_results(two, partitions.map_partitions([0], same, sent))) == [value]


def test_workers_are_all_there_whatever_the_clients_heartbeat_has_just_stored(two, monkeypatch):
    async def heartbeat(n_workers=0):
        two._scheduler_identity = {"workers": {}}

    monkeypatch.setattr(two, "_update_scheduler_info", heartbeat)
    assert len(clients.worker_threads(two)) == 2


def test_process_is_not_spread(client):
    assert not clients.is_distributed(client)


def test_pages_answer_where_they_say(two):
    host = Cluster(kind=two.scheduler.address)
    for cluster in (host, Cluster(kind="cores", dashboard_address="127.0.0.1:0")):
        pages = clients.monitoring_urls(two, cluster)
        assert list(pages) == ["dashboard", "metrics"]
        with urlopen(pages["dashboard"]) as page:
            assert page.status == 200
        with urlopen(pages["metrics"]) as page:
            assert b"dask_scheduler_workers" in page.read()


def test_an_address_is_connected_to_and_left_running(two, tmp_path):
    cluster = Cluster(kind=two.scheduler.address, dashboard=False)
    with clients.connect(cluster, "cpu", 1, tmp_path / "tmp") as own:
        assert len(clients.worker_threads(own)) == 2
        assert clients.monitoring_urls(own, cluster) == {}
    assert len(clients.worker_threads(two)) == 2


@pytest.mark.parametrize("prefix", ["", "file:"])
def test_a_scheduler_file_is_connected_to(two, tmp_path, prefix):
    file = tmp_path / "scheduler.json"
    file.write_text(json.dumps({"address": two.scheduler.address}))
    with clients.connect(Cluster(kind=f"{prefix}{file}"), "cpu", 1, tmp_path / "tmp") as own:
        assert own.scheduler.address == two.scheduler.address


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("tcp://127.0.0.1:1", r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:1' within 1 s"),
        ("tls://127.0.0.1:1", r"(?s)tls://127\.0\.0\.1:1.*certificates"),
        ("file:nowhere.json", r"there is no scheduler file 'nowhere\.json'"),
    ],
)
def test_a_scheduler_that_is_not_there_is_named(tmp_path, kind, text):
    with (
        pytest.raises(MachineError, match=text) as caught,
        clients.connect(Cluster(kind=kind, timeout=1), "cpu", 1, tmp_path / "tmp"),
    ):
        pass
    assert caught.value.status == 3 and caught.value.fix


def test_no_half_made_client_is_left_to_close_itself_later(tmp_path):
    import gc

    from distributed import Client

    def clients_alive():
        return {id(o) for o in gc.get_objects() if isinstance(o, Client)}

    before = clients_alive()
    try:
        with clients.connect(Cluster(kind="tcp://127.0.0.1:1", timeout=1), "cpu", 1, tmp_path):
            pass
    except MachineError as error:
        caught = error
    assert caught.__context__ is None
    assert clients_alive() <= before


def test_too_few_workers_are_counted(two, tmp_path):
    cluster = Cluster(kind=two.scheduler.address, workers=3, timeout=1)
    with (
        pytest.raises(MachineError, match="fewer than 3 workers after 1 s"),
        clients.connect(cluster, "cpu", 1, tmp_path / "tmp"),
    ):
        pass


def test_other_versions_are_named(two, tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "find_versions", lambda names: {"numpy": "0.0.1"})
    cluster = Cluster(kind=two.scheduler.address)
    with (
        pytest.raises(MachineError, match=r"worker tcp:.*(?s:.)*numpy: .* there, 0\.0\.1 here"),
        clients.connect(cluster, "cpu", 1, tmp_path / "tmp"),
    ):
        pass


def test_a_path_that_workers_do_not_see_is_named_with_the_worker(two, tmp_path):
    seen = tmp_path / "a.csv"
    seen.write_text("x\n1\n")
    remote.check_paths(two, [str(seen)], {}, unreachable)
    with pytest.raises(MachineError, match=r"(?s)worker tcp://.*1 of 2 data files.*gone\.csv"):
        remote.check_paths(two, [str(seen), str(tmp_path / "gone.csv")], {}, unreachable)


def unreachable(url, options):
    raise InputError(f"{url} cannot be read, {options}", fix="look for it")


def test_a_url_that_workers_do_not_reach_is_named_with_the_worker(two):
    urls = ["s3://bucket/a.csv", "s3://bucket/b.csv"]
    text = r"worker tcp://.*: s3://bucket/a\.csv cannot be read, \{'anon': True\}"
    with pytest.raises(InputError, match=text) as caught:
        remote.check_paths(two, urls, {"anon": True}, unreachable)
    assert caught.value.fix == "look for it"


@pytest.mark.parametrize(
    ("kind", "device", "used", "told"),
    [
        ("gpus", "cpu", "process", "in place of gpus"),
        ("cores", "gpu", "process", "in place of cores"),
        ("gpus", "gpu", "gpus", ""),
        ("cores", "cpu", "cores", ""),
        ("process", "gpu", "process", ""),
        ("tcp://host:8786", "cpu", "tcp://host:8786", ""),
        ("tcp://host:8786", "gpu", "tcp://host:8786", ""),
    ],
)
def test_a_kind_that_is_not_for_the_device_gives_way_to_one_process(kind, device, used, told):
    asked = Cluster(kind=kind, dashboard=False, workers=3)
    found, why = clients.adapt_to_device(asked, device)
    assert found == asked.model_copy(update={"kind": used})
    assert told in why and bool(why) == bool(told)


def has_gpu(asked):
    return DeviceChoice(asked, "gpu", "asked for: a fake")


def test_the_gpu_is_chosen_only_if_every_worker_has_one(two):
    cluster = Cluster(kind=two.scheduler.address)
    ours = {asked: DeviceChoice(asked, "gpu", "it works: a fake") for asked in ("gpu", "auto")}
    found = remote.choose_worker_device(cluster, ours["gpu"], has_gpu)
    assert found == DeviceChoice("gpu", "gpu", "it works: a fake; 2 workers with one each")
    try:
        import cudf  # noqa: F401

        pytest.skip("the workers have RAPIDS")
    except ImportError:
        pass
    with pytest.raises(DeviceError, match=r"worker tcp://.*: device: gpu, but ") as caught:
        remote.choose_worker_device(cluster, ours["gpu"])
    assert "--device cpu" in caught.value.fix
    found = remote.choose_worker_device(cluster, ours["auto"])
    assert found.name == "cpu" and found.reason.startswith("worker tcp://")


def test_workers_are_not_asked_for_a_gpu_where_this_process_has_none():
    ours = DeviceChoice("auto", "cpu", "no GPU: none")
    assert remote.choose_worker_device(Cluster(kind="tcp://127.0.0.1:1"), ours) is ours


def test_gpus_without_dask_cuda_say_so(tmp_path):
    pytest.importorskip("dask")
    try:
        import dask_cuda  # noqa: F401

        pytest.skip("dask-cuda is installed")
    except ImportError:
        pass
    with (
        pytest.raises(MachineError, match="needs dask-cuda"),
        clients.connect(Cluster(kind="gpus", dashboard=False), "gpu", 1, tmp_path / "tmp"),
    ):
        pass


def test_gpu_options_are_those_of_local_cuda_cluster():
    plain = processes.gpu_options(Cluster(kind="gpus"))
    assert plain["rmm_async"] and plain["enable_cudf_spill"] and plain["protocol"] == "tcp"
    assert plain["rmm_pool_size"] is None and plain["CUDA_VISIBLE_DEVICES"] is None
    asked = {"devices": [0, 2], "protocol": "ucx", "pool": "pool", "ucx": {"nvlink": True}}
    cluster = Config.parse(
        {"data": {"path": "x", "target": "y"}, "cluster": {"kind": "gpus", "gpus": asked}}
    ).cluster
    options = processes.gpu_options(cluster)
    assert options["CUDA_VISIBLE_DEVICES"] == "0,2"
    assert options["rmm_pool_size"] == 0.5 and not options["rmm_async"]
    assert options["enable_nvlink"] is True and options["enable_tcp_over_ucx"] is None


@pytest.mark.parametrize("kind", ["core", "http://x", "tcp:/x"])
def test_kinds_that_are_none_are_refused(kind):
    with pytest.raises(ConfigError, match=r"cluster\.kind"):
        Config.parse({"data": {"path": "x", "target": "y"}, "cluster": kind})
