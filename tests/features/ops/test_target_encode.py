"""target_encode against plain Python, and what must never reach a row: its own label."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.device import cpu
from pipeline.errors import ConfigError, DataError
from pipeline.features.engine import state_io as stored
from pipeline.features.op import Rows
from pipeline.features.registry import parse_op
from pipeline.features.stats import key_tables
from pipeline.features.try_op import fit_op, make_frame, try_op
from pipeline.schema import Schema

TASKS = {"binary": 2, "multiclass": 3, "regression": 0}


def random_rows(n=400, seed=0):
    rng = np.random.default_rng(seed)
    text = rng.choice(np.array(["a", "b", "ü", "x y", None], dtype=object), n)
    number = pd.Series(rng.integers(0, 9, n), dtype="Int64").mask(rng.random(n) < 0.1)
    when = pd.Series(pd.to_datetime("2020-01-01") + pd.to_timedelta(rng.integers(0, 50, n), "h"))
    return {"t": pd.Series(text, dtype=object), "n": number, "when": when}, rng


def labels(task, n, rng):
    return rng.normal(100, 5, n) if task == "regression" else rng.integers(0, TASKS[task], n) * 1.0


def fitted(entry, data, label, task, device=cpu, *, parts=1):
    op = parse_op(entry)
    schema, host = make_frame(data)
    classes = ("c0", "c1", "c2") if task == "multiclass" else ()
    schema = Schema(schema.columns, classes=classes)
    split = []
    for i in np.array_split(np.arange(len(host)), parts):
        part = device.to_device(host.iloc[i].reset_index(drop=True))
        own = device.to_device(np.asarray(label, "float64")[i])
        split.append((part, Rows(device, device.to_device(i), own, None, task, TASKS[task])))
    return op, schema, fit_op(op, schema, split), split


def trained(op, schema, state, split, device=cpu):
    made = [device.to_host(op.transform_train(f[op.reads(schema)], state, r)) for f, r in split]
    return pd.concat(made, ignore_index=True)


def naive(values, fold, y, smooth, own):
    """The encoding of each row, by loops; ``own``: rows of the row's own fold are left out."""
    made = []
    for i, value in enumerate(values):
        used = [j for j in range(len(values)) if not own or fold[j] != fold[i]]
        same = [y[j] for j in used if values[j] == value]
        prior = sum(y[j] for j in used) / len(used)
        made.append((sum(same) + smooth * prior) / (len(same) + smooth))
    return np.array(made)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("by", ["random", "group", "time"])
