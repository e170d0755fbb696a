"""The memory plan: the bytes that a run needs, and whether its rows stay in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.artifacts.stage_id import EVALUATE, StageId
from pipeline.config.cluster import Memory
from pipeline.device.probe import Gpu
from pipeline.memory import address_space
from pipeline.memory.estimate import Bins, Sizes, StageEstimate, drawn_rows, estimate_stages

AUTO_SHARE = 0.7
"""Share of the machine's memory for a run when ``memory.host`` is auto.

The rest is left to the page cache and to other processes.
"""
BLOCK_BYTES = 32 << 20
SMALLEST_BLOCK = 4 << 20
DEVICE_SHARE = 0.9
"""Share of a GPU's free memory for a run when ``memory.gpu`` is auto.

CUDA's context and kernels take the rest.
"""
DEVICE_BLOCK_BYTES = 256 << 20
"""Bytes per block on a GPU: the default of RAPIDS. A smaller block leaves most of a GPU idle."""
STAGING_SHARE = 0.9
"""Share of the free disk that staging may take."""
LEAST_ROWS = 10_000
"""Rows that a sample has at least, or all rows if there are fewer: fewer make no model."""
WANTED_ROWS = 11_000
"""Rows that the plan asks of a sample.

A sample follows hashes, so its size varies. This is ten standard deviations above `LEAST_ROWS`.
"""


@dataclass(frozen=True)
class FallbackLevel:
    """A way to need less of a GPU's memory when it runs out (`pipeline.execution.fallback`)."""

    name: str
    smaller: int = 1
    """Factor by which blocks are smaller than planned."""
    stream: bool = False
    """Stream the rows, whatever the estimate says."""
    external: bool = False
    """Keep XGBoost's bins outside the GPU."""


PLANNED = FallbackLevel("as planned")
FALLBACK_LEVELS = (
    PLANNED,
    FallbackLevel("smaller partitions", smaller=8),
    FallbackLevel("spill and stream", smaller=8, stream=True),
    FallbackLevel("external memory", smaller=8, stream=True, external=True),
)


@dataclass(frozen=True)
class MemoryPlan:
    """The bytes that each stage of a run needs, and the decisions that follow from them."""

    limit: int
    """Bytes that the run may use on the host."""
    stages: tuple[StageEstimate, ...]
    """Estimates for the run as it is planned."""
    in_memory_peak: int
    """Peak bytes if all rows stayed in memory."""
    in_memory: bool
    """True if rows stay in memory between passes; else each pass reads them again."""
    train_rate: float
    """Share of the training rows that the models get: 1.0 unless even streaming does not fit."""
    train_rows: int
    """Training rows that the models get."""
    forest_rows: int
    """Rows that the forest draws from at most."""
    scored_share: float
    """Share of the held-out rows that the metrics use; predictions cover all of them."""
    staging: int
    """Bytes on disk of the staged CSV; 0 if nothing is staged."""
    block_bytes: int
    bins: Bins = "memory"
    """The place of XGBoost's bins: on disk if they do not fit beside the rest."""
    cache: int = 0
    """Bytes of those bins on disk, or on the host."""
    device_limit: int | None = None
    """Bytes that the run may use on its GPUs together; None: no GPU, or an unknown size."""
    short_of: str = "memory.host"
    """Config key of the limit because of which rows are sampled."""
    more_trees: int = 0
    """Bytes that XGBoost's trees take beyond the plan if early stopping ends no training."""
    has_enough_rows: bool = True
    """True if the models get the rows that they must have. Else `stages` show what that needs."""

    @property
    def fits(self) -> bool:
        """True if all stages are within the limits."""
        return all(map(self.is_within_limits, self.stages))

    def is_within_limits(self, stage: StageEstimate) -> bool:
        """Return whether a stage is within the limits."""
        return stage.host <= self.limit and stage.device <= (self.device_limit or stage.device)

    @property
    def host_peak(self) -> int:
        """Peak bytes on the host of the run as it is planned."""
        return max(stage.host for stage in self.stages)

    @property
    def device(self) -> int:
        """Peak bytes on the GPU."""
        return max(stage.device for stage in self.stages)

    @property
    def peak_of_all_rounds(self) -> int:
        """Peak bytes on the host if early stopping ends no training."""
        return self.more_trees + max(
            (s.host for s in self.stages if s.stage.model == "xgboost"), default=0
        )

    def find_stage(self, stage: StageId) -> StageEstimate | None:
        """Return the estimate of a stage by its name in the ledger; None if it has none."""
        return next((s for s in self.stages if s.stage == stage), None)


