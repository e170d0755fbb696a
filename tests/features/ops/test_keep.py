"""keep: the rest goes, but never what the target is made of."""

import pytest

from pipeline.errors import ConfigError
from pipeline.features.registry import dump_op, parse_op
from pipeline.schema import Column, Schema

SCHEMA = Schema(
    tuple(Column(n, d) for n, d in [("a", "int64"), ("b x", "text"), ("c", "float64")]),
    target=frozenset({"c"}),
)


@pytest.mark.parametrize(
    ("entry", "left"),
    [
        (["a"], ["a", "c"]),
        ("text", ["b x", "c"]),
        ({"columns": "b x"}, ["b x", "c"]),
        ({"all": "all", "but": "a"}, ["b x", "c"]),
        (["c", "a", "b x"], ["a", "b x", "c"]),
    ],
)
def test_the_others_go(entry, left):
    op = parse_op({"keep": entry})
    assert op.output_schema(SCHEMA).names == left
    assert op.reads(SCHEMA) == []
    assert parse_op(dump_op(op)) == op


def test_mistakes():
    with pytest.raises(ConfigError, match="no column 'd'"):
        parse_op({"keep": ["d"]}).removes(SCHEMA)
