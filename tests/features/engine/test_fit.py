"""A fitted plan: what it learns from training rows only, whatever the partitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.cluster import partitions
from pipeline.device import cpu
from pipeline.features.engine import fit, transform
from pipeline.features.engine.transform import TransformContext
from pipeline.features.registry import parse_ops
from pipeline.features.try_op import make_frame
from pipeline.schema import LABEL, SET

CONTEXT = TransformContext("cpu", seed=0, task="binary", n_classes=2)
ENTRIES = [
    {"fill": {"columns": ["a"], "with": "mean"}},
    {"target_encode": {"columns": ["t"], "folds": 3, "smooth": 5}},
    {"scale": {"columns": ["a", "t"], "method": "standard"}},
    {"categorify": {"columns": ["u"], "min_count": 2}},
]
LAGGED = [
    {"fill": {"columns": ["a"], "with": "mean"}},
    {"lag": {"by": ["t"], "order": "when", "columns": ["a"], "shift": [1]}},
    {"target_encode": {"columns": ["t"], "folds": 3, "smooth": 5}},
    {"categorify": {"columns": ["u"], "min_count": 2}},
    {"drop": ["when"]},
]


def data(n=300, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    a[rng.random(n) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "a": a,
            "t": rng.choice(["x", "y", "zoë", None], n),
            "u": rng.choice([f"u{i}" for i in range(40)], n),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.permutation(n), unit="h"),
        }
    )


def labels(n=300):
    return (np.random.default_rng(1).random(n) < 0.4).astype("float64")


def sets(n=300):
    return np.random.default_rng(2).choice([0, 0, 0, 1, 2], n)


def prepared(frame, label, which):
    schema, storage = make_frame(frame)
    own = {
        LABEL: cpu.make_series(label, "float64"),
        SET: cpu.make_series(which.astype("int32"), "int32"),
    }
    whole = storage.assign(**own)
    whole.index = pd.Index(np.arange(len(frame)), dtype="int64")
    return schema, whole


def fitted(client, frame, label, which, *, entries=ENTRIES, count=3):
    schema, whole = prepared(frame, label, which)
    if "lag" not in {next(iter(e)) for e in entries}:
        schema = schema.drop(["when"])
    parts = [whole.iloc[i] for i in np.array_split(np.arange(len(whole)), count)]
    delayed = partitions.persist(client, partitions.map_partitions(range(count), parts.__getitem__))
    return fit.fit(
        client, delayed, meta=whole.iloc[:0], ops=parse_ops(entries), source=schema,
        context=CONTEXT, tables={}, left_out={},
    )  # fmt: skip


def matrix(client, fitting):
    """All rows of all sets, by row id."""
    wanted = fitting.plan.features
    parts = partitions.map_partitions(
        fitting.parts, transform.build_matrices, fitting.remaining, wanted, CONTEXT
    )
    found = [m for part in partitions.iter_results(client, parts) for m in part.values()]
    ids = np.concatenate([m.ids for m in found])
    return np.concatenate([m.x for m in found])[np.argsort(ids)]


def assert_states_equal(a, b):
    for one, other in zip(a.plan.steps, b.plan.steps, strict=True):
        _assert_equal(one.state, other.state, one.op.name)


def _assert_equal(one, other, where):
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, rtol=1e-12, atol=0)
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            _assert_equal(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for i, pair in enumerate(zip(one, other, strict=True)):
            _assert_equal(*pair, f"{where}[{i}]")
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-12, nan_ok=True), where
    else:
        assert one == other, where


@pytest.mark.parametrize("entries", [ENTRIES, LAGGED], ids=["plain", "lag"])
@pytest.mark.parametrize("count", [3, 17])
def test_partitions_do_not_matter(client, entries, count):
    one = fitted(client, data(), labels(), sets(), entries=entries, count=1)
    many = fitted(client, data(), labels(), sets(), entries=entries, count=count)
    assert_states_equal(one, many)
    np.testing.assert_allclose(matrix(client, one), matrix(client, many), rtol=1e-6, atol=1e-9)


def test_flipping_a_training_label_does_not_move_that_rows_own_encoding(client):
    entries = ENTRIES[1:2] + [{"drop": ["a", "u"]}]
    label, which = labels(), sets()
    row = int(np.flatnonzero(which == 0)[7])
    flipped = label.copy()
    flipped[row] = 1 - flipped[row]
    before = matrix(client, fitted(client, data(), label, which, entries=entries))
    after = matrix(client, fitted(client, data(), flipped, which, entries=entries))
    assert before[row, 0] == after[row, 0]  # to the bit
    assert (before != after).any()  # others see the flip


def test_rows_that_do_not_train_do_not_move_the_fitted_state(client):
    frame, label, which = data(), labels(), sets()
    changed = frame.copy()
    changed.loc[which == 2, "a"] = 1e6
    changed.loc[which == 2, "u"] = "only in test"
    moved = np.where(which == 2, 1 - label, label)
    more = pd.concat([changed, data(50, seed=9)], ignore_index=True)
    a = fitted(client, frame, label, which)
    b = fitted(client, more, np.append(moved, np.ones(50)), np.append(which, np.full(50, 2)))
    assert_states_equal(a, b)


def test_the_plan_survives_its_files(client, tmp_path):
    fitting = fitted(client, data(), labels(), sets())
    fit.save(fitting.plan, tmp_path)
    loaded = fit.load(tmp_path)
    assert loaded.names == fitting.plan.names
    schema, whole = prepared(data(), labels(), sets())
    context = TransformContext("cpu", 0, "binary", 2, predicting=True)
    one, _ = transform.build_scoring_matrix(whole, fitting.plan.steps, loaded.features, context)
    other, _ = transform.build_scoring_matrix(whole, loaded.steps, loaded.features, context)
    np.testing.assert_array_equal(one, other)
    read = []

    def noted(path, limit=None, look=None):
        read.append(path)
        return path.read_bytes()

    fit.load(tmp_path, noted)
    assert sorted(read) == sorted(p for p in tmp_path.rglob("*") if p.is_file())


def test_columns_after_one_hot_are_found_once_it_is_fitted(client):
    entries = [
        {"one_hot": {"columns": ["t"]}},
        {"target_encode": {"columns": ["u"]}},
        {"fill": {"columns": ["a"], "with": 0}},
    ]
    fitting = fitted(client, data(), labels(), sets(), entries=entries)
    assert {"t__x", "t__y", "t__zoë", "a", "u"} == set(fitting.plan.names)
