"""Sets are functions of ids, groups, times and names alone: the same on every layout."""

import json
import shlex
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.config.model import Config, Split
from pipeline.device import cpu
from pipeline.errors import ConfigError, DataError
from pipeline.features.try_op import make_frame
from pipeline.ingest.labels import split as splitting
from pipeline.ingest.labels.split import Cuts
from pipeline.schema import Column, Schema


def drawn(data, split, device=cpu, *, parts=1, seed=0, rate=1.0, n=None):
    """(sets of all rows in order, cuts), made partition by partition."""
    _, host = make_frame(data if n is None else {"x": np.arange(n)})
    frames = [device.to_device(host.iloc[i]) for i in np.array_split(np.arange(len(host)), parts)]
    merged = splitting.sample_times(frames[0], split, device, seed, rate)
    for frame in frames[1:]:
        merged = splitting.merge_times(
            splitting.sample_times(frame, split, device, seed, rate), merged
        )
    cuts = splitting.choose_cuts(merged, split)
    sets = [device.to_host(splitting.assign_sets(f, split, cuts, device, seed)) for f in frames]
    assert all(s.dtype == "int8" for s in sets)
    return np.concatenate(sets), cuts


def test_random_takes_the_shares_by_the_hash_of_the_id(device):
    split = Split(valid=0.1, test=0.2)
    sets, cuts = drawn(None, split, device, n=20_000, seed=3)
    assert cuts is None
    hashes = cpu.hash_ints(np.arange(20_000), 3)
    test, valid = hashes < int(0.2 * 2**32), hashes < int((0.1 + 0.2) * 2**32)
    assert (sets == np.where(test, 2, np.where(valid, 1, 0))).all()
    shares = np.bincount(sets) / 20_000
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.01)
    assert (sets != drawn(None, split, device, n=20_000, seed=4)[0]).any()


def test_no_valid_share_makes_no_valid_rows(device):
    data = {"t": np.arange(100), "g": [f"g{i % 40}" for i in range(100)]}
    for split in [
        Split(valid=0),
        Split(by="time", column="t", valid=0),
        Split(by="group", column="g", valid=0),
    ]:
        sets, _ = drawn(data, split, device)
        assert 1 not in sets
        assert set(sets) == {0, 2}


def test_a_group_stays_together(device):
    groups = [f"ü{i % 300}" if i % 10 else None for i in range(3000)]
    split = Split(by="group", column="g")
    sets, _ = drawn({"g": pd.Series(groups, dtype=object)}, split, device)
    frame = pd.DataFrame({"g": groups, "s": sets})
    assert (frame.dropna().groupby("g")["s"].nunique() == 1).all()
    assert np.bincount(sets[frame["g"].notna()]) / 2700 == pytest.approx([0.7, 0.1, 0.2], abs=0.06)
    alone = sets[frame["g"].isna()]
    assert (alone == drawn(None, Split(), device, n=3000)[0][frame["g"].isna()]).all()
    numbers, _ = drawn({"g": np.arange(3000) % 7}, split, device)
    assert (
        pd.DataFrame({"g": np.arange(3000) % 7, "s": numbers}).groupby("g")["s"].nunique().max()
        == 1
    )


@pytest.mark.parametrize(
    "times",
    [
        np.arange(1000)[::-1],
        pd.Series(pd.date_range("1960-01-01", periods=1000, freq="h")),
        np.linspace(-1, 1, 1000),
    ],
)
def test_time_puts_the_last_rows_last(times, device):
    sets, cuts = drawn({"t": times}, Split(by="time", column="t"), device)
    assert np.bincount(sets).tolist() == [700, 100, 200]
    order = np.argsort(np.asarray(times), kind="stable")
    assert (np.diff(sets[order]) >= 0).all()
    assert Cuts(**json.loads(json.dumps(cuts.to_json()))) == cuts


@given(
    times=st.lists(st.integers(0, 12), min_size=2, max_size=60).filter(lambda t: len(set(t)) > 2),
    valid=st.sampled_from([0, 0.1, 0.3]),
)
@settings(max_examples=80, deadline=None)
def test_equal_times_stay_together_and_no_set_is_empty(times, valid):
    sets, cuts = drawn({"t": times}, Split(by="time", column="t", valid=valid), parts=3)
    frame = pd.DataFrame({"t": times, "s": sets})
    assert (frame.groupby("t")["s"].nunique() == 1).all()
    assert (frame.sort_values("t")["s"].diff().dropna() >= 0).all()
    assert {0, 2} <= set(sets)
    # No other change of the time is nearer to the wanted share of test rows.
    wanted = 0.8 * len(times)
    starts = [sum(t < edge for t in times) for edge in set(times) - {min(times)}]
    assert abs((sets != 2).sum() - wanted) == min(abs(s - wanted) for s in starts)


def test_two_times_leave_nothing_to_valid(device):
    sets, _ = drawn({"t": [1] * 7 + [2] * 3}, Split(by="time", column="t"), device)
    assert np.bincount(sets, minlength=3).tolist() == [7, 0, 3]


def test_time_cuts_of_a_sample_are_near(device):
    times = np.random.default_rng(0).normal(size=20_000)
    split = Split(by="time", column="t")
    exact, _ = drawn({"t": times}, split, device)
    sampled, cuts = drawn({"t": times}, split, device, rate=0.1)
    assert (exact != sampled).mean() < 0.03
    assert cuts == drawn({"t": times}, split, device, rate=0.1, parts=7)[1]


