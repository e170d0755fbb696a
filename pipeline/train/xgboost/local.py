"""Boosts on the matrices of this process; in a worker, together with the others."""

from __future__ import annotations

import json
from pathlib import Path

import xgboost as xgb

from pipeline.device.choose import frames_of
from pipeline.errors import DeviceError
from pipeline.matrix import Feed
from pipeline.train.feed import PartitionedFeed
from pipeline.train.fitted_model import Progress
from pipeline.train.params import XGBoostParams
from pipeline.train.xgboost import checkpointing, quantile_matrix
from pipeline.train.xgboost.checkpointing import BoostingPlan, BoostingState, SaveState

WATCHED_ROWS = 1_000_000
"""Training rows up to which their own metric is told each round: it is a tenth of the work."""


def boost_locally(
    params: XGBoostParams, feed: Feed, plan: BoostingPlan, *,
    start: BoostingState, keep: SaveState, progress: Progress, notes: list[str],
    cache: Path | None = None,
) -> BoostingState:  # fmt: skip
    """Boosts on the feed's matrices; in a worker, together with the others of its communicator.

    Args:
        start: the trees that are there already.
        keep: called with the trees so far when a segment ends.
        notes: what the ledger says is added to them.
        cache: a folder for the bins, which is made and removed; None: they are in memory.

    Raises:
        DeviceError: XGBoost trained on another device than the feed's.
    """
    with quantile_matrix.cache_folder(cache, feed.device):
        return _boosted_on(
            feed, plan,
            *quantile_matrix.build_matrices(
                params, feed, plan.params, seed=plan.seed, notes=notes, cache=cache
            ),
            start=start, keep=keep, progress=progress,
        )  # fmt: skip


def _boosted_on(
    feed: Feed, plan: BoostingPlan, dtrain: xgb.DMatrix, dvalid: xgb.DMatrix | None, *,
    start: BoostingState, keep: SaveState, progress: Progress,
) -> BoostingState:  # fmt: skip
    if isinstance(feed, PartitionedFeed):
        feed.release_binned_rows()
    watched = [(dtrain, "train")] if feed.count_rows("train") <= WATCHED_ROWS else []
    watched += [(dvalid, "valid")] if dvalid is not None else []
    last = start
    for last in checkpointing.boost(
        plan, dtrain, watched, start=start, keep=keep, progress=progress
    ):
        assert last.booster is not None
        used = find_device(last.booster)
        if used != frames_of(feed.device).name:
            raise DeviceError(
                f"xgboost: asked to train on the {feed.device}, XGBoost trained on the {used}",
                fix="`python -m pipeline doctor` says what the GPU lacks",
            )
    return last


def find_device(booster: xgb.Booster) -> str:
    """Where a booster trains and scores, which without a GPU is silently the CPU."""
    used = json.loads(booster.save_config())["learner"]["generic_param"]["device"]
    return "gpu" if str(used).startswith("cuda") else "cpu"
