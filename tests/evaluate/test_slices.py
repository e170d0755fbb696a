import numpy as np
import pandas as pd
import pytest

from pipeline.evaluate import metrics, slices
from pipeline.matrix import Target

REGRESSION = Target("regression")


def test_each_value_is_measured_on_its_own_rows():
    values = np.array(["a", "b", None, "a", np.nan], dtype=object)
    y, p = np.arange(5.0), np.arange(5.0) + [1, 2, 3, 1, 5]
    found = slices.measure(REGRESSION, values, y, p)
    assert [(s["value"], s["kind"], s["rows"]) for s in found] == [
        ("a", "value", 2),
        ("b", "value", 1),
        (None, "missing", 2),
    ]
    assert [s["metrics"]["mae"] for s in found] == [1, 2, 4]


def test_values_beyond_the_twentieth_are_measured_together():
    values = np.repeat(np.arange(30), np.arange(30, 0, -1))
    y = values.astype(float)
    found = slices.measure(REGRESSION, values, y, y + 1)
    assert [s["value"] for s in found[:20]] == [str(v) for v in range(20)]
    assert found[20]["kind"] == "rest"
    assert (found[20]["values"], found[20]["rows"]) == (10, sum(range(1, 11)))
    assert sum(s["rows"] for s in found) == len(values)


@pytest.mark.parametrize(
    "values",
    [
        np.array([None, None, None], dtype=object),
        np.full(3, np.nan),
        np.array(["2020-01-01", "NaT", "2020-01-01"], dtype="datetime64[us]"),
        np.array([True, False, True]),
        pd.array([1, None, 1], dtype="Int64"),
        np.array(["<b>", "é☃", "<b>"], dtype=object),
    ],
)
def test_values_of_any_type_and_all_missing_ones(values):
    found = slices.measure(REGRESSION, values, np.zeros(3), np.ones(3))
    assert sum(s["rows"] for s in found) == 3


def test_weights_and_class_probabilities_go_with_their_rows():
    target = Target("multiclass", ("x", "y"))
    y, w = np.array([0.0, 1, 1]), np.array([1.0, 2, 3])
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7]])
    found = slices.measure(target, np.array([7, 7, 8]), y, p, weight=w)
    assert found[0]["metrics"] == metrics.measure(target, y[:2], p[:2], w[:2])
    assert found[1]["value"] == "8"


def test_no_rows_no_slices():
    assert slices.measure(REGRESSION, np.zeros(0), np.zeros(0), np.zeros(0)) == []
