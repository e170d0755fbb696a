"""Boosting on the matrices of this process; in a worker, together with the other workers."""

from __future__ import annotations

from pathlib import Path

from pipeline.device.choose import frames_of
from pipeline.errors import DeviceError
from pipeline.matrix import Feed
from pipeline.train.feed import PartitionedFeed
from pipeline.train.fitted_model import Progress
from pipeline.train.params import XGBoostParams
from pipeline.train.xgboost import checkpointing, quantile_matrix
from pipeline.train.xgboost.checkpointing import BoostingPlan, BoostingState, OnSegment
from pipeline.train.xgboost.quantile_matrix import Matrices
from pipeline.train.xgboost.scoring import find_device

WATCHED_ROWS = 1_000_000
"""Training rows up to which their own metric is computed each round: it is a tenth of the work."""


def boost_locally(
    params: XGBoostParams,
    feed: Feed,
    plan: BoostingPlan,
    *,
    start: BoostingState,
    on_segment: OnSegment,
    progress: Progress,
    notes: list[str],
    cache: Path | None = None,
) -> BoostingState:
    """Boost on the feed's matrices; in a worker, together with the others of its communicator.

    Args:
        params: the parameters as the config gives them.
        feed: the matrices of this process.
        plan: XGBoost's parameters, and when to stop.
        start: the trees that exist already.
        on_segment: called with the trees so far when a segment ends.
        progress: called after each round.
        notes: notes for the ledger are appended to them.
        cache: a folder for the bins, which is created and removed; None: they are in memory.

    Raises:
        DeviceError: XGBoost trained on another device than the feed's.
    """
    with quantile_matrix.cache_folder(cache, feed.device):
        # The matrices are passed on without a name here: see `cache_folder`.
        return _boost_on(
            quantile_matrix.build_matrices(
                params, feed, plan.params, seed=plan.seed, notes=notes, cache=cache
            ),
            feed,
            plan,
            start=start,
            on_segment=on_segment,
            progress=progress,
        )


def _boost_on(
    matrices: Matrices,
    feed: Feed,
    plan: BoostingPlan,
    *,
    start: BoostingState,
    on_segment: OnSegment,
    progress: Progress,
) -> BoostingState:
    train, valid = matrices
    if isinstance(feed, PartitionedFeed):
        feed.release_binned_rows()
    watched = [(train, "train")] if feed.count_rows("train") <= WATCHED_ROWS else []
    watched += [(valid, "valid")] if valid is not None else []
    state = start
    for state in checkpointing.boost(
        plan, train, watched, start=start, on_segment=on_segment, progress=progress
    ):
        assert state.booster is not None
        used = find_device(state.booster)
        if used != frames_of(feed.device).name:
            raise DeviceError(
                f"xgboost: asked to train on the {feed.device}, but XGBoost trained on the {used}",
                fix="run `python -m pipeline doctor` to see what the GPU lacks",
            )
    return state
