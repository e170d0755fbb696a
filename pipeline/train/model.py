"""A trained model as a function over matrices, and which module trains it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.device import Array
from pipeline.errors import DataError
from pipeline.matrix import Feature, Feed, Target
from pipeline.train.params import PARAMS, ForestParams, ModelParams, XGBoostParams, parse_models

__all__ = [
    "PARAMS",
    "Fitted",
    "ForestParams",
    "ModelParams",
    "XGBoostParams",
    "parse_models",
    "train",
]

Progress = Callable[[str, int, int], None]
"""Takes what is being done, how many rounds or trees there are, and how many there will be."""


@dataclass(frozen=True)
class Fitted:
    """A trained model."""

    name: str
    target: Target
    features: tuple[Feature, ...]
    score: Callable[[Array], Array]
    """Scores for a float32 (n, k) matrix with n > 0: see `predict`."""
    content: Any
    """What is saved: a `Booster`, or a Treelite checkpoint's bytes."""
    importances: Mapping[str, float]
    """By feature; they sum to 1 (all 0 if no tree splits)."""
    rounds: int
    """Rounds of boosting, or trees."""
    history: Mapping[str, Mapping[str, list[float]]]
    """Set → metric → value per round, if there are rounds."""
    notes: tuple[str, ...]
    """What the ledger says of the training; part of what is saved."""
    device: str
    """"cpu" or "gpu": where it was trained."""
    details: Mapping[str, Any]
    """The model's own part of the sidecar."""
    told: tuple[str, ...] = ()
    """What the ledger says of how this process came to it, which another may not say."""

    def predict(self, x: Array) -> Array:
        """Scores for the ``x`` of a `pipeline.matrix.Matrix`, on its device.

        Returns:
            Floats: (n,) probability of ``classes[1]`` (binary), (n, classes) probabilities
            (multiclass), (n,) values (regression).
        """
        if len(x) > 0:
            return self.score(x)
        width = len(self.target.classes)
        return x[:, :0].reshape((0, width) if self.target.task == "multiclass" else (0,))


def ordered(models: Iterable[str]) -> tuple[str, ...]:
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
    progress: Progress | None = None,
) -> Fitted:
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
    if feed.rows("train") == 0:
        raise DataError(
            f"{name}: the training set has no rows", fix="check `split:` and the filters"
        )
    tell = progress or _silent
    params = params.settled(feed.rows("train") + feed.rows("valid") + feed.rows("test"))
    if isinstance(params, XGBoostParams):
        from pipeline.train import xgb

        return xgb.train(
            params, feed, seed=seed, threads=threads, checkpoint=checkpoint, rounds=rounds,
            cache=cache, progress=tell,
        )  # fmt: skip
    from pipeline.train.forest import train as train_forest

    return train_forest(params, feed, seed=seed, threads=threads, progress=tell, most=most)


def _silent(what: str, done: int, planned: int) -> None:
    """Tells nobody."""
