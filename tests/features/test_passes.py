"""What a fitting pass looks at: the rows, columns and steps that its pending steps need."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.columns import LABEL, SET
from pipeline.device import cpu
from pipeline.features import chain
from pipeline.features.chain import Context, Step
from pipeline.features.registry import parse_ops
from pipeline.features.try_op import frame_of

CONTEXT = Context("cpu", seed=3, task="regression", n_classes=0, sample_rate=0.3)


def steps_of(entries, schema):
    found = []
    for op in parse_ops(entries):
        found.append(Step(op, schema, op.prepare(schema, {}), done=not op.fitted))
        schema = op.after(schema)
    return found


def frame_and_schema(n=500):
    rng = np.random.default_rng(5)
    data = pd.DataFrame(
        {"a": rng.normal(size=n), "b": rng.normal(size=n), "c": ["x", "y"] * (n // 2)}
    )
    schema, frame = frame_of(data)
    which = rng.choice(np.array([0, 0, 1, 2], dtype="int32"), n)
    own = {LABEL: cpu.series(rng.normal(size=n), "float64"), SET: cpu.series(which, "int32")}
    frame = frame.assign(**own)
    frame.index = pd.Index(np.arange(1000, 1000 + n), dtype="int64")
    return frame, schema


@pytest.mark.parametrize(
    "entry",
    [
        {"fill": {"columns": ["s"], "with": "median"}},
        {"scale": {"columns": ["s"], "method": "robust"}},
        {"bucket": {"columns": ["s"], "quantiles": 4}},
    ],
    ids=lambda e: next(iter(e)),
)
def test_a_pass_for_the_sample_sees_the_sample_alone_and_finds_the_same(entry, monkeypatch):
    frame, schema = frame_and_schema()
    first, last = steps_of([{"derive": {"s": "a * b"}}, entry], schema)
    part = chain.training(chain.opened(frame, CONTEXT))
    seen = chain.advanced(part, [first]).frame(["s"])
    expected = last.op.summarise(seen, part.rows, last.state)
    rows = []
    summarise = type(last.op).summarise
    monkeypatch.setattr(
        type(last.op),
        "summarise",
        lambda op, frame, own, state: rows.append(len(frame)) or summarise(op, frame, own, state),
    )
    found = chain.summarised(frame, [first, last], [1], CONTEXT)[1]
    for one, other in zip(found["of"][0], expected["of"][0], strict=True):
        assert np.array_equal(one, other)
    assert 0 < rows[0] < len(seen) / 2


def test_steps_that_no_pending_one_uses_sleep():
    _, schema = frame_and_schema()
    steps = steps_of(
        [
            {"derive": {"d": "a + b"}},
            {"derive": {"e": "a - b"}},
            {"derive": {"f": "e * 2"}},
            {"categorify": {"columns": ["c"]}},
            {"fill": {"columns": ["f"], "with": "mean"}},
            {"drop": ["b"]},
        ],
        schema,
    )
    used = chain.awake(dict(enumerate(steps)), [3, 4])
    assert list(used) == [1, 2, 3, 4]
    assert [step.idle for step in used.values()] == [False, False, True, True]


def test_a_column_made_twice_wakes_the_step_that_is_read():
    _, schema = frame_and_schema()
    steps = steps_of(
        [
            {"derive": {"d": "a + b"}},
            {"scale": {"columns": ["d"], "method": "standard"}},
            {"derive": {"d": "a - b"}},
            {"fill": {"columns": ["d"], "with": "mean"}},
        ],
        schema,
    )
    assert list(chain.awake(dict(enumerate(steps)), [3])) == [2, 3]
    assert list(chain.awake(dict(enumerate(steps)), [1])) == [0, 1]


def test_matrices_hold_each_sets_rows_in_order():
    frame, schema = frame_and_schema()
    steps = steps_of([{"derive": {"s": "a * b"}}], schema)
    made = chain.matrices(frame, steps, ["b", "s"], replace(CONTEXT, sample_rate=1.0))
    which = frame[SET].to_numpy()
    for number, name in enumerate(["train", "valid", "test"]):
        own = frame[which == number]
        x = np.column_stack([own["b"], own["a"] * own["b"]]).astype("float32")
        assert np.array_equal(made[name].x, x)
        assert made[name].x.flags.c_contiguous
        assert np.array_equal(made[name].ids, own.index)
        assert np.array_equal(made[name].label, own[LABEL])
