"""What the GPU's libraries say, told apart. The texts are theirs, from sources and issue threads."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from pipeline.__main__ import _print_unexpected
from pipeline.device import cpu
from pipeline.device.gpu.errors import translate_error
from pipeline.errors import DataError, DeviceError, DeviceFull, DeviceLost

RMM = "std::bad_alloc: out_of_memory: RMM failure at: /rmm/cpp/src/mr/limiting.cpp:47: Exceeded "
FULL = {
    "RMM's limit": MemoryError(RMM + "memory limit (failed to allocate 1.432 GiB)"),
    "RMM's pool": MemoryError("std::bad_alloc: out_of_memory: RMM failure at: "
                              "/rmm/mr/pool_memory_resource.hpp:257: Maximum pool size exceeded"),
    "cudaMalloc": MemoryError("std::bad_alloc: out_of_memory: CUDA error at: /include/rmm/mr/device/"
                              "cuda_memory_resource.hpp"),
    "CuPy's own pool": MemoryError("Out of memory allocating 8,589,934,592 bytes (allocated so far: "
                                   "512 bytes)."),
    "Numba": RuntimeError("[2] Call to cuMemAlloc results in CUDA_ERROR_OUT_OF_MEMORY"),
    "XGBoost": ValueError("[22:11:47] /workspace/src/common/device_vector.cu:23: Memory allocation "
                          "error on worker 0: std::bad_alloc: cudaErrorMemoryAllocation: out of memory"
                          "\n- Free memory: 1.2GB\n- Requested memory: 9.6GB\n\nStack trace:\n  [bt]"),
    "cuBLAS": RuntimeError("cuBLAS error: CUBLAS_STATUS_ALLOC_FAILED"),
}  # fmt: skip
LOST = {
    "cuDF": RuntimeError("CUDA error encountered at: /cudf/cpp/src/io/csv/csv_gpu.cu:42: 700 "
                         "cudaErrorIllegalAddress an illegal memory access was encountered"),
    "RMM": RuntimeError("CUDA error at: /rmm/cuda_stream_view.cpp:45: cudaErrorIllegalAddress an "
                        "illegal memory access was encountered"),
    "CuPy": RuntimeError("cudaErrorLaunchFailure: unspecified launch failure"),
    "Numba": RuntimeError("[700] Call to cuMemcpyDtoH results in CUDA_ERROR_ILLEGAL_ADDRESS"),
    "XGBoost": ValueError("[10:01:02] /workspace/src/common/common.h:45: thrust::system::system_error"
                          ": an illegal memory access was encountered"),
}  # fmt: skip


class MixedTypeError(TypeError):
    """As cuDF calls it."""


class UnsupportedOnGPU(ValueError):
    """As cuML calls it."""


@pytest.mark.parametrize("error", FULL.values(), ids=FULL)
def test_memory_that_ran_out(error):
    found = translate_error(error)
    assert type(found) is DeviceFull
    assert "Stack trace" not in found.message and "\n" not in found.message
    assert found.message.startswith("out of GPU memory: ")


@pytest.mark.parametrize("error", LOST.values(), ids=LOST)
def test_a_context_that_is_lost(error):
    assert type(translate_error(error)) is DeviceLost


@pytest.mark.parametrize(
    "error",
    [
        NotImplementedError("rolling with on="), MixedTypeError("cudf does not support mixed types"),
        UnsupportedOnGPU("class_weight"),
        RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient"),
    ],
)  # fmt: skip
def test_what_the_gpu_lacks(error):
    assert type(translate_error(error)) is DeviceError


def full_host():
    with pytest.raises(MemoryError) as caught:
        np.empty(2**50, dtype="int64")
    return caught.value


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(), full_host(), KeyError("x"), DataError("a bad value"),
        ValueError("could not convert string to float: 'out'"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_not_about_the_gpu(error):
    assert translate_error(error) is None


def test_an_error_that_is_translated_already_stays():
    error = DeviceFull("out of GPU memory")
    assert translate_error(error) is error


def test_nothing_is_the_fault_of_the_cpu():
    assert cpu.translate_error(FULL["XGBoost"]) is None


@pytest.mark.parametrize(("used", "said"), [(True, "out of GPU memory: "), (False, "bug in ")])
def test_a_command_that_a_gpu_stopped_ends_with_status_3(monkeypatch, capsys, used, said):
    monkeypatch.setitem(sys.modules, "pipeline.device.gpu.frames", sys)
    if not used:
        monkeypatch.delitem(sys.modules, "pipeline.device.gpu.frames")
    assert _print_unexpected(FULL["XGBoost"]) == (3 if used else 1)
    assert said in capsys.readouterr().err
