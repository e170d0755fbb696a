"""The bins that XGBoost trains on, built block by block: in memory, or in files on disk."""

from __future__ import annotations

import re
import shutil
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import xgboost as xgb

from pipeline.console import signals
from pipeline.device.choose import frames_of
from pipeline.errors import DataError
from pipeline.matrix import Feed, Matrix, SetName, concatenate_matrices
from pipeline.memory.estimate import page_rows
from pipeline.train.params import NativeParams, XGBoostParams
from pipeline.train.weights import (
    compute_class_weights,
    iter_weighted_blocks,
    reject_infinite,
    sample_block,
)
from pipeline.train.xgboost.row_order import (
    LEAST_ROWS,
    SAMPLE_ROWS,
    fit_row_key,
    iter_ordered_blocks,
)
from pipeline.train.xgboost.scoring import make_feature_names
from pipeline.versions import has_change

Matrices = tuple[xgb.DMatrix, xgb.DMatrix | None]
"""The bins of the training rows, and of the valid rows if there are any."""
Blocks = Callable[[], Iterator[Matrix]]
"""Starts a pass over blocks of rows."""
BIN_ROWS = 1_000_000
"""Rows of the sample whose quantiles are the bins: AUC -0.0002 at 8 M rows."""
EXACT_BELOW = 4_000_000
"""Training rows up to which the bins are the quantiles of all of them."""


class _BlockIterator(xgb.DataIter):  # type: ignore[misc]  # XGBoost is not typed
    """XGBoost's view of the blocks, which are computed afresh for each of its passes."""

    def __init__(
        self, blocks: Blocks, columns: Mapping[str, list[str]], files: Path | None
    ) -> None:
        super().__init__(str(files) if files else None, release_data=True)
        self.blocks, self.columns = blocks, columns
        self.remaining = blocks()

    def next(self, input_data: Callable[..., None]) -> bool:
        # After a signal the pass ends early, instead of reading all blocks first.
        block = None if signals.received_signal() else next(self.remaining, None)
        if block is None:
            return False
        input_data(data=block.x, label=block.label, weight=block.weight, **self.columns)
        return True

    def reset(self) -> None:
        self.remaining = self.blocks()


def build_matrices(
    params: XGBoostParams,
    feed: Feed,
    native: NativeParams,
    *,
    seed: int,
    notes: list[str],
    cache: Path | None,
) -> Matrices:
    """Bin the training rows, and the valid rows if there are any.

    Args:
        params: the parameters as the config gives them.
        feed: the matrices.
        native: XGBoost's own parameters.
        seed: seed of the sample whose quantiles are the bins if there are too many rows.
        notes: notes for the ledger are appended to them.
        cache: the folder of the bins on disk, or their name on the host beside a GPU; None: they
            are in the memory of the device.
    """
    by_class = compute_class_weights(params.class_weight, feed)
    train_rows, xp = feed.count_rows("train"), frames_of(feed.device).xp

    def start_pass(which: SetName) -> Iterator[Matrix]:
        return iter_weighted_blocks(feed, which, by_class)

    def draw_sample(blocks: Iterable[Matrix], rows: int) -> list[Matrix]:
        share, device = rows / train_rows, frames_of(feed.device)
        return [sample_block(block, share, seed, device) for block in blocks]

    def build(which: SetName, reference: xgb.DMatrix | None) -> xgb.DMatrix:
        blocks: Blocks = partial(start_pass, which)
        if row_key is not None and which == "train":
            orders: dict[int, np.ndarray] = {}
            blocks = partial(iter_ordered_blocks, blocks, row_key, orders)
        if which == "train" and has_change("updaters_share_rng", xgb.__version__):
            blocks = partial(_iter_some_rows, blocks, len(feed.features), xp)
        if cache is None:
            return _build_matrix(blocks, feed, native, reference)
        # From a GPU, XGBoost concatenates pages itself, as large as the GPU allows.
        if native["device"] == "cpu":
            size = page_rows(train_rows, len(feed.features))
            blocks = partial(_iter_pages, blocks, size, xp)
        return _build_matrix(blocks, feed, native, reference, cache / which)

    reference = row_key = None
    sample: list[Matrix] = []
    if params.bins == "auto" and train_rows > EXACT_BELOW:
        notes.append(f"bins of {BIN_ROWS:,} of {train_rows:,} training rows (bins: auto)")
        sample += draw_sample(start_pass("train"), BIN_ROWS)
        reference = _build_matrix(lambda: iter(sample), feed, native)
    is_alone = xgb.collective.get_world_size() == 1
    if native["device"] == "cpu" and is_alone and train_rows >= LEAST_ROWS:
        # The rows of the smaller sample have the smallest hashes, and so are among the larger one.
        few = draw_sample(sample or start_pass("train"), SAMPLE_ROWS)
        row_key = fit_row_key(_build_matrix(lambda: iter(few), feed, native), native)
        few.clear()
    sample.clear()  # a lambda still refers to the list: 1 M rows would stay in memory
    train = build("train", reference)
    valid = build("valid", train) if feed.count_rows("valid") else None
    if cache is not None:
        size = sum(path.stat().st_size for path in cache.iterdir())
        where = f"on disk: {size / 1e9:.2f} GB, removed after training" if size else "on the host"
        notes.append(f"bins {where}")
    return train, valid


