"""GPUs are sampled through NVML alone."""

import sys

from fake_gpus import GIB, gpu
from fake_nvml import Nvml, memory, working

from pipeline.telemetry.nvml_usage import GpuUsage, open_sampler


def test_a_gpu_tells_what_it_does_and_nvml_is_left():
    nvml = Nvml({"GPU-0a0b": working(), "GPU-1a1b": {"MemoryInfo": memory(7)}})  # a MIG slice
    with open_sampler((gpu(0), gpu(1)), nvml) as sample:
        assert nvml.users == 1
        first, second = sample()
    assert first == GpuUsage(
        "0", "NVIDIA H200", used=3 * GIB, memory=140 * GIB, busy=0.85, watts=431.5, celsius=61,
        received=24_000_000_000, sent=1_200_000,
    )  # fmt: skip
    assert second == GpuUsage("1", "NVIDIA H200", used=7, memory=140 * GIB)
    assert nvml.users == 0
    assert not {"cupy", "rmm", "cudf", "cuda"} & set(sys.modules)


def test_without_a_gpu_nothing_is_asked():
    with open_sampler(()) as sample:
        assert sample() == []
