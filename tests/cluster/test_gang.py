"""Tasks that run together: of several errors, the one that tells what was the matter."""

from types import SimpleNamespace

import pytest

from pipeline.cluster import gang_tasks, gpu_worker_failure
from pipeline.errors import DataError

NCCL = RuntimeError("NCCL failure: unhandled cuda error")
GONE = RuntimeError("[12:00:00] comm.cc:290: worker 0 got a broken connection from rank 1")
FULL = MemoryError(
    "std::bad_alloc: out_of_memory: RMM failure at: x.hpp:152: Exceeded memory limit"
)


def member(error=None):
    """The future of one."""
    status = "finished" if error is None else "error"
    return SimpleNamespace(status=status, exception=lambda: error)


@pytest.mark.parametrize("cause", [FULL, DataError("bad labels")])
def test_what_the_others_make_of_its_end_comes_last(cause):
    client = SimpleNamespace(nthreads=lambda: {"a": 1, "b": 1})
    futures = [member(GONE), member(NCCL), member(cause)]
    assert gang_tasks._find_failure(client, futures, {"a", "b"}, "training") is cause


def test_where_nobody_tells_a_cause_there_is_none():
    assert gpu_worker_failure.find_root_cause([GONE, GONE]) is None
    assert gpu_worker_failure.find_root_cause([GONE, NCCL]) is NCCL


def test_a_lost_context_ends_a_worker_that_runs_no_partition(monkeypatch):
    told = []
    monkeypatch.setattr(gpu_worker_failure, "exit_if_gpu_lost", told.append)

    def fails(number):
        raise RuntimeError(f"CUDA error {number}")

    with pytest.raises(RuntimeError, match="CUDA error 700") as caught:
        gpu_worker_failure.run_guarded(fails, 700)
    assert told == [caught.value]
    assert gpu_worker_failure.run_guarded(max, 1, 2) == 2 and len(told) == 1
