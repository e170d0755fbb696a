"""categorify against a Counter, and where codes may not depend on the layout."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_laws import any_rows, assert_lawful, assert_same, fitted, plain

from pipeline.errors import ConfigError, DataError
from pipeline.features.registry import parse_op
from pipeline.features.stats import key_tables
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column


@pytest.mark.parametrize(
    "entry",
    [
        {"columns": "all"},
        {"columns": "all", "min_count": 9, "max_size": 3, "as": "{column} code"},
    ],
)
def test_keeps_the_laws(entry, tmp_path, device):
    data = any_rows()
    made, _ = assert_lawful({"categorify": entry}, data, tmp_path, device)
    _, host = make_frame(data)
    assert np.array_equal(made.isna().to_numpy(), host.isna().to_numpy())


def expected_codes(values, min_count, max_size):
    found = Counter(v for v in values if v is not None)
    order = sorted(found, key=lambda v: (-found[v], v))
    kept = [v for v in order if found[v] >= min_count][:max_size]
    code = {v: i + 1 for i, v in enumerate(kept)}
    return [None if v is None else code.get(v, 0) for v in values]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.none() | st.text(max_size=2), max_size=40)
    | st.lists(st.none() | st.integers(-(2**62), 2**62) | st.integers(0, 4), max_size=40),
    st.integers(1, 6), st.integers(1, 3), st.none() | st.integers(1, 5),
)  # fmt: skip
def test_codes_are_ranks_by_frequency_on_any_partitioning(values, parts, min_count, max_size):
    number = any(isinstance(v, int) for v in values)
    data = {"x": pd.Series(values, dtype="Int64" if number else object)}
    entry = {"categorify": {"columns": "x", "min_count": min_count, "max_size": max_size}}
    assert_same(fitted(entry, data)[2], fitted(entry, data, parts)[2])
    assert plain(try_op(entry, data)["x"]) == expected_codes(values, min_count, max_size)


def test_the_column_is_a_category():
    op = parse_op({"categorify": {"columns": ["float"]}})
    schema, _ = make_frame(any_rows(5))
    assert op.produces(schema) == [Column("float", "int32", "category")]


def test_zeros_of_both_signs_are_one_value_and_floats_find_integers():
    data = {"x": [0.0, -0.0, 1.5, None]}
    made = try_op("categorify: {columns: x}", data, new={"x": [-0.0, 1.5, 7.0, None]})
    assert plain(made["x"]) == [1, 2, 0, None]
    made = try_op("categorify: {columns: x}", {"x": [3, 3, 4]}, new={"x": [4.0, 3.0, 3.5]})
    assert plain(made["x"]) == [2, 1, 0]


def test_too_many_values_are_refused_unless_bounded(monkeypatch):
    monkeypatch.setattr(key_tables, "MAX_KEYS", 3)
    data = {"x": list("abcd")}
    for parts in (1, 2):
        with pytest.raises(DataError, match=r"x has more than 3 distinct(.|\n)*hash(.|\n)*max_si"):
            fitted({"categorify": {"columns": "x"}}, data, parts)
    _, _, state = fitted({"categorify": {"columns": "x", "max_size": 2}}, data, 2)
    assert state["tables"][0]["value"].tolist() == ["a", "b"]


def test_refuses_no_values():
    with pytest.raises(ConfigError, match="max_size"):
        parse_op({"categorify": {"columns": "x", "max_size": 0}})
