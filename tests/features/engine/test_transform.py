"""What a fitting pass looks at: the rows, columns and steps that its pending steps need."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.device import cpu
from pipeline.features.engine import transform
from pipeline.features.engine.transform import Step, TransformContext
from pipeline.features.registry import parse_ops
from pipeline.features.try_op import make_frame
from pipeline.ingest.labels import assign
from pipeline.matrix import Feature, Target
from pipeline.schema import LABEL, SET, Column, Schema

CONTEXT = TransformContext("cpu", seed=3, task="regression", n_classes=0, sample_rate=0.3)


def steps_of(entries, schema):
    found = []
    for op in parse_ops(entries):
        found.append(Step(op, schema, op.prepare(schema, {}), done=not op.requires_fit))
        schema = op.output_schema(schema)
    return found


def features_of(names):
    return [Feature(name, "q") for name in names]


def frame_and_schema(n=500):
    rng = np.random.default_rng(5)
    data = pd.DataFrame(
        {"a": rng.normal(size=n), "b": rng.normal(size=n), "c": ["x", "y"] * (n // 2)}
    )
    schema, frame = make_frame(data)
    which = rng.choice(np.array([0, 0, 1, 2], dtype="int32"), n)
    own = {
        LABEL: cpu.make_series(rng.normal(size=n), "float64"),
        SET: cpu.make_series(which, "int32"),
    }
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
    part = transform.select_training_rows(transform.to_part(frame, CONTEXT))
    seen = transform.apply_steps(part, [first]).frame(["s"])
    expected = last.op.summarise(seen, part.rows, last.state)
    rows = []
    summarise = type(last.op).summarise
    monkeypatch.setattr(
        type(last.op),
        "summarise",
        lambda op, frame, own, state: rows.append(len(frame)) or summarise(op, frame, own, state),
    )
    found = transform.summarise_steps(frame, [first, last], [1], CONTEXT)[1]
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
    used = transform.find_active_steps(dict(enumerate(steps)), [3, 4])
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
    assert list(transform.find_active_steps(dict(enumerate(steps)), [3])) == [2, 3]
    assert list(transform.find_active_steps(dict(enumerate(steps)), [1])) == [0, 1]


def test_matrices_hold_each_sets_rows_in_order():
    frame, schema = frame_and_schema()
    steps = steps_of([{"derive": {"s": "a * b"}}], schema)
    made = transform.build_matrices(
        frame, steps, features_of(["b", "s"]), replace(CONTEXT, sample_rate=1.0)
    )
    which = frame[SET].to_numpy()
    for number, name in enumerate(["train", "valid", "test"]):
        own = frame[which == number]
        x = np.column_stack([own["b"], own["a"] * own["b"]]).astype("float32")
        assert np.array_equal(made[name].x, x)
        assert made[name].x.flags.c_contiguous
        assert np.array_equal(made[name].ids, own.index)
        assert np.array_equal(made[name].label, own[LABEL])


def wide_and_narrow():
    """A frame with integers of many ranges, held as a run holds it, and as it was."""
    n = 300
    rng = np.random.default_rng(8)
    some = rng.random(n) < 0.2
    integers = {
        "small": rng.integers(-128, 128, n), "middle": rng.integers(-30_000, 30_000, n),
        "large": rng.integers(0, 2**32, n), "huge": rng.integers(-(2**62), 2**62, n),
        "negative": rng.integers(-70_000, 0, n), "zero": np.zeros(n, dtype="int64"),
    }  # fmt: skip
    columns = {name: cpu.make_series(values, "int64") for name, values in integers.items()}
    columns |= {f"{name}?": cpu.make_series(v, "int64", some) for name, v in integers.items()}
    columns["none"] = cpu.make_series(np.zeros(n), "int64", np.ones(n, dtype=bool))
    columns["float"] = cpu.make_series(rng.normal(size=n), "float64")
    columns["word"] = cpu.make_text(rng.integers(-1, 2, n), np.array(["a", "b"], dtype=object))
    columns[LABEL] = cpu.make_series((rng.random(n) < 0.5).astype("float64"), "float64")
    columns[SET] = cpu.make_series(rng.choice(np.array([0, 1], dtype="int32"), n), "int32")
    frame = cpu.make_frame(columns)
    frame.index = pd.Index(np.arange(40, 40 + n), dtype="int64")
    return frame, assign.pack_frame(frame, "cpu", Target("binary", (False, True)))


def test_a_packed_frame_is_small_and_ops_see_what_it_was():
    frame, packed = wide_and_narrow()
    assert {n: packed[n].dtype.name.lower() for n in ("small", "middle?", "large", LABEL, SET)} == {
        "small": "int8", "middle?": "int16", "large": "uint32", LABEL: "int8", SET: "int8",
    }  # fmt: skip
    assert packed["huge"].dtype == packed["negative"].dtype == "Int64"
    opened, expected = (transform.to_part(f, CONTEXT) for f in (packed, frame))
    names = list(expected.columns)
    pd.testing.assert_frame_equal(opened.frame(names), expected.frame(names))
    assert np.array_equal(opened.rows.label, expected.rows.label)
    assert opened.rows.label.dtype == "float64"
    assert np.array_equal(opened.rows.train_mask, expected.rows.train_mask)
    pd.testing.assert_frame_equal(
        transform.transform_frame(packed, (), CONTEXT).drop(columns=[LABEL, SET]),
        frame.drop(columns=[LABEL, SET]),
    )


def test_packed_columns_give_the_same_matrices_and_summaries():
    frame, packed = wide_and_narrow()
    columns = [Column(n, "int64") for n in frame.columns if n not in (LABEL, SET, "float", "word")]
    steps = steps_of(
        [
            {"derive": {"d": "`small?` * middle + huge // 3"}},
            {"fill": {"columns": ["large?", "none"], "with": 0}},
            {"categorify": {"columns": ["small?"]}},
        ],
        Schema(tuple(columns)),
    )
    whole = [transform.summarise_steps(f, steps, [2], CONTEXT)[2] for f in (frame, packed)]
    pd.testing.assert_frame_equal(whole[0]["of"][0].table, whole[1]["of"][0].table)
    names = ["d", "large?", "none", "huge", "negative?", "zero"]
    one, other = (
        transform.build_matrices(f, steps[:2], features_of(names), CONTEXT) for f in (frame, packed)
    )
    assert list(one) == list(other) == ["train", "valid"]
    for name in one:
        for a, b in zip(one[name], other[name], strict=True):
            assert a is b is None or (a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True))


def test_labels_that_are_missing_or_numbers_are_not_packed():
    frame, _ = wide_and_narrow()
    lost = frame.assign(
        **{LABEL: cpu.make_series(np.full(300, np.nan), "float64").set_axis(frame.index)}
    )
    assert assign.pack_frame(lost, "cpu", Target("binary", (False, True)))[LABEL].dtype == "float64"
    assert assign.pack_frame(frame, "cpu", Target("regression"))[LABEL].dtype == "float64"
