"""Whether the trees of a model are trees: every path ends in a leaf, and reads what is there.

Libraries that load a model trust what it says: a node that leads back hangs them, one that leads
out of its tree, or splits on a feature beyond the last, has them read (or write) elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import InputError
from pipeline.train.fitted import Fitted
from pipeline.train.scores import FEW
from pipeline.train.store import CONTENT

END = -1
"""Where a leaf's children would be."""


def check(fitted: Fitted, folder: Path) -> None:
    """Looks at every node of a model that scores on the CPU.

    Raises:
        InputError: one leads nowhere; names the file and the tree.
    """
    faults = _of_booster if fitted.name == "xgboost" else _of_forest
    if fault := faults(fitted):
        raise InputError(
            f"{folder / CONTENT[fitted.name]}: {fault}: it is damaged, or made to do harm",
            fix="restore it from a copy, or run the config again",
        )


def try_rows(fitted: Fitted) -> None:
    """Scores one row, and as many as are scored another way (`scores.FEW`): zeros."""
    for rows in (1, FEW + 1):
        fitted.predict(np.zeros((rows, len(fitted.features)), dtype="float32"))


def _of_booster(fitted: Fitted) -> str:
    model = json.loads(bytes(fitted.content.save_raw("json")))["learner"]
    groups = max(1, int(model["learner_model_param"]["num_class"]))
    gbtree = model["gradient_booster"]["model"]
    if int(model["learner_model_param"]["num_feature"]) != len(fitted.features):
        return "its features are not those of its sidecar"
    trees, owners = gbtree["trees"], gbtree["tree_info"]
    if len(trees) != len(owners) or any(not 0 <= group < groups for group in owners):
        return "its trees are of other classes"
    for number, tree in enumerate(trees):
        if fault := _of_tree(tree, len(fitted.features)):
            return f"tree {number}: {fault}"
    return ""


def _of_tree(tree: dict[str, Any], features: int) -> str:
    """What is wrong with a tree of XGBoost's JSON."""
    lists = ("left_children", "right_children", "split_indices", "split_conditions", "split_type")
    left, right, split, *others = (np.asarray(tree[name]) for name in lists)
    if int(tree["tree_param"]["size_leaf_vector"]) > 1 or {len(x) for x in others} != {len(left)}:
        return "its nodes are not whole"
    starts, sizes = (
        np.asarray(tree[f"categories_{name}"], dtype="int64") for name in ("segments", "sizes")
    )
    nodes = np.asarray(tree["categories_nodes"], dtype="int64")
    ends = starts + sizes
    if nodes.size and not (
        _within(nodes, len(left)) and len(nodes) == len(starts) == len(sizes)
        and _within(starts, len(tree["categories"]) + 1) and (sizes >= 0).all()
        and (ends <= len(tree["categories"])).all()
    ):  # fmt: skip
        return "its categories are not whole"
    return walk(left, right, split, features)


def _of_forest(fitted: Fitted) -> str:
    import treelite

    if not fitted.content:  # of one class
        return ""
    try:
        model = treelite.Model.deserialize_bytes(fitted.content)
    except treelite.TreeliteError as error:
        return f"no Treelite checkpoint: {error}"
    header = model.get_header_accessor()
    if int(model.num_feature) != len(fitted.features):
        return "its features are not those of its sidecar"
    width = int(np.prod(header.get_field("leaf_vector_shape")))
    for number in range(model.num_tree):
        if fault := _of_checkpoint(model.get_tree_accessor(number), len(fitted.features), width):
            return f"tree {number}: {fault}"
    return ""


def _of_checkpoint(tree: Any, features: int, width: int) -> str:
    """What is wrong with a tree of Treelite's."""
    names = (
        "cleft",
        "cright",
        "split_index",
        "threshold",
        "default_left",
        "leaf_value",
        "node_type",
    )
    left, right, split, *others = (tree.get_field(name) for name in names)
    count = int(tree.get_field("num_nodes")[0])
    if {len(x) for x in (left, right, split, *others)} != {count}:
        return "its nodes are not whole"
    if not _within(others[-1], 2):  # a leaf, or a threshold: ours test no category
        return "a node is of no kind that the pipeline makes"
    if width > 1:
        ends = [tree.get_field(f"leaf_vector_{name}").astype("int64") for name in ("begin", "end")]
        values, leaf = len(tree.get_field("leaf_vector")), left == END
        if any(len(x) != count for x in ends) or not (
            _within(ends[0][leaf], values) and (ends[1][leaf] - ends[0][leaf] == width).all()
            and _within(ends[1][leaf], values + 1)
        ):  # fmt: skip
            return "its leaves are not whole"
    return walk(left, right, split, features)


def walk(left: np.ndarray, right: np.ndarray, split: np.ndarray, features: int) -> str:
    """What is wrong with a tree of n nodes, the root first; an empty text if nothing is.

    Args:
        left: int (n,): the child on the left, `END` at a leaf; ``right`` likewise.
        split: int (n,): the feature that a node which is no leaf tests.
        features: how many there are.
    """
    if not (len(left) == len(right) == len(split) and len(left)):
        return "its nodes are not whole"
    seen = np.zeros(len(left), dtype=bool)
    level: Any = np.zeros(1, dtype="int64")
    while len(level):
        if not _within(level, len(left)):
            return "a node leads out of the tree"
        if seen[level].any() or len(np.unique(level)) < len(level):
            return "a node is reached twice"
        seen[level] = True
        inner = level[left[level] != END]
        if not _within(split[inner], features):
            return "a node splits on a feature that is not there"
        level = np.concatenate([left[inner], right[inner]]).astype("int64")
    return ""


def _within(values: np.ndarray | Sequence[int], end: int) -> bool:
    """Whether all are from 0 to below the end."""
    found = np.asarray(values)
    return bool(((found >= 0) & (found < end)).all())
