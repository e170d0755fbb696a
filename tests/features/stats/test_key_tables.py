"""Keys of several columns: group numbers and places in a key table, against plain Python."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.device import MISSING, UNSEEN
from pipeline.errors import DataError
from pipeline.features.stats import key_tables
from pipeline.features.try_op import make_frame

texts = st.one_of(st.none(), st.sampled_from(["a", "b", "ü", "", "a b"]))
numbers = st.one_of(st.none(), st.integers(-2, 2))
reals = st.one_of(st.none(), st.sampled_from([-0.5, 0.0, 1.0, 1e300]))
rows_of_three = st.lists(st.tuples(texts, numbers, reals), min_size=8, max_size=40)


def table_of(rows, device):
    columns = {
        "t": pd.Series([r[0] for r in rows], dtype=object),
        "i": pd.Series([r[1] for r in rows], dtype="Int64"),
        "f": pd.Series([r[2] for r in rows], dtype="float64"),
    }
    _, host = make_frame(columns)
    return device.to_device(host)


@pytest.mark.parametrize("names", [["t"], ["i"], ["f"], ["t", "i"], ["f", "t", "i"]])
def test_groups_and_positions_are_those_of_tuples(names, device):
    @settings(max_examples=25, deadline=None)
    @given(rows_of_three, rows_of_three)
    def check(rows, others):
        others = others + rows
        at = ["tif".index(n) for n in names]
        frame = table_of(rows, device)
        codes, table = key_tables.group_rows(frame, names, device)
        codes = device.to_host(codes)
        made = [tuple(r) for r in table.itertuples(index=False)]
        assert len(set(made)) == len(made)
        assert list(table.columns) == key_tables.key_names(len(names))
        wanted = [tuple(r[i] for i in at) for r in rows]
        for code, key in zip(codes, wanted, strict=True):
            assert (code == -1) if None in key else (made[code] == key)
        table = table.sample(frac=1, random_state=0).reset_index(drop=True)
        made = [tuple(r) for r in table.itertuples(index=False)]
        place = device.to_host(
            key_tables.find_positions(table_of(others, device), names, table, device)
        )
        known = {k: i for i, k in enumerate(made)}
        for found, row in zip(place, others, strict=True):
            key = tuple(row[i] for i in at)
            assert found == (MISSING if None in key else known.get(key, UNSEEN))

    check()


def test_many_large_columns_do_not_overflow(device, monkeypatch):
    monkeypatch.setattr(key_tables, "_MAX_NUMBER", 50)
    n = 200
    rng = np.random.default_rng(0)
    data = {c: rng.integers(0, 20, n) for c in "abcd"}
    _, host = make_frame(data)
    codes, table = key_tables.group_rows(device.to_device(host), list("abcd"), device)
    expected = host.groupby(list("abcd"), sort=False).ngroup().to_numpy()
    assert len(table) == expected.max() + 1
    assert len(set(zip(device.to_host(codes), expected, strict=True))) == len(table)


def test_datetimes_and_bools_are_keys(device):
    data = {"d": pd.to_datetime(["2020-01-01", None, "1969-12-31"]), "b": [True, False, True]}
    _, host = make_frame(data)
    frame = device.to_device(host)
    codes, table = key_tables.group_rows(frame, ["d", "b"], device)
    assert table["key_0"].dtype == "int64" and table["key_1"].dtype == "bool"
    at = device.to_host(key_tables.find_positions(frame, ["d", "b"], table, device))
    assert at.tolist() == [device.to_host(codes)[0], MISSING, device.to_host(codes)[2]]


def test_too_many_keys_name_the_fix(monkeypatch):
    monkeypatch.setattr(key_tables, "MAX_KEYS", 3)
    key_tables.check_key_count(3, "target_encode", "zip")
    with pytest.raises(DataError, match="(?s)zip.*hash"):
        key_tables.check_key_count(4, "target_encode", "zip")
