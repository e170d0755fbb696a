"""lag against loops over plain lists; how series continue; what is refused."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.device import cpu
from pipeline.errors import ConfigError, DataError
from pipeline.features.engine import state_io as stored
from pipeline.features.op import Rows
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.stats import key_tables
from pipeline.features.try_op import fit_op, make_frame, try_op
from pipeline.schema import Schema

STATS = ["mean", "sum", "std", "min", "max", "count"]
FULL = {
    "by": ["e", "f"], "order": "when", "columns": ["v", "w"], "shift": [1, 3], "diff": [1, 2],
    "rolling": {"window": 3, "stats": STATS},
}  # fmt: skip


def random_rows(n, seed, tied=True):
    rng = np.random.default_rng(seed)
    hours = rng.integers(0, 12, n) if tied else rng.permutation(n)
    when = pd.Series(pd.to_datetime("1969-12-31 20:00") + pd.to_timedelta(hours, "h"))
    return pd.DataFrame(
        {
            "e": pd.Series(
                rng.choice(np.array(["a", "ü", None], object), n, p=[0.5, 0.4, 0.1]), dtype=object
            ),
            "f": pd.Series(rng.integers(0, 2, n), dtype="Int64"),
            "when": when.mask(rng.random(n) < 0.05),
            "v": pd.Series(rng.normal(size=n)).mask(rng.random(n) < 0.2),
            "w": pd.Series(rng.integers(0, 9, n), dtype="Int64").mask(rng.random(n) < 0.2),
        }
    )


def statistic(values, stat):
    present = [v for v in values if not np.isnan(v)]
    if stat == "count":
        return float(len(present))
    if not present or (stat == "std" and len(present) < 2):
        return np.nan
    if stat == "std":
        return float(np.std(present, ddof=1))
    return {"sum": sum, "mean": np.mean, "min": min, "max": max}[stat](present)


def naive(data, gap):
    """The outputs of FULL for each row of ``data``, by loops."""
    entity = [
        None if r.e is None or pd.isna(r.when) else (r.e, r.f) for r in data.itertuples(index=False)
    ]
    found = {}
    for column in ["v", "w"]:
        values = data[column].astype("float64").tolist()
        whens = data["when"].tolist()
        rows = {}
        for i in sorted((i for i in range(len(data)) if entity[i]), key=lambda i: (whens[i], i)):
            past = rows.setdefault(entity[i], [])
            back = lambda k, past=past: past[-k] if k <= len(past) else np.nan  # noqa: E731
            window = past[max(len(past) - gap - 3, 0) : max(len(past) - gap, 0)]
            made = {f"shift_{k}": back(gap + k) for k in (1, 3)}
            made |= {f"diff_{k}": back(gap + 1) - back(gap + 1 + k) for k in (1, 2)}
            made |= {f"{s}_3": statistic(window, s) for s in STATS}
            for part, value in made.items():
                found.setdefault(f"{column}__{part}", np.full(len(data), np.nan))[i] = value
            past.append(values[i])
    return pd.DataFrame(found)


def parts_of(data, count, seed, device=cpu):
    """Partitions that hold an entity's rows together, each in an arbitrary order."""
    schema, host = make_frame(data)
    rng = np.random.default_rng(seed)
    group = data.groupby(["e", "f"], dropna=False).ngroup().to_numpy() % count
    parts = []
    for number in range(count):
        at = rng.permutation(np.flatnonzero(group == number))
        frame = device.to_device(host.iloc[at].reset_index(drop=True))
        parts.append((frame, Rows(device, device.to_device(at))))
    return schema, parts


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(0, 2), st.integers(1, 4))
def test_equals_the_naive_computation(seed, n, gap, count):
    data = random_rows(n, seed)
    op = parse_op({"lag": {**FULL, "gap": gap}})
    schema, parts = parts_of(data, count, seed)
    state = fit_op(op, schema, parts)
    expected = naive(data, gap)
    for frame, rows in parts:
        made = op.transform(frame[op.reads(schema)], state, rows)
        assert list(made.columns) == [c.name for c in op.produces(schema)]
        for name in expected.columns:
            wanted = expected[name].to_numpy()[rows.ids]
            np.testing.assert_allclose(made[name], wanted, rtol=1e-12, atol=1e-12, err_msg=name)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.integers(0, 2))
