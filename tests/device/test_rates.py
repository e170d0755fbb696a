"""What bounds a stage: rates that are measured on the CPU, and told by the driver of a GPU."""

from __future__ import annotations

import pytest
from fake_gpus import gpu

from pipeline.device.rates import of_cpu, of_gpus


class Nvml:
    """pynvml of an H200 (its specification: 4.8 TB/s, PCI Express 5.0 x16)."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    class NVMLError(Exception):
        pass

    def __init__(self, silent=()):
        self.silent, self.users = silent, 0

    def nvmlInit(self):
        self.users += 1

    def nvmlShutdown(self):
        self.users -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return uuid

    def nvmlDeviceGetMaxClockInfo(self, handle, which):
        return self.told("clock", {1: 1980, 2: 3201}[which])

    def nvmlDeviceGetMemoryBusWidth(self, handle):
        return self.told("width", 6144)

    def nvmlDeviceGetNumGpuCores(self, handle):
        return self.told("cores", 16896)

    def nvmlDeviceGetMaxPcieLinkGeneration(self, handle):
        return self.told("link", 5)

    def nvmlDeviceGetMaxPcieLinkWidth(self, handle):
        return self.told("link", 16)

    def told(self, what, value):
        if what in self.silent:
            raise self.NVMLError("Not Supported")
        return value


def test_an_h200_has_the_rates_of_its_specification():
    nvml = Nvml()
    found = of_gpus([gpu(0)], nvml)
    assert found.memory.per_second == pytest.approx(4.8e12, rel=0.03)
    assert found.input.per_second == pytest.approx(63e9, rel=0.01)
    # 132 multiprocessors x 1.98 GHz x 8: the reference arithmetic's 2.1 T/s
    assert found.updates.per_second == pytest.approx(2.09e12, rel=0.01)
    assert "assumed" in found.updates.source and "driver" in found.memory.source
    assert nvml.users == 0


def test_two_gpus_have_twice_the_rates():
    one, two = of_gpus([gpu(0)], Nvml()), of_gpus([gpu(0), gpu(1)], Nvml())
    assert two.memory.per_second == 2 * one.memory.per_second
    assert two.memory.source.endswith("times 2 GPUs")


@pytest.mark.parametrize(
    ("silent", "missing"),
    [
        ("clock", {"memory", "updates"}),
        ("width", {"memory"}),
        ("cores", {"updates"}),
        ("link", {"input"}),
    ],
)
def test_what_the_driver_does_not_tell_is_not_known(silent, missing):
    found = of_gpus([gpu(0)], Nvml(silent=(silent,)))
    names = ("input", "memory", "updates")
    assert {name for name in names if getattr(found, name) is None} == missing


def test_a_cpu_is_measured(tmp_path):
    path = tmp_path / "input"
    path.write_bytes(b"x" * 3_000_000)
    found = of_cpu(path, 2)
    assert all(r.per_second > 0 for r in (found.input, found.memory, found.updates))
    assert "measured: 3 MB of the input" in found.input.source
    assert "2 threads" in found.memory.source


def test_a_rate_that_one_of_two_gpus_does_not_tell_is_not_known():
    class Half(Nvml):
        def nvmlDeviceGetMemoryBusWidth(self, handle):
            if handle == gpu(1).uuid:
                raise self.NVMLError("Not Supported")
            return 6144

    found = of_gpus([gpu(0), gpu(1)], Half())
    assert found.memory is None and found.input is not None
