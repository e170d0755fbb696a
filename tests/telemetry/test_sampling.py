"""The GPUs of a run's workers are sampled: here through NVML, elsewhere through heartbeats."""

import sys
import threading
from pathlib import Path

import pytest
from distributed import Client, LocalCluster

from pipeline.config.cluster import Cluster
from pipeline.device.probe import Gpu, Probe
from pipeline.telemetry import gpu_sampler
from pipeline.telemetry.gpu_timeline import Timeline

sys.path.insert(0, str(Path(__file__).parents[1] / "device"))
from fake_nvml import Nvml, working  # noqa: E402

UUIDS = ["GPU-0", "GPU-1"]


class Recorded(Timeline):
    """A time line that signals when it has enough samples."""

    def __init__(self, path, wanted):
        super().__init__(path)
        self.samples, self.wanted, self.enough = 0, wanted, threading.Event()

    def add_sample(self, usages, at):
        super().add_sample(usages, at)
        self.samples += bool(usages)
        if self.samples >= self.wanted:
            self.enough.set()


@pytest.fixture
def machine(monkeypatch):
    """Two GPUs; `probe` is asked with or without an environment of its own."""
    nvml = Nvml({uuid: working() for uuid in UUIDS})
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    gpus = tuple(Gpu(i, uuid, "H200", 9, 9, (9, 0)) for i, uuid in enumerate(UUIDS))

    def probe(environ=None):
        chosen = (environ or {}).get("CUDA_VISIBLE_DEVICES", "0,1").split(",")
        return Probe(tuple(g for g in gpus if str(g.index) in chosen), None)

    monkeypatch.setattr(gpu_sampler, "probe_gpus", probe)
    return nvml


def test_on_the_cpu_nothing_is_asked_and_nothing_is_left(tmp_path, machine):
    timeline = Timeline(tmp_path / "gpu.json")
    threads = threading.active_count()
    with gpu_sampler.record_gpus(None, Cluster(), "cpu", timeline):
        assert threading.active_count() == threads
    assert (machine.users, machine.asked, timeline.latest) == (0, 0, ())
    assert timeline.take_summary() == {} and not timeline.path.exists()


@pytest.mark.parametrize(
    ("cluster", "seen"),
    [
        (Cluster(), ["0", "1"]),
        (Cluster(kind="gpus"), ["0", "1"]),
        (Cluster(kind="gpus", gpus={"devices": ["1"]}), ["1"]),
    ],
)
def test_gpus_of_this_host_are_asked_of_nvml(tmp_path, machine, cluster, seen):
    timeline = Recorded(tmp_path / "gpu.json", 1)
    with gpu_sampler.record_gpus(None, cluster, "gpu", timeline):
        assert timeline.enough.wait(120)
    assert [usage.gpu for usage in timeline.latest] == seen
    assert machine.users == 0
    assert timeline.path.exists()


def test_workers_elsewhere_tell_of_their_gpu(tmp_path, machine, monkeypatch):
    monkeypatch.setattr(gpu_sampler, "FAR_SECONDS", 0.05)
    timeline = Recorded(tmp_path / "gpu.json", 3)
    local = LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    )  # fmt: skip
    with local, Client(local) as client:
        workers = list(local.workers.values())
        cluster = Cluster(kind="tcp://elsewhere:8786")
        with gpu_sampler.record_gpus(client, cluster, "gpu", timeline):
            assert timeline.enough.wait(120)
            assert all(worker.metrics for worker in workers)
        assert not any(worker.metrics for worker in workers)
    told = {usage.gpu: usage for usage in timeline.latest}
    assert set(told) <= {worker.address for worker in workers}
    assert {(u.name, u.busy, u.watts, u.received) for u in told.values()} == {
        ("H200", 0.85, 431.5, 24_000_000_000)
    }
    assert machine.users == 0


def test_a_worker_that_has_not_told_yet_is_left_out():
    facts = {"tcp://b:1": {"metrics": {"m": [{"gpu": "0", "name": "L4", "used": 7}]}},
             "tcp://a:1": {"metrics": {}}}  # fmt: skip
    (only,) = gpu_sampler.worker_usages(facts, "m")
    assert (only.gpu, only.name, only.used, only.busy) == ("tcp://b:1", "L4", 7, None)
