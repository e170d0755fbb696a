"""The order of training rows on a CPU: rows that trees keep together lie side by side.

XGBoost adds up the gradients of a node's rows, which lie scattered over all bins. If they lie side
by side, the processor reads fewer cache lines. One tree, trained on a sample, shows which rows
belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import xgboost as xgb

from pipeline.matrix import Matrix, concatenate_matrices, take_rows
from pipeline.train.params import NativeParams

LEAST_ROWS = 500_000
"""Training rows from which the order pays; the bins of fewer rows stay in the processor's cache."""
CHUNK_ROWS = 1 << 16
"""Rows that are sorted at a time; 16,384 rows or all rows at once were not faster."""
SAMPLE_ROWS = 50_000
"""Rows that the tree is trained on."""

RowKey = Callable[[np.ndarray], np.ndarray]
"""Returns a float32 (n,) key of float32 (n, k) features; rows of equal keys share a leaf."""


def fit_row_key(bins: xgb.DMatrix, native: NativeParams) -> RowKey:
    """Train one round and return its prediction as a key.

    Args:
        bins: those of a sample of the training rows.
        native: XGBoost's own parameters.
    """
    # XGBoost cannot derive the base score of a sample that happens to have one class only.
    booster = xgb.train({**native, "num_parallel_tree": 1, "base_score": 0.5}, bins, 1)

    def predict_key(x: np.ndarray) -> np.ndarray:
        margin = booster.inplace_predict(x, predict_type="margin", validate_features=False)
        # One number per row, for any number of classes.
        key: np.ndarray = margin if margin.ndim == 1 else margin @ np.arange(margin.shape[1])
        return key

    return predict_key


def iter_ordered_blocks(
    start_pass: Callable[[], Iterator[Matrix]], key: RowKey
) -> Iterator[Matrix]:
    """Yield the rows of a pass in chunks of CHUNK_ROWS, each sorted by the key.

    Chunks are counted from the first row on, so that the order of the rows does not depend on how
    they are divided into blocks.
    """
    waiting: list[Matrix] = []
    rows = 0
    for block in start_pass():
        start = 0
        while start < len(block.x):
            end = min(len(block.x), start + CHUNK_ROWS - rows)
            waiting.append(take_rows(block, slice(start, end)))
            rows, start = rows + end - start, end
            if rows == CHUNK_ROWS:
                yield _sort_rows(waiting, key)
                waiting, rows = [], 0
    if waiting:
        yield _sort_rows(waiting, key)


def _sort_rows(parts: list[Matrix], key: RowKey) -> Matrix:
    chunk = parts[0] if len(parts) == 1 else concatenate_matrices(parts, np)
    # A stable sort keeps the order of the rows in a leaf, whatever the platform.
    return take_rows(chunk, np.argsort(key(chunk.x), kind="stable"))
