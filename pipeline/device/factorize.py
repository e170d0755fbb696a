"""Distinct values on the host: what `pandas.factorize` does, for any text."""

from __future__ import annotations

import numpy as np
import pandas as pd


def factorize(values: np.ndarray, *, ordered: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """(int64 codes, -1 for missing; the distinct values, as an array of the same kind).

    pandas' table of string objects takes a text for its bytes up to the first NUL (3.0:
    ``pd.factorize(np.array(["a\\0b", "a\\0c"], dtype=object))`` finds one value), as do ``unique``
    and ``groupby`` of such objects; Arrow's does not.

    Args:
        values: (n,), numbers or objects; missing as None, NaN, NaT or NA.
        ordered: the distinct values ascend (text by code point); else by first appearance.
    """
    if values.dtype != object or pd.api.types.infer_dtype(values, skipna=True) != "string":
        codes, distinct = pd.factorize(values, sort=ordered)
        return codes, np.asarray(distinct)
    codes, words = pd.Index(values, dtype="str").factorize(sort=ordered)
    return codes, words.to_numpy(dtype=object)
