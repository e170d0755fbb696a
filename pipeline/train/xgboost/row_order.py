"""The order of training rows on a CPU: rows that trees keep together lie side by side.

XGBoost adds up the gradients of a node's rows, which lie scattered over all bins. If they lie side
by side, the processor reads fewer cache lines. One tree, trained on a sample, shows which rows
belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import xgboost as xgb

from pipeline.matrix import Matrix, concatenate_matrices, take_rows
from pipeline.train.params import NativeParams

LEAST_ROWS = 500_000
"""Training rows from which the order pays; the bins of fewer rows stay in the processor's cache."""
CHUNK_ROWS = 1 << 16
"""Rows that are sorted at a time, numbered in 16 bits; other sizes were not faster."""
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
    start_pass: Callable[[], Iterator[Matrix]], key: RowKey, orders: dict[int, np.ndarray]
) -> Iterator[Matrix]:
    """Yield the rows of a pass in chunks of CHUNK_ROWS, each sorted by the key.

    Chunks are counted from the first row on, so that the order of the rows does not depend on how
    they are divided into blocks.

    Args:
        start_pass: starts a pass over blocks of rows.
        key: the key that the rows are sorted by.
        orders: the order of each chunk's rows, uint16 (n,), filled by the first pass: XGBoost makes
            three or four.
    """
    for number, chunk in enumerate(_iter_chunks(start_pass())):
        if number not in orders:
            # A stable sort keeps the order of the rows in a leaf, whatever the platform.
            orders[number] = np.argsort(key(chunk.x), kind="stable").astype("uint16")
        yield take_rows(chunk, orders[number])


def _iter_chunks(blocks: Iterable[Matrix]) -> Iterator[Matrix]:
    waiting: list[Matrix] = []
    rows = 0
    for block in blocks:
        start = 0
        while start < len(block.x):
            end = min(len(block.x), start + CHUNK_ROWS - rows)
            waiting.append(Matrix(*(None if c is None else c[start:end] for c in block)))
            rows, start = rows + end - start, end
            if rows == CHUNK_ROWS:
                yield concatenate_matrices(waiting, np)
                waiting, rows = [], 0
    if waiting:
        yield concatenate_matrices(waiting, np)
