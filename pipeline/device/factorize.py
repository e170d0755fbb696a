"""Distinct values on the host: `pandas.factorize`, but correct for any text."""

from __future__ import annotations

import numpy as np
import pandas as pd


def factorize(values: np.ndarray, *, ordered: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Return (int64 codes, -1 for missing; the distinct values as an array of the same kind).

    Args:
        values: (n,), numbers or objects; missing as None, NaN, NaT or NA.
        ordered: sort the distinct values (text by code point); else they are in the order in which
            they first appear.
    """
    if values.dtype != object or pd.api.types.infer_dtype(values, skipna=True) != "string":
        codes, distinct = pd.factorize(values, sort=ordered)
        return codes, np.asarray(distinct)
    # pandas' hash table of str objects reads a text up to its first NUL (3.0: it finds one value in
    # ``["a\\0b", "a\\0c"]``), and so do its ``unique`` and ``groupby``. Arrow's reads all of it.
    codes, texts = pd.Index(values, dtype="str").factorize(sort=ordered)
    return codes, texts.to_numpy(dtype=object)
