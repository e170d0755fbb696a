"""Fallback levels: where a stage is retried when the GPU cannot complete it.

    as planned → smaller partitions → spill and stream → external memory → this stage on the CPU

A run stays on the level that it fell back to, except for the last one: the next stage returns to
the GPU. The data in memory are released and rebuilt from the files on the new level; what is
already inferred and fitted (classes, cuts, encodings, models) stays. Only ``device: auto`` falls
back to the CPU, and only within one process. With ``gpu`` the run ends with status 3 and a fix.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from functools import partial

from pipeline.artifacts.stage_id import StageId
from pipeline.cluster.client import is_distributed
from pipeline.device.choose import frames_of
from pipeline.device.stamp import discard_stamps
from pipeline.errors import DeviceError, DeviceFull, DeviceLost, quote_path
from pipeline.execution.context import RunContext
from pipeline.execution.memory_inputs import divide_into_parts
from pipeline.execution.run_state import RunState
from pipeline.memory.planner import FALLBACK_LEVELS, FallbackLevel
from pipeline.train.params import XGBoostParams

CPU = "the CPU"
CPU_WITH_DATA = "the CPU, with the rows and features that it works on"
Rebuild = Callable[[str | None], None]
"""Rebuilds the data in memory, on the given device or where they were made before."""


def run_with_fallback(
    state: RunState, stage_id: StageId, attempt: Callable[[], None], rebuild: Rebuild
) -> None:
    """Run a stage, on ever lower levels as long as the device cannot complete it.

    Args:
        attempt: runs the stage on what ``state`` holds at that time.
        rebuild: makes the data anew for the next attempt.

    Raises:
        DeviceError: no level is left; the message has the last reason and a fix.
    """
    context, home = state.context, state.context.device
    before: Callable[[], None] | None = None
    try:
        while True:
            started = time.perf_counter()
            try:
                # Rebuilding needs the device too: if that fails, the run falls back further.
                if before is not None:
                    before()
                return attempt()
            except Exception as error:
                trouble = frames_of(home).translate_error(error)
                if trouble is None:
                    raise
                level, before = _choose_level(state, stage_id, trouble, error, rebuild)
                # The frames of the traceback would keep arrays of the device alive.
                traceback.clear_frames(error.__traceback__)
            fallback = context.ledger.record_fallback(
                level, trouble.message, time.perf_counter() - started
            )
            reason = f"{fallback['stage']}: {fallback['reason']}"
            context.warn(f"{reason}; falls back to: {fallback['rung']}")
    finally:
        context.run_on(home)


def _choose_level(
    state: RunState, stage_id: StageId, trouble: DeviceError, error: Exception, rebuild: Rebuild
) -> tuple[str, Callable[[], None] | None]:
    """Return the next level that helps, or the CPU, and what must be done before the retry.

    Raises:
        DeviceError: no level is left, or the GPU's context is lost.
    """
    context = state.context
    on_cpu = "run the config on the CPU: python -m pipeline run "
    on_cpu += f"{quote_path(context.folder / 'config.yaml')} --device cpu"
    if isinstance(trouble, DeviceLost):
        discard_stamps()  # the next command tests the GPU again
        context.ledger.record_fallback("nothing, the run ends", trouble.message, 0.0)
        message = f"{stage_id}: {trouble.message}; its CUDA context cannot be used again"
        lost = DeviceLost(message, fix=on_cpu)
        lost.folder = context.folder
        raise lost from error
    if context.device == "cpu":
        # The stage already runs on the CPU, so only data that a GPU makes can be the cause.
        if not state.uses_gpu:
            raise error
        return CPU_WITH_DATA, partial(rebuild, "cpu")
    if isinstance(trouble, DeviceFull):
        for level in FALLBACK_LEVELS[FALLBACK_LEVELS.index(context.level) + 1 :]:
            if level_helps(level, state, stage_id):
                context.level = level
                return level.name, partial(rebuild, None)
    if context.job.choice.requested == "auto" and not is_distributed(context.client):
        context.run_on("cpu", trouble.message)
        return CPU, None if state.is_complete else partial(rebuild, None)
    tried = [f["rung"] for f in context.ledger.fallbacks if f["stage"] == str(stage_id)]
    after = f" (tried: {', '.join(tried)})" if tried else ""
    raise type(trouble)(
        f"{stage_id}: {trouble.message}{after}", fix=f"{_suggest_fix(context, trouble)}; {on_cpu}"
    ) from error


def _suggest_fix(context: RunContext, trouble: DeviceError) -> str:
    """Return what else helps where no level is left."""
    if not is_distributed(context.client):
        return trouble.fix or "use a larger GPU, a smaller memory.gpu, or fewer rows (--rows N)"
    fix = trouble.fix or "use more workers, GPUs with more memory, or fewer rows (--rows N)"
    if context.job.choice.requested != "auto":
        return fix
    return f"{fix} (the CPU takes over a stage only if there is one process)"


def level_helps(level: FallbackLevel, state: RunState, stage_id: StageId) -> bool:
    """Return whether the level changes anything for the stage."""
    context = state.context
    if level.external:
        params = context.job.models.get("xgboost")
        native = params.native if isinstance(params, XGBoostParams) else {}
        # XGBoost's external memory can only grow trees level by level, within one process.
        by_depth = native.get("grow_policy", "depthwise") == "depthwise"
        return stage_id.model == "xgboost" and by_depth and not is_distributed(context.client)
    if level.stream:
        data = state.rows or state.raw
        return data is None or data.plan.in_memory
    parts = divide_into_parts(context.job, context.concurrent_partitions, level)
    return len(parts) > context.partitions
