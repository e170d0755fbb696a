"""The keys ``cluster`` and ``memory`` of the config."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pipeline.config.scheduler import LOCAL_KINDS, check_kind
from pipeline.config.section import Names, Section, convert_to_texts

Size = Annotated[int, Field(ge=0)] | Annotated[float, Field(gt=0, le=1)] | str
"""Bytes, a fraction of the available memory, or a text such as "10GB"."""


def _check_address(value: Any) -> Any:
    if not re.fullmatch(r"[^\s:]+:\d{1,5}|\[[^\s]+\]:\d{1,5}", str(value)):
        raise ValueError("must be host:port, such as 127.0.0.1:8787 (0.0.0.0 is every interface)")
    return value


LOOPBACK = "127.0.0.1"
"""Default address of servers, which other hosts cannot reach."""
Address = Annotated[str, BeforeValidator(_check_address)]


class Ucx(Section):
    """Transports for ``protocol: ucx``. None: UCX decides."""

    nvlink: bool | None = None
    infiniband: bool | None = None
    rdmacm: bool | None = None
    tcp: bool | None = None


class Gpus(Section):
    """Options of dask-cuda's `LocalCUDACluster` for ``kind: gpus``. Sizes are per GPU."""

    devices: Annotated[Names, BeforeValidator(convert_to_texts)] = ()
    """Indices or UUIDs as in CUDA_VISIBLE_DEVICES. Empty: all visible GPUs."""
    protocol: Literal["tcp", "ucx"] = "tcp"
    """``ucx`` (NVLink, InfiniBand) needs distributed-ucxx. It transfers directly between two GPUs
    only with ``pool: pool``; other pools go through buffers of UCX."""
    ucx: Ucx = Ucx()
    pool: Literal["async", "pool", "managed", "none"] = "async"
    """RMM's asynchronous pool, a pool of ``pool_size``, managed memory, or no pool."""
    pool_size: Size = 0.5
    """Size for ``pool: pool``. XGBoost allocates outside the pool."""
    maximum_pool_size: Size | None = None
    release_threshold: Size | None = None
    """Memory that ``pool: async`` keeps when it is free."""
    device_memory_limit: Size = 0.8
    """Memory above which Dask moves data to the host, except data of cuDF."""
    cudf_spill: bool = True
    """cuDF moves its frames to the host when memory is short."""

    @model_validator(mode="after")
    def _fits(self) -> Gpus:
        if self.release_threshold is not None and self.pool != "async":
            raise ValueError(f"release_threshold is for pool: async, not for {self.pool}")
        if self.maximum_pool_size is not None and self.pool not in ("async", "pool"):
            raise ValueError(f"maximum_pool_size is for pool: async or pool, not for {self.pool}")
        return self


class Cluster(Section):
    """The processes that compute partitions."""

    kind: Annotated[str, AfterValidator(check_kind)] = Field(
        "process", examples=["process", "cores", "gpus", "tcp://host:8786", "scheduler.json"]
    )
    """``process``, ``cores``, ``gpus``, a scheduler's address, or a scheduler file (.json)."""
    dashboard: bool = True
    dashboard_address: Address = f"{LOOPBACK}:8787"
    metrics_address: Address = f"{LOOPBACK}:0"
    """Address of this process's ``/metrics`` if ``kind`` is an address; port 0: any free port."""
    workers: int | None = Field(None, ge=1, le=10_000)
    """Number of processes for ``cores`` (None: one per ``threads`` cores) and ``gpus`` (None: one
    per GPU). For an address: the number of workers to wait for (None: one)."""
    threads: int | None = Field(None, ge=1, le=1024)
    """Threads of each process of ``cores`` or ``gpus``. None: 1."""
    memory_limit: Size = 0
    """Host memory of each process above which Dask spills and pauses it. 0: never."""
    timeout: int = Field(30, ge=1, le=86_400)
    """Seconds to wait for a scheduler and its workers."""
    gpus: Gpus = Gpus()

    @property
    def is_address(self) -> bool:
        """Return whether the cluster is a running scheduler at an address."""
        return self.kind not in LOCAL_KINDS


def _parse_bytes(value: Any) -> Any:
    if value in (None, "auto"):
        return None
    if isinstance(value, str):
        from dask.utils import parse_bytes

        try:
            return parse_bytes(value)
        except (ValueError, OverflowError):
            raise ValueError("must be a size such as 2GB or 512MiB, or auto") from None
    return value


Bytes = Annotated[int | None, BeforeValidator(_parse_bytes)]
"""Size such as ``2GB`` or ``512MiB``. None or ``auto``: the memory of the machine."""


class Memory(Section):
    """Limits of memory. ``auto`` is the memory of the container and of the GPU."""

    host: Bytes = Field(None, ge=64_000_000)
    """Resident memory of the run. Rows that do not fit are streamed: each pass rereads them."""
    gpu: Bytes = Field(None, ge=64_000_000)
    """Memory of each GPU. auto: nine tenths of its free memory. Other rows are streamed."""
    sample: Literal["auto", "never"] = "auto"
    """auto: XGBoost trains on a sample if the training rows do not fit into memory."""
