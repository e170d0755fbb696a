"""A worker whose CUDA context is lost ends, and what it was to do is done by the next one."""

from __future__ import annotations

import os
import sys

import psutil
import pytest
from distributed import KilledWorker

from pipeline.cluster import partitions
from pipeline.cluster.client import connect
from pipeline.config.cluster import Cluster

LOST = "CUDA error encountered at: x.cu:42: 700 cudaErrorIllegalAddress"


def failing(number, folder, times):
    """The process that did it; it loses its context the first times that it is asked."""
    sys.modules.setdefault("pipeline.device.gpu.frames", sys)  # this process has used a GPU
    marks = len(os.listdir(folder))
    if number == 1 and marks < times:
        open(os.path.join(folder, str(marks)), "w").close()
        raise RuntimeError(LOST)
    return os.getpid()


@pytest.fixture
def two_processes(tmp_path):
    """Two: a nanny may give up a worker that starts slowly, and the other one then does it all."""
    cluster = Cluster(kind="cores", workers=2, dashboard=False)
    with connect(cluster, "cpu", 2, tmp_path / "dask" / "tmp") as client:
        yield client


def made(client, folder, times):
    folder.mkdir()
    parts = partitions.map_partitions(range(3), failing, str(folder), times)
    return list(partitions.iter_results(client, parts))


def test_the_worker_ends_and_the_run_goes_on(two_processes, tmp_path):
    before = set(two_processes.run(os.getpid).values())
    found = made(two_processes, tmp_path / "marks", 1)
    assert len(found) == 3
    gone = [pid for pid in before if not psutil.pid_exists(pid)]
    assert len(gone) == 1 and found[1] not in gone


def test_a_gpu_that_fails_each_time_ends_the_run(two_processes, tmp_path):
    two_processes.cluster.scheduler.allowed_failures = 0  # 3 by default: three more processes
    with pytest.raises(KilledWorker):  # `connected` makes a MachineError of it
        made(two_processes, tmp_path / "marks", 100)


def test_a_worker_within_this_process_stays(client, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pipeline.device.gpu.frames", sys)
    with pytest.raises(RuntimeError, match="cudaErrorIllegalAddress"):
        made(client, tmp_path / "marks", 1)