def test_equals_the_naive_computation(task, by, device):
    data, rng = random_rows(150)
    y = labels(task, 150, rng)
    entry = {"columns": ["t", "n"], "folds": 4, "smooth": 3, "by": by}
    if by != "random":
        entry["column"] = {"group": "n", "time": "when"}[by]
    op, schema, state, split = fitted({"target_encode": entry}, data, y, task, device, parts=3)
    own = trained(op, schema, state, split, device)
    _, host = make_frame(data)
    all_rows = Rows(device, device.xp.arange(150), None, None, task, TASKS[task])
    frame = device.to_device(host)[op.reads(schema)]
    full = device.to_host(op.transform(frame, state, all_rows))
    fold = device.to_host(op.assign_folds(frame, all_rows, state))
    assert list(full.columns) == [c.name for c in op.produces(schema)] == list(own.columns)
    assert len(set(fold)) > 1
    for column in ["t", "n"]:
        values = ["∅" if v is None or v is pd.NA else v for v in data[column].astype(object)]
        for c in range(3 if task == "multiclass" else 1):
            name = f"{column}__c{c}" if task == "multiclass" else column
            target = y if task != "multiclass" else (y == c) * 1.0
            for made, leave in ((own, True), (full, False)):
                expected = naive(values, fold, target, 3, leave)
                np.testing.assert_allclose(made[name], expected, rtol=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_partitions_do_not_matter(task, device):
    data, rng = random_rows(30)
    y = labels(task, 30, rng)
    entry = {"target_encode": {"columns": ["t", "n"], "by": "time", "column": "when"}}
    first = None
    for parts in (1, 3, 17, 32):  # 32: some are empty
        op, schema, state, split = fitted(entry, data, y, task, device, parts=parts)
        if first is None:
            first = state, trained(op, schema, state, split, device)
            continue
        assert state["cuts"] == first[0]["cuts"]
        for table, other in zip(state["tables"], first[0]["tables"], strict=True):
            pd.testing.assert_frame_equal(
                table, other, rtol=1e-12, check_exact=task != "regression"
            )
        own = trained(op, schema, state, split, device)
        pd.testing.assert_frame_equal(own, first[1], rtol=1e-12)


@settings(max_examples=10, deadline=None)
@given(
    st.integers(0, 149), st.sampled_from(list(TASKS)), st.sampled_from(["random", "group", "time"])
)
def test_a_flipped_label_does_not_move_its_own_row(row, task, by):
    data, rng = random_rows(150)
    y = labels(task, 150, rng)
    entry = {"columns": ["t", "n"], "by": by}
    if by != "random":
        entry["column"] = {"group": "t", "time": "when"}[by]
    flipped = y.copy()
    flipped[row] = 1e6 if task == "regression" else (y[row] + 1) % TASKS[task]
    found = []
    for label in (y, flipped):
        op, schema, state, split = fitted({"target_encode": entry}, data, label, task, parts=3)
        found.append(trained(op, schema, state, split))
    assert found[0].iloc[row].tolist() == found[1].iloc[row].tolist()  # to the bit
    assert not found[0].equals(found[1])


def test_state_goes_through_files(tmp_path, device):
    data, rng = random_rows()
    entry = {"target_encode": {"columns": ["t", "n", "when"], "by": "group", "column": "n"}}
    op, schema, state, split = fitted(entry, data, labels("binary", 400, rng), "binary", device)
    again = stored.load(stored.dump(state, tmp_path, 0), tmp_path)
    pd.testing.assert_frame_equal(
        trained(op, schema, state, split, device), trained(op, schema, again, split, device)
    )
    assert state["tables"][0]["s_0_0"].dtype == "int64"


def test_unseen_and_missing_values(device):
    entry = "target_encode: {columns: [t], smooth: 0}"
    made = try_op(
        entry, {"t": ["a", "a", None, None]}, label=[1.0, 2.0, 3.0, 6.0],
        new={"t": ["a", None, "new"]}, device=device,
    )  # fmt: skip
    assert made["t"].tolist() == [1.5, 4.5, 3.0]
    no_missing = try_op(
        entry, {"t": ["a", "b"]}, label=[1.0, 3.0], new={"t": [None]}, device=device
    )
    assert no_missing["t"].tolist() == [2.0]
    all_missing = try_op(
        entry, {"t": [None, None]}, label=[1.0, 3.0], new={"t": ["z"]}, device=device
    )
    assert all_missing["t"].tolist() == [2.0]


def test_no_training_row_makes_missing_values(device):
    op, schema, state, split = fitted(
        {"target_encode": {"columns": ["t"]}}, {"t": []}, [], "binary"
    )
    made = op.transform(make_frame({"t": ["a"]})[1], state, Rows(cpu, np.arange(1)))
    assert made["t"].isna().all()
    single = try_op(
        "target_encode: {columns: [t]}", {"t": ["a"]}, label=[1.0], train=True, device=device
    )
    assert single["t"].isna().all()


def test_columns_per_class_replace_the_column_or_stand_beside_it():
    schema = Schema(make_frame({"a b": ["x"], "n": [1]})[0].columns, classes=("no", "yes", "1.5"))
    op = parse_op({"target_encode": {"columns": ["a b"]}})
    assert op.output_schema(schema).names == ["n", "a b__no", "a b__yes", "a b__1.5"]
    op = parse_op({"target_encode": {"columns": ["a b"], "as": "{column}_te"}})
    assert op.output_schema(schema).names == [
        "a b",
        "n",
        "a b_te__no",
        "a b_te__yes",
        "a b_te__1.5",
    ]


def test_mistakes_are_named(monkeypatch):
    with pytest.raises(ConfigError, match="by: time needs a column"):
        parse_op({"target_encode": {"columns": "a", "by": "time"}})
    with pytest.raises(ConfigError, match="(?s)several columns the name 'te'.*{column}"):
        try_op("target_encode: {columns: [a, b], as: te}", {"a": ["x"], "b": ["y"]}, label=[1.0])
    with pytest.raises(ConfigError, match="by: time takes"):
        try_op("target_encode: {columns: a, by: time, column: a}", {"a": ["x"]}, label=[1.0])
    with pytest.raises(DataError, match="(?s)all 3 training rows into one fold.*by: random"):
        try_op(
            "target_encode: {columns: a, by: group, column: g}",
            {"a": ["x", "y", "x"], "g": [1, 1, 1]}, label=[1.0, 2.0, 3.0],
        )  # fmt: skip
    with pytest.raises(DataError, match="(?s)all 2 training rows into one fold"):
        try_op(
            "target_encode: {columns: a, by: time, column: g}",
            {"a": ["x", "y"], "g": pd.to_datetime([None, None])}, label=[1.0, 2.0],
        )  # fmt: skip
    monkeypatch.setattr(key_tables, "MAX_KEYS", 2)
    with pytest.raises(DataError, match="(?s)target_encode: a has more than.*hash"):
        try_op("target_encode: {columns: a}", {"a": ["x", "y", "z"]}, label=[1.0, 2.0, 3.0])


def test_infinite_times_have_a_fold_but_make_no_cut(tmp_path):
    times = [np.inf, np.inf, np.inf, 1.0, 2.0, -np.inf]
    op = parse_op({"target_encode": {"columns": "a", "by": "time", "column": "t", "folds": 2}})
    schema, frame = make_frame({"a": list("uvuvuv"), "t": times})
    rows = Rows(cpu, np.arange(6), label=np.arange(6.0))
    state = fit_op(op, schema, [(frame, rows)])
    assert state["cuts"] == [2.0]
    json.dumps(stored.dump(state, tmp_path, 0), allow_nan=False)
    folds = op.assign_folds(frame, rows, state)
    assert folds.tolist() == [1, 1, 1, 0, 1, 0]


def test_blocks_of_time_have_equal_weight():
    op = parse_op({"target_encode": {"columns": "a", "by": "time", "column": "t", "folds": 3}})
    schema, frame = make_frame({"a": list("uvuvuv"), "t": [5, 0, 1, 2, 3, 4]})
    weight = np.array([2.0, 4.0, 1.0, 1.0, 2.0, 2.0])  # by time: 4 1 1 2 2 2, four to a block
    rows = Rows(cpu, np.arange(6), label=np.arange(6.0), weight=weight)
    halves = [
        (frame.iloc[at], Rows(cpu, at, at * 1.0, weight[at]))
        for at in (np.arange(3), np.arange(3, 6))
    ]
    assert fit_op(op, schema, [(frame, rows)])["cuts"] == [1, 4]
    assert fit_op(op, schema, halves)["cuts"] == [1, 4]
    unweighted = Rows(cpu, np.arange(6), label=np.arange(6.0))
    assert fit_op(op, schema, [(frame, unweighted)])["cuts"] == [2, 4]


@pytest.mark.parametrize("task", list(TASKS))
def test_smooth_is_a_weight(task):
    """The parameter ``smooth`` has the unit of the weights."""
    data, rng = random_rows(60)
    label = labels(task, 60, rng)
    schema, host = make_frame(data)
    schema = Schema(schema.columns, classes=("a", "b", "c") if task == "multiclass" else ())
    weight, made = rng.random(60) + 0.1, []
    for unit in (1.0, 1024.0, 1 / 1024):
        op = parse_op({"target_encode": {"columns": ["t"], "smooth": 3 * unit}})
        rows = Rows(cpu, np.arange(60), label, weight * unit, task, TASKS[task])
        state = fit_op(op, schema, [(host, rows)])
        made.append(op.transform_train(host[["t"]], state, rows))
    pd.testing.assert_frame_equal(made[1], made[0], check_exact=True)
    pd.testing.assert_frame_equal(made[2], made[0], check_exact=True)


def test_a_weighted_mean_by_hand():
    op = parse_op({"target_encode": {"columns": ["t"], "smooth": 3}})
    schema, host = make_frame({"t": ["a", "b", "a", "b"]})
    label, weight = np.array([1.0, 5.0, 4.0, 7.0]), np.array([2.0, 0.5, 1.0, 1.5])
    rows = Rows(cpu, np.arange(4), label, weight)
    made = op.transform(host, fit_op(op, schema, [(host, rows)]), rows)["t"]
    prior = (2 * 1 + 0.5 * 5 + 1 * 4 + 1.5 * 7) / 5
    assert made[0] == pytest.approx((2 * 1 + 1 * 4 + 3 * prior) / (3 + 3))
    assert made[1] == pytest.approx((0.5 * 5 + 1.5 * 7 + 3 * prior) / (2 + 3))
