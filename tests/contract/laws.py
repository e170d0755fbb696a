"""How an op is fitted and applied in tests of its laws, and when two results are the same."""

import math
from functools import reduce

import numpy as np
import pandas as pd

REL = 1e-12
EACH_ROW_ONCE = {"lag", "join"}
"""Ops that learn the sequence of the rows or their number: their docstrings say that weights do not
count. A run keeps rows of weight 0 from them, as from all others (`test_op_weights`)."""


def assert_same(a, b, rel=REL, where="state", floor=0.0):
    """Equal to the bit, but for floats: within ``rel`` of each other, or ``floor`` of nothing."""
    assert type(a) is type(b), where
    if isinstance(a, pd.DataFrame | dict):
        assert list(a) == list(b), where
        assert getattr(a, "attrs", None) == getattr(b, "attrs", None), where
        for key in a:
            assert_same(a[key], b[key], rel, f"{where}.{key}", floor)
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, rel, f"{where}[{i}]", floor)
    elif isinstance(a, pd.Series):
        exact = rel == 0 or a.dtype.kind != "f"
        close = {} if exact else {"rtol": rel, "atol": floor}
        one, other = (s.reset_index(drop=True) for s in (a, b))
        pd.testing.assert_series_equal(one, other, check_exact=exact, obj=where, **close)
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype, where
        close = {"rtol": rel, "atol": floor} if a.dtype.kind == "f" else {"rtol": 0}
        np.testing.assert_allclose(a, b, **close)
    elif isinstance(a, float):
        close = math.isclose(a, b, rel_tol=rel, abs_tol=floor)
        assert close or (math.isnan(a) and math.isnan(b)), (where, a, b)
    else:
        assert a == b, where


def as_floats(state):
    """The state with whole numbers as floats, which sums of weights are."""
    if isinstance(state, pd.DataFrame):
        whole = [name for name, dtype in state.dtypes.items() if dtype.kind in "iu"]
        return state.astype(dict.fromkeys(whole, "float64"))
    if isinstance(state, dict):
        return {key: as_floats(one) for key, one in state.items()}
    if isinstance(state, list | tuple):
        return [as_floats(one) for one in state]
    return float(state) if type(state) is int else state


def plain(frame):
    """A host frame whose text columns are plain objects: dictionaries may differ by partition."""
    return frame.reset_index(drop=True).astype(
        {n: object for n, d in frame.dtypes.items() if d.name == "category"}
    )


def fit(given, parts, merging=None):
    """The fitted state; ``merging`` reduces a pass's summaries, left to right by default."""
    op = given.op
    state = op.prepare(given.schema, given.tables)
    merging = merging or (lambda summaries: reduce(op.merge, summaries))
    for _ in range(op.n_passes if op.requires_fit else 0):
        summaries = [op.summarise(f[op.reads(given.schema)], r, state) for f, r in parts]
        state = op.finish(merging(summaries), state)
    return state


def made(given, state, frame, rows, step="transform"):
    """What the settled op makes of a frame, on the host."""
    op = given.op.resolve_outputs(state)
    return rows.device.to_host(getattr(op, step)(frame[op.reads(given.schema)], state, rows))


def declared(given, state):
    """The columns that the settled op says it makes."""
    return given.op.resolve_outputs(state).produces(given.schema)


def bits(value):
    """What tells a state or a frame from any other, to the bit: -0.0 from 0.0, int32 from int64.

    Missing values are all alike, and texts by themselves: dictionaries differ by partition.
    """
    if isinstance(value, pd.DataFrame):
        return [(str(name), bits(value[name])) for name in value.columns]
    if isinstance(value, pd.Series):
        text = value.dtype.name in ("category", "str", "object")
        missing = value.isna().to_numpy()
        numbers = value.dtype.name.lower().replace("boolean", "bool")
        kept = value[~missing].astype(object if text else numbers)
        content = kept.tolist() if text else kept.to_numpy().tobytes()
        return ("text" if text else value.dtype.name, missing.tolist(), content)
    if isinstance(value, dict):
        return [(key, bits(one)) for key, one in value.items()]
    if isinstance(value, list | tuple):
        return [bits(one) for one in value]
    return (type(value).__name__, repr(value))