def choose_block_bytes(limit: int, device_limit: int | None = None) -> int:
    """Return the bytes of the source to read at a time.

    Args:
        limit: bytes that the run may use on the host.
        device_limit: the same on a GPU; None: the run uses no GPU.
    """
    if device_limit is None:
        return max(min(BLOCK_BYTES, limit // 100), SMALLEST_BLOCK)
    return max(min(DEVICE_BLOCK_BYTES, limit // 20, device_limit // 50), SMALLEST_BLOCK)


def device_limit(memory: Memory, gpus: Sequence[Gpu]) -> int | None:
    """Return the bytes that the run may use on each of these GPUs; None without a GPU."""
    if not gpus:
        return None
    if memory.gpu is not None:
        return memory.gpu
    # every GPU gets the same share of the rows, so the one with the least free memory decides
    return int(DEVICE_SHARE * min(gpu.free for gpu in gpus))


def host_limit(memory: Memory) -> int:
    """Return the bytes that the run may use on the host."""
    if memory.host is not None:
        return memory.host
    share, addressable = int(AUTO_SHARE * available_memory()), address_space.resident_limit()
    return share if addressable is None else min(share, addressable)


def plan_memory(
    memory: Memory,
    sizes: Sizes,
    *,
    free: int,
    shared: int | None = None,
    device: int | None = None,
    level: FallbackLevel = PLANNED,
    train_rows: int | None = None,
) -> MemoryPlan:
    """Decide whether the rows fit in memory, and what the run gives up if they do not.

    Args:
        sizes: the counts and widths that the estimates use.
        free: free bytes on the disk for staged CSV and for bins.
        shared: bytes that the workers of a cluster have together, instead of ``memory.host``.
        device: bytes that the GPUs have together.
        level: what the run gives up even if the rows fit.
        train_rows: the training rows, once they are counted; None: those of ``sizes``.

    Returns:
        The plan. It does not have enough rows if the training rows do not fit and
        ``memory.sample`` is never, or if fewer than `LEAST_ROWS` of them fit.
    """
    limit = host_limit(memory) if shared is None else max(shared, 0)
    stages = tuple(estimate_stages(sizes, in_memory=True))
    plan = MemoryPlan(
        limit=limit,
        stages=stages,
        in_memory_peak=max(stage.host for stage in stages),
        in_memory=True,
        train_rate=1.0,
        train_rows=sizes.train_rows,
        forest_rows=sizes.forest_rows,
        scored_share=1.0,
        staging=0,
        block_bytes=sizes.block_bytes,
        device_limit=device,
        more_trees=sizes.more_trees,
    )
    if plan.fits and not level.stream:
        return plan
    streamed = tuple(estimate_stages(sizes, in_memory=False))
    # without room on the disk, each pass parses the CSV again
    staging = int(sizes.rows * sizes.staged_row)
    staging = staging if staging < STAGING_SHARE * free else 0
    plan = replace(plan, stages=streamed, in_memory=False, staging=staging)
    if level.external or not plan.fits:
        plan = _move_bins_out(sizes, plan, free, always=level.external)
    if plan.fits:
        return plan
    if memory.sample == "never":
        return replace(plan, has_enough_rows=False)
    return _sample_rows(sizes, plan, train_rows or sizes.train_rows)


def _move_bins_out(sizes: Sizes, plan: MemoryPlan, free: int, *, always: bool) -> MemoryPlan:
    """Return the plan with XGBoost's bins on disk (CPU) or on the host (GPU), if that helps."""
    if "xgboost" not in sizes.models:
        return plan
    cache = _cache_bytes(sizes, 1.0)
    if sizes.device == "gpu":
        paged = tuple(estimate_stages(sizes, in_memory=False, bins="host"))
        full = max(s.device for s in plan.stages if s.stage.model == "xgboost")
        wanted = always or full > (plan.device_limit or full)
        return replace(plan, stages=paged, bins="host", cache=cache) if wanted else plan
    if cache > STAGING_SHARE * free - plan.staging:
        return plan
    paged = tuple(estimate_stages(sizes, in_memory=False, bins="disk"))
    trained = {s.stage: s.host for s in plan.stages if s.stage.model == "xgboost"}
    # each page has a buffer of its own, so that few rows take more memory in pages than without
    smaller = any(s.host < trained.get(s.stage, 0) for s in paged)
    needed = max(trained.values()) > plan.limit
    return replace(plan, stages=paged, bins="disk", cache=cache) if smaller and needed else plan


def _cache_bytes(sizes: Sizes, rate: float) -> int:
    """Return the bytes of paged bins: of XGBoost's training rows and of all validation rows."""
    share = rate if sizes.refit else sizes.train * rate + sizes.valid
    # Beside the bins, a page of XGBoost 3.2 has an offset for each row and a bit for each value:
    # 57 bytes per row of 23 columns without missing values, measured and computed. ELLPACK, the
    # format on a GPU, has neither.
    more = 0 if sizes.device == "gpu" else 8 + sizes.features / 8
    return int(sizes.rows * share * (sizes.bins_row + more))


def _sample_rows(sizes: Sizes, plan: MemoryPlan, train_rows: int) -> MemoryPlan:
    """Return the plan with as many training rows, and rows for the metrics, as fit."""

    def estimate(shares: Mapping[str, float]) -> tuple[StageEstimate, ...]:
        return tuple(
            estimate_stages(
                sizes,
                in_memory=False,
                bins=plan.bins,
                train_rate=shares.get("train_rate", 1.0),
                scored_share=shares.get("scored_share", 1.0),
                drawn_share=shares.get("drawn_share", 1.0),
            )
        )

    def find_share(limits: Callable[[StageId], bool], share: str, rows: float) -> float:
        """Return the largest share of the rows with which the stages that it limits fit."""

        def fits(value: float) -> bool:
            stages = [s for s in estimate({share: value}) if limits(s.stage)]
            return all(map(plan.is_within_limits, stages))

        return _find_largest(fits, min(1.0, WANTED_ROWS / max(rows, 1)))

    drawn_from = drawn_rows(sizes)
    shares = {
        "train_rate": find_share(lambda s: s.model == "xgboost", "train_rate", train_rows),
        "drawn_share": find_share(lambda s: s.model == "forest", "drawn_share", drawn_from),
        "scored_share": find_share(lambda s: s == EVALUATE, "scored_share", sizes.held_out),
    }
    rate, drawn = shares["train_rate"], shares["drawn_share"]
    stages = estimate(shares)
    return replace(
        plan,
        stages=stages,
        train_rate=rate,
        train_rows=int(sizes.train_rows * rate),
        forest_rows=sizes.forest_rows if drawn == 1 else int(drawn_from * drawn),
        scored_share=shares["scored_share"],
        cache=_cache_bytes(sizes, rate) if plan.cache else 0,
        # the streamed plan fits the host: then it is the GPU that lacks memory
        short_of="memory.gpu" if plan.host_peak <= plan.limit else "memory.host",
        has_enough_rows=all(
            plan.is_within_limits(s) for s in stages if s.stage.model in sizes.models
        ),
    )


def _find_largest(fits: Callable[[float], bool], least: float) -> float:
    """Return the largest share that fits, to a millionth; the least share if none fits."""
    if fits(1.0):
        return 1.0
    low, high = least, 1.0
    while fits(low) and high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def available_memory() -> int:
    """Return the bytes that this process may use: the container's limit or the machine's."""
    from distributed.system import MEMORY_LIMIT

    return int(MEMORY_LIMIT)
