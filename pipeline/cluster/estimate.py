"""What each stage of a run will hold in memory: bytes on the host and on the device, by part.

Widths are those of the storage dtypes (`pipeline.columns`) and of XGBoost's and scikit-learn's own
arrays; what a width does not tell (libraries, copies that live for a moment) was fitted to measured
peaks, as docs/scaling.md says: ``python -m benchmarks.memory_plan`` measures them again. On the
device the same widths count; those figures have not been compared with a GPU yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Literal

from pipeline.columns import Column

# Bytes a value: data, and a mask where the dtype has one. Text is a code beside its dictionary.
WIDTH: Mapping[str, int] = {
    "int64": 9, "int32": 5, "float64": 8, "float32": 4, "bool": 2, "datetime": 8, "text": 4,
}  # fmt: skip
OWN_ROW = 8 + 5 + 8
"""The runner's columns: label, set and a mask, row id."""
IMPORTS = 300_000_000
"""Resident bytes of the libraries and the client once a run has read its first block."""
LEARNERS = 60_000_000
"""XGBoost's and scikit-learn's libraries, from the first training on."""
BEFORE_TRAINING = ("read", "split", "features")
WORD = 90
"""Bytes that a distinct word takes as a Python string in a summary, beside its letters."""


Bins = Literal["memory", "disk"]


@dataclass(frozen=True)
class Sizes:
    """What the estimates are made of: counts from metadata, the rest from a sample."""

    rows: int
    train: float
    """Share of the rows; ``valid`` and the rest likewise."""
    valid: float
    read_row: float
    """Bytes of a row as read, its share of the dictionaries included."""
    kept_row: float
    """Bytes of a row once labels and sets are known."""
    staged_row: float
    """Bytes of a row in a staged file; 0: the source is Parquet."""
    block_rows: int
    block_bytes: int
    """Of the source: what a reader holds beside the rows that it makes."""
    threads: int
    features: int
    present: float
    """Share of the matrix that is not missing."""
    words: float
    """Bytes of the distinct words that summaries gather on the host."""
    scores: int
    """Values that a model predicts for a row."""
    models: tuple[str, ...]
    again: bool
    """Features and models are fitted once more on all rows."""
    keep_frames: bool
    """The frames outlive the features: for that refit, or for slices."""
    device: str

    @property
    def held_out(self) -> int:
        """Rows that are scored."""
        return int(self.rows * (1 - self.train))

    @property
    def train_rows(self) -> int:
        """Rows that train."""
        return int(self.rows * self.train)

    @property
    def matrix_row(self) -> int:
        """float32 features, label, id."""
        return 4 * self.features + 16

    @property
    def bins_row(self) -> float:
        """XGBoost's bins of a row and their transpose.

        A bin takes a byte where nothing is missing (with at most 256), else 4 if it is present.
        """
        return self.features * (2.0 if self.present == 1 else 1 + 4 * self.present)

    @property
    def boosting_row(self) -> float:
        """What boosting holds of a row besides: gradients, predictions, label, rows of nodes."""
        return 40.0 * self.scores


@dataclass(frozen=True)
class Stage:
    """A stage's estimate."""

    stage: str
    """As in the ledger."""
    parts: Mapping[str, int]
    """Host bytes by what holds them."""
    device: int = 0

    @property
    def host(self) -> int:
        """All of them: the stage's peak."""
        return sum(self.parts.values())


def row_bytes(columns: Iterable[Column]) -> int:
    """Bytes of a row of these columns, dictionaries left out."""
    return sum(WIDTH[c.dtype] for c in columns)


FOREST_ROWS = 1_000_000
"""Rows the forest draws from at most, as `pipeline.train.forest.MATRIX_ROWS`."""
PAGE_NODES = 4_000_000
"""Bytes that each page of bins on disk holds in memory for the nodes of a tree: 32 kB a node, 128
of them at depth 8. 1 M rows of 22 columns trained in 58 MB with 4 pages, in 190 MB with 40."""
PAGE_VALUE = 16
"""Bytes for each value of a page: 2 of bins in the four pages at hand, float32 twice as it is made.
"""


def stages(
    sizes: Sizes, *, hold: bool, bins: Bins = "memory", rate: float = 1.0, scored: float = 1.0
) -> list[Stage]:
    """The estimate of each stage.

    Args:
        hold: rows stay between passes; else each pass makes them again.
        bins: where XGBoost has its bins.
        rate: share of the training rows that the models get.
        scored: share of the held-out rows whose scores are kept for the metrics.
    """
    s = sizes
    read, kept = int(s.rows * s.read_row), int(s.rows * s.kept_row)
    matrix = s.rows * s.matrix_row
    if not hold:
        read = kept = matrix = 0
    found = [
        _stage(s, "read", frames=read, **_reading(s)),
        _stage(s, "split", frames=read + kept, **_reading(s)),
        _stage(s, "features", frames=kept, matrix=matrix, words=int(s.words), **_fitting(s)),
    ]
    base = {"matrix": matrix, "frames": kept if s.keep_frames else 0}
    flight = {} if hold else _fitting(s)
    for name in s.models:
        rows = {"xgboost": s.train + s.valid, "forest": s.train}[name] * s.rows * rate
        found.append(_stage(s, f"train {name}", **base, **_training(s, name, rows, bins), **flight))
    scores = int(s.held_out * scored * _score_row(s))
    found.append(_stage(s, "evaluate", **base, scores=scores, **flight))
    if s.again:
        found.append(
            _stage(
                s, "refit features", frames=kept, matrix=2 * matrix, words=int(s.words),
                **_fitting(s),
            )
        )  # fmt: skip
        base["matrix"] *= 2
        for name in s.models:
            own = _training(s, name, s.rows * rate, bins)
            found.append(_stage(s, f"refit {name}", **base, **own, **flight))
    return found


def _stage(sizes: Sizes, name: str, **parts: int) -> Stage:
    libraries = IMPORTS if name in BEFORE_TRAINING else IMPORTS + LEARNERS
    parts = {"libraries": libraries, **parts}
    if sizes.device != "gpu":
        return Stage(name, {k: v for k, v in parts.items() if v})
    on_device = ("frames", "matrix", "training", "in_flight")
    host = {k: v for k, v in parts.items() if k not in on_device and v}
    return Stage(name, host, sum(parts.get(k, 0) for k in on_device))


def _reading(s: Sizes) -> dict[str, int]:
    return {"in_flight": int(s.threads * (s.block_bytes + 2 * s.block_rows * s.read_row))}


def _fitting(s: Sizes) -> dict[str, int]:
    """Blocks in the features: their rows as kept, and as float64 columns and a matrix."""
    row = 2 * s.kept_row + 12 * s.features
    return {"in_flight": int(s.threads * s.block_rows * row)}


def _training(s: Sizes, name: str, rows: float, bins: Bins) -> dict[str, int]:
    if name == "forest":
        drawn = min(rows, FOREST_ROWS)
        return {"training": int(drawn * (12 * s.features + 40))}
    if bins == "disk":
        page = page_rows(int(rows), s.features)
        held = rows / page * PAGE_NODES + page * s.features * PAGE_VALUE
        return {"training": int(rows * s.boosting_row + held)}
    return {"training": int(rows * (s.bins_row + s.boosting_row))}


def page_rows(rows: int, features: int) -> int:
    """Rows of a page of bins on disk with which the pages together hold the least memory."""
    return 1 + isqrt(rows * PAGE_NODES // (PAGE_VALUE * max(features, 1)))


def _score_row(s: Sizes) -> int:
    """Labels, scores and their ranking."""
    return 24 + 8 * len(s.models) * s.scores + 64
