"""What is malformed in a model's file is found before the library that scores it opens the file."""

from __future__ import annotations

import numpy as np
import pytest
import treelite
import xgboost
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from ubjson_text import dumped

from pipeline.train import model_integrity
from pipeline.train.forest import checkpoint_file
from pipeline.train.xgboost import ubjson


@pytest.fixture(scope="module")
def table():
    """400 rows of three numbers and a category code, and their label."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype("float32")
    x[:, 3] = rng.integers(0, 12, 400)
    return x, ((x[:, 0] + x[:, 1] > 0) ^ (x[:, 3] % 3 == 0)).astype(int)


@pytest.fixture(scope="module")
def booster(table):
    """Four rounds with splits on categories, as UBJSON."""
    x, y = table
    rows = xgboost.DMatrix(x, y, feature_types=["q", "q", "q", "c"], enable_categorical=True)
    params = {"max_depth": 4, "max_cat_to_onehot": 1, "objective": "binary:logistic"}
    return bytes(xgboost.train(params, rows, 4).save_raw("ubj"))


@pytest.fixture(scope="module")
def checkpoint(table):
    """Four trees as a Treelite checkpoint."""
    trained = RandomForestClassifier(4, max_depth=4, random_state=0, n_jobs=1).fit(*table)
    return treelite.sklearn.import_model(trained).serialize_bytes()


def tree_of(**changes):
    found = {
        "left": [1, 3, -1, -1, -1], "right": [2, 4, -1, -1, -1], "split": [0, 1, -1, -1, -1],
    } | changes  # fmt: skip
    return [np.array(found[n]) for n in ("left", "right", "split")]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"left": [1, 0, -1, -1, -1]}, "reached twice"),
        ({"left": [1, 2, -1, -1, -1]}, "reached twice"),
        ({"left": [1, 4, -1, -1, -1]}, "reached twice"),
        ({"left": [1, 5, -1, -1, -1]}, "out of the tree"),
        ({"right": [2, -2, -1, -1, -1]}, "out of the tree"),
        ({"right": [2, -1, -1, -1, -1]}, "out of the tree"),
        ({"split": [0, 2, -1, -1, -1]}, "feature that is not there"),
        ({"split": [-1, 1, -1, -1, -1]}, "feature that is not there"),
        ({"left": [], "right": [], "split": []}, "not whole"),
        ({"right": [2, 4]}, "not whole"),
    ],
)
def test_a_tree_is_one(changes, fault):
    found = model_integrity.find_tree_fault(*tree_of(**changes), 2)
    assert fault in found and bool(fault) == bool(found)


def test_models_that_were_trained_are_whole(table, booster, checkpoint):
    assert (
        model_integrity.find_booster_fault(booster, 4, 1)
        == model_integrity.find_booster_fault(booster)
        == ""
    )
    assert model_integrity.find_checkpoint_fault(checkpoint, 4) == ""
    assert model_integrity.find_checkpoint_fault(b"", 4) == ""
    assert "not those of its sidecar" in model_integrity.find_booster_fault(booster, 3)
    assert "not those of its sidecar" in model_integrity.find_booster_fault(booster, 4, 3)
    assert "not those of its sidecar" in model_integrity.find_checkpoint_fault(checkpoint, 3)


@pytest.mark.parametrize("options", [{"gamma": 3}, {"max_leaves": 7, "grow_policy": "lossguide"},
                                     {"num_parallel_tree": 3}, {"tree_method": "exact"},
                                     {"objective": "multi:softprob", "num_class": 3}])  # fmt: skip
def test_models_of_every_kind_are_whole(table, options):
    x, y = table
    params = {"max_depth": 6, "objective": "binary:logistic"} | options
    content = bytes(xgboost.train(params, xgboost.DMatrix(x, y), 5).save_raw("ubj"))
    assert model_integrity.find_booster_fault(content, 4, options.get("num_class", 1)) == ""


def at(name, where, value):
    """A change of one value of an array of a tree."""

    def change(tree):
        array = tree[name].copy()
        array[where] = value
        tree[name] = array

    return change


BROKEN = {
    "a loop": at("left_children", 0, 0),
    "a child outside": at("right_children", 0, 10**6),
    "a feature outside": at("split_indices", 0, 9),
    "another parent": at("parents", 3, 2**31 - 1),
    "a negative category": at("categories", 0, -(2**31)),
    "a huge category": at("categories", 0, 2**31 - 1),
    "categories outside": at("categories_sizes", 0, 10**6),
    "categories of another node": at("categories_nodes", 0, 10**6),
    "a category split without categories": lambda t: t.update(split_type=t["split_type"] * 0 + 1),
    "a short array": lambda tree: tree.update(split_conditions=tree["split_conditions"][:-1]),
    "another tree": lambda tree: tree.update(id=0),
    "vector leaves": lambda tree: tree["tree_param"].update(size_leaf_vector="3"),
    "another type": lambda tree: tree.update(left_children=tree["left_children"].astype(">f4")),
}


@pytest.mark.parametrize("change", BROKEN)
def test_a_booster_is_checked_node_by_node(booster, change):
    """XGBoost 3.2 crashes on most of them, on some already while it loads the file."""
    model = ubjson.parse(booster)
    BROKEN[change](model["learner"]["gradient_booster"]["model"]["trees"][2])
    assert model_integrity.find_booster_fault(dumped(model), 4)


def test_rounds_and_classes_fit_the_trees(booster):
    for name, value in (("tree_info", [0, 0, 0, 5]), ("iteration_indptr", [0, 1, 2, 3, 9])):
        model = ubjson.parse(booster)
        model["learner"]["gradient_booster"]["model"][name] = value
        assert "not those of its rounds and classes" in model_integrity.find_booster_fault(
            dumped(model), 4
        )


def test_categories_that_take_much_memory_are_refused(booster, monkeypatch):
    monkeypatch.setattr(model_integrity, "CATEGORY_BYTES", 20)
    assert "its categories take" in model_integrity.find_booster_fault(booster, 4)


# -- UBJSON ----------------------------------------------------------------------------------------


def test_ubjson_is_read_as_it_is_written(booster):
    model = ubjson.parse(booster)
    trees = model["learner"]["gradient_booster"]["model"]["trees"]
    assert len(trees) == 4 and trees[0]["left_children"].dtype == np.dtype(">i4")
    again = xgboost.Booster(model_file=bytearray(dumped(model)))
    assert bytes(again.save_raw("ubj")) == booster
    assert ubjson.parse(dumped({"a": [None, True, 1, "x", []]})) == {"a": [None, True, 1, "x", []]}


LENGTH = b"L" + (2**62).to_bytes(8, "big")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[", b"x", b"Zx", b"[$", b"[$d", b"[$x#L" + bytes(8), b"[$d#" + LENGTH,
        b"[#" + LENGTH, b"S" + LENGTH, b"{" + LENGTH, b"[" * 100, b"S" + b"L" + b"\xff" * 8,
        b"d\0", b"{" + 2 * (b"L" + bytes(7) + b"\1aZ") + b"}",
    ],
)  # fmt: skip
def test_what_is_not_ubjson_is_refused(content):
    with pytest.raises(ValueError):
        ubjson.parse(content)
    assert "not a model of XGBoost's" in model_integrity.find_booster_fault(content)


def test_as_many_values_as_memory_holds_are_read(monkeypatch):
    monkeypatch.setattr(ubjson, "MAX_VALUES", 10)
    with pytest.raises(ValueError, match="10 values"):
        ubjson.parse(b"[" + b"Z" * 20 + b"]")


# -- Treelite --------------------------------------------------------------------------------------


def changed(checkpoint, name, where, value):
    """The checkpoint with one value of a field of its second tree changed."""
    model = treelite.Model.deserialize_bytes(checkpoint)
    tree = model.get_tree_accessor(1)
    field = tree.get_field(name).copy()
    field[where] = value
    tree.set_field(name, field)
    return model.serialize_bytes()


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("cleft", 0, "reached twice"), ("cright", 10**6, "out of the tree"),
        ("split_index", 9, "not there"), ("node_type", 2, "of a kind"), ("cmp", 9, "of a kind"),
        ("leaf_vector_end", 10**6, "leaves are not whole"), ("has_categorical_split", 1, "categories"),
    ],
)  # fmt: skip
def test_a_checkpoint_is_checked_node_by_node(checkpoint, name, value, fault):
    found = model_integrity.find_checkpoint_fault(changed(checkpoint, name, 0, value), 4)
    assert found.startswith("tree 1: ") and fault in found


@pytest.mark.parametrize("kind", [RandomForestClassifier, RandomForestRegressor])
@pytest.mark.parametrize("labels", [2, 3])
def test_checkpoints_of_every_kind_are_whole(table, kind, labels):
    x, y = table
    label = np.where(x[:, 2] > 1, labels - 1, y % labels)
    trained = kind(3, max_depth=5, random_state=0, n_jobs=1).fit(x, label)
    content = treelite.sklearn.import_model(trained).serialize_bytes()
    assert model_integrity.find_checkpoint_fault(content, 4) == ""
    header, trees = checkpoint_file.parse(content)
    model = treelite.Model.deserialize_bytes(content)
    for number, tree in enumerate(trees):
        for name in ("cleft", "split_index", "threshold", "leaf_vector_begin"):
            assert np.array_equal(tree[name], model.get_tree_accessor(number).get_field(name)), name
    assert header["num_feature"] == 4 and header["num_tree"] == 3


def test_a_checkpoint_names_scores_and_classes_that_there_are(checkpoint):
    unknown = checkpoint.replace(b"identity_multiclass", b"identity_multiclasx")
    assert "its scores are of an unknown kind" in model_integrity.find_checkpoint_fault(unknown, 4)
    ids = np.full(4, -1, dtype="<i4").tobytes()
    outside = checkpoint.replace(ids, np.full(4, 7, dtype="<i4").tobytes(), 1)
    assert "not those of its classes" in model_integrity.find_checkpoint_fault(outside, 4)


def test_a_checkpoint_may_claim_no_more_than_it_holds(checkpoint):
    """Treelite 4.8 hangs, ends the process or fills the memory on some of these lengths."""
    header = checkpoint[:200].index(b"identity_multiclass") - 8
    for at in (14, 30, header, header + 60):
        for length in (2**30, 2**62, 2**64 - 1):
            damaged = checkpoint[:at] + length.to_bytes(8, "little") + checkpoint[at + 8 :]
            assert model_integrity.find_checkpoint_fault(damaged, 4), (at, length)
    for end in (0, 1, 50, len(checkpoint) - 1):
        assert model_integrity.find_checkpoint_fault(checkpoint[:end] or b"x", 4)
    assert "after the end" in model_integrity.find_checkpoint_fault(checkpoint + b"x", 4)
