"""Training rows as models get them: checked, weighted by class, sampled by row id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np

from pipeline.device import Array, Frames
from pipeline.errors import ConfigError, DataError, suggest_or_list
from pipeline.matrix import Feed, Matrix, SetName, take_rows
from pipeline.train.feed import map_blocks
from pipeline.train.params import ClassWeight, ForestParams, XGBoostParams

Params = TypeVar("Params", XGBoostParams, ForestParams)
LARGEST = 1e18
"""Largest absolute label: XGBoost holds squared errors as float32, and infinite ones stop it."""


def compute_class_weights(asked: ClassWeight, feed: Feed) -> np.ndarray | None:
    """Compute a weight per class in label order; None if all are 1.

    ``balanced`` is n / (k · n_c) over the k classes that the training rows have (King and Zeng,
    2001, as in scikit-learn), where n and n_c are sums of row weights; a class without training
    rows gets 1.

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
        names = [str(c) for c in target.classes]
        for name in asked:
            if name not in names:
                raise ConfigError(
                    f"class_weight: there is no class {name!r}", fix=suggest_or_list(name, names)
                )
        return np.array([asked.get(name, 1.0) for name in names])
    counts = count_classes(feed)
    present = counts > 0
    weights = np.ones(len(counts))
    weights[present] = counts.sum() / (present.sum() * counts[present])
    return weights


def with_class_weights(params: Params, feed: Feed) -> Params:
    """Return the parameters with a weight for each class, computed from the rows of all workers."""
    by_class = compute_class_weights(params.class_weight, feed)
    if by_class is None:
        return params
    weights = {str(c): float(w) for c, w in zip(feed.target.classes, by_class, strict=True)}
    return params.model_copy(update={"class_weight": weights})


def count_classes(feed: Feed) -> np.ndarray:
    """Count the training rows of each class, or add up their weights: float64 (classes,)."""
    classes = len(feed.target.classes)
    by_block = map_blocks(feed, "train", _count_in_block, classes)
    counts: np.ndarray = np.sum([[0.0] * classes, *by_block], axis=0)
    return counts


def _count_in_block(block: Matrix, classes: int) -> list[float]:
    assert block.label is not None
    codes, weight = block.label.astype("int64"), block.weight
    if weight is None:
        return [float((codes == c).sum()) for c in range(classes)]
    return [float(weight[codes == c].sum()) for c in range(classes)]


def iter_weighted_blocks(
    feed: Feed, which: SetName, by_class: np.ndarray | None
) -> Iterator[Matrix]:
    """Yield the set's blocks with row weight times class weight as their weight.

    Raises:
        DataError: a label is not finite, or too large for the models.
    """
    for block in feed.blocks(which):
        label = block.label
        assert label is not None
        bad = ~(abs(label) <= LARGEST)  # true for NaN, too: it is not below anything
        if bool(bad.any()):
            raise DataError(
                f"{int(bad.sum())} labels of the {which} set are missing, infinite or beyond "
                f"{LARGEST:.1e}, which models cannot hold",
                fix="check the target's expression for a division by 0, or divide it by a unit",
            )
        yield block._replace(weight=multiply_class_weights(label, block.weight, by_class))


def multiply_class_weights(
    label: Array, weight: Array | None, by_class: np.ndarray | None
) -> Array | None:
    """Return row weight times class weight, (n,); None if there are neither."""
    if by_class is None:
        return weight
    product = label * 0 + 1.0 if weight is None else weight
    # not `by_class[codes]`: an array of the host cannot be indexed by one of the GPU
    for c, factor in enumerate(by_class):
        product = product * (1 + (label == c) * (factor - 1))
    return product


def sample_block(
    block: Matrix, share: float, seed: int, device: Frames, at_most: int | None = None
) -> Matrix:
    """Take the block's rows whose hash lies below the share.

    The hash is of the row id, so the sample is the same however the rows are divided.
    """
    chosen = device.hash_ints(block.ids, seed + 2) < int(share * 2**32)
    return take_rows(block, device.xp.flatnonzero(chosen)[:at_most])


def reject_infinite(feed: Feed) -> None:
    """Raise the DataError that names the first feature with infinite values, if there is one."""
    sets: tuple[SetName, ...] = ("train", "valid")
    for which in sets:
        for infinite in map_blocks(feed, which, _is_infinite):
            for feature, bad in zip(feed.features, infinite, strict=True):
                if bad:
                    raise DataError(
                        f"feature {feature.name!r} has infinite values in the {which} set",
                        fix="clip the column, or use log: values beyond 3.4e38 and divisions by 0 "
                        "become infinite",
                    )


def _is_infinite(block: Matrix) -> list[bool]:
    """Return for each feature whether it has an infinite value."""
    infinite: list[bool] = (abs(block.x) == float("inf")).any(axis=0).tolist()
    return infinite