def test_new_rows_continue_the_series_to_the_bit(seed, cut, gap):
    data = random_rows(40, seed, tied=False).sort_values("when", ignore_index=True)
    op = parse_op({"lag": {**FULL, "gap": gap}})
    schema, (whole,) = parts_of(data, 1, seed)
    together = op.transform(whole[0][op.reads(schema)], fit_op(op, schema, [whole]), whole[1])
    together = together.iloc[np.argsort(whole[1].ids)].reset_index(drop=True)
    _, parts = parts_of(data.iloc[:cut].reset_index(drop=True), 3, seed)
    state = fit_op(op, schema, parts)
    frame = make_frame(data)[1].iloc[cut:].reset_index(drop=True)
    rows = Rows(cpu, np.arange(40 - cut), predicting=True)
    later = op.transform(frame[op.reads(schema)], state, rows)
    pd.testing.assert_frame_equal(
        later, together.iloc[cut:].reset_index(drop=True), check_exact=True
    )


@pytest.mark.parametrize("gap", [0, 1])
def test_scoring_the_fitted_rows_again_gives_the_same(gap, device):
    data = random_rows(80, 5)
    op = parse_op({"lag": {**FULL, "gap": gap}})
    schema, (part,) = parts_of(data, 1, 0, device)
    state = fit_op(op, schema, [part])
    frame = part[0][op.reads(schema)]
    first = device.to_host(op.transform(frame, state, part[1]))
    again = device.to_host(op.transform(frame, state, replace(part[1], predicting=True)))
    pd.testing.assert_frame_equal(first, again, check_exact=True)


def test_partitions_and_merging_order_do_not_matter(device):
    data = random_rows(70, 8)
    op = parse_op({"lag": FULL})
    states = []
    for count in (1, 3, 17):
        schema, parts = parts_of(data, count, count, device)
        states.append(fit_op(op, schema, parts)["history"])
    # rows of an entity spread over partitions: the summaries still merge to the latest rows
    _, host = make_frame(data)
    spread = []
    for at in np.array_split(np.arange(70), 9):
        frame = device.to_device(host.iloc[at[::-1]].reset_index(drop=True))
        spread.append((frame, Rows(device, device.to_device(at[::-1].copy()))))
    states.append(fit_op(op, schema, spread)["history"])
    states.append(fit_op(op, schema, spread[::-1])["history"])
    for history in states[1:]:
        pd.testing.assert_frame_equal(history, states[0], check_exact=True)
    sizes = states[0].groupby(["key_0", "key_1"]).size()
    assert sizes.max() == 3 and list(states[0].columns) == [
        "key_0", "key_1", "order", "id", "value_0", "value_1",
    ]  # fmt: skip


def test_a_row_never_sees_itself_or_later_ones():
    data = random_rows(60, 2)
    op = parse_op({"lag": FULL})
    schema, (part,) = parts_of(data, 1, 0)
    first = op.transform(part[0][op.reads(schema)], {"columns": ["v", "w"]}, part[1])
    order = sorted(
        range(60), key=lambda i: (part[0]["when"].fillna(pd.Timestamp(0))[i], part[1].ids[i])
    )
    middle = order[30]
    changed = part[0].copy()
    changed.loc[order[30:], "v"] = 1e9
    second = op.transform(changed[op.reads(schema)], {"columns": ["v", "w"]}, part[1])
    assert first.iloc[middle].tolist() == pytest.approx(second.iloc[middle].tolist(), nan_ok=True)
    assert not first.equals(second)


def test_new_rows_before_the_kept_ones_see_only_each_other(device):
    data = {"e": ["a"] * 4, "t": [10, 11, 12, 13], "v": [1.0, 2.0, 3.0, 4.0]}
    new = {"e": ["a", "a", "a", "b", None], "t": [5, 6, 13, 9, 14], "v": [7.0, 8.0, 9.0, 5.0, 6.0]}
    entry = "lag: {by: e, order: t, columns: v, shift: [1, 2]}"
    made = try_op(entry, data, new=new, device=device)
    # t=13 is brought again: the kept 13 is left out, the kept 12 and the new 6 (12 and 13 are kept)
    assert made["v__shift_1"].fillna(-1).tolist() == [-1, 7.0, 3.0, -1, -1]
    assert made["v__shift_2"].fillna(-1).tolist() == [-1, -1, 8.0, -1, -1]


