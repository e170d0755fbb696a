"""Classification of the GPU libraries' errors: full memory, a lost context, a missing function.

It needs none of these libraries, so it works in any process. The texts are those of RMM 26.10
("std::bad_alloc: out_of_memory: RMM failure at: …: Exceeded memory limit …"), cuDF ("CUDA error
encountered at: …: 700 cudaErrorIllegalAddress …"), CuPy ("Out of memory allocating 1,024 bytes …"),
Numba ("CUDA_ERROR_OUT_OF_MEMORY") and XGBoost 3.2 ("Memory allocation error on worker 0: …").
"""

from __future__ import annotations

import re

from pipeline.errors import DeviceError, DeviceFull, DeviceLost, PipelineError

FULL = re.compile(
    r"out[ _]of[ _]memory|std::bad_alloc|memory allocation error on worker"
    r"|cudaErrorMemoryAllocation|exceeded memory limit|maximum pool size exceeded"
    r"|(CUBLAS|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
ABSENT = re.compile(
    r"cudaError(NoDevice|InsufficientDriver|InitializationError)|CUDA_ERROR_NO_DEVICE"
)
CONTEXT_LOST = re.compile(
    r"cudaError[A-Z]\w+|CUDA_ERROR_[A-Z_]+|(fatal )?CUDA error|thrust::system::system_error"
    r"|an illegal memory access was encountered",
    re.IGNORECASE,
)
REFUSALS = ("NotImplementedError", "MixedTypeError", "UnsupportedOnGPU")
"""Names of the exceptions that cuDF and cuML raise for a function that they lack."""


def translate_error(error: BaseException) -> DeviceError | None:
    """Return the device error that a library's error means; None if it is not about the GPU."""
    if isinstance(error, PipelineError):
        return error if isinstance(error, DeviceError) else None
    text = one_line(error)
    # Python's and NumPy's own `MemoryError` name no allocator, so they match no pattern: then it is
    # the host's memory that is full.
    for pattern, kind, what in (
        (FULL, DeviceFull, "out of GPU memory"),
        (ABSENT, DeviceError, "no GPU that works"),
        (CONTEXT_LOST, DeviceLost, "the GPU failed"),
    ):
        if pattern.search(text):
            return kind(f"{what}: {text}")
    if any(kind.__name__ in REFUSALS for kind in type(error).__mro__):
        return DeviceError(f"not on the GPU: {text}")
    return None


def one_line(error: BaseException) -> str:
    """Return the error's message on one line, without XGBoost's stack."""
    text = str(error).split("Stack trace")[0]
    text = " ".join(re.sub(r"\[[\d:]+\] \S+:\d+: ", "", text).split())
    text = text if len(text) <= 300 else text[:299] + "…"
    return text or type(error).__name__
