"""rename: values, dtypes and kinds stay; names may swap but never collide."""

import numpy as np
import pytest

from pipeline.device import cpu
from pipeline.errors import ConfigError
from pipeline.features.op import Rows
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column, Schema

SCHEMA = Schema((Column("a", "int64"), Column("b", "text"), Column("k", "int32")))


def test_values_and_kinds_stay(device):
    data = {"a": [1, 2], "b": ["x", None]}
    made = try_op("rename: {b: t x, a: n}", data, device=device)
    assert list(made.columns) == ["t x", "n"]
    assert made["t x"].isna().tolist() == [False, True]
    assert made["n"].tolist() == [1, 2]
    op = parse_op({"rename": {"k": "code"}})
    assert op.produces(SCHEMA) == [Column("code", "int32", "category")]
    assert op.output_schema(SCHEMA).names == ["a", "b", "code"]


def test_two_columns_swap_names(device):
    op = parse_op({"rename": {"a": "b", "b": "a"}})
    assert op.removes(SCHEMA) == []
    assert [(c.name, c.dtype) for c in op.output_schema(SCHEMA)] == [
        ("a", "text"),
        ("b", "int64"),
        ("k", "int32"),
    ]
    made = try_op({"rename": {"a": "b", "b": "a"}}, {"a": [1], "b": ["x"]}, device=device)
    assert made.to_dict("list") == {"b": [1], "a": ["x"]}


def test_the_frame_is_unchanged():
    schema, frame = make_frame({"a": [1, 2]})
    op = parse_op({"rename": {"a": "n"}})
    op.transform(frame[op.reads(schema)], {}, Rows(cpu, np.arange(2)))
    assert list(frame.columns) == ["a"]


@pytest.mark.parametrize("entry", [{"columns": "n"}, {"columns": {"a": "n"}}, {"a": "columns"}])
def test_entries_are_read_again(entry):
    op = parse_op({"rename": entry})
    assert parse_op(dump_op(op)) == op


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"a": "b"}, "which is a column already"),
        ({"a": "n", "b": "n"}, "both become 'n'"),
        ({"z": "n"}, "no column 'z'"),
        ({"a": "__set__"}, "is reserved"),
        ({"a": ""}, "empty"),
        ({}, "old: new"),
        (["a"], "old: new"),
    ],
)
def test_mistakes(entry, message):
    with pytest.raises(ConfigError, match=message):
        parse_op({"rename": entry}).output_schema(SCHEMA)
