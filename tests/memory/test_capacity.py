"""What workers may hold together: their limits, or what their hosts have."""

from __future__ import annotations

import pytest

from pipeline.config.cluster import Cluster, Memory
from pipeline.errors import MachineError
from pipeline.memory.cluster_capacity import check_workers, host_capacity
from pipeline.memory.estimate import LEARNERS
from pipeline.memory.planner import available_memory

GB = 10**9
ELSEWHERE = Cluster(kind="tcp://somewhere:8786")


class Fake:
    """A client of workers given as (host, limit), on hosts of 32 GB."""

    def __init__(self, *workers):
        self.workers = {
            f"tcp://{host}:{i}": {"host": host, "memory_limit": limit}
            for i, (host, limit) in enumerate(workers)
        }
        self.scheduler = self

    def identity(self, n_workers):
        assert n_workers == -1
        return {"workers": self.workers}

    def sync(self, function, **options):
        return function(**options)

    def run(self, function):
        assert function is available_memory
        return dict.fromkeys(self.workers, 32 * GB)


@pytest.mark.parametrize(
    ("workers", "all_of_it"),
    [
        ([("a", 10 * GB), ("b", 20 * GB)], 30 * GB),
        ([("a", 30 * GB), ("a", 30 * GB)], 32 * GB),  # more than the host has
        ([("a", 0), ("a", 0), ("b", 4 * GB)], 36 * GB),  # a limit of 0 is none
    ],
)
def test_limits_add_up_host_by_host(workers, all_of_it):
    found = host_capacity(Fake(*workers), ELSEWHERE, Memory(host="1GB"))
    assert found == int(0.7 * all_of_it) - (len(workers) - 1) * LEARNERS


def test_processes_of_this_host_keep_to_memory_host(two):
    free = host_capacity(two, Cluster(kind="cores"), Memory())
    assert free == int(0.7 * available_memory()) - LEARNERS
    bounded = host_capacity(two, Cluster(kind="cores"), Memory(host="1GB"))
    assert bounded == min(free, GB - LEARNERS)


def test_more_processes_than_memory_has_room_for_are_refused():
    crowd = Cluster(kind="cores", workers=10_000)
    with pytest.raises(MachineError, match="10,000 processes need 3150.00 GB for their libraries"):
        check_workers(crowd, Memory(host="16GB"), 2)
    with pytest.raises(MachineError, match=r"cluster\.workers: 64 processes need"):
        check_workers(Cluster(kind="cores"), Memory(host="700MB"), 64)
    check_workers(Cluster(kind="cores"), Memory(host="700MB"), 2)
    check_workers(Cluster(kind="cores", threads=32), Memory(host="700MB"), 64)
    check_workers(crowd.model_copy(update={"kind": "tcp://h:8786"}), Memory(host="64MB"), 2)
