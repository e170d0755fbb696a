"""log: its bases and offsets, and the numbers that have no logarithm."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column


@given(
    values=st.lists(st.one_of(st.none(), st.floats(-10, 1e12)), min_size=1, max_size=20),
    base=st.sampled_from(["e", 2, 10]),
    offset=st.sampled_from([0, 0.5, 1, 7]),
)
@settings(max_examples=40, deadline=None)
def test_it_is_the_logarithm(values, base, offset):
    made = try_op(
        {"log": {"columns": "x", "base": base, "offset": offset}},
        {"x": pd.Series(values, dtype="float64")},
    )["x"].tolist()
    for value, found in zip(values, made, strict=True):
        if value is None or value <= -offset:
            assert math.isnan(found)
        else:
            scale = 1 if base == "e" else math.log(base)
            expected = math.log1p(value) if offset == 1 else math.log(value + offset)
            assert found == pytest.approx(expected / scale, rel=1e-14, abs=1e-300)


def test_integers_and_all_missing(device, recwarn):
    data = {
        "i": pd.Series([0, None, 7], dtype="Int64"),
        "x": [None, None, None],
        "y": [np.inf, -np.inf, -1.0],
    }
    data["x"] = pd.Series(data["x"], dtype="float64")
    made = try_op("log: {columns: numeric, base: 2, as: '{column}_log'}", data, device=device)
    assert list(made.columns) == ["i_log", "x_log", "y_log"]
    np.testing.assert_array_equal(made["i_log"], [0.0, np.nan, 3.0])
    assert made[["x_log", "y_log"]].isna().all().all()
    assert not recwarn.list


def test_declared():
    schema, _ = make_frame({"i": [1], "s": ["a"]})
    op = parse_op({"log": {"columns": "i", "base": "10"}})
    assert op.produces(schema) == [Column("i", "float64")]
    assert parse_op(dump_op(op)) == op
    with pytest.raises(ConfigError, match="s is text"):
        parse_op({"log": {"columns": "s"}}).reads(schema)
    for wrong in ({"base": 3}, {"offset": -1}, {"offset": float("nan")}, {"bass": 2}):
        with pytest.raises(ConfigError):
            parse_op({"log": {"columns": "i", **wrong}})
