"""Golden rows: a few made-up rows with every model's scores, scored again when a run is loaded.

A row holds values that occur in the training rows, but each column is shuffled on its own, so
that no row of the data is kept.
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
from pipeline.train.model_io import CONTENT

FILE = "golden.parquet"
TOLERANCE = 1e-5
"""Of probabilities; for a regression, of the largest score if that is above 1."""


def choose_rows(feed: Feed, n: int, seed: int) -> np.ndarray:
    """``n`` golden rows (fewer if there are fewer training rows): float32 (n, k), on the host."""
    return _shuffled(_few_rows(feed, n, seed), seed)


def save(x: np.ndarray, path: Path) -> Path:
    """Writes `choose_rows` for a later process; returns the path."""
    table = pd.DataFrame(x, columns=[str(j) for j in range(x.shape[1])])
    with atomic_write(path) as beside:
        table.to_parquet(beside, index=False)
    return path


def load(path: Path, rows: int, features: int) -> np.ndarray:
    """Return what `save` wrote.

    Raises:
        InputError: it is more than so many rows of so many features.
    """
    table = read_stored_table(path, TableLimits(rows, features))
    return np.ascontiguousarray(table.to_numpy(dtype="float32"))


def load_scored(
    path: Path, rows: int, fitted: FittedModel, read: manifest.FileReader
) -> pd.DataFrame:
    """Return the golden rows of a run with the scores of all its models.

    Args:
        path: the file.
        rows: how many the config asks for.
        fitted: a model of the run.
        read: opens the file.

    Raises:
        InputError: the file holds more rows, or more columns than features and scores.
    """
    width = len(fitted.features) + len(CONTENT) * max(1, len(fitted.target.classes))
    return read_stored_table(path, TableLimits(rows, width), read)


def score_rows(models: Mapping[str, FittedModel], feed: Feed, x: np.ndarray) -> pd.DataFrame:
    """The golden rows ``x`` with the models' scores.

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
    """The columns of a model's scores."""
    if fitted.target.task != "multiclass":
        return [f"{name}__score"]
    return [f"{name}__score_{i}" for i in range(len(fitted.target.classes))]


def _few_rows(feed: Feed, n: int, seed: int) -> np.ndarray:
    """The ``n`` training rows with the smallest hashes: the same however they are divided."""
    found = list(map_blocks(feed, "train", _fewest, n, seed, feed.device))
    order, ids, rows = (np.concatenate(part) for part in zip(*found, strict=True))
    return rows[np.lexsort((ids, order))[:n]]


def _fewest(block: Matrix, n: int, seed: int, device_name: str) -> tuple[np.ndarray, ...]:
    device = frames_of(device_name)
    order = device.hash_ints(block.ids, seed + 3)
    # where several rows have the hash of the last one, their ids say which it is
    most = min(n, len(order)) - 1
    chosen = device.xp.flatnonzero(order <= device.xp.partition(order, most)[most])
    found = (order[chosen], block.ids[chosen], block.x[chosen])
    return tuple(np.asarray(device.to_host(part)) for part in found)


def _shuffled(x: np.ndarray, seed: int) -> np.ndarray:
    made = np.empty_like(x, order="C")
    random = np.random.default_rng(seed)
    for j in range(x.shape[1]):
        made[:, j] = x[random.permutation(len(x)), j]
    return made


def check(models: Mapping[str, FittedModel], frame: pd.DataFrame, device_name: str = "cpu") -> None:
    """Scores the golden rows again with models that score on the device.

    Raises:
        InputError: scores differ, or the table is not of these models; names model and difference.
    """
    device = frames_of(device_name)
    for name, fitted in models.items():
        columns, names = score_columns(name, fitted), [f.name for f in fitted.features]
        absent = [c for c in (*names, *columns) if c not in frame.columns]
        if absent:
            raise InputError(
                f"golden.parquet has no column {absent[0]!r}: it belongs to other models",
                fix="restore the run from a copy, or run the config again",
            )
        x = np.ascontiguousarray(frame[names].to_numpy(dtype="float32"))
        expected = frame[columns].to_numpy(dtype="float64")
        scores = device.to_host(fitted.predict(device.to_device(x)))
        found = np.asarray(scores, "float64").reshape(expected.shape)
        worst = float(np.abs(found - expected).max(initial=0.0))
        scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
        if not worst <= TOLERANCE * scale:
            raise InputError(
                f"the {name} model scores the golden rows on the {device_name} otherwise than when "
                f"it was saved: by up to {worst:.3g} (allowed: {TOLERANCE * scale:.1g})",
                fix="its libraries may have changed: manifest.json names the versions that "
                "made the run",
            )
