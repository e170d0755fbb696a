"""drop: what goes, however it is named."""

import pytest

from pipeline.errors import ConfigError
from pipeline.features.registry import dump_op, parse_op
from pipeline.schema import Column, Schema

SCHEMA = Schema(
    tuple(
        Column(n, d)
        for n, d in [("a", "int64"), ("b x", "text"), ("c", "float64"), ("columns", "bool")]
    ),
    target=frozenset({"c"}),
)


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        (["a", "b x"], ["c", "columns"]),
        ("b x", ["a", "c", "columns"]),
        ("columns", ["a", "b x", "c"]),
        ({"columns": ["a"]}, ["b x", "c", "columns"]),
        ({"columns": {"all": "all", "but": "a"}}, ["a", "c"]),
        ({"all": "re:^[ab]", "but": ["a"]}, ["a", "c", "columns"]),
        ("numeric", ["b x", "c", "columns"]),  # a kind never selects what the target is made of
        (["c"], ["a", "b x", "columns"]),
    ],
)
def test_the_selected_columns_go(entry, left):
    op = parse_op({"drop": entry})
    assert op.output_schema(SCHEMA).names == left
    assert op.reads(SCHEMA) == []
    assert parse_op(dump_op(op)) == op


@pytest.mark.parametrize(
    ("entry", "message"), [(["d"], "no column 'd'"), ({"colums": ["a"]}, "colums|all"), (3, "drop")]
)
def test_mistakes(entry, message):
    with pytest.raises(ConfigError, match=message):
        parse_op({"drop": entry}).removes(SCHEMA)
