"""filter: which rows it keeps; it makes and removes no column."""

import pytest

from pipeline.errors import ConfigError
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.try_op import make_frame
from pipeline.ingest.labels.assign import evaluate_filter


@pytest.mark.parametrize("entry", ["x > 1", {"where": "x > 1"}])
def test_missing_counts_as_false(entry, device):
    op = parse_op({"filter": entry})
    schema, host = make_frame({"x": [0.5, 2.0, None], "y": [1, 2, 3]})
    host.index = [10, 11, 12]
    kept = device.to_host(evaluate_filter(device.to_device(host), op.expression(), device))
    assert kept.dtype == "bool"
    assert kept.tolist() == [False, True, False]
    assert op.reads(schema) == ["x"]
    assert op.output_schema(schema) == schema
    assert parse_op(dump_op(op)) == op


def test_an_empty_partition(device):
    _, host = make_frame({"x": [1.0]})
    op = parse_op({"filter": "x > 1"})
    kept = evaluate_filter(device.to_device(host.iloc[:0]), op.expression(), device)
    assert len(kept) == 0


@pytest.mark.parametrize(
    ("entry", "message"),
    [("x + 1", "float64, not true or false"), ("z > 1", "no column 'z'"), ("x >", "position"),
     ({"were": "x > 1"}, "unknown key|mistakes"), (3, "where|not true")],
)  # fmt: skip
def test_mistakes(entry, message):
    schema, _ = make_frame({"x": [1.5]})
    with pytest.raises(ConfigError, match=message):
        parse_op({"filter": entry}).reads(schema)
