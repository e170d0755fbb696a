"""Rows and entities in both sets, against pandas; and one pass whatever the partitions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.audit import scan, suggestion
from pipeline.audit.overlap import count_duplicates, count_shared_entities
from pipeline.config.model import Split
from pipeline.device import cpu
from pipeline.features.registry import parse_ops
from pipeline.features.try_op import make_frame
from pipeline.schema import LABEL, SET

N = 3000


def rows(seed=0, task="binary"):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "a": rng.integers(0, 30, N),
            "b": rng.choice(["x", "y", "zoë", None], N),
            "f": np.where(rng.random(N) < 0.1, np.nan, rng.integers(0, 4, N) / 2),
            "who": rng.choice([f"w{i}" for i in range(400)] + [None] * 40, N),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 999, N), unit="h"),
        }
    )
    label = rng.normal(size=N).round(1) if task == "regression" else rng.integers(0, 3, N) * 1.0
    return frame, label, rng.choice([0, 0, 0, 1, 2], N)


def prepared(frame, label, sets):
    _, storage = make_frame(frame)
    own = {
        LABEL: cpu.make_series(label, "float64"),
        SET: cpu.make_series(sets.astype("int32"), "int32"),
    }
    whole = storage.assign(**own)
    whole.index = pd.Index(np.arange(len(frame)), dtype="int64")
    return whole


def seen(whole, count=1, **bounds):
    spec = scan.plan_scan("cpu", 0, len(whole), features=["a", "b", "f"], entities=["who"], times=["when"])  # fmt: skip
    spec = scan.ScanSpec(**{**vars(spec), **bounds})
    parts = [whole.iloc[i] for i in np.array_split(np.arange(len(whole)), count)]
    found = [scan.scan_partition(part, spec) for part in parts]
    total = found[0]
    for other in found[1:]:
        total = scan.merge_scans(total, other)
    return total


def test_the_partitions_do_not_matter():
    whole = prepared(*rows())
    one, many = seen(whole), seen(whole, 7)
    assert one.rows == many.rows == N and one.times == many.times
    np.testing.assert_array_equal(one.contents.hash, many.contents.hash)
    np.testing.assert_array_equal(one.entities["who"], many.entities["who"])
    np.testing.assert_array_equal(one.entity_rows["who"], many.entity_rows["who"])
    pd.testing.assert_frame_equal(
        one.sample.astype({"b": "str", "who": "str"}),
        many.sample.astype({"b": "str", "who": "str"}),
    )


@pytest.mark.parametrize("task", ["multiclass", "regression"])
def test_twins_are_those_that_pandas_finds(task):
    frame, label, sets = rows(task=task)
    found = count_duplicates(seen(prepared(frame, label, sets), 3).contents, task)
    keyed = frame[["a", "b", "f"]].assign(b=frame["b"].fillna("-"), f=frame["f"].fillna(-1))
    known = set(map(tuple, keyed[sets == 0].to_numpy()))
    both = set(map(tuple, keyed.assign(y=label)[sets == 0].to_numpy()))
    test = keyed[sets == 2]
    assert found.test == len(test)
    assert found.features == sum(tuple(r) in known for r in test.to_numpy())
    tests = test.assign(y=label[sets == 2]).to_numpy()
    assert found.both == sum(tuple(r) in both for r in tests)
    assert found.repeated == pytest.approx(keyed[sets == 0].duplicated(keep=False).mean())
    assert found.spread == pytest.approx(1, abs=0.1), "labels are drawn without regard to the row"


def test_copies_have_the_labels_of_their_originals():
    frame, label, sets = rows(task="regression")
    frame["f"] = np.random.default_rng(9).normal(size=N)
    twice = pd.concat([frame, frame], ignore_index=True)
    found = count_duplicates(
        seen(
            prepared(twice, np.tile(label, 2), np.random.default_rng(1).choice([0, 0, 2], 2 * N))
        ).contents,
        "regression",
    )
    assert found.spread == 0 and found.both == found.features > 0.5 * found.test


def test_a_bound_keeps_all_rows_of_a_content_or_none():
    frame, label, sets = rows()
    whole = prepared(frame, label, sets)
    every = seen(whole)
    half = seen(whole, 3, hash_bound=2**31, id_bound=2**31)
    assert 0.3 * N < len(half.contents.hash) < 0.7 * N and 0.4 * N < len(half.sample) < 0.6 * N
    kept = np.isin(every.contents.hash, half.contents.hash)
    assert kept.sum() == len(half.contents.hash)
    a, b = (
        count_duplicates(every.contents, "multiclass"),
        count_duplicates(half.contents, "multiclass"),
    )
    assert a.both / a.test == pytest.approx(b.both / b.test, abs=0.08)


def test_entities_are_those_that_pandas_finds():
    frame, label, sets = rows()
    found = seen(prepared(frame, label, sets), 4)
    got = count_shared_entities(found.entities["who"], found.entity_rows["who"])
    train, test = (set(frame["who"][sets == s].dropna()) for s in (0, 2))
    of_test = frame["who"][sets == 2].dropna()
    assert (got.train, got.test, got.both) == (len(train), len(test), len(train & test))
    assert (got.rows, got.of) == (int(of_test.isin(train).sum()), len(of_test))
    assert got.per_entity == pytest.approx(frame["who"][sets == 0].notna().sum() / len(train))


def test_times_are_the_first_and_last_of_each_set():
    frame, label, sets = rows()
    ranges = seen(prepared(frame, label, sets), 4).times["when"]
    for number, (first, last, count) in enumerate(ranges):
        own = frame["when"][sets == number]
        assert pd.Timestamp(first, unit="us") == own.min()
        assert pd.Timestamp(last, unit="us") == own.max() and count == len(own)


def test_the_sample_fits_the_memory():
    assert scan.choose_sample_size(10, 10**12) == scan.SAMPLE_ROWS
    assert scan.choose_sample_size(1000, 10**12) == 20_000
    assert scan.choose_sample_size(100, 80_000_000) == 10_000


# -- proposals -------------------------------------------------------------------------------------

ODD = ["a b", "x: y", "- z", "#", "größe", "{c}", "yes", "12", 'q"q', "a\nb"]


def test_a_line_survives_odd_names():
    line = suggestion.suggest_drop(ODD, None)
    assert "\n" not in line and yaml.safe_load(line) == [{"drop": ODD}]
    split = suggestion.suggest_split(Split(), "group", "a: b")
    assert yaml.safe_load(split) == {
        "split": {"by": "group", "column": "a: b", "valid": 0.1, "test": 0.2}
    }


def test_chosen_ops_are_written_down_before_the_drop():
    entries = [
        {"target_encode": {"columns": ["a"], "smooth": 5, "as": "{column}_te"}},
        {"fill": {"columns": {"all": ["numeric"], "but": ["x"]}, "with": "median"}},
        {"derive": {"n": "a + 1"}},
    ]
    ops = parse_ops(entries)
    line = suggestion.suggest_drop(["x"], ops)
    made = yaml.safe_load(line)["features"]
    assert parse_ops(made[:-1]) == ops and made[-1] == {"drop": ["x"]}
