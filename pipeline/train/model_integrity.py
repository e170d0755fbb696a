"""Validation of a model file's trees before a library loads them: acyclic, all indices in range.

Libraries that load a model trust it: a node that leads back to itself or out of its tree, or a
feature that does not exist, makes them hang, crash or read foreign memory. A manifest does not
help, because whoever makes the model can make a manifest that fits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.errors import shorten
from pipeline.train.forest import checkpoint_file
from pipeline.train.xgboost import ubjson

END = -1
"""The child index of a leaf."""
MAX_CLASSES = 10_000
"""Most classes of a forest."""
TASKS = (1, 2)
"""Treelite's numbers for a regression and for a classification."""
POSTPROCESSORS = (
    "identity", "identity_multiclass", "signed_square", "hinge", "sigmoid", "softmax", "max_index",
    "exponential", "exponential_standard_ratio", "logarithm_one_plus_exp", "multiclass_ova",
)  # fmt: skip
"""Functions that Treelite can apply to the sum of the leaves."""
CATEGORY_FIELDS = ("category_list_right_child", "category_list_begin", "category_list_end")
OPTIONAL = tuple(
    f"{name}{part}" for name in ("data_count", "sum_hess", "gain") for part in ("", "_present")
)
"""Fields of a Treelite tree that hold a value for every node, or none."""
CATEGORY_BYTES = 1 << 30
"""Most bytes that the categories of all nodes may take in memory."""


