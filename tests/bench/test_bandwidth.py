"""What bounds a stage: rates that are measured on the CPU, and told by the driver of a GPU."""

from __future__ import annotations

import pytest
from fake_gpus import gpu
from fake_nvml import Nvml

from pipeline.bench.bandwidth import measure_cpu, read_gpu_limits

# an H200 (its specification: 4.8 TB/s, PCI Express 5.0 x16)
H200 = {
    "MaxClockInfo": lambda which: {1: 1980, 2: 3201}[which],
    "MemoryBusWidth": 6144,
    "NumGpuCores": 16896,
    "MaxPcieLinkGeneration": 5,
    "MaxPcieLinkWidth": 16,
}


def h200s(*silent):
    """pynvml of two H200s; each one's ``silent`` are the questions that it does not answer."""
    return Nvml({
        gpu(at).uuid: {name: told for name, told in H200.items() if name not in own}
        for at, own in enumerate(silent or ((), ()))
    })  # fmt: skip


def test_an_h200_has_the_rates_of_its_specification():
    nvml = h200s()
    found = read_gpu_limits([gpu(0)], nvml)
    assert found.memory.per_second == pytest.approx(4.8e12, rel=0.03)
    assert found.input.per_second == pytest.approx(63e9, rel=0.01)
    # 132 multiprocessors x 1.98 GHz x 8: the reference arithmetic's 2.1 T/s
    assert found.updates.per_second == pytest.approx(2.09e12, rel=0.01)
    assert "assumed" in found.updates.source and "driver" in found.memory.source
    assert nvml.users == 0


def test_two_gpus_have_twice_the_rates():
    one, two = read_gpu_limits([gpu(0)], h200s()), read_gpu_limits([gpu(0), gpu(1)], h200s())
    assert two.memory.per_second == 2 * one.memory.per_second
    assert two.memory.source.endswith("times 2 GPUs")


@pytest.mark.parametrize(
    ("silent", "missing"),
    [
        ("MaxClockInfo", {"memory", "updates"}),
        ("MemoryBusWidth", {"memory"}),
        ("NumGpuCores", {"updates"}),
        ("MaxPcieLinkWidth", {"input"}),
    ],
)
def test_what_the_driver_does_not_tell_is_not_known(silent, missing):
    found = read_gpu_limits([gpu(0)], h200s([silent]))
    names = ("input", "memory", "updates")
    assert {name for name in names if getattr(found, name) is None} == missing


def test_a_cpu_is_measured(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"x" * 3_000_000)
    found = measure_cpu(path, 2)
    assert all(r.per_second > 0 for r in (found.input, found.memory, found.updates))
    assert "measured: 3 MB of the input" in found.input.source
    assert "2 threads" in found.memory.source


def test_a_rate_that_one_of_two_gpus_does_not_tell_is_not_known():
    found = read_gpu_limits([gpu(0), gpu(1)], h200s([], ["MemoryBusWidth"]))
    assert found.memory is None and found.input is not None
