"""one_hot: which columns it makes, before and after it has seen the rows."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_laws import any_rows, assert_lawful, fitted, plain

from pipeline.errors import ConfigError, DataError
from pipeline.features.registry import parse_op
from pipeline.features.stats import key_tables
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column

TAKEN = ["text é", "a.b c", "float", "bool", "empty"]


@pytest.mark.parametrize(
    "entry",
    [
        {"columns": TAKEN, "max_values": 4},
        {"columns": ["text é", "bool"], "min_count": 80, "keep": True},
        {"columns": "empty"},
        {"columns": ["a.b c", "bool"], "values": {"a.b c": [3, -4], "bool": [True]}},
    ],
)
def test_keeps_the_laws(entry, tmp_path, device):
    made, _ = assert_lawful({"one_hot": entry}, any_rows(), tmp_path, device)
    assert not made.isna().any().any()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.none() | st.sampled_from("abcde"), min_size=1, max_size=30), st.integers(1, 5))
def test_each_column_says_who_has_the_value(values, parts):
    data = {"x": pd.Series(values, dtype=object)}
    entry = {"one_hot": {"columns": "x"}}
    assert fitted(entry, data)[2] == fitted(entry, data, parts)[2]
    made = try_op(entry, data)
    assert set(made.columns) == {f"x__{v}" for v in values if v is not None}
    for name in made.columns:
        assert plain(made[name]) == [v == name.removeprefix("x__") for v in values]


def test_rare_unseen_and_missing_values_are_false_everywhere():
    data = {"x": ["a", "a", "b", "c", "c", None]}
    made = try_op("one_hot: {columns: x, min_count: 2}", data, new={"x": ["b", "z", None, "c"]})
    assert list(made.columns) == ["x__a", "x__c"]
    assert made.to_numpy(dtype=bool).tolist() == [[False, False]] * 3 + [[False, True]]


def test_is_dynamic_until_settled():
    op, schema, state = fitted({"one_hot": {"columns": "bool"}}, any_rows())
    assert op.is_dynamic()
    assert op.requires_fit
    assert op.produces(schema) == []
    settled = op.resolve_outputs(state)
    assert not settled.is_dynamic()
    assert settled.produces(schema) == [Column("bool__False", "bool"), Column("bool__True", "bool")]
    assert "bool" not in settled.output_schema(schema)


def test_equal_names_are_told_apart():
    data = {"a": ["b__c", "b__c"], "a__b": ["c", "d"]}
    made = try_op("one_hot: {columns: [a, a__b]}", data)
    assert list(made.columns) == ["a__b__c", "a__b__c_2", "a__b__d"]


def test_a_name_that_exists_is_an_error():
    op, schema, state = fitted({"one_hot": {"columns": "a"}}, {"a": ["x"], "a__x": [1.0]})
    with pytest.raises(ConfigError, match="creates a column 'a__x', which exists already"):
        op.resolve_outputs(state).produces(schema)


def test_infinities_get_no_column():
    made = try_op("one_hot: {columns: x}", {"x": [np.inf, np.inf, 1.0]})
    assert list(made.columns) == ["x__1.0"]


def test_refuses_too_many_values(monkeypatch):
    monkeypatch.setattr(key_tables, "MAX_KEYS", 3)
    with pytest.raises(DataError, match="one_hot: x has more than 3"):
        fitted({"one_hot": {"columns": "x"}}, {"x": list("abcd")}, 2)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"columns": "when"}, "one_hot takes"),
        ({"columns": "bool", "values": {"boolean": [True]}}, "did you mean 'bool'"),
        ({"columns": ["bool", "float"], "values": {"bool": [True]}}, "values lacks 'float'"),
        ({"columns": "bool", "values": {"bool": [1]}}, "1 does not fit column 'bool'"),
        ({"columns": "text é", "values": {"text é": [True]}}, "True does not fit"),
        ({"columns": "float", "values": {"float": ["1"]}}, "'1' does not fit"),
    ],
)
def test_refuses(entry, says):
    schema, _ = make_frame(any_rows(5))
    with pytest.raises(ConfigError, match=says):
        parse_op({"one_hot": entry}).reads(schema)


def test_refuses_a_value_twice():
    with pytest.raises(ConfigError, match="is listed twice"):
        parse_op({"one_hot": {"columns": "x", "values": {"x": ["a", "a"]}}})