def find_booster_fault(
    content: bytes, features: int | None = None, groups: int | None = None
) -> str:
    """Describe what is malformed in an XGBoost model; an empty text if nothing is.

    Args:
        content: the model as UBJSON.
        features: the number of features; None: as many as the model has.
        groups: trees per round, one for each class of three or more; None: likewise.
    """
    # XGBoost itself would crash on some of these faults while it loads the model.
    try:
        learner = ubjson.parse(content)["learner"]
        params, model = learner["learner_model_param"], learner["gradient_booster"]["model"]
        model_features = _parse_number(params["num_feature"])
        model_groups = max(1, _parse_number(params["num_class"]))
        if features not in (None, model_features) or groups not in (None, model_groups):
            return "its features or classes are not those of its sidecar"
        if _parse_number(params["num_target"]) > 1 or len(model["cats"]["enc"]):
            return "it is of a kind that the pipeline does not make"
        trees = model["trees"]
        # Rounds and classes must account for all trees, in order.
        rounds = np.array(model["iteration_indptr"], dtype="int64")
        owners = np.array(model["tree_info"], dtype="int64")
        if not (
            len(trees) == len(owners) == _parse_number(model["gbtree_model_param"]["num_trees"])
            and _is_within(owners, 0, model_groups)
            and (rounds[0], rounds[-1]) == (0, len(trees))
            and (np.diff(rounds) >= 0).all()
        ):
            return "its trees are not those of its rounds and classes"
        for number, tree in enumerate(trees):
            if fault := _find_booster_tree_fault(tree, number, model_features):
                return f"tree {number}: {fault}"
        # XGBoost makes a bit field per node that tests categories, as long as the largest code
        size = sum(
            len(tree["categories_nodes"]) * (int(tree["categories"].max()) // 8 + 4)
            for tree in trees
            if len(tree["categories"])
        )
        return f"its categories take {size:,} bytes" if size > CATEGORY_BYTES else ""
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return f"it is not a model of XGBoost's: {type(error).__name__}: {shorten(str(error))}"


def _parse_number(text: str) -> int:
    """Parse a parameter, which XGBoost writes as text."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError(f"{text!r} is not a number")
    return int(text)


def _find_booster_tree_fault(tree: Mapping[str, Any], number: int, features: int) -> str:
    """Describe what is malformed in a tree of XGBoost's."""
    left, right, split = (
        _to_int64(tree[n]) for n in ("left_children", "right_children", "split_indices")
    )
    param, count = tree["tree_param"], len(left)
    others = ("split_conditions", "split_type", "default_left", "base_weights", "parents")
    if (
        tree["id"] != number
        or {count, *(len(tree[name]) for name in others)} != {_parse_number(param["num_nodes"])}
        or _parse_number(param["size_leaf_vector"]) > 1
    ):
        return "its nodes are not whole"
    if fault := find_tree_fault(left, right, split, features):
        return fault
    parents, inner = _to_int64(tree["parents"]), np.flatnonzero(left != END)
    if not (
        _is_within(parents[1:], 0, count)
        and (parents[left[inner]] == inner).all()
        and (parents[right[inner]] == inner).all()
    ):
        return "a node has another parent"
    nodes, starts, sizes, codes = (
        _to_int64(tree[f"categories{name}"]) for name in ("_nodes", "_segments", "_sizes", "")
    )
    testing_nodes = np.flatnonzero(_to_int64(tree["split_type"]))
    if not (
        np.array_equal(nodes, testing_nodes)
        and np.isin(nodes, inner).all()
        and len(nodes) == len(starts) == len(sizes)
        and _is_within(starts, 0, len(codes))
        and _is_within(sizes, 1, len(codes) + 1)
        and _is_within(starts + sizes, 0, len(codes) + 1)
        and _is_within(codes, 0, 2**24)
    ):
        return "its categories are not whole"
    return ""


def _to_int64(values: object) -> np.ndarray:
    """Check that the values are a typed array of integers; return them as int64."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iu":
        raise TypeError("an array of integers is of another type")
    return values.astype("int64")


def find_checkpoint_fault(content: bytes, features: int) -> str:
    """Describe what is malformed in a Treelite checkpoint; an empty text if nothing is.

    Args:
        content: the checkpoint; empty: a forest of one class, without trees.
        features: the number of features.
    """
    if not content:
        return ""
    # Treelite itself would hang or crash on some of these faults while it loads the checkpoint.
    try:
        header, trees = checkpoint_file.parse(content)
        if header["num_feature"] != features:
            return "its features are not those of its sidecar"
        if fault := _find_header_fault(header):
            return fault
        width = int(header["leaf_vector_shape"][1])
        for number, tree in enumerate(trees):
            if fault := _find_checkpoint_tree_fault(tree, features, width):
                return f"tree {number}: {fault}"
    except (LookupError, TypeError, ValueError) as error:
        return f"it is not a Treelite checkpoint: {shorten(str(error))}"
    return ""


def _find_header_fault(header: Mapping[str, Any]) -> str:
    """Describe what is malformed in the facts about all trees."""
    trees, classes = header["num_tree"], header["num_class"]
    if header["task_type"] not in TASKS or header["average"] != 1:
        return "it is not a random forest"
    if header["num_target"] != 1 or len(classes) != 1 or not 1 <= classes[0] <= MAX_CLASSES:
        return "its targets or classes are not those of a forest of the pipeline"
    if header["postprocessor"].tobytes().decode() not in POSTPROCESSORS:
        return "its scores are of an unknown kind"
    is_vector = int(header["leaf_vector_shape"][-1]) > 1
    first, end = (-1, 0) if is_vector else (0, classes[0])  # a leaf of one value names its class
    if not (
        len(header["target_id"]) == len(header["class_id"]) == trees
        and _is_within(header["target_id"], first, 1)
        and _is_within(header["class_id"], first, end)
        and len(header["base_scores"]) == classes[0]
        and header["leaf_vector_shape"].tolist() in ([1, 1], [1, classes[0]])
    ):
        return "its trees are not those of its classes"
    return ""


def _find_checkpoint_tree_fault(tree: Mapping[str, Any], features: int, width: int) -> str:
    """Describe what is malformed in a tree of Treelite's."""
    left, right, split = tree["cleft"], tree["cright"], tree["split_index"]
    count, inner = tree["num_nodes"], left != END
    others = ("threshold", "default_left", "leaf_value", "node_type", "cmp", *CATEGORY_FIELDS)
    if count < 1 or {len(x) for x in (left, right, split, *(tree[n] for n in others))} != {count}:
        return "its nodes are not whole"
    if {len(tree[name]) for name in OPTIONAL} - {0, count}:
        return "its nodes are not whole"
    if (tree["node_type"] != inner).any() or not _is_within(tree["cmp"][inner], 1, 6):
        return "a node is of a kind that the pipeline does not make"
    if tree["has_categorical_split"] or len(tree["category_list"]):
        return "a node tests categories, which the pipeline does not make"
    begins, ends = (tree[f"leaf_vector_{n}"].astype("int64") for n in ("begin", "end"))
    sizes, values = np.where(inner | (width == 1), 0, width), len(tree["leaf_vector"])
    if not (
        (len(begins) == len(ends) == count or (width == 1 and not values))
        and (not values or (_is_within(begins, 0, values + 1) and _is_within(ends, 0, values + 1)))
        and (not len(begins) or np.array_equal(ends - begins, sizes))
    ):
        return "its leaves are not whole"
    return find_tree_fault(left, right, split, features)


def find_tree_fault(left: np.ndarray, right: np.ndarray, split: np.ndarray, features: int) -> str:
    """Describe why n nodes do not form a tree below the first one; an empty text if they do.

    Args:
        left: int (n,): the left child, `END` at a leaf.
        right: int (n,): the right child, likewise.
        split: int (n,): the feature that a node with children tests.
        features: the number of features.
    """
    if not (len(left) == len(right) == len(split) and len(left)):
        return "its nodes are not whole"
    inner = left != END
    children = np.concatenate([left[inner], right[inner]]).astype("int64")
    if not _is_within(children, 0, len(left)):
        return "a node leads out of the tree"
    # No node has two parents and the root has none: then no path from the root enters a cycle,
    # because the node where it did would have two.
    if len(children) and (children.min() == 0 or np.bincount(children).max() > 1):
        return "a node is reached twice"
    if not _is_within(split[inner], 0, features):
        return "a node splits on a feature that is not there"
    return ""


def _is_within(values: np.ndarray | Sequence[int], start: int, end: int) -> bool:
    """Return whether all values are at least ``start`` and below ``end``."""
    array = np.asarray(values)
    return not array.size or bool(array.min() >= start and array.max() < end)
