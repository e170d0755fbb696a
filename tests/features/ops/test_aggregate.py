"""aggregate against pandas' own groupby, and the laws of its summaries."""

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

STATS = ["mean", "std", "min", "max", "sum", "count"]
ENTRY = {"aggregate": {"by": ["g", "h"], "columns": ["v", "w"], "stats": STATS}}


def random_rows(n, seed):
    rng = np.random.default_rng(seed)
    return {
        "g": pd.Series(rng.choice(np.array(["a", "ü", "", None], dtype=object), n), dtype=object),
        "h": pd.Series(rng.integers(0, 3, n), dtype="Int64").mask(rng.random(n) < 0.1),
        "v": pd.Series(rng.normal(100, 5, n)).mask(rng.random(n) < 0.3),
        "w": pd.Series(rng.integers(-5, 5, n), dtype="Int64").mask(rng.random(n) < 0.3),
    }


def fitted(entry, data, parts=1, device=cpu):
    op = parse_op(entry)
    schema, host = make_frame(data)
    split = [
        (device.to_device(host.iloc[i].reset_index(drop=True)), Rows(device, device.to_device(i)))
        for i in np.array_split(np.arange(len(host)), parts)
    ]
    return op, schema, fit_op(op, schema, split)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 80))
def test_equals_pandas_groupby(seed, n):
    data = random_rows(n, seed)
    made = try_op(ENTRY, data)
    plain = pd.DataFrame({k: v.astype("float64") if k != "g" else v for k, v in data.items()})
    groups = plain.groupby(["g", "h"], dropna=True)
    keyed = plain["g"].notna() & plain["h"].notna()
    for column in ["v", "w"]:
        for stat in STATS:
            expected = groups[column].transform(stat).where(keyed).astype("float64")
            if stat == "sum":
                expected = expected.where(groups[column].transform("count") > 0)
            name = f"{column}__{stat}_by_g_h"
            np.testing.assert_allclose(made[name], expected, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("by", [["g", "h"], ["g"], ["h"]])
def test_partitions_do_not_matter(by, device):
    data = random_rows(60, 1)
    entry = {"aggregate": {"by": by, "columns": ["v", "w"], "stats": STATS}}
    _, _, first = fitted(entry, data, 1, device)
    for parts in (3, 17, 62):
        _, _, state = fitted(entry, data, parts, device)
        pd.testing.assert_frame_equal(state["table"], first["table"], rtol=1e-12, atol=0)
        exact = [f"stat_{j}" for j in (2, 3, 5, 8, 9, 11)]
        pd.testing.assert_frame_equal(
            state["table"][exact], first["table"][exact], check_exact=True
        )


def test_a_large_mean_keeps_the_deviation(device):
    data = {"g": ["a"] * 1000, "v": 1e9 + np.tile([-1.0, 1.0], 500)}
    entry = {"aggregate": {"by": "g", "columns": "v", "stats": "std"}}
    _, _, state = fitted(entry, data, 7, device)
    assert state["table"]["stat_0"][0] == pytest.approx(np.sqrt(1000 / 999), rel=1e-9)


def test_unseen_missing_and_empty_groups(device):
    data = {"g": ["a", "b", None], "v": [1.0, None, 5.0]}
    new = {"g": ["a", "b", "c", None], "v": [0.0] * 4}
    entry = "aggregate: {by: g, columns: v, stats: [sum, count]}"
    made = try_op(entry, data, new=new, device=device)
    assert made["v__sum_by_g"].fillna(-1).tolist() == [1.0, -1, -1, -1]
    assert made["v__count_by_g"].fillna(-1).tolist() == [1.0, 0.0, -1, -1]
    none = try_op(entry, {"g": [None, None], "v": [1.0, 2.0]}, new=new, device=device)
    assert none.isna().all(axis=None)
    empty = try_op(entry, {"g": [], "v": pd.Series([], dtype="float64")}, new=new, device=device)
    assert empty.isna().all(axis=None) and len(empty) == 4


def test_state_goes_through_files(tmp_path, device):
    data = random_rows(50, 3)
    op, schema, state = fitted(ENTRY, data, 2, device)
    again = stored.load(stored.dump(state, tmp_path, 0), tmp_path)
    frame = device.to_device(make_frame(data)[1])[op.reads(schema)]
    rows = Rows(device, device.xp.arange(50))
    pd.testing.assert_frame_equal(
        device.to_host(op.transform(frame, state, rows)),
        device.to_host(op.transform(frame, again, rows)),
    )


def test_the_target_is_refused_with_the_reason():
    schema = Schema(make_frame({"g": ["a"], "v": [1.0]})[0].columns, target=frozenset({"v"}))
    with pytest.raises(ConfigError, match="(?s)'v'.*own target.*target_encode"):
        parse_op({"aggregate": {"by": "g", "columns": ["v"]}}).reads(schema)


def test_names_and_mistakes(monkeypatch):
    data = {"g {1}": ["a", "b", "c"], "v": [1.0, 2.0, 3.0]}
    made = try_op({"aggregate": {"by": ["g {1}"], "columns": "v", "stats": "max"}}, data)
    assert list(made.columns) == ["v__max_by_g {1}"]
    entry = {"aggregate": {"by": "g {1}", "columns": "v", "as": "{stat} of {column}"}}
    assert list(try_op(entry, data).columns) == ["mean of v", "min of v", "max of v"]
    with pytest.raises(ConfigError, match="several columns the name 'x'"):
        try_op({"aggregate": {"by": "g {1}", "columns": "v", "as": "x"}}, data)
    with pytest.raises(ConfigError, match="numeric"):
        try_op({"aggregate": {"by": "v", "columns": "g {1}"}}, data)
    with pytest.raises(ConfigError, match="median"):
        parse_op({"aggregate": {"by": "g", "columns": "v", "stats": ["median"]}})
    monkeypatch.setattr(key_tables, "MAX_KEYS", 2)
    with pytest.raises(DataError, match="more than 2"):
        try_op({"aggregate": {"by": "g {1}", "columns": "v"}}, data)
