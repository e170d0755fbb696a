"""Rows, and entities, that are in the training set and in the test set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.audit.scan import Contents
from pipeline.matrix import Task
from pipeline.schema import TEST, TRAIN

Array = NDArray[Any]


@dataclass(frozen=True)
class Twins:
    """Test rows that have a twin among the training rows."""

    test: int
    """Test rows that were compared."""
    features: int
    """Of these, those with the features of a training row; ``both``: and with its label."""
    both: int
    repeated: float
    """The share of training rows whose features another training row has."""
    spread: float | None
    """How much labels of training rows with equal features differ, as a share of how much all do:
    copies of a row have equal labels, and rows that are equal by chance have not. None: no two
    training rows are equal."""


def twins(found: Contents, task: Task) -> Twins:
    """Compares rows by their hashes."""
    train, test = found.set == TRAIN, found.set == TEST
    labelled = _with_label(found)
    known = np.unique(found.hash[train])
    same = _among(found.hash[test], known)
    both = _among(labelled[test], np.unique(labelled[train]))
    repeated, spread = _spread(found.hash[train], found.label[train], task)
    return Twins(int(test.sum()), int(same.sum()), int((same & both).sum()), repeated, spread)


def _with_label(found: Contents) -> Array:
    bits = (found.label + 0.0).view("uint64")
    mixed: Array = (found.hash ^ bits) * np.uint64(0xD6E8FEB86659FD93)
    mixed ^= mixed >> np.uint64(32)
    return mixed


def _among(values: Array, known: Array) -> Array:
    """bool (n,): which values are among the known ones, which are sorted."""
    if not len(known):
        return np.zeros(len(values), dtype=bool)
    at = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: Array = known[at] == values
    return found


def _spread(hashes: Array, label: Array, task: Task) -> tuple[float, float | None]:
    _, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    several = sizes[group] > 1
    if not several.any():
        return 0.0, None
    _, group = np.unique(group[several], return_inverse=True)
    own = label[several]
    n = np.bincount(group).astype("float64")
    values = own[:, None] if task == "regression" else own[:, None] == np.unique(own)
    within = whole = 0.0
    for column in values.T.astype("float64"):
        mean = np.bincount(group, column) / n
        within += float((np.bincount(group, (column - mean[group]) ** 2) * n / (n - 1)).sum())
        whole += float(((column - column.mean()) ** 2).sum())
    return float(several.mean()), within / whole if whole else 0.0


@dataclass(frozen=True)
class Shared:
    """Entities of a column in both sets."""

    train: int
    """Different ones among the training rows; ``test``: among the test rows."""
    test: int
    both: int
    rows: int
    """Test rows whose entity has training rows, of ``of`` test rows that have an entity."""
    of: int
    per_entity: float
    """Training rows per entity."""


def shared(values: Array, rows: Array) -> Shared:
    """Of `Look.entities` and `Look.entity_rows` of a column."""
    entity, sets = values // 4, values % 4
    train, test = entity[sets == TRAIN], entity[sets == TEST]
    both = _among(test, train)  # they are sorted: so are their parts
    of_test = rows[sets == TEST]
    per = float(rows[sets == TRAIN].sum()) / max(len(train), 1)
    return Shared(
        len(train), len(test), int(both.sum()), int(of_test[both].sum()), int(of_test.sum()), per
    )
