"""Keys of a fitted table on the GPU, and finding values among them."""

from __future__ import annotations

from typing import Any

import cudf
import cupy as cp
import numpy as np
import pandas as pd

from pipeline.device import UNSEEN
from pipeline.device.gpu import transfer_bytes


def sort_keys(keys: np.ndarray) -> tuple[Any, Any]:
    """(numbers ascending, where each stood)."""
    order = np.argsort(keys, kind="stable").astype("int64")
    transfer_bytes.count("h2d", keys.nbytes + order.nbytes)
    return cp.asarray(keys[order]), cp.asarray(order)


def text_keys(keys: np.ndarray) -> Any:
    """Words as a column."""
    transfer_bytes.count("h2d", transfer_bytes.text_bytes(keys))
    return cudf.Series(pd.Series(np.asarray(keys, dtype=object), dtype="str"))


def find_among(own: Any, known: Any) -> Any:
    """int64: where each word stands among the known ones, UNSEEN otherwise; both are unique."""
    table = cudf.DataFrame({"word": own, "own": cp.arange(len(own))})
    other = cudf.DataFrame({"word": known, "at": cp.arange(len(known))})
    both = table.merge(other, on="word", how="inner")
    found = cp.full(len(own), UNSEEN, dtype="int64")
    found[both["own"].to_cupy()] = both["at"].to_cupy()  # the order of a merge is not promised
    return found
