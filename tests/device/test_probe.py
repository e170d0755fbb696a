"""What GPUs are found, on fake machines; and that looking at this one is harmless."""

import sys

import pytest
from fake_gpus import Fake, gpu

from pipeline.device.probe import Machine, NoDriver, probe_gpus

TWO = (gpu(0), gpu(1, "NVIDIA L4", (8, 9)))
SLICES = (gpu(0, "H200 MIG 1g", uuid="MIG-aa"), gpu(0, "H200 MIG 1g", uuid="MIG-ab"))


def names(found):
    return [g.uuid for g in found.gpus]


def test_finds_every_gpu_when_nothing_is_hidden():
    found = probe_gpus(Fake(TWO), {})
    assert names(found) == ["GPU-0a0b", "GPU-1a1b"]
    assert found.reason is None
    assert (found.driver, found.cuda) == ("580.65.06", 13000)


@pytest.mark.parametrize("value", ["", " ", "-1", "NoDevFiles"])
def test_hidden_gpus_are_not_even_asked_for(value):
    hardware = Fake()
    found = probe_gpus(hardware, {"CUDA_VISIBLE_DEVICES": value})
    assert hardware.asked == 0
    assert found.gpus == ()
    assert "CUDA_VISIBLE_DEVICES is" in found.reason
    assert "unset" in found.fix


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", ["GPU-1a1b"]),
        ("1,0", ["GPU-1a1b", "GPU-0a0b"]),
        ("GPU-1a1b", ["GPU-1a1b"]),
        ("GPU-1,GPU-0a0b", ["GPU-1a1b", "GPU-0a0b"]),
        ("0,7,1", ["GPU-0a0b"]),  # nothing after what names nothing
        ("1,-1,0", ["GPU-1a1b"]),
        ("GPU-", []),  # fits both: names none
        ("0,0", []),
        ("9", []),
        ("nonsense", []),
    ],
)
def test_follows_cuda_visible_devices(value, expected):
    found = probe_gpus(Fake(TWO), {"CUDA_VISIBLE_DEVICES": value})
    assert names(found) == expected
    assert (found.reason is None) == bool(expected)
    if not expected:
        assert f"CUDA_VISIBLE_DEVICES={value}" in found.reason


def test_a_gpu_in_mig_mode_is_seen_through_a_slice():
    hardware = Fake((gpu(),), slices={0: SLICES})
    assert names(probe_gpus(hardware, {})) == ["MIG-aa"]
    assert names(probe_gpus(hardware, {"CUDA_VISIBLE_DEVICES": "0"})) == ["MIG-aa"]
    assert names(probe_gpus(hardware, {"CUDA_VISIBLE_DEVICES": "MIG-ab"})) == ["MIG-ab"]


@pytest.mark.parametrize(
    ("hardware", "reason", "fix"),
    [
        (Fake(broken="no NVIDIA driver: NVML library not found"), "NVML library not found", "driver"),
        (Fake(()), "the NVIDIA driver sees no GPU", "nvidia-smi"),
        (Fake(absent=("cudf",)), "cudf is not installed: pip install pipeline[gpu]", ".[gpu]"),
        (Fake(absent=("cudf", "rmm")), "cudf, rmm are not installed", ".[gpu]"),
        (Fake(version="550.1", cuda=12040), "driver too old: 550.1 runs CUDA 12.4", "gpu-cu12"),
        (Fake(version="470.1", cuda=11040, major=12), "need CUDA 12", "driver 535"),
        (Fake((gpu(name="Tesla V100", capability=(7, 0)),)), "Tesla V100 has compute capability 7.0", "gpu-cu12"),
        (Fake((gpu(name="Tesla P100", capability=(6, 0)),), major=12), "needs 7.0", "newer GPU"),
    ],
)  # fmt: skip
def test_says_why_there_is_none(hardware, reason, fix):
    found = probe_gpus(hardware, {})
    assert found.gpus == ()
    assert reason in found.reason
    assert fix in found.fix


def test_leaves_out_gpus_that_are_too_old():
    old = gpu(1, "Tesla P100", (6, 0))
    assert names(probe_gpus(Fake((gpu(0), old)), {})) == ["GPU-0a0b"]


def test_a_v100_works_with_cuda_12():
    assert probe_gpus(Fake((gpu(capability=(7, 0)),), major=12, cuda=12040), {}).reason is None


def test_this_machine_answers_without_cuda():
    try:
        Machine().driver()
    except NoDriver as error:
        assert "NVIDIA driver" in str(error)
    assert not {"cudf", "cupy", "rmm", "cuml"} & set(sys.modules)


class Nvml:
    """pynvml of a machine with one GPU, which may lack MIG."""

    class NVMLError(Exception):
        pass

    def __init__(self, mig):
        self.mig = mig

    def __getattr__(self, name):
        memory = type("Memory", (), {"total": 80 * 2**30, "free": 2**30})
        answers = {
            "nvmlDeviceGetCount": 1, "nvmlDeviceGetHandleByIndex": "gpu",
            "nvmlDeviceGetCudaComputeCapability": (9, 0), "nvmlDeviceGetMemoryInfo": memory,
            "nvmlDeviceGetName": b"NVIDIA H100", "nvmlSystemGetDriverVersion": "580.1",
            "nvmlSystemGetCudaDriverVersion_v2": 13000, "nvmlDeviceGetMaxMigDeviceCount": 7,
        }  # fmt: skip
        if name not in answers:
            raise AttributeError(name)
        return lambda *_: answers[name]

    def nvmlDeviceGetUUID(self, handle):
        return f"{'MIG' if handle != 'gpu' else 'GPU'}-{handle}"

    def nvmlDeviceGetMigMode(self, handle):
        if self.mig is None:
            raise self.NVMLError("Not Supported")
        return [self.mig, self.mig]

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, place):
        if place > 1:
            raise self.NVMLError("Not Found")
        return f"slice{place}"


@pytest.mark.parametrize(
    ("mig", "slices"), [(None, []), (0, []), (1, ["MIG-slice0", "MIG-slice1"])]
)
def test_reads_nvml(mig, slices):
    from pipeline.device.probe import _read_driver

    driver = _read_driver(Nvml(mig))
    assert (driver.version, driver.cuda) == ("580.1", 13000)
    (only,) = driver.gpus
    assert (only.name, only.uuid, only.memory, only.free) == (
        "NVIDIA H100",
        "GPU-gpu",
        80 * 2**30,
        2**30,
    )
    assert [s.uuid for s in driver.slices.get(0, ())] == slices