def test_empty_and_all_missing(device):
    entry = "lag: {by: e, order: t, columns: v, shift: 1, diff: 1, rolling: {window: 2, stats: [sum, count]}}"
    data = {"e": ["a", "a"], "t": [1, 2], "v": [None, None]}
    data["v"] = pd.Series(data["v"], dtype="float64")
    made = try_op(entry, data, device=device)
    assert made.drop(columns="v__count_2").isna().all(axis=None)
    assert made["v__count_2"].tolist() == [0.0, 0.0]
    nothing = {
        "e": pd.Series([], dtype=object),
        "t": pd.Series([], dtype="int64"),
        "v": pd.Series([], dtype="float64"),
    }
    assert len(try_op(entry, data, new=nothing, device=device)) == 0
    made = try_op(entry, nothing, new=data, device=device)
    assert made["v__count_2"].tolist() == [0.0, 0.0]
    lost = {"e": [None, "a"], "t": pd.Series([1, None], dtype="Int64"), "v": [1.0, 2.0]}
    assert try_op(entry, lost, device=device).isna().all(axis=None)


def test_state_and_entry_go_through_files(tmp_path, device):
    data = random_rows(50, 4)
    op = parse_op({"lag": FULL})
    schema, parts = parts_of(data, 2, 0, device)
    state = fit_op(op, schema, parts)
    again = stored.load(stored.dump(state, tmp_path, 0), tmp_path)
    same = parse_op(dump_op(op))
    assert same == op
    frame = device.to_device(make_frame(random_rows(20, 9))[1])[op.reads(schema)]
    rows = Rows(device, device.xp.arange(20), predicting=True)
    pd.testing.assert_frame_equal(
        device.to_host(op.transform(frame, state, rows)),
        device.to_host(same.transform(frame, again, rows)),
    )


def test_the_target_needs_a_gap():
    schema = Schema(
        make_frame({"e": ["a"], "t": [1], "v": [1.0]})[0].columns, target=frozenset({"v"})
    )
    entry = {"by": "e", "order": "t", "columns": ["v"], "shift": 1}
    op = parse_op({"lag": entry})
    assert not op.can_read_target()
    with pytest.raises(ConfigError, match="(?s)'v'.*gap: 0.*set gap: 1"):
        op.reads(schema)
    op = parse_op({"lag": {**entry, "gap": 1}})
    assert op.can_read_target() and op.reads(schema) == ["e", "t", "v"]
    with pytest.raises(ConfigError, match="cannot order"):
        parse_op({"lag": {**entry, "by": "v", "gap": 1}}).reads(schema)


def test_mistakes_are_named(monkeypatch):
    entry = {"by": "e", "order": "t", "columns": "v"}
    data = {"e": ["a", "b"], "t": [1, 2], "v": [1.0, 2.0]}
    with pytest.raises(ConfigError, match="give shift, diff or rolling"):
        parse_op({"lag": entry})
    with pytest.raises(ConfigError, match="must be at least 1"):
        parse_op({"lag": {**entry, "shift": 0}})
    with pytest.raises(ConfigError, match="shift_2 is requested twice"):
        parse_op({"lag": {**entry, "shift": [2, 2]}})
    with pytest.raises(ConfigError, match="median"):
        parse_op({"lag": {**entry, "rolling": {"window": 2, "stats": "median"}}})
    with pytest.raises(ConfigError, match="lag: order takes"):
        try_op({"lag": {**entry, "order": "e", "shift": 1}}, data)
    monkeypatch.setattr(key_tables, "MAX_KEYS", 1)
    with pytest.raises(DataError, match="lag: e has more than 1"):
        try_op({"lag": {**entry, "shift": 1}}, data)


def test_several_windows_and_names():
    rolls = [{"window": 2, "stats": ["mean"]}, {"window": 5}]
    op = parse_op(
        {"lag": {"by": "e", "order": "t", "columns": "v w", "shift": 1, "rolling": rolls}}
    )
    schema = make_frame({"e": ["a"], "t": [1], "v w": [1.0]})[0]
    names = [c.name for c in op.produces(schema)]
    assert names == ["v w__shift_1", "v w__mean_2", "v w__mean_5"]
    assert op.regroup_by() == (["e"], ["t"])
