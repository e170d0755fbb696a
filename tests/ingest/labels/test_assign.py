"""Rows that get a label: neither filtered, nor of weight 0, nor without a target."""

from dataclasses import replace
from functools import reduce

import numpy as np
import pytest

from pipeline.config.model import Data, Split
from pipeline.errors import DataError
from pipeline.expression import column_expression, parse
from pipeline.features.try_op import make_frame
from pipeline.ingest.labels import assign
from pipeline.ingest.labels import split as splitting
from pipeline.ingest.labels import target as targets
from pipeline.matrix import Target
from pipeline.schema import LABEL, WEIGHT

NO, YES = 0.0, 1.0


def table(n=60):
    """Rows of which each fifth weighs 0 and holds what no other row does."""
    at = np.arange(n)
    zero = at % 5 == 2
    return {
        "x": at.astype("float64"),
        "w": np.where(zero, 0.0, 1.0 + at % 3),
        "t": np.where(zero, 10**6, at),
        "y": np.where(zero, "only here", np.where(at % 2 == 0, "no", "yes")).astype(object),
    }


def spec_of(**changes):
    spec = assign.LabelSpec(
        "cpu", column_expression("y"), (), Split(valid=0.2, test=0.2), 0, 1.0, "w", ("x",)
    )
    return replace(spec, **changes)


def scanned(data, spec, parts=3):
    _, host = make_frame(data)
    frames = [host.iloc[i] for i in np.array_split(np.arange(len(host)), parts)]
    return frames, reduce(assign.merge_scans, (assign.scan_partition(f, spec) for f in frames))


def test_rows_of_weight_0_are_neither_counted_as_classes_nor_as_times():
    spec = spec_of(split=Split(by="time", column="t", valid=0.2, test=0.2))
    frames, scan = scanned(table(), spec)
    assert (scan.rows, scan.filtered, scan.weightless, scan.target_missing) == (60, 0, 12, 0)
    inferred = targets.infer_target(scan.target, Data(path="d.csv", target="y"))
    assert inferred.target == Target("binary", ("no", "yes"))
    cuts = splitting.choose_cuts(scan.times, spec.split)
    assert cuts is not None
    assert cuts.test < 60
    rows = [assign.assign_labels(f, spec, inferred.target, cuts) for f in frames]
    assert sum(map(len, rows)) == 48
    assert all((f[WEIGHT] > 0).all() for f in rows)
    assert {label for f in rows for label in f[LABEL]} == {NO, YES}
    assert [i for f in rows for i in f.index] == [i for i in range(60) if i % 5 != 2]


def test_each_dropped_row_has_one_reason():
    data = table()
    data["y"] = np.where(np.arange(60) < 15, None, data["y"]).astype(object)
    _, scan = scanned(data, spec_of(filters=(parse("x >= 10"),)))
    # rows 0 to 9 are filtered; of the others 12, 17, … weigh 0; 10, 11, 13 and 14 have no target
    assert (scan.filtered, scan.weightless, scan.target_missing) == (10, 10, 4)
    _, unweighted = scanned(data, spec_of(filters=(parse("x >= 10"),), weight=None))
    assert (unweighted.filtered, unweighted.weightless, unweighted.target_missing) == (10, 0, 5)


def test_a_missing_or_negative_weight_is_refused_and_not_taken_as_0():
    target = Target("binary", ("no", "yes"))
    for wrong in (np.nan, -1.0, 1e-30):
        data = table()
        data["w"][7] = wrong
        (frame,), scan = scanned(data, spec_of(), parts=1)
        assert scan.weightless == 11
        with pytest.raises(DataError, match="'w' has 1 invalid weights") as refused:
            assign.assign_labels(frame, spec_of(), target, None)
        assert refused.value.examples == (f"row 7: {wrong}",)


def test_sets_of_other_rows_stay_if_rows_of_weight_0_follow():
    data, target = table(40), Target("binary", ("no", "yes"))
    longer = {
        name: np.concatenate([values, values[:15]]).astype(values.dtype)
        for name, values in data.items()
    }
    longer["w"][40:] = 0.0
    one, other = (
        assign.assign_labels(scanned(d, spec_of(), 1)[0][0], spec_of(), target, None)
        for d in (data, longer)
    )
    assert one.equals(other)
