"""The bins that XGBoost trains on, made block by block: in memory, or in files on disk."""

from __future__ import annotations

import re
import shutil
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import xgboost as xgb

from pipeline.console import signals
from pipeline.device.choose import frames_of
from pipeline.errors import DataError
from pipeline.matrix import Feature, Feed, Matrix, SetName, concatenate_matrices
from pipeline.memory.estimate import page_rows
from pipeline.train.params import XGBoostParams
from pipeline.train.weights import (
    compute_class_weights,
    iter_weighted_blocks,
    reject_infinite,
    sample_block,
)

_Pair = tuple[xgb.DMatrix, xgb.DMatrix | None]
BIN_ROWS = 1_000_000
"""Rows whose quantiles are the bins where all rows are too many: AUC -0.0002 at 8 M rows."""
EXACT_BELOW = 4_000_000
"""Training rows up to which all of them make the bins."""


class _Blocks(xgb.DataIter):  # type: ignore[misc]  # XGBoost is not typed
    """The blocks of a pass, made again for every pass."""

    def __init__(
        self, blocks: Callable[[], Iterator[Matrix]], like: Mapping[str, Any], files: Path | None
    ) -> None:
        super().__init__(str(files) if files else None, release_data=True)
        self.blocks, self.like = blocks, like
        self.left = blocks()

    def next(self, input_data: Callable[..., Any]) -> bool:
        block = None if signals.received_signal() else next(self.left, None)
        if block is None:
            return False
        input_data(data=block.x, label=block.label, weight=block.weight, **self.like)
        return True

    def reset(self) -> None:
        self.left = self.blocks()


def build_matrices(
    params: XGBoostParams, feed: Feed, native: Mapping[str, Any], *, seed: int, notes: list[str],
    cache: Path | None,
) -> _Pair:  # fmt: skip
    """The bins of the training rows, and of the valid rows if there are any.

    Args:
        native: XGBoost's own parameters.
        seed: of the sample whose quantiles are the bins where all rows are too many.
        notes: what the ledger says is added to them.
        cache: the folder where they lie on disk, or the name that they have on the host beside a
            GPU; None: they are in the memory of the device.
    """
    by_class = compute_class_weights(params.class_weight, feed)

    def rows(which: SetName) -> Callable[[], Iterator[Matrix]]:
        return lambda: iter_weighted_blocks(feed, which, by_class)

    def quantised(which: SetName, ref: Any) -> xgb.DMatrix:
        if cache is None:
            return _quantised(rows(which), feed, native, ref)
        if native["device"] != "cpu":  # it puts pages together itself, as large as the GPU takes
            return _quantised(rows(which), feed, native, ref, cache / which)
        size = page_rows(feed.count_rows("train"), len(feed.features))
        paged = partial(_pages, rows(which), size, frames_of(feed.device).xp)
        return _quantised(paged, feed, native, ref, cache / which)

    ref = None
    if params.bins == "auto" and feed.count_rows("train") > EXACT_BELOW:
        share = BIN_ROWS / feed.count_rows("train")
        notes.append(
            f"bins of {BIN_ROWS:,} of {feed.count_rows('train'):,} training rows (bins: auto)"
        )
        device = frames_of(feed.device)
        some = [sample_block(block, share, seed, device) for block in rows("train")()]
        ref = _quantised(lambda: iter(some), feed, native)
        some.clear()
    dtrain = quantised("train", ref)
    dvalid = quantised("valid", dtrain) if feed.count_rows("valid") else None
    if cache is not None:
        size = sum(path.stat().st_size for path in cache.iterdir())
        where = f"on disk: {size / 1e9:.2f} GB, removed after training" if size else "on the host"
        notes.append(f"bins {where}")
    return dtrain, dvalid


@contextmanager
def cache_folder(cache: Path | None, device: str) -> Iterator[None]:
    """Makes the folder, if one is wanted, and removes it whatever happens.

    XGBoost removes its files itself when a matrix goes, and warns of those that are gone already:
    so the block must not keep the matrices in a variable.
    """
    if cache is not None:
        cache.mkdir(parents=True)
    try:
        with frames_of(device).external_memory() if cache is not None else nullcontext():
            yield
    except BaseException as error:
        traceback.clear_frames(error.__traceback__)
        raise
    finally:
        if cache is not None:
            shutil.rmtree(cache, ignore_errors=True)


def _pages(blocks: Callable[[], Iterator[Matrix]], size: int, xp: ModuleType) -> Iterator[Matrix]:
    """The blocks put together until they have ``size`` rows."""
    kept: list[Matrix] = []
    for block in blocks():
        kept.append(block)
        if sum(len(b.x) for b in kept) >= size:
            yield concatenate_matrices(kept, xp)
            kept = []
    if kept:
        yield concatenate_matrices(kept, xp)


def _quantised(
    blocks: Callable[[], Iterator[Matrix]], feed: Feed, native: Mapping[str, Any], ref: Any = None,
    files: Path | None = None,
) -> xgb.DMatrix:  # fmt: skip
    """The bins of the blocks: in memory, or in files whose names begin with ``files``."""
    kind = xgb.ExtMemQuantileDMatrix if files else xgb.QuantileDMatrix
    features = tuple(feed.features)
    like = {
        "feature_names": make_feature_names(features),
        "feature_types": [f.kind for f in features],
    }
    try:
        with signals.defer_signals():
            return kind(
                _Blocks(blocks, like, files), max_bin=native["max_bin"], nthread=native["nthread"],
                enable_categorical=True, ref=ref,
            )  # fmt: skip
    except xgb.core.XGBoostError as error:
        if "contains `inf`" in str(error):
            reject_infinite(feed)
        if "Invalid categorical value" in str(error):
            raise DataError(
                f"xgboost: a category code is out of range: {summarize_error(error)}"
            ) from None
        raise


def make_feature_names(features: tuple[Feature, ...]) -> list[str]:
    """Names that XGBoost takes: ours without ``[ ] <``, made distinct by position."""
    names = [re.sub(r"[\[\]<]", "_", f.name) for f in features]
    count = Counter(names)
    return [n if count[n] == 1 else f"{n}__{i}" for i, n in enumerate(names)]


def summarize_error(error: Exception) -> str:
    """What XGBoost says went wrong, without its stack."""
    text = str(error).split("Stack trace")[0]
    return " ".join(re.sub(r"\[[\d:]+\] \S+:\d+: ", "", text).split())
