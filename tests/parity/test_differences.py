"""Two columns of the same rows: what counts as different, by how much, and where."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from pipeline.device import cpu
from pipeline.parity.differences import (
    CLOSE,
    EXACT,
    Check,
    find_differences,
    pair_rows,
    to_plain,
    within,
)

INF, NAN = float("inf"), float("nan")


def floats(*values):
    return pd.Series(values, dtype="float64")


def words(*values):
    return pd.Series(pd.Categorical(values))


@pytest.mark.parametrize(
    ("first", "second", "rule", "expected"),
    [
        (floats(1, NAN, INF, -0.0), floats(1, NAN, INF, 0.0), EXACT, "0000"),
        (floats(1, NAN, INF, 1), floats(1 + 1e-12, 0, -INF, NAN), EXACT, "1111"),
        (floats(1, NAN, INF, -INF), floats(1 + 9e-7, NAN, INF, -INF), CLOSE, "0000"),
        (floats(1, NAN, INF, 1), floats(1.00001, 0, -INF, INF), CLOSE, "1111"),
        (floats(-1e6, 0, 1e-12), floats(-1e6 - 0.9, 1e-4, 0), CLOSE, "000"),  # beside 1e6, nothing
        (floats(-1e6, 0, 1e-12), floats(-1e6 - 1.1, 1e-2, 0), CLOSE, "110"),
        (floats(0.5, 0.5), floats(0.500009, 0.50002), within(1e-5), "01"),
        (pd.Series([2**60, 1, None], dtype="Int64"), pd.Series([2**60 + 1, 1, None], dtype="Int64"), EXACT, "100"),
        (pd.Series([1, 0], dtype="Int64"), pd.Series([1, None], dtype="Int64"), EXACT, "01"),
        (pd.Series([1, 2], dtype="Int64"), pd.Series([1, 2], dtype="int8"), EXACT, "00"),
        (pd.Series([True, None], dtype="boolean"), pd.Series([True, True], dtype="boolean"), EXACT, "01"),
        (words("a", "b", None), words("a", "c", None), EXACT, "010"),
        (words("b", "a"), words("b", "a").cat.set_categories(["z", "b", "a"]), EXACT, "00"),
        (words(None, "a"), words("a", None), EXACT, "11"),
        (words("1", "2"), floats(1, 2), EXACT, "11"),
        (pd.Series(pd.to_datetime(["2020-01-01", None])), pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])), EXACT, "01"),
    ],
)  # fmt: skip
def test_what_differs(first, second, rule, expected):
    for a, b in ((first, second), (second, first)):
        found, _ = find_differences(a, b, rule)
        assert "".join(str(int(v)) for v in found) == expected


def test_a_line_counts_rows_and_shows_the_first_that_differ():
    check = Check("features", "x", CLOSE.text)
    for start in (0, 100):
        ids = np.arange(start, start + 10)
        a = floats(*ids)
        check.add(ids, a, a + np.where(ids % 2, 0.0, 1e-3), CLOSE)
    assert (check.compared, check.different, check.passed) == (20, 10, False)
    assert [e["row"] for e in check.examples] == [0, 2, 4, 6, 8]
    assert check.examples[1]["values"] == [2.0, 2.001]
    assert check.worst == pytest.approx(1.0)  # 0 beside 0.001
    check.add(np.array([7]), floats(NAN), floats(1.0), CLOSE)
    assert to_plain(check.worst) == "inf"


def test_values_for_json():
    values = [pd.NA, pd.NaT, None, NAN, INF, np.int64(3), np.bool_(True), "ü", pd.Timestamp(0)]
    found = [to_plain(v) for v in values]
    assert found == [None, None, None, None, "inf", 3, True, "ü", "1970-01-01T00:00:00"]
    json.dumps(found, allow_nan=False)


def frames(*parts):
    """Partitions with these row ids; the value is the id."""
    made = []
    for ids in parts:
        text = pd.Series(pd.Categorical([f"w{i}" for i in ids]), index=list(ids))
        made.append(pd.DataFrame({"v": list(ids), "t": text}, index=pd.Index(ids, dtype="int64")))
    return made


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (frames([0, 1], [2, 3, 4]), frames([0, 1], [2, 3, 4])),
        (frames([0, 1], [2, 3, 4]), frames([4, 2], [0], [3, 1])),
        (frames([0, 1, 2, 3, 4]), frames([], [1, 0], [], [3, 4, 2])),
        (frames([0], [1], [2], [3], [4]), frames([4, 3, 2, 1, 0])),
    ],
)
def test_rows_are_paired_however_they_are_divided(first, second):
    seen = []

    def compare(a, b):
        assert a.index.equals(b.index)
        assert a["v"].tolist() == b["v"].tolist() == a.index.tolist()
        assert not find_differences(a["t"], b["t"], EXACT)[0].any()
        seen.extend(cpu.row_ids(a).tolist())

    left, right = pair_rows(first, second, compare)
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert not len(left) and not len(right)


def test_rows_of_one_side_alone_are_told():
    left, right = pair_rows(frames([0, 1], [2, 9]), frames([0, 2, 7], [8]), lambda a, b: None)
    assert (sorted(left), sorted(right)) == ([1, 9], [7, 8])
    left, right = pair_rows(frames([0, 1]), frames(), lambda a, b: None)
    assert (sorted(left), sorted(right)) == ([0, 1], [])
