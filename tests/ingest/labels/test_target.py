"""The task and the classes that a target's values say, and the label of each row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.model import Data
from pipeline.device import cpu
from pipeline.errors import ConfigError, DataError
from pipeline.features.try_op import make_frame
from pipeline.ingest.labels import target

NOTHING = pd.Series([None, None], dtype=object)


def seen(values, text="y", device=cpu, parts=1):
    """The summary over partitions, the frame and the expression."""
    schema, host = make_frame({"y": values})
    expression = target.parse_target(text, schema.names)
    frames = [
        device.to_device(host.iloc[i].reset_index(drop=True))
        for i in np.array_split(np.arange(len(host)), parts)
    ]
    merged = target.summarise_target(expression.evaluate(frames[0], device), device)
    for frame in frames[1:]:
        merged = target.merge_summaries(
            merged, target.summarise_target(expression.evaluate(frame, device), device)
        )
    return merged, device.to_device(host), expression


def settled(values, text="y", device=cpu, **data):
    merged, frame, expression = seen(values, text, device)
    found = target.infer_target(merged, Data(path="x", target=text, **data))
    labels = device.to_host(
        target.encode_labels(expression.evaluate(frame, device), found.target, device)
    )
    assert found.why
    assert labels.dtype == "float64"
    return found.target, labels.tolist()


def same(found, expected):
    return np.array_equal(found, expected, equal_nan=True)


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (pd.Series([True, None, False], dtype="boolean"), "binary", (False, True)),
        (["no", "yes", None], "binary", ("no", "yes")),
        (["c", "a", "ü", "c"], "multiclass", ("a", "c", "ü")),
        ([3, 7, 3], "binary", (3, 7)),
        ([0.5, 1.5, None], "binary", (0.5, 1.5)),
        ([1.0, 2.0, None], "binary", (1, 2)),
        ([3, 1, 2], "multiclass", (1, 2, 3)),
        ([-0.0, 0.0, 1.0, 2.0], "multiclass", (0, 1, 2)),
        (list(range(20)), "multiclass", tuple(range(20))),
        (list(range(21)), "regression", ()),
        ([0.1, 0.2, 0.3], "regression", ()),
    ],
)
def test_the_values_decide(values, task, classes, device):
    found, labels = settled(values, device=device)
    assert (found.task, found.classes) == (task, classes)
    assert [type(c) for c in found.classes] == [type(c) for c in classes]
    for value, label in zip(values, labels, strict=True):
        if pd.isna(value):
            assert np.isnan(label)
        else:
            assert label == (classes.index(value) if classes else value)


def test_an_expression_is_a_target(device):
    found, labels = settled([20.0, None, 3.0], "y > 15", device)
    assert (found.task, found.classes) == ("binary", (False, True))
    assert same(labels, [1.0, np.nan, 0.0])


def test_a_column_comes_before_the_expression_of_its_name(device):
    schema, host = make_frame({"a b": [1, 2], "a > 1": [5, 6], "a": [0, 9]})
    for name, expected in [("a b", [1, 2]), ("a > 1", [5, 6]), ("a > 2", [False, True])]:
        made = target.parse_target(name, schema.names).evaluate(device.to_device(host), device)
        assert device.to_host(made).tolist() == expected


def test_overrides():
    assert settled([1, 2, 3], task="regression")[0].task == "regression"
    assert settled([1, 2, 2], task="multiclass")[0].classes == (1, 2)
    assert settled(list(range(30)), task="multiclass")[0].classes == tuple(range(30))
    assert settled([0.5, 0.7, 0.9], task="multiclass")[1] == [0.0, 1.0, 2.0]
    booleans = pd.Series([True, None, False], dtype="boolean")
    assert same(settled(booleans, task="regression")[1], [1.0, np.nan, 0.0])
    assert settled(["b", "a"], task="binary")[0].classes == ("a", "b")


@pytest.mark.parametrize(
    ("values", "positive", "classes"),
    [(["no", "yes"], "no", ("yes", "no")), ([1, 2], 1, (2, 1)), ([1, 2], "1", (2, 1)),
     ([True, False], False, (True, False)), (["1", "2"], 1, ("2", "1")), ([1, 2], 2, (1, 2)),
     ([0.5, 1.5], 0.5, (1.5, 0.5))],
)  # fmt: skip
def test_the_positive_class_comes_last(values, positive, classes, device):
    found, labels = settled(values, device=device, positive=positive)
    assert found.classes == classes
    assert labels == [float(classes.index(v)) for v in values]


MONEY = [f"{i} EUR" for i in range(60)] + ["0 EUR", "1 EUR"] * 20
"""A text of which most values are rare."""


def test_many_classes_are_a_task_if_most_are_frequent_or_they_are_asked_for():
    frequent = [f"c{i % 60:02}" for i in range(60 * 10)]
    assert len(settled(frequent)[0].classes) == 60
    assert len(settled(MONEY[:50])[0].classes) == 50
    assert len(settled(MONEY, task="multiclass")[0].classes) == 60
    with pytest.raises(DataError) as caught:
        settled(MONEY)
    for proposal in ("types: {y: float}", "data.task: multiclass", 'target: y == "…"'):
        assert proposal in str(caught.value)


@pytest.mark.parametrize(
    ("values", "data", "error", "message"),
    [
        ([1, 1], {}, DataError, r"only one value.*1: 2 rows"),
        (["a", "a", None], {}, DataError, "only one value"),
        (NOTHING, {}, DataError, "missing in every row"),
        ([None, None], {}, DataError, "missing in every row"),
        ([f"t{i}" for i in range(1001)], {}, DataError, "more than 1,000 distinct values"),
        ([f"t{i}" for i in range(1001)], {"task": "multiclass"}, DataError, "more than 1000"),
        (MONEY, {}, DataError, "text with 60 distinct values, 58 of them with fewer than 10 rows"),
        (["a", "b", "c"], {"task": "regression"}, ConfigError, "text"),
        (["a", "b", "c"], {"task": "binary"}, ConfigError, "3 distinct values"),
        ([1, 2, 3], {"task": "binary"}, ConfigError, "> 15"),
        (list(range(1001)), {"task": "multiclass"}, DataError, "more than 1000"),
        (["no", "yes"], {"positive": True}, ConfigError, "'no'.*'yes'.*bool in YAML"),
        (["a", "b", "c"], {"positive": "a"}, ConfigError, "two classes"),
        (list(range(30)), {"positive": 3}, ConfigError, "regression target"),
        ([1, 2, 3], {"positive": 3, "task": "regression"}, ConfigError, "regression target"),
        ([0.5, np.inf, 3.5], {}, DataError, "infinite"),
        ([0.5, np.inf], {}, DataError, "infinite"),
        (pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])), {}, ConfigError, "datetime"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_target(values, data, error, message):
    with pytest.raises(error, match=f"(?s){message}"):
        settled(values, **data)


def test_a_class_of_one_row_is_a_class():
    found, labels = settled(["a"] * 50 + ["b"] * 50 + ["rare"])
    assert found.classes == ("a", "b", "rare")
    assert labels[-1] == 2.0


def test_a_value_that_was_no_class_has_no_label(device):
    merged, _, expression = seen(["a", "b"], device=device)
    found = target.infer_target(merged, Data(path="x", target="y")).target
    _, host = make_frame({"y": ["b", "c", None]})
    labels = device.to_host(
        target.encode_labels(expression.evaluate(device.to_device(host), device), found, device)
    )
    assert same(labels, [1.0, np.nan, np.nan])


columns = st.one_of(
    st.lists(st.sampled_from(["a", "b", "ü", None]), min_size=3, max_size=30).map(
        lambda v: pd.Series(v, dtype=object)
    ),
    st.lists(st.one_of(st.none(), st.integers(-5, 5)), min_size=3, max_size=30).map(
        lambda v: pd.Series(v, dtype="Int64")
    ),
    st.lists(st.sampled_from([0.0, -0.0, 1.5, 2.0, np.nan]), min_size=3, max_size=30).map(
        pd.Series
    ),
)


@given(values=columns)
@settings(max_examples=40, deadline=None)
def test_the_summary_does_not_depend_on_the_partitions(values):
    whole = seen(values)[0]
    for parts in (3, 17):  # 17: some are empty
        assert seen(values, parts=parts)[0] == whole
    assert whole.missing == values.isna().sum()


def test_many_values_stay_many():
    whole = seen(list(range(1500)))[0]
    assert whole.counts is None
    assert seen(list(range(1500)), parts=3)[0] == whole
    assert (whole.low, whole.high, whole.whole) == (0.0, 1499.0, True)
