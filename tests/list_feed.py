"""A feed over arrays in memory, for the tests of `pipeline.train`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pipeline.matrix import Feature, Matrix, SetName, Target

FEATURES = (
    Feature("a [x] <1", "q"),
    Feature("größe", "q"),
    Feature("n", "int"),
    Feature("code", "c", 6),
)
TARGETS = {
    "binary": Target("binary", ("no", "yes")),
    "multiclass": Target("multiclass", ("a", "b", "c")),
    "regression": Target("regression"),
}


@dataclass
class ListFeed:
    features: Sequence[Feature]
    target: Target
    sets: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray | None]]
    parts: int = 1
    device: str = "cpu"
    passes: list[str] = field(default_factory=list)

    def blocks(self, which: SetName) -> Iterator[Matrix]:
        self.passes.append(which)
        if which not in self.sets:
            return
        x, y, w = self.sets[which]
        start = 0 if which == "train" else 1_000_000
        for rows in np.array_split(np.arange(len(x)), self.parts):
            if len(rows):
                weight = None if w is None else w[rows]
                yield Matrix(np.ascontiguousarray(x[rows]), y[rows], weight, start + rows)

    def count_rows(self, which: SetName) -> int:
        return len(self.sets[which][0]) if which in self.sets else 0

    def split(self, parts: int) -> ListFeed:
        return replace(self, parts=parts, passes=[])


def rows_of(task: str, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(n, 4)).astype("float32")
    x[:, 2] = np.round(x[:, 2] * 3)
    x[:, 3] = random.integers(1, 7, n)
    signal = x[:, 1] + 1.5 * (x[:, 3] == 3) + 0.5 * x[:, 0] + random.normal(size=n) * 0.7
    x[::7, 0] = np.nan
    x[::11, 3] = 0
    if task == "regression":
        return x, signal.astype("float64")
    if task == "binary":
        return x, (signal > 0).astype("float64")
    return x, np.digitize(signal, [-0.5, 0.8]).astype("float64")


def feed_of(task: str, n: int = 1500, valid: int = 400) -> ListFeed:
    x, y = rows_of(task, n + valid)
    sets = {"train": (x[:n], y[:n], None), "valid": (x[n:], y[n:], None)}
    return ListFeed(FEATURES, TARGETS[task], sets)
