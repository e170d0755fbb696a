"""Keys of a fitted table on the GPU, and the search of values among them."""

from __future__ import annotations

import cudf
import cupy as cp
import numpy as np
import pandas as pd

from pipeline.device import UNSEEN, Array, Series
from pipeline.device.gpu import transfer_bytes


def sort_keys(keys: np.ndarray) -> tuple[Array, Array]:
    """Return (the numbers in ascending order, their positions in ``keys``)."""
    order = np.argsort(keys, kind="stable").astype("int64")
    transfer_bytes.count("h2d", keys.nbytes + order.nbytes)
    return cp.asarray(keys[order]), cp.asarray(order)


def text_keys(keys: np.ndarray) -> Series:
    """Return texts as a column on the GPU."""
    transfer_bytes.count("h2d", transfer_bytes.text_bytes(keys))
    return cudf.Series(pd.Series(np.asarray(keys, dtype=object), dtype="str"))


def find_among(texts: Series, keys: Series) -> Array:
    """Return the position of each text in ``keys``, or UNSEEN, as int64; both are unique."""
    table = cudf.DataFrame({"text": texts, "row": cp.arange(len(texts))})
    other = cudf.DataFrame({"text": keys, "position": cp.arange(len(keys))})
    both = table.merge(other, on="text", how="inner")
    positions = cp.full(len(texts), UNSEEN, dtype="int64")
    # a merge may return its rows in any order
    positions[both["row"].to_cupy()] = both["position"].to_cupy()
    return positions
