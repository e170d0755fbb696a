"""count_encode against a Counter."""

from collections import Counter

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_laws import any_rows, assert_lawful, assert_same, fitted, plain

from pipeline.errors import DataError
from pipeline.features.stats import key_tables
from pipeline.features.try_op import try_op


@pytest.mark.parametrize(
    "entry", [{"columns": "all"}, {"columns": "all", "normalize": True, "as": "{column} %"}]
)
def test_keeps_the_laws(entry, tmp_path, device):
    made, _ = assert_lawful({"count_encode": entry}, any_rows(), tmp_path, device)
    assert not made.isna().any().any()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.text(max_size=1), min_size=1, max_size=40), st.integers(1, 6))
def test_counts_rows_on_any_partitioning(values, parts):
    data = {"x": pd.Series(values, dtype=object)}
    entry = {"count_encode": {"columns": "x"}}
    assert_same(fitted(entry, data)[2], fitted(entry, data, parts)[2], rel=0)
    found = Counter(values)
    assert plain(try_op(entry, data)["x"]) == [found[v] for v in values]
    share = try_op({"count_encode": {"columns": "x", "normalize": True}}, data)
    assert plain(share["x"]) == [found[v] / len(values) for v in values]


def test_unseen_is_zero_and_missing_a_value():
    new = {"x": [1, 7, None]}
    made = try_op("count_encode: {columns: x}", {"x": [1, 1, None]}, new=new)
    assert plain(made["x"]) == [2.0, 0.0, 1.0]
    made = try_op("count_encode: {columns: x}", {"x": [1, 1, 2]}, new=new)
    assert plain(made["x"]) == [2.0, 0.0, 0.0]


def test_refuses_too_many_values(monkeypatch):
    monkeypatch.setattr(key_tables, "MAX_KEYS", 3)
    for parts in (1, 2):
        with pytest.raises(DataError, match="count_encode: x has more than 3"):
            fitted({"count_encode": {"columns": "x"}}, {"x": list("abcd")}, parts)
