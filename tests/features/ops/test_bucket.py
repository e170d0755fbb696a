"""bucket against pandas' cut, its edges, and what it refuses."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_laws import any_rows, assert_lawful, fitted, plain

from pipeline.errors import ConfigError
from pipeline.features.registry import parse_op
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column


@pytest.mark.parametrize(
    "entry",
    [
        {"columns": "numeric", "edges": [-1, 0.1, 5]},
        {"columns": "numeric", "quantiles": 5, "as": "{column} q"},
    ],
)
def test_keeps_the_laws(entry, tmp_path, device):
    made, _ = assert_lawful({"bucket": entry}, any_rows(), tmp_path, device)
    assert made.filter(like="empty").isna().all().all()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(-100, 100, width=32), max_size=30),
    st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=6, unique=True),
)
def test_buckets_are_those_of_pandas_cut(values, edges):
    edges = sorted(edges)
    made = try_op(
        {"bucket": {"columns": "x", "edges": edges}}, {"x": pd.Series(values, dtype=float)}
    )
    bins = [-np.inf, *edges, np.inf]
    assert plain(made["x"]) == pd.cut(values, bins, right=False, labels=False).tolist()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(2, 9))
def test_partitioning_does_not_matter_to_the_bit(values, parts):
    data = {"x": pd.Series(values, dtype="float64")}
    entry = {"bucket": {"columns": "x", "quantiles": 4}}
    assert fitted(entry, data)[2] == fitted(entry, data, parts)[2]


def test_quantiles_fill_equal_buckets():
    made = try_op("bucket: {columns: x, quantiles: 4}", {"x": np.arange(1000.0)})
    assert made["x"].value_counts().tolist() == [250] * 4


def test_equal_quantiles_are_one_edge():
    data = {"x": [0.0] * 90 + [1.0] * 11, "none": [np.nan] * 101}
    _, _, state = fitted({"bucket": {"columns": "all", "quantiles": 20}}, data)
    assert state["edges"] == [[0.0, 1.0], []]
    made = try_op("bucket: {columns: none, quantiles: 3}", data, new={"none": [5.0, None]})
    assert plain(made["none"]) == [0, None]


def test_a_decimal_edge_meets_the_same_decimal_value():
    made = try_op(
        "bucket: {columns: x, edges: [0.1, 0.7]}", {"x": [0.1, 0.7, 0.69, 1e300, -np.inf]}
    )
    assert plain(made["x"]) == [1, 2, 1, 2, 0]


def test_the_column_is_numeric():
    schema, _ = make_frame(any_rows(5))
    op = parse_op({"bucket": {"columns": "float", "quantiles": 3}})
    assert op.produces(schema) == [Column("float", "int32", "numeric")]


@pytest.mark.parametrize(
    "entry",
    [
        {"columns": "x"},
        {"columns": "x", "edges": [1], "quantiles": 3},
        {"columns": "x", "edges": [2, 1]},
        {"columns": "x", "edges": [16777216, 16777217]},
        {"columns": "x", "edges": [float("inf")]},
        {"columns": "x", "quantiles": 1},
    ],
)
def test_refuses(entry):
    with pytest.raises(ConfigError, match="bucket"):
        parse_op({"bucket": entry})
