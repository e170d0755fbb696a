"""Where cuDF 26.10 computes other values than pandas: quotients of small integers, NaN in groups.

Quotients are computed as cuDF would (its `NumericalColumn._binaryop`), so that what is made of them
differs from pandas. NaN is reported: what cuDF gives depends on whether the NaN is a value or a null,
which pandas' plain floats do not tell.
"""

import numpy as np
import pandas as pd

HALF = {"int8", "int16", "int32", "uint8", "uint16", "bool"}
"""What the dividing (not the divided-by) series becomes float32 of; else float64."""
DIVISIONS = {"truediv", "div", "divide", "rtruediv", "rdiv"}
PASSED_ON = {"size", "cumcount", "ngroup", "ngroups", "shift", "diff", "head", "tail", "get_group",
             "indices", "groups", "nth", "rolling"}  # fmt: skip
"""Of groups: what does not look at values, or hands each on."""


def divided(value):
    """The series or frame as cuDF's division takes it: small integers as float32, others float64."""
    if isinstance(value, pd.DataFrame):
        return value.astype({n: made for n, d in value.dtypes.items() if (made := _float_of(d))})
    made = _float_of(value.dtype) if isinstance(value, pd.Series | pd.Index) else None
    return value.astype(made) if made else value


def _float_of(dtype):
    """The float dtype of cuDF's quotient; None where the dtype stays."""
    kind = getattr(dtype, "numpy_dtype", dtype)  # of Int8: int8
    if not isinstance(kind, np.dtype) or kind.kind not in "iub":
        return None
    width = "32" if kind.name in HALF else "64"
    return f"{'Float' if kind is not dtype else 'float'}{width}"


def with_nan(groups, name, args, kw):
    """Columns with NaN that this method of groups would add up, sorted; nulls of Int64 are none."""
    if name in PASSED_ON:
        return []
    frame = groups._obj_with_exclusions
    columns = {frame.name: frame} if isinstance(frame, pd.Series) else dict(frame.items())
    asked = _columns_of(args, kw) or set(columns)
    return sorted(str(n) for n, column in columns.items() if n in asked and _has_nan(column))


def _columns_of(args, kw):
    """Those that `agg` names; none where it takes all."""
    given = args[0] if args else kw.get("func")
    if isinstance(given, dict):
        return set(given)
    return {v[0] for v in kw.values() if isinstance(v, tuple)}


def _has_nan(column):
    return isinstance(column.dtype, np.dtype) and column.dtype.kind == "f" and column.isna().any()