def test_a_column_names_the_sets(device):
    names = ["train", "VALID", " Test", "train"]
    sets, _ = drawn({"s": names}, Split(by="column", column="s"), device)
    assert sets.tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("by", ["random", "group", "time", "column"])
def test_the_layout_does_not_matter(by, device):
    rng = np.random.default_rng(1)
    data = {
        "group": pd.Series(rng.choice(np.array(["a", "b", "c", None]), 200), dtype=object),
        "time": rng.integers(0, 40, 200),
        "column": rng.choice(np.array(["train", "valid", "test"], dtype=object), 200),
    }
    split = Split() if by == "random" else Split(by=by, column=by)
    whole = drawn(data, split, device)
    for parts in (3, 17, 230):  # 230: some are empty
        sets, cuts = drawn(data, split, device, parts=parts)
        assert (sets == whole[0]).all()
        assert cuts == whole[1]


# -- mistakes --------------------------------------------------------------------------------------
@pytest.mark.parametrize("what", ["summarise", "assign"])
def test_a_missing_time_shows_the_row(what, device):
    _, host = make_frame({"my time": [1.0, None, 3.0]})
    host.index = pd.Index([40, 41, 42])
    frame, split = device.to_device(host), Split(by="time", column="my time")
    with pytest.raises(DataError, match=r"(?s)my time.*row 41.*is_missing\(`my time`\)"):
        if what == "summarise":
            splitting.sample_times(frame, split, device, 0)
        else:
            splitting.assign_sets(frame, split, Cuts(1, 2), device, 0)


def test_one_time_cannot_be_split():
    with pytest.raises(DataError, match="only one value, 5"):
        drawn({"t": [5, 5, 5]}, Split(by="time", column="t"))
    with pytest.raises(DataError, match="no value"):
        drawn({"t": pd.Series([], dtype="int64")}, Split(by="time", column="t"))


def test_a_time_split_says_where_it_cuts_in_dates():
    split = Split(by="time", column="t")
    day = 86_400_000_000
    schema = Schema([Column("t", "datetime")])
    found = splitting.describe_cuts(Cuts(19_000 * day, 19_001 * day + day // 2), split, schema)
    assert found == ["by t: valid from 2022-01-08, test from 2022-01-09 12:00:00"]
    assert splitting.describe_cuts(Cuts(day, day), split, schema) == ["by t: test from 1970-01-02"]
    numbers = Schema([Column("t", "int64")])
    assert splitting.describe_cuts(Cuts(5, 7), split, numbers) == [
        "by t: valid from 5, test from 7"
    ]
    assert splitting.describe_cuts(None, Split(), schema) == []


def test_a_column_of_other_values(device):
    split = Split(by="column", column="s")
    with pytest.raises(DataError, match=r"(?s)'holdout'.*train, valid, test"):
        drawn({"s": ["train", "holdout", "test"]}, split, device)
    with pytest.raises(DataError, match="row 1"):
        drawn({"s": ["train", None, "test"]}, split, device)


SCHEMA = Schema(tuple(Column(n, d) for n, d in [("n", "int64"), ("s", "text"), ("d", "datetime")]))


def test_check_refuses_before_reading():
    for by, name in [("time", "n"), ("time", "d"), ("group", "s"), ("group", "n"), ("column", "s")]:
        splitting.check_split(Split(by=by, column=name), SCHEMA)
    splitting.check_split(Split(), SCHEMA)
    with pytest.raises(ConfigError, match="(?s)'s' is text, not a time.*datetime"):
        splitting.check_split(Split(by="time", column="s"), SCHEMA)
    with pytest.raises(ConfigError, match="'n' is numeric"):
        splitting.check_split(Split(by="column", column="n"), SCHEMA)
    with pytest.raises(ConfigError, match="no column 'm'"):
        splitting.check_split(Split(by="group", column="m"), SCHEMA)


def test_empty_sets_are_told():
    splitting.check_counts({"train": 5, "valid": 0, "test": 2}, Split(valid=0))
    splitting.check_counts({"train": 5, "valid": 1, "test": 2}, Split())
    with pytest.raises(
        DataError, match="(?s)no row is in valid .train 5, valid 0, test 2.*valid: 0"
    ):
        splitting.check_counts({"train": 5, "valid": 0, "test": 2}, Split())
    with pytest.raises(DataError, match="few groups"):
        splitting.check_counts({"train": 5}, Split(by="group", column="g"))
    with pytest.raises(DataError, match="'test' in column 's'"):
        splitting.check_counts({"train": 5, "valid": 1}, Split(by="column", column="s"))
    with pytest.raises(DataError, match="different times"):
        splitting.check_counts({"test": 5, "valid": 1}, Split(by="time", column="t"))


def test_a_random_split_of_rows_with_one_time_tells_the_other(tmp_path):
    one = Schema((Column("it's: a day", "datetime"), Column("x", "float64")))
    (told,) = splitting.suggest_time_split(one, Split())
    override = shlex.split(told)[-1]
    tree = {"data": {"path": "a", "target": "x"}}
    asked = Config.parse(tree, [override]).split
    assert (asked.by, asked.column) == ("time", "it's: a day")
    assert not splitting.suggest_time_split(one, asked)
    two = one.with_columns([Column("t", "datetime")])
    assert not splitting.suggest_time_split(two, Split()) and not splitting.suggest_time_split(
        one.select(["x"]), Split()
    )
    assert not splitting.suggest_time_split(
        replace(one, target=frozenset({"it's: a day"})), Split()
    )
