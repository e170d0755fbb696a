"""The memory plan: what a run will hold, and whether its rows are held or streamed."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pipeline.config.model import Memory
from pipeline.device.probe import Gpu
from pipeline.memory import address_space
from pipeline.memory.estimate import Bins, Sizes, StageEstimate, drawn_rows, estimate_stages

AUTO_SHARE = 0.7
"""Of the machine's memory, when ``memory.host`` is auto: the rest is page cache and others'."""
BLOCK_BYTES = 32 << 20
SMALLEST_BLOCK = 4 << 20
DEVICE_SHARE = 0.9
"""Of a GPU's free memory, when ``memory.gpu`` is auto: CUDA's context and kernels take the rest."""
DEVICE_BLOCK_BYTES = 256 << 20
"""On a GPU, as RAPIDS reads by default: a smaller block leaves most of it idle. Not measured."""
STAGING_SHARE = 0.9
"""Of the free disk that staging may take."""
LEAST_ROWS = 10_000
"""Rows that a sample has at least, or all rows if there are fewer: fewer make no model."""
WANTED_ROWS = 11_000
"""Rows that the plan of a sample wants. The sample follows hashes, so its size varies: this is ten
standard deviations above `LEAST_ROWS`."""


@dataclass(frozen=True)
class FallbackLevel:
    """What a run gives up when its GPU's memory runs out (`pipeline.execution.fallback`)."""

    name: str
    smaller: int = 1
    """Blocks are so many times smaller than planned."""
    stream: bool = False
    """Rows are not held, whatever the estimate says."""
    external: bool = False
    """XGBoost's bins are outside the GPU."""


PLANNED = FallbackLevel("as planned")
FALLBACK_LEVELS = (
    PLANNED,
    FallbackLevel("smaller partitions", smaller=8),
    FallbackLevel("spill and stream", smaller=8, stream=True),
    FallbackLevel("external memory", smaller=8, stream=True, external=True),
)


@dataclass(frozen=True)
class MemoryPlan:
    """What a run will hold, stage by stage, and what follows from it."""

    limit: int
    stages: tuple[StageEstimate, ...]
    """As the run is planned."""
    held: int
    """The peak, were the rows held."""
    hold: bool
    """Rows are held between passes; else each pass reads them again."""
    train_rate: float
    """Share of the training rows that the models get: 1.0 unless even streaming does not fit."""
    train_rows: int
    """Training rows that the models get."""
    forest_rows: int
    """Rows that the forest draws from at most."""
    scored: float
    """Share of the held-out rows that the metrics are computed of; predictions have all."""
    staging: int
    """Bytes on disk of CSV staged once; 0 where nothing is staged."""
    block_bytes: int
    bins: Bins = "memory"
    """Where XGBoost has its bins: on disk where they do not fit beside what else it holds."""
    cache: int = 0
    """Bytes of those bins on disk, or on the host."""
    device_limit: int | None = None
    """What the run may hold on its GPUs together; None: no GPU, or nobody knows."""
    short_of: str = "memory.host"
    """The key of the limit for which rows are sampled."""
    enough: bool = True
    """The models get the rows that they must have. Else `stages` say what that would take."""

    @property
    def fits(self) -> bool:
        """Whether all stages are within the limits."""
        return all(map(self.allows, self.stages))

    def allows(self, stage: StageEstimate) -> bool:
        """Whether a stage is within the limits."""
        return stage.host <= self.limit and stage.device <= (self.device_limit or stage.device)

    @property
    def total(self) -> int:
        """The peak of the run as it is planned."""
        return max(stage.host for stage in self.stages)

    @property
    def device(self) -> int:
        """The peak on the device."""
        return max(stage.device for stage in self.stages)

    def of(self, stage: str) -> StageEstimate | None:
        """A stage's estimate, by its name in the ledger."""
        return next((s for s in self.stages if s.stage == stage), None)


