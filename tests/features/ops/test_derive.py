"""derive: the order of its columns, the names it takes, and what it reads."""

import pandas as pd
import pytest

from pipeline.errors import ConfigError
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column, Schema


def test_later_columns_see_earlier_ones(device):
    made = try_op(
        {"derive": {"b": "a + 1", "a": "b * 10", "c": "a - b"}}, {"a": [1, 2]}, device=device
    )
    assert made.to_dict("list") == {"b": [2, 3], "a": [20, 30], "c": [18, 27]}


def test_it_reads_only_what_it_does_not_make():
    op = parse_op({"derive": {"b": "`a x` + 1", "c": "b > y", "y": "y + b"}})
    schema, _ = make_frame({"a x": [1], "y": [2.0], "z": [3]})
    assert op.reads(schema) == ["a x", "y"]
    assert op.produces(schema) == [
        Column("b", "int64"),
        Column("c", "bool"),
        Column("y", "float64"),
    ]
    assert op.output_schema(schema).names == ["a x", "y", "z", "b", "c"]


def test_literals_make_constant_columns(device):
    made = try_op({"derive": {"one": 1, "half": 0.5, "yes": True}}, {"a": [1, 2]}, device=device)
    assert made.to_dict("list") == {"one": [1, 1], "half": [0.5, 0.5], "yes": [True, True]}


def test_texts_and_times(device):
    data = {"t": ["a", None], "d": pd.Series(pd.to_datetime(["2020-01-02", None]))}
    entry = {"derive": {"s": "coalesce(t, 'none')", "age": "d - '2020-01-01'", "when": "d"}}
    made = try_op(entry, data, device=device)
    assert made["s"].tolist() == ["a", "none"]
    assert made["age"].tolist()[0] == 86400.0
    assert made.isna().sum().to_dict() == {"s": 0, "age": 1, "when": 1}


@pytest.mark.parametrize("entry", [{"columns": "a + 1"}, {"columns": "a", "b": "columns"}])
def test_a_column_may_be_called_columns(entry):
    op = parse_op({"derive": entry})
    assert list(op.columns) == list(entry)
    assert parse_op(dump_op(op)) == op


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"b": "a +"}, "derive.b: expression, position"),
        ({"b": ["a"]}, "columns.b"),
        ({"": "a"}, "name cannot be empty"),
        ({}, "name: expression"),
        (["a"], "name: expression"),
        ("a + 1", "name: expression"),
        ({"__set__": "a"}, "is reserved"),
    ],
)
def test_wrong_entries(entry, message):
    with pytest.raises(ConfigError, match=message):
        parse_op({"derive": entry})


def test_wrong_columns_name_the_derived_one():
    op = parse_op({"derive": {"b": "aa + 1"}})
    with pytest.raises(ConfigError, match="(?s)derive.b: .*no column 'aa'"):
        op.produces(Schema((Column("a", "int64"),)))
