"""Random trials of an op: an entry of `wild_ops` over a frame of `wild`, and cuts into partitions."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from cases import TASKS, Case, Setting
from hypothesis import reject
from hypothesis import strategies as st
from wild import NUMERIC, Table
from wild_ops import ENTRIES

from pipeline.errors import ConfigError, DataError
from pipeline.features.engine.planner import resolve_ops
from pipeline.features.registry import parse_op

ROWS = (5, 9, 1, 0, 2, 3, 7)


@dataclass(frozen=True)
class Trial:
    """An op over a frame, and two ways to cut its rows into partitions."""

    given: Setting
    cuts: tuple[np.ndarray, np.ndarray]
    """int64 (n,) each: the partition of every row; numbers that no row has are empty partitions."""
    count: int
    """How many partitions there are."""
    seen: np.ndarray
    """bool (n,): the rows that it is fitted on, where others come to be transformed."""
    weights: np.ndarray
    """float64 (n,): whole numbers, 0 among them."""
    scale: float
    """The largest finite number of the frame and the label, times the rows."""

    def parts(self, which, rows=None):
        """The partitions of a cut, of all rows or of these (a bool each), in order."""
        chosen = np.ones(len(self.given.host), bool) if rows is None else rows
        cut = self.cuts[which]
        at = [np.flatnonzero((cut == i) & chosen) for i in range(self.count)]
        return [self.given.part(positions, turn=i) for i, positions in enumerate(at)]

    def whole(self, rows=None):
        """All rows in one partition."""
        chosen = np.ones(len(self.given.host), bool) if rows is None else rows
        return self.given.part(np.flatnonzero(chosen))

    def weighted(self, at):
        """The rows at these positions in one partition, with their weights."""
        frame, rows = self.given.part(at)
        return frame, replace(rows, weight=self.weights[at])


@st.composite
def trials(draw, op_name):
    """`Trial`s of one op. What an op refuses with a message is tried again with something else."""
    table = Table(draw, draw(st.sampled_from(ROWS)))
    entry = {op_name: ENTRIES[op_name](table)}
    schema, host = table.frame()
    task = draw(st.sampled_from(list(TASKS))) if op_name == "target_encode" else "regression"
    schema = replace(schema, classes=("a", "b c", "é") if task == "multiclass" else ())
    try:
        op = parse_op(entry)
        for side in table.tables.values():
            op = op.bind_table(side.attrs["keys"], side.attrs["types"])
        resolve_ops([op], schema)
        op.prepare(schema, table.tables)
    except (ConfigError, DataError) as error:
        assert error.message
        reject()
    n = len(host)
    label = np.array(draw(_labels(TASKS[task], n)), dtype="float64")
    count = draw(st.integers(2, 4))
    case = Case(entry, task=task, sample_rate=draw(st.sampled_from((1.0, 0.5))))
    given = Setting(case, op, schema, host, label, table.tables)
    groups = _together(op, host)
    cuts = tuple(_cut(draw, groups, count) for _ in range(2))
    seen = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    weights = draw(st.lists(st.integers(0, 3).map(float), min_size=n, max_size=n))
    weights = np.array(weights, dtype="float64")
    return Trial(given, cuts, count, seen, weights, 3 * n * _largest(table, label))


def _labels(classes, rows):
    one = (
        st.integers(0, classes - 1)
        if classes
        else st.floats(-1e6, 1e6) | st.sampled_from((0.0, 1e18))
    )
    return st.lists(one, min_size=rows, max_size=rows)


def _cut(draw, groups, count):
    """A partition for each row; rows of one group share it."""
    if len(groups) == 0:
        return np.empty(0, dtype="int64")
    size = int(groups.max()) + 1
    drawn = draw(st.lists(st.integers(0, count - 1), min_size=size, max_size=size))
    return np.array(drawn, dtype="int64")[groups]


def _together(op, host):
    """int64 (n,): rows that an op needs in one partition have the same number."""
    if op.regroup_by() is None or len(host) == 0:
        return np.arange(len(host))
    names, _ = op.regroup_by()
    keys = pd.DataFrame({n: _told(host[n]) for n in names})
    return keys.groupby(names).ngroup().to_numpy()


def _told(series):
    """The values as text, equal where they are one key."""
    values = series + 0.0 if series.dtype.kind == "f" else series  # -0.0 and 0.0 are one
    return values.astype(object).map(repr).astype("str")


def _largest(table, label):
    found = [np.abs(label[np.isfinite(label)]).max(initial=0.0)]
    for dtype, values in table.columns.values():
        if dtype in (*NUMERIC, "bool", "int32"):
            numbers = np.array([v for v in values if v is not None], dtype="float64")
            found.append(np.abs(numbers[np.isfinite(numbers)]).max(initial=0.0))
    return float(max(found))
