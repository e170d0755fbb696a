"""cross: the combinations that occur, different ones as different texts, on every layout."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.device import cpu
from pipeline.errors import ConfigError
from pipeline.features.op import Rows
from pipeline.features.registry import dump_op, parse_op
from pipeline.features.try_op import make_frame, try_op
from pipeline.schema import Column

words = st.sampled_from(["a", "b", "a|b", "b|", "|", "\\", "a\\", "ü", "", None])


def shown(value):
    return value.replace("\\", "\\\\").replace("|", "\\|")


@given(
    rows=st.lists(st.tuples(words, words, st.one_of(st.none(), st.integers(-2, 2))), max_size=25)
)
@settings(max_examples=60, deadline=None)
def test_it_joins_the_values_row_by_row(rows):
    a, b, n = ([r[i] for r in rows] for i in range(3))
    data = {
        "a": pd.Series(a, dtype=object),
        "b": pd.Series(b, dtype=object),
        "n": pd.Series(n, dtype="Int64"),
    }
    made = try_op("cross: {columns: [b, a, n], as: c}", data)["c"]
    expected = [None if None in r else f"{shown(r[1])}|{shown(r[0])}|{r[2]}" for r in rows]
    assert [None if pd.isna(v) else v for v in made] == expected
    # Different combinations are different texts.
    whole = {r for r in rows if None not in r}
    assert len({e for e in expected if e is not None}) == len(whole)


def test_any_kind_of_column(device):
    data = {
        "x": [0.5, -0.0, None],
        "d": pd.Series(pd.to_datetime(["2020-01-02 03:04:05", "2020-01-02 00:00:00", None])),
        "b": pd.Series([True, False, None], dtype="boolean"),
    }
    made = try_op("cross: {columns: [x, d, b]}", data, device=device)
    assert made["x_x_d_x_b"].tolist()[:2] == [
        "0.5|2020-01-02T03:04:05|True",
        "0.0|2020-01-02T00:00:00|False",
    ]
    assert made["x_x_d_x_b"].isna().tolist() == [False, False, True]


def test_only_pairs_that_occur_become_values():
    n = 3000
    data = {name: [f"{name}{i}" for i in range(n)] for name in "pqrstu"}  # 3000^6 pairs in theory
    made = try_op({"cross": {"columns": list("pqrstu"), "as": "all"}}, data)["all"]
    assert len(made.cat.categories) == n
    assert made.iloc[7] == "p7|q7|r7|s7|t7|u7"


def test_empty_and_all_missing(device):
    op = parse_op({"cross": {"columns": ["a", "b"], "as": "c"}})
    _, host = make_frame({"a": ["x", None], "b": [None, "y"]})
    rows = Rows(device, device.xp.arange(2))
    made = device.to_host(op.transform(device.to_device(host), {}, rows))["c"]
    assert made.isna().all()
    empty = device.to_device(host.iloc[:0].reset_index(drop=True))
    made = op.transform(empty, {}, Rows(device, device.xp.arange(0)))
    assert device.to_host(made)["c"].dtype.name == "category"
    assert len(made) == 0


def test_partitions_agree():
    rng = np.random.default_rng(0)
    data = {
        "a": rng.choice(np.array(["u", "v", None], dtype=object), 60),
        "k": rng.integers(0, 4, 60),
    }
    data["a"] = pd.Series(data["a"], dtype=object)
    whole = try_op("cross: {columns: [a, k], as: c}", data)["c"].astype(object)
    _, host = make_frame(data)
    op = parse_op({"cross": {"columns": ["a", "k"], "as": "c"}})
    parts = [
        op.transform(host.iloc[i].reset_index(drop=True), {}, Rows(cpu, i))["c"].astype(object)
        for i in np.array_split(np.arange(60), 7)
    ]
    assert pd.concat(parts).fillna("-").tolist() == whole.fillna("-").tolist()


def test_declared():
    schema, _ = make_frame({"a": ["x"], "b": [1]})
    op = parse_op({"cross": {"columns": ["b", "a"]}})
    assert op.reads(schema) == ["b", "a"]
    assert op.produces(schema) == [Column("b_x_a", "text")]
    assert parse_op(dump_op(op)) == op
    for wrong in (["a"], ["a", "a"], "a"):
        with pytest.raises(ConfigError):
            parse_op({"cross": {"columns": wrong}})
    with pytest.raises(ConfigError, match="is reserved"):
        parse_op({"cross": {"columns": ["a", "b"], "as": "__label__"}})
    with pytest.raises(ConfigError, match="no column 'z'"):
        parse_op({"cross": {"columns": ["a", "z"]}}).reads(schema)
