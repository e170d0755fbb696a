"""Which device is chosen, and what is said when it is not the one asked for."""

import pytest
from fake_gpus import Fake

from pipeline.device import cpu
from pipeline.device.choose import DeviceChoice, choose_device, frames_of
from pipeline.device.probe import probe_gpus
from pipeline.errors import ConfigError, DeviceError


def never(*_):
    raise AssertionError("looked for a GPU")


def looking_at(hardware):
    return lambda: probe_gpus(hardware, {})


def test_cpu_never_looks():
    assert choose_device("cpu", never, never) == DeviceChoice("cpu", "cpu", "asked for")


@pytest.mark.parametrize("asked", ["auto", "gpu"])
def test_takes_a_gpu_that_works(asked):
    choice = choose_device(asked, looking_at(Fake()), lambda _: None)
    assert choice.name == "gpu"
    assert "NVIDIA H200" in choice.reason


def test_auto_falls_back_and_says_why():
    choice = choose_device("auto", looking_at(Fake(absent=("cudf",))), never)
    assert choice.name == "cpu"
    assert choice.reason == "no GPU: cudf is not installed: pip install pipeline[gpu]"
    choice = choose_device("auto", looking_at(Fake()), lambda _: "it smokes")
    assert (choice.name, choice.reason) == ("cpu", "no GPU: it smokes")


def test_gpu_is_an_error_with_reason_and_fix():
    with pytest.raises(DeviceError) as raised:
        choose_device("gpu", looking_at(Fake(absent=("cudf",))), never)
    assert raised.value.status == 3
    assert "cudf is not installed" in str(raised.value)
    assert '".[gpu]"' in str(raised.value)
    with pytest.raises(DeviceError, match="it smokes"):
        choose_device("gpu", looking_at(Fake()), lambda _: "it smokes")


def test_unknown_names_are_errors():
    with pytest.raises(ConfigError, match="did you mean 'gpu'"):
        choose_device("gpus", never, never)
    with pytest.raises(ConfigError):
        frames_of("tpu")


def test_the_cpu_is_a_module():
    assert frames_of("cpu") is cpu
