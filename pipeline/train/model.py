"""Which module trains a model, and in which order models train."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import DataError
from pipeline.matrix import Feed
from pipeline.train.feed import PartitionedFeed
from pipeline.train.fitted_model import FittedModel, Progress
from pipeline.train.params import ModelParams, XGBoostParams


def sort_for_training(models: Iterable[str]) -> tuple[str, ...]:
    """The models in the order in which they train: XGBoost last.

    Its bins are a quarter of the matrices or less, which can go while it boosts if nothing trains
    after it.
    """
    return tuple(sorted(models, key=lambda name: name == "xgboost"))


def train(
    name: str,
    params: ModelParams,
    feed: Feed,
    *,
    seed: int,
    threads: int,
    checkpoint: Path | None = None,
    rounds: int | None = None,
    cache: Path | None = None,
    most: int | None = None,
    progress: Progress = lambda what, done, planned: None,
) -> FittedModel:
    """Trains the model on the feed's training rows.

    Args:
        name: The model's name in the config.
        params: Its parameters.
        feed: The matrices. The valid set, if it has rows, stops the boosting early.
        seed: Of row and column samples.
        threads: Of the CPU.
        checkpoint: A folder for what a killed training goes on from.
        rounds: Exactly so many rounds of boosting, without early stopping (a refit).
        cache: A folder for XGBoost's bins, made and removed; None: they are in memory.
        most: Rows of a forest that fit into memory; None: all.
        progress: Called as the training goes on.

    Raises:
        DataError: no training rows, no features, labels or values that are not finite.
        ConfigError: a parameter that does not fit the features or the task.
        DeviceError: the library trained on another device than the feed's.
    """
    if not feed.features:
        raise DataError(
            f"{name}: there is no feature to train on",
            fix="keep at least one column whose values differ",
        )
    if feed.count_rows("train") == 0:
        raise DataError(
            f"{name}: the training set has no rows", fix="check `split:` and the filters"
        )
    params = params.resolve_auto(
        feed.count_rows("train") + feed.count_rows("valid") + feed.count_rows("test")
    )
    if isinstance(params, XGBoostParams):
        from pipeline.train.xgboost import train as boosting

        return boosting.train(
            params, feed, seed=seed, threads=threads, checkpoint=checkpoint, rounds=rounds,
            cache=cache, progress=progress,
        )  # fmt: skip
    if isinstance(feed, PartitionedFeed) and feed.is_distributed:
        from pipeline.train.forest import distributed

        return distributed.train(params, feed, seed=seed, progress=progress)
    from pipeline.train.forest import train as forest

    return forest.train(params, feed, seed=seed, threads=threads, progress=progress, most=most)
