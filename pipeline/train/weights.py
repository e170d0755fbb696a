"""Training rows as models get them: checked, weighted by class, sampled by row id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

import numpy as np

from pipeline.device import Array, Frames
from pipeline.errors import ConfigError, DataError, suggest_or_list
from pipeline.matrix import Feed, Matrix, SetName, Target, take_rows
from pipeline.train.feed import map_blocks
from pipeline.train.params import ClassWeight, ForestParams, XGBoostParams

Params = TypeVar("Params", XGBoostParams, ForestParams)
LARGEST = 1e18
"""Of a label: XGBoost holds squares of errors as float32, and infinite ones would stop it."""


def compute_class_weights(asked: ClassWeight, feed: Feed) -> np.ndarray | None:
    """A weight per class in label order, or None where all are 1.

    ``balanced`` is n / (k · n_c) over the k classes that the training rows have (King and Zeng,
    2001, as in scikit-learn); a class without training rows gets 1.

    Raises:
        ConfigError: the target has no classes, or not the one that is named.
    """
    if asked is None:
        return None
    target = feed.target
    if target.task == "regression":
        raise ConfigError(
            "class_weight: the target is a number and has no classes",
            fix="leave it out, or set data.task",
        )
    if isinstance(asked, dict):
        return _named(asked, target)
    counts = count_classes(feed)
    present = counts > 0
    weights = np.ones(len(counts))
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def with_class_weights(params: Params, feed: Feed) -> Params:
    """The parameters with a weight for each class, of all rows: a worker sees only its own."""
    by_class = compute_class_weights(params.class_weight, feed)
    if by_class is None:
        return params
    named = {str(c): float(w) for c, w in zip(feed.target.classes, by_class, strict=True)}
    return params.model_copy(update={"class_weight": named})


def count_classes(feed: Feed) -> np.ndarray:
    """float64 (classes,): training rows of each class."""
    found = map_blocks(feed, "train", _counted, len(feed.target.classes))
    counts: np.ndarray = np.sum([np.zeros(len(feed.target.classes)), *found], axis=0)
    return counts


def _counted(block: Matrix, classes: int) -> list[float]:
    assert block.label is not None
    codes = block.label.astype("int64")
    return [float((codes == c).sum()) for c in range(classes)]


def _named(asked: Mapping[str, float], target: Target) -> np.ndarray:
    names = [str(c) for c in target.classes]
    for name in asked:
        if name not in names:
            raise ConfigError(
                f"class_weight: there is no class {name!r}", fix=suggest_or_list(name, names)
            )
    return np.array([asked.get(name, 1.0) for name in names])


def iter_weighted_blocks(
    feed: Feed, which: SetName, by_class: np.ndarray | None
) -> Iterator[Matrix]:
    """The set's blocks with row weight times class weight as their weight.

    Raises:
        DataError: a label is not finite.
    """
    for block in feed.blocks(which):
        label = block.label
        assert label is not None
        bad = ~(abs(label) <= LARGEST)  # NaN too: it is less than nothing
        if bool(bad.any()):
            raise DataError(
                f"{int(bad.sum())} labels of the {which} set are missing, infinite or beyond "
                f"{LARGEST:.1e}, which models cannot hold",
                fix="check the target's expression: a division by 0? Or divide it by a unit",
            )
        yield block if by_class is None else block._replace(weight=_product(block, by_class))


def _product(block: Matrix, by_class: np.ndarray) -> Array:
    assert block.label is not None
    weight = block.label * 0 + 1.0 if block.weight is None else block.weight
    for c, factor in enumerate(by_class):
        weight = weight * (1 + (block.label == c) * (factor - 1))
    return weight


def sample_block(
    block: Matrix, share: float, seed: int, device: Frames, at_most: int | None = None
) -> Matrix:
    """The block's rows whose hash lies under the share: the same sample on every layout."""
    under = device.hash_ints(block.ids, seed + 2) < int(share * 2**32)
    rows = device.xp.flatnonzero(under)[:at_most]
    return take_rows(block, rows)


def reject_infinite(feed: Feed) -> None:
    """Raises DataError naming the first feature with an infinite training or valid value."""
    sets: tuple[SetName, ...] = ("train", "valid")
    for which in sets:
        for infinite in map_blocks(feed, which, _infinite):
            for feature, bad in zip(feed.features, infinite, strict=True):
                if bad:
                    raise DataError(
                        f"feature {feature.name!r} has infinite values in the {which} set",
                        fix="values beyond 3.4e38 and divisions by 0 become infinite: "
                        "clip the column, or use log",
                    )


def _infinite(block: Matrix) -> list[bool]:
    found: list[bool] = (abs(block.x) == float("inf")).any(axis=0).tolist()
    return found