def choose_block_bytes(limit: int, device_limit: int | None = None) -> int:
    """Bytes of the source that are read at a time.

    Args:
        limit: what the run may hold on the host.
        device_limit: on a GPU; None: it uses none.
    """
    if device_limit is None:
        return max(min(BLOCK_BYTES, limit // 100), SMALLEST_BLOCK)
    return max(min(DEVICE_BLOCK_BYTES, limit // 20, device_limit // 50), SMALLEST_BLOCK)


def device_limit(memory: Memory, gpus: Sequence[Gpu]) -> int | None:
    """Bytes that the run may hold on each of these GPUs; None: there is none."""
    if not gpus:
        return None
    if memory.gpu is not None:
        return memory.gpu
    return int(DEVICE_SHARE * min(gpu.free for gpu in gpus))


def host_limit(memory: Memory) -> int:
    """Bytes that the run may hold on the host."""
    if memory.host is not None:
        return memory.host
    share, room = int(AUTO_SHARE * available_memory()), address_space.resident_limit()
    return share if room is None else min(share, room)


def plan_memory(
    memory: Memory, sizes: Sizes, *, free: int, shared: int | None = None,
    device: int | None = None, rung: FallbackLevel = PLANNED, train_rows: int | None = None,
) -> MemoryPlan:  # fmt: skip
    """Plan whether the rows fit, and what gives way if they do not.

    Args:
        sizes: what the estimates are made of.
        free: bytes of disk where CSV would be staged, and bins be kept.
        shared: what the workers of a cluster may hold together, instead of ``memory.host``.
        device: what the GPUs may hold together.
        rung: what gives way whether the rows fit or not.
        train_rows: the training rows, once they are counted; None: those of ``sizes``.

    Returns:
        The plan; not ``enough`` where the training rows do not fit and ``memory.sample`` is never,
        or where fewer than `LEAST_ROWS` of them do.
    """
    limit = host_limit(memory) if shared is None else max(shared, 0)
    held = tuple(estimate_stages(sizes, hold=True))
    peak = max(stage.host for stage in held)
    found = MemoryPlan(
        limit, held, peak, True, 1.0, sizes.train_rows, sizes.forest_rows, 1.0, 0,
        sizes.block_bytes, device_limit=device,
    )  # fmt: skip
    if found.fits and not rung.stream:
        return found
    streamed = tuple(estimate_stages(sizes, hold=False))
    found = replace(found, stages=streamed, hold=False, staging=_staging(sizes, free))
    if rung.external or not found.fits:
        found = _paged(sizes, found, free, always=rung.external)
    if found.fits:
        return found
    if memory.sample == "never":
        return replace(found, enough=False)
    return _sampled(sizes, found, train_rows or sizes.train_rows)


def _staging(sizes: Sizes, free: int) -> int:
    """What staging takes; 0 where there is nothing to stage, or the disk has no room."""
    need = int(sizes.rows * sizes.staged_row)
    return need if need < STAGING_SHARE * free else 0


def _paged(sizes: Sizes, found: MemoryPlan, free: int, *, always: bool) -> MemoryPlan:
    """The plan with XGBoost's bins out of its memory, where that helps and there is room.

    On the CPU they go to disk, from a GPU to the host.
    """
    need = _cache(sizes, 1.0)
    if "xgboost" not in sizes.models:
        return found
    if sizes.device == "gpu":
        paged = tuple(estimate_stages(sizes, hold=False, bins="host"))
        full = max(s.device for s in found.stages if s.stage.endswith("xgboost"))
        wanted = always or full > (found.device_limit or full)
        return replace(found, stages=paged, bins="host", cache=need) if wanted else found
    if need > STAGING_SHARE * free - found.staging:
        return found
    paged = tuple(estimate_stages(sizes, hold=False, bins="disk"))
    trained = {s.stage: s.host for s in found.stages if s.stage.endswith("xgboost")}
    smaller = any(s.host < trained.get(s.stage, 0) for s in paged)
    needed = max(trained.values()) > found.limit
    return replace(found, stages=paged, bins="disk", cache=need) if smaller and needed else found


def _cache(sizes: Sizes, rate: float) -> int:
    """Bytes of paged bins: of the training rows that XGBoost gets, and all valid ones.

    Beside the bins a page has an offset for each row and a bit for each value (XGBoost 3.2): 57
    bytes a row of 23 columns without missing values, measured and computed.
    """
    share = rate if sizes.again else sizes.train * rate + sizes.valid
    more = 0 if sizes.device == "gpu" else 8 + sizes.features / 8  # ELLPACK has neither
    return int(sizes.rows * share * (sizes.bins_row + more))


def _sampled(sizes: Sizes, found: MemoryPlan, train_rows: int) -> MemoryPlan:
    """The plan with as many training rows, and rows for the metrics, as fit."""

    def of(shares: dict[str, Any]) -> tuple[StageEstimate, ...]:
        return tuple(estimate_stages(sizes, hold=False, bins=found.bins, **shares))

    def largest(model: str, share: str, rows: float) -> float:
        """The largest share of the rows with which a model's stages fit."""

        def fits(value: float) -> bool:
            return all(found.allows(s) for s in of({share: value}) if s.stage.endswith(model))

        return _largest(fits, min(1.0, WANTED_ROWS / max(rows, 1)))

    drawn_of = drawn_rows(sizes)
    shares = {
        "rate": largest("xgboost", "rate", train_rows),
        "drawn": largest("forest", "drawn", drawn_of),
        "scored": largest("evaluate", "scored", sizes.held_out),
    }
    rate, drawn = shares["rate"], shares["drawn"]
    reduced = of(shares)
    return replace(
        found, stages=reduced, train_rate=rate, train_rows=int(sizes.train_rows * rate),
        forest_rows=sizes.forest_rows if drawn == 1 else int(drawn_of * drawn),
        scored=shares["scored"], cache=_cache(sizes, rate) if found.cache else 0,
        short_of="memory.gpu" if found.total <= found.limit else "memory.host",
        enough=all(found.allows(s) for s in reduced if s.stage.endswith(sizes.models)),
    )  # fmt: skip


def _largest(fits: Callable[[float], bool], least: float) -> float:
    """The largest share that fits, to a millionth; the least one where none does."""
    if fits(1.0):
        return 1.0
    low, high = least, 1.0
    while fits(low) and high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def available_memory() -> int:
    """Bytes of memory that this process may use: the container's limit or the machine's."""
    from distributed.system import MEMORY_LIMIT

    return int(MEMORY_LIMIT)


@contextmanager
def freeze_objects() -> Iterator[None]:
    """Exclude existing objects from garbage collection while the block runs.

    `release_memory` collects after every stage. Scanning a million objects of libraries takes
    0.2 s each time.
    """
    gc.collect()  # what is garbage now would stay until the end
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def release_memory() -> None:
    """Returns what the allocators keep: a third of the resident memory at a stage's end."""
    import pyarrow as pa

    gc.collect()  # Dask's graphs are cycles, and hold partitions
    pa.default_memory_pool().release_unused()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)
