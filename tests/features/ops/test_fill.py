"""fill against pandas' own statistics, and what it may not do to a column."""

import datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_laws import any_rows, assert_lawful, assert_same, fitted, plain

from pipeline.errors import ConfigError
from pipeline.features.registry import parse_op
from pipeline.features.try_op import make_frame, try_op


@pytest.mark.parametrize(
    "entry",
    [
        {"columns": "numeric", "with": "median", "indicator": True},
        {"columns": "numeric", "with": "mean"},
        {"columns": "all", "with": "most_frequent", "as": "{column} filled"},
        {"columns": ["text é"], "with": "none", "indicator": True},
        {"columns": ["a.b c", "float"], "with": -1},
        {"columns": ["a.b c", "float"], "with": 0.5},
        {"columns": ["bool"], "with": False},
        {"columns": ["when"], "with": "2020-01-01"},
    ],
)
def test_keeps_the_laws(entry, tmp_path, device):
    made, _ = assert_lawful({"fill": entry}, any_rows(), tmp_path, device)
    assert not made.isna().any().any()


def test_median_and_mean_are_those_of_pandas():
    data = any_rows()
    for how in ("median", "mean"):
        made = try_op({"fill": {"columns": "numeric", "with": how}}, data)
        for name in ("a.b c", "float"):
            values = pd.Series(data[name]).astype("float64")
            expected = values.fillna(getattr(values, how)())
            assert np.allclose(made[name], expected, rtol=1e-12)
        assert made["empty"].eq(0.0).all()


def test_most_frequent_breaks_ties_by_value_and_keeps_types():
    data = {
        "t": ["b", "a", None, "b", "a"],
        "i": pd.Series([7, 3, None, 3, 7], dtype="Int64"),
        "b": [True, True, None, False, True],
        "big": pd.Series([2**60 + 1, 2**60 + 1, None, 5, 6], dtype="Int64"),
    }
    made = try_op({"fill": {"columns": "all", "with": "most_frequent"}}, data)
    assert made.loc[2].tolist() == ["a", 3, True, 2**60 + 1]
    assert made["i"].dtype == "Int64"


def test_training_columns_of_missing_values_get_zeros():
    data = {"f": [np.nan, np.nan], "t": pd.Series([None, None], dtype=object)}
    data["i"] = pd.Series([None, None], dtype="Int64")
    data["w"] = pd.to_datetime([None, None]).to_series(index=range(2))
    data["b"] = pd.Series([None, None], dtype="boolean")
    made = try_op({"fill": {"columns": "all", "with": "most_frequent"}}, data)
    epoch = pd.Timestamp("1970-01-01")
    assert made.loc[0, ["f", "t", "i", "w", "b"]].tolist() == [0.0, "", 0, epoch, False]


def test_infinities_stay_and_enter_no_statistic():
    data = {"x": [1.0, np.inf, -np.inf, None, 4.0]}
    for how in ("median", "mean"):
        made = try_op({"fill": {"columns": "x", "with": how}}, data)
        assert plain(made["x"]) == [1.0, np.inf, -np.inf, 2.5, 4.0]
    most = {"x": [np.inf, np.inf, 2.0, None]}
    made = try_op({"fill": {"columns": "x", "with": "most_frequent"}}, most)
    assert made["x"][3] == 2.0


def test_a_yaml_date_is_a_constant():
    entry = {"fill": {"columns": "w", "with": datetime.date(2020, 1, 2)}}
    made = try_op(entry, {"w": pd.to_datetime(["2021-05-05", None]).to_series(index=range(2))})
    assert made["w"][1] == pd.Timestamp("2020-01-02")


@pytest.mark.parametrize(
    ("columns", "value", "says"),
    [
        ("text é", "median", "median takes numeric columns"),
        ("when", "mean", "mean takes numeric columns"),
        ("float", "zero", "'zero' does not fit column 'float'"),
        ("text é", 3, "does not fit column 'text é', which is text"),
        ("bool", 1, "which is bool"),
        ("a.b c", True, "which is int64"),
        ("when", "soon", "which is datetime"),
    ],
)
def test_refuses_values_of_another_type(columns, value, says):
    schema, _ = make_frame(any_rows(10))
    with pytest.raises(ConfigError, match=says):
        parse_op({"fill": {"columns": columns, "with": value}}).reads(schema)


def test_refuses_nan():
    with pytest.raises(ConfigError, match="finite"):
        parse_op({"fill": {"columns": "x", "with": float("nan")}})


numbers = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=40)


@settings(max_examples=40, deadline=None)
@given(numbers, st.integers(1, 9), st.sampled_from(["median", "mean", "most_frequent"]))
def test_partitioning_does_not_matter(values, parts, how):
    entry = {"fill": {"columns": "x", "with": how}}
    data = {"x": pd.Series(values, dtype="float64")}
    whole, split = fitted(entry, data)[2], fitted(entry, data, parts)[2]
    if how == "mean":
        scale = max([abs(v) for v in values if v is not None], default=0.0)
        assert abs(whole["values"][0] - split["values"][0]) <= 1e-12 * scale
    else:
        assert_same(whole, split, rel=0)
