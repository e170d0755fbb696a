"""Golden rows: a few made-up rows with every model's scores, scored again when a run is loaded.

A row holds values that occur in the training rows, but each column is shuffled separately, so
that no row of the data is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.artifacts import manifest
from pipeline.artifacts.files import atomic_write
from pipeline.artifacts.stored_table import TableLimits, read_stored_table
from pipeline.device.choose import frames_of
from pipeline.errors import InputError
from pipeline.matrix import Feed, Matrix
from pipeline.train.feed import map_blocks
from pipeline.train.fitted_model import FittedModel
from pipeline.train.model import MODEL_REGISTRY

FILE = "golden.parquet"
TOLERANCE = 1e-5
"""Allowed difference of probabilities; for a regression, times the largest score above 1."""


def choose_rows(feed: Feed, n: int, seed: int) -> np.ndarray:
    """Choose ``n`` golden rows (fewer if there are fewer training rows).

    They are made of the ``n`` training rows with the smallest hashes, which are the same however
    the rows are divided into partitions.

    Returns:
        float32 (n, k), on the host.
    """
    blocks = list(map_blocks(feed, "train", _smallest_hashes, n, seed, feed.device))
    hashes, ids, rows = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    x = rows[np.lexsort((ids, hashes))[:n]]
    shuffled = np.empty_like(x, order="C")
    random = np.random.default_rng(seed)
    for j in range(x.shape[1]):
        shuffled[:, j] = x[random.permutation(len(x)), j]
    return shuffled


def _smallest_hashes(block: Matrix, n: int, seed: int, device_name: str) -> tuple[np.ndarray, ...]:
    """Return hashes, ids and rows of the block's ``n`` smallest hashes."""
    device = frames_of(device_name)
    hashes = device.hash_ints(block.ids, seed + 3)
    last = min(n, len(hashes)) - 1
    # All rows with the last hash are taken: across blocks, their ids decide which of them stay.
    chosen = device.xp.flatnonzero(hashes <= device.xp.partition(hashes, last)[last])
    columns = (hashes[chosen], block.ids[chosen], block.x[chosen])
    return tuple(np.asarray(device.to_host(column)) for column in columns)


def save(x: np.ndarray, path: Path) -> Path:
    """Write the rows of `choose_rows` for a later process; return the path."""
    table = pd.DataFrame(x, columns=[str(j) for j in range(x.shape[1])])
    with atomic_write(path) as beside:
        table.to_parquet(beside, index=False)
    return path


def load(path: Path, rows: int, features: int) -> np.ndarray:
    """Load what `save` wrote.

    Raises:
        InputError: the file holds more rows or features than these.
    """
    table = read_stored_table(path, TableLimits(rows, features))
    return np.ascontiguousarray(table.to_numpy(dtype="float32"))


def load_scored(
    path: Path, rows: int, fitted: FittedModel, read: manifest.FileReader
) -> pd.DataFrame:
    """Load the golden rows of a run with the scores of all its models.

    Args:
        path: the file.
        rows: the number of rows in the config.
        fitted: a model of the run.
        read: reads the file.

    Raises:
        InputError: the file holds more rows, or more columns than features and scores.
    """
    width = len(fitted.features) + len(MODEL_REGISTRY) * max(1, len(fitted.target.classes))
    return read_stored_table(path, TableLimits(rows, width), read)


def score_rows(models: Mapping[str, FittedModel], feed: Feed, x: np.ndarray) -> pd.DataFrame:
    """Score the golden rows ``x`` with the models.

    Returns:
        float32 features by name, then ``<model>__score``, or ``<model>__score_<i>`` for
        multiclass.
    """
    device = frames_of(feed.device)
    tables = [pd.DataFrame(x, columns=[f.name for f in feed.features])]
    for name, fitted in models.items():
        scores = np.asarray(device.to_host(fitted.predict(device.to_device(x))), "float64")
        columns = score_columns(name, fitted)
        tables.append(pd.DataFrame(scores.reshape(len(x), len(columns)), columns=columns))
    return pd.concat(tables, axis=1)


def score_columns(name: str, fitted: FittedModel) -> list[str]:
    """Return the names of the columns with a model's scores."""
    if fitted.target.task != "multiclass":
        return [f"{name}__score"]
    return [f"{name}__score_{i}" for i in range(len(fitted.target.classes))]


def check(models: Mapping[str, FittedModel], frame: pd.DataFrame, device_name: str = "cpu") -> None:
    """Score the golden rows again, and compare with the scores that were saved.

    Args:
        models: the models, loaded to score on the device.
        frame: the golden rows with their scores.
        device_name: "cpu" or "gpu".

    Raises:
        InputError: scores differ, or the table is not of these models; names model and difference.
    """
    device = frames_of(device_name)
    for name, fitted in models.items():
        columns, features = score_columns(name, fitted), [f.name for f in fitted.features]
        absent = [c for c in (*features, *columns) if c not in frame.columns]
        if absent:
            raise InputError(
                f"golden.parquet has no column {absent[0]!r}: it belongs to other models",
                fix="restore the run from a copy, or run the config again",
            )
        x = np.ascontiguousarray(frame[features].to_numpy(dtype="float32"))
        expected = frame[columns].to_numpy(dtype="float64")
        scores = device.to_host(fitted.predict(device.to_device(x)))
        actual = np.asarray(scores, "float64").reshape(expected.shape)
        worst = float(np.abs(actual - expected).max(initial=0.0))
        allowed = TOLERANCE * max(1.0, float(np.abs(expected).max(initial=0.0)))
        if not worst <= allowed:  # NaN is not below any limit
            raise InputError(
                f"the {name} model scores the golden rows on the {device_name} differently from "
                f"when it was saved: by up to {worst:.3g} (allowed: {allowed:.1g})",
                fix="install the library versions that manifest.json names, or train again",
            )
