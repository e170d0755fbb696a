"""GPUs are sampled through NVML alone."""

import sys

from fake_gpus import GIB, gpu

from pipeline.device.usage import Usage, watching


class Nvml:
    """pynvml of two GPUs, of which the second has no utilization counter (a MIG slice)."""

    class NVMLError(Exception):
        pass

    def __init__(self):
        self.users = 0

    def nvmlInit(self):
        self.users += 1

    def nvmlShutdown(self):
        self.users -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return uuid

    def nvmlDeviceGetMemoryInfo(self, handle):
        return type("Memory", (), {"used": 3 * GIB, "total": 140 * GIB})

    def nvmlDeviceGetUtilizationRates(self, handle):
        if handle == "GPU-1a1b":
            raise self.NVMLError("Not Supported")
        return type("Rates", (), {"gpu": 85, "memory": 40})


def test_memory_and_utilization_are_sampled_and_nvml_is_left():
    nvml = Nvml()
    with watching((gpu(0), gpu(1)), nvml) as sample:
        assert nvml.users == 1
        first, second = sample()
    assert first == Usage("0", "NVIDIA H200", 3 * GIB, 140 * GIB, 0.85)
    assert second.busy is None and second.used == 3 * GIB
    assert nvml.users == 0
    assert not {"cupy", "rmm", "cudf", "cuda"} & set(sys.modules)


def test_without_a_gpu_nothing_is_asked():
    with watching(()) as sample:
        assert sample() == []
