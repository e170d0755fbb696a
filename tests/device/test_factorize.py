"""Distinct values on the host: any text, in both orders; missing ones have no number."""

import numpy as np
import pandas as pd
import pytest

from pipeline.device import cpu
from pipeline.device.factorize import factorize
from pipeline.evaluate import slices
from pipeline.expression import parse
from pipeline.features.stats.key_tables import find_positions, to_key_column
from pipeline.features.try_op import make_frame, try_op


def test_texts_that_are_equal_up_to_a_nul_are_different():
    codes, words = factorize(np.array(["b\0b", None, "a\0c", "b", "b\0b"], dtype=object))
    assert (codes.tolist(), words.tolist()) == ([0, -1, 1, 2, 0], ["b\0b", "a\0c", "b"])
    codes, words = factorize(np.array(["b\0b", "a\0c", "b"], dtype=object), ordered=True)
    assert (codes.tolist(), words.tolist()) == ([2, 0, 1], ["a\0c", "b", "b\0b"])


@pytest.mark.parametrize(
    ("values", "codes", "distinct"),
    [
        (np.array([2.5, np.nan, 0.0, 2.5]), [0, -1, 1, 0], [2.5, 0.0]),
        (np.array([], dtype=object), [], []),
        (np.array([None, np.nan], dtype=object), [-1, -1], []),
        (np.array([True, pd.NA, False], dtype=object), [0, -1, 1], [True, False]),
    ],
)
def test_other_values_too(values, codes, distinct):
    found, own = factorize(values)
    assert (found.tolist(), own.tolist()) == (codes, distinct)


def test_what_tells_texts_apart_sees_beyond_a_nul():
    data = {"a": ["x\0y", "x\0z", "x"], "n": [1, 1, 1]}
    _, frame = make_frame(data)
    keys = pd.DataFrame({"key_0": to_key_column(np.array(["x", "x\0z"], object)), "key_1": [1, 1]})
    assert find_positions(frame, ["a", "n"], keys, cpu).tolist() == [-1, 1, 0]
    assert parse("a == 'x'").evaluate(frame, cpu).tolist() == [False, False, True]
    assert slices._assign_slices(np.array(data["a"], dtype=object))[2] == 3
    entry = {"lag": {"by": "a", "order": "n", "columns": ["n"], "shift": 1}}
    new = {"a": ["x\0z", "x"], "n": [2, 2]}
    made = try_op(entry, {**data, "n": [1, 0, -1]}, new=new)
    assert made["n__shift_1"].tolist() == [0.0, -1.0]