@contextmanager
def cache_folder(cache: Path | None, device: str) -> Iterator[None]:
    """Create the folder, if one is wanted, and remove it whatever happens.

    The block must not keep the matrices in a variable: XGBoost removes its files itself when a
    matrix is freed, and warns of files that are gone already.
    """
    if cache is not None:
        cache.mkdir(parents=True)
    try:
        with frames_of(device).external_memory() if cache is not None else nullcontext():
            yield
    except BaseException as error:
        # the frames of a traceback keep the matrices alive, too
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        if cache is not None:
            shutil.rmtree(cache, ignore_errors=True)


def _iter_some_rows(blocks: Blocks, features: int, xp: ModuleType) -> Iterator[Matrix]:
    """Yield the blocks with rows; on a worker that has none, one row without values or weight.

    In XGBoost 3.3 and 3.4, a worker without rows draws no random number where the others draw one
    to sample rows (`Sampler::Sample`). From then on it would draw other columns than they do, and
    the sum over the workers would fail.
    """
    is_empty = True
    for block in blocks():
        if len(block.x):
            is_empty = False
            yield block
    if is_empty:
        x = xp.full((1, features), xp.nan, dtype="float32")
        # a label that every objective accepts
        yield Matrix(x, xp.ones(1), xp.zeros(1), xp.zeros(1, dtype="int64"))


def _iter_pages(blocks: Blocks, size: int, xp: ModuleType) -> Iterator[Matrix]:
    """Concatenate blocks until they have ``size`` rows."""
    page: list[Matrix] = []
    for block in blocks():
        page.append(block)
        if sum(len(b.x) for b in page) >= size:
            yield concatenate_matrices(page, xp)
            page = []
    if page:
        yield concatenate_matrices(page, xp)


def _build_matrix(
    blocks: Blocks,
    feed: Feed,
    native: NativeParams,
    reference: xgb.DMatrix | None = None,
    files: Path | None = None,
) -> xgb.DMatrix:
    """Bin the blocks: in memory, or in files whose names begin with ``files``."""
    kind = xgb.ExtMemQuantileDMatrix if files else xgb.QuantileDMatrix
    columns: dict[str, list[str]] = {
        "feature_names": make_feature_names(feed.features),
        "feature_types": [feature.kind for feature in feed.features],
    }
    try:
        with signals.defer_signals():
            return kind(
                _BlockIterator(blocks, columns, files),
                max_bin=native["max_bin"],
                nthread=native["nthread"],
                enable_categorical=True,
                ref=reference,
            )
    except xgb.core.XGBoostError as error:
        if "contains `inf`" in str(error):
            reject_infinite(feed)  # names the feature, which XGBoost does not
        if "Invalid categorical value" in str(error):
            raise DataError(
                f"xgboost: a category code is out of range: {summarize_error(error)}"
            ) from None
        raise


def summarize_error(error: Exception) -> str:
    """Return what XGBoost reports, without its stack and source lines."""
    text = str(error).split("Stack trace")[0]
    return " ".join(re.sub(r"\[[\d:]+\] \S+:\d+: ", "", text).split())
