"""What each stage of a run will hold in memory: bytes on the host and on the device, by part.

Widths are those of the storage dtypes (`pipeline.schema`) and of XGBoost's and scikit-learn's own
arrays; what a width does not tell (libraries, copies that live for a moment) was fitted to measured
peaks, as docs/scaling.md says: ``python -m benchmarks.memory_plan`` measures them again. On the
device the same widths count, beside what the sources of XGBoost 3.2 and cuML 26.10 allocate; those
figures have not been compared with a GPU yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Literal

# Bytes a value: data, and a mask where the dtype has one. Text is a code beside its dictionary.
WIDTH: Mapping[str, int] = {
    "int64": 9, "int32": 5, "float64": 8, "float32": 4, "bool": 2, "datetime": 8, "text": 4,
}  # fmt: skip
RUNNER_COLUMNS = 8 + 5
"""The runner's columns: label, set and its mask."""
LIBRARIES: Mapping[str, int] = {"read": 225_000_000, "split": 245_000_000, "features": 245_000_000}
"""Resident bytes of the libraries and the client, by the first stage that needs them."""
LEARNERS = 315_000_000
"""The same with XGBoost and scikit-learn: in the later stages."""
DISTINCT_VALUE = 180
"""Bytes of a distinct word in a summary beside its letters: a Python string, counts, a table."""
MERGED_AT_ONCE = 8
"""Summaries that are merged at a time (`pipeline.cluster.partitions`)."""
SORTED_ROW = 70
"""Bytes of a held-out row while its scores are sorted for the metrics."""
WRITTEN_PREDICTIONS = 40_000_000
"""The rows of predictions.parquet that are in work, and the curves."""


PAGE_NODES = 4_000_000
"""Bytes that each page of bins on disk holds in memory for the nodes of a tree: 32 kB a node, 128
of them at depth 8. 1 M rows of 22 columns trained in 58 MB with 4 pages, in 190 MB with 40."""
PAGE_VALUE = 16
"""Bytes for each value of a page: 2 of bins in the four pages at hand, float32 twice as it is made.
"""

NODE = 500
"""Bytes of a forest's node, and `NODE_SCORE` more for each value that it predicts: the estimator,
Treelite's model and its bytes. 100 trees of depth 16: 380 for a regression, 570 for two classes,
800 for ten, when all three are there."""
NODE_SCORE = 30

Bins = Literal["memory", "disk", "host"]
"""Where XGBoost has them: "memory" is that of its device, "host" is for a GPU."""

ON_DEVICE = ("frames", "matrix", "training", "in_flight")
"""Parts of a stage's estimate that a GPU has, where one is used."""
GPU_LIBRARIES = 680_000_000
"""Resident bytes of RAPIDS and XGBoost on the host once imported, without a CUDA context."""
FOREST_HISTOGRAMS = 4 * 4096 * 10 * 128 * 4
"""Bytes on the GPU for each output of cuML's forest: streams, nodes at a time, columns at a time,
bins, counts."""
DEVICE_PAGES = 8
"""XGBoost's external memory has a page of a sixteenth of the GPU in use and fetches the next."""


@dataclass(frozen=True)
class Sizes:
    """What the estimates are made of: counts from metadata, the rest from a sample."""

    rows: int
    train: float
    """Share of the rows; ``valid`` and the rest likewise."""
    valid: float
    read_row: float
    """Bytes of a row as read, its share of the dictionaries included."""
    held_row: float
    """The same with integers packed."""
    kept_row: float
    """Bytes of those of its columns that the features read, integers packed."""
    staged_row: float
    """Bytes of a row in a staged file; 0: the source is Parquet."""
    block_rows: int
    block_bytes: int
    """Of CSV: what a reader holds beside the rows that it makes; 0: Parquet."""
    threads: int
    features: int
    present: float
    """Share of the matrix that is not missing."""
    words: float
    """Bytes of the distinct words that summaries gather on the host."""
    scores: int
    """Values that a model predicts for a row."""
    models: tuple[str, ...]
    forest_rows: int
    """Rows the forest draws from at most, where they fit."""
    forest_nodes: int
    """Of all its trees."""
    again: bool
    """Features and models are fitted once more on all rows."""
    keep_frames: bool
    """The frames outlive the features: for that refit, or for slices."""
    device: str
    device_memory: int = 0
    """Bytes of a GPU, where they are known."""
    histograms: int = 0
    """Bytes of those of XGBoost's tree, on its device: `histogram_bytes`."""
    boosted_trees: int = 0
    """Bytes of XGBoost's trees: `tree_bytes`."""

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

        A bin takes a byte where nothing is missing (with at most 256), else 4 if it is present. On
        a GPU there is no transpose, and a row has as many bits a bin as all columns' bins need.
        """
        if self.device == "gpu":
            bits = 8 if self.present == 1 else (256 * self.features).bit_length()
            return self.features * bits / 8
        return self.features * (2.0 if self.present == 1 else 1 + 4 * self.present)

    @property
    def boosting_row(self) -> float:
        """What boosting holds of a training row besides: gradients, predictions, rows of nodes.

        Of the last there is one for all scores: with 10, 100 and 500 classes 15, 14 and 14 a score.
        """
        return 28.0 + 16.0 * self.scores


@dataclass(frozen=True)
class StageEstimate:
    """A stage's estimate."""

    stage: str
    """As in the ledger."""
    parts: Mapping[str, int]
    """Host bytes by what holds them."""
    on_device: Mapping[str, int] = field(default_factory=dict)
    """Bytes of a GPU likewise."""

    @property
    def host(self) -> int:
        """All of them: the stage's peak."""
        return sum(self.parts.values())

    @property
    def device(self) -> int:
        """The same on the GPU."""
        return sum(self.on_device.values())


def text_bytes(distinct: float, letters: float, rows: int) -> float:
    """Bytes of a row of text: its code, and its share of the block's dictionary."""
    code = 1 if distinct < 128 else 2 if distinct < 32_768 else 4
    return code + distinct * (letters + 8) / max(rows, 1)


def summary_bytes(
    among: Callable[[int], float], letters: float, block_rows: int, blocks: int
) -> float:
    """Bytes of the words in a column's summaries, of blocks and merged, that are there at a time.

    Args:
        among: distinct words of so many rows.
    """
    words, rows = among(block_rows * blocks), block_rows
    while blocks > 1:
        words += min(blocks, MERGED_AT_ONCE) * among(rows)
        blocks, rows = -(-blocks // MERGED_AT_ONCE), rows * MERGED_AT_ONCE
    return words * (2.5 * letters + DISTINCT_VALUE)  # dictionary, Python's strings, as written


def estimate_stages(
    sizes: Sizes, *, hold: bool, bins: Bins = "memory", rate: float = 1.0, scored: float = 1.0,
    drawn: float = 1.0,
) -> list[StageEstimate]:  # fmt: skip
    """The estimate of each stage.

    Args:
        hold: rows stay between passes; else each pass makes them again.
        bins: where XGBoost has its bins.
        rate: share of the training rows that the models get.
        scored: share of the held-out rows that the metrics are computed of.
        drawn: share of `drawn_rows` that the forest draws from.
    """
    s = sizes
    read = int(s.rows * s.held_row)
    kept = int(s.rows * (s.kept_row + RUNNER_COLUMNS))
    matrix = s.rows * s.matrix_row
    if not hold:
        read = kept = matrix = 0
    making = {"in_flight": _making(s, hold)}
    more = matrix if s.keep_frames else max(matrix - kept, 0)
    found = [
        _stage(s, "read", frames=read, in_flight=_reading(s)),
        _stage(s, "split", frames=max(read, kept), in_flight=2 * _reading(s)),
        _stage(s, "features", frames=kept, **_more(s, more), **making),
    ]
    base = {"matrix": matrix, "frames": kept if s.keep_frames else 0, "trees": 0}
    base |= {} if hold else making
    most = drawn * drawn_rows(s)
    rows = {"xgboost": s.rows * s.train * rate, "forest": min(s.rows * s.train * rate, most)}
    for name in s.models:
        stage, valid = f"train {name}", s.rows * s.valid
        found.append(_learning(s, stage, base, rows=rows[name], valid=valid, bins=bins))
        base["trees"] += _trees(s) if name == "forest" else 0
    if "xgboost" in s.models:  # the last one
        base["matrix"] = int(matrix * (1 - s.train))
    scores = int(s.held_out * (_score_row(s) + scored * SORTED_ROW))
    found.append(_stage(s, "evaluate", **base, scores=scores + WRITTEN_PREDICTIONS))
    if s.again:
        more = max(matrix - kept, 0)  # the first matrices have gone
        found.append(_stage(s, "refit features", frames=kept, **_more(s, more), **making))
        base["frames"] = base["trees"] = 0
        for name in s.models:
            own_rows = s.rows * rate if name == "xgboost" else min(s.rows * rate, most)
            found.append(_learning(s, f"refit {name}", base, rows=own_rows, valid=0, bins=bins))
            base["trees"] += _trees(s) if name == "forest" else 0
    return found


def drawn_rows(sizes: Sizes) -> float:
    """Rows that the forest draws from where they all fit: in the refit, if there is one."""
    return min(sizes.forest_rows, sizes.rows * (1.0 if sizes.again else sizes.train))


def _stage(sizes: Sizes, name: str, **parts: int) -> StageEstimate:
    own = GPU_LIBRARIES if sizes.device == "gpu" else LIBRARIES.get(name, LEARNERS)
    parts = {k: v for k, v in {"libraries": own, **parts}.items() if v}
    there = ON_DEVICE if sizes.device == "gpu" else ()
    on_device = {k: v for k, v in parts.items() if k in there}
    return StageEstimate(name, {k: v for k, v in parts.items() if k not in on_device}, on_device)


def _learning(
    s: Sizes, stage: str, base: Mapping[str, int], *, rows: float, valid: float, bins: Bins
) -> StageEstimate:
    """A training. While XGBoost makes its bins all matrices are there, then the held-out rows'."""
    name = stage.rsplit(maxsplit=1)[-1]
    training = _training(s, name, rows, valid, bins)
    if name != "xgboost":
        return _stage(s, stage, **base, training=training)
    share = 1 - s.train if valid else 0.0
    outside = {"bins": int((rows + valid) * s.bins_row)} if bins == "host" else {}
    boosting = {**base, **outside, "matrix": int(base["matrix"] * share), "training": training}
    boosted = int(rows * s.boosting_row) + s.histograms + s.boosted_trees
    binning = {**base, **outside, "training": training - boosted}
    larger = max(boosting, binning, key=lambda parts: sum(parts.values()))
    return _stage(s, stage, **larger)


def _more(s: Sizes, matrix: int) -> dict[str, int]:
    """Beside the frames: words while the features are fitted, then the matrices."""
    return {"words": int(s.words)} if s.words > matrix else {"matrix": matrix}


def _reading(s: Sizes) -> int:
    """Blocks that are read: their bytes (CSV), and the rows made of them."""
    return int(s.threads * (s.block_bytes + s.block_rows * s.read_row))


def _making(s: Sizes, hold: bool) -> int:
    """Blocks in the features: their rows, streamed as read and as split, and float64 columns."""
    rows = s.kept_row if hold else 2 * s.read_row
    return int(s.threads * s.block_rows * (rows + 8 * s.features))


def _training(s: Sizes, name: str, rows: float, valid: float, bins: Bins) -> int:
    if name == "forest":
        histograms = FOREST_HISTOGRAMS * s.scores if s.device == "gpu" else 0
        return int(rows * (13 * s.features + 40)) + _trees(s) + histograms
    fixed = s.histograms + s.boosted_trees
    if bins == "host":
        pages = min((rows + valid) * s.bins_row, s.device_memory / DEVICE_PAGES)
        return int(rows * s.boosting_row + pages) + fixed
    if bins == "disk":
        page = page_rows(int(rows + valid), s.features)
        held = (rows + valid) / page * PAGE_NODES + page * s.features * PAGE_VALUE
        return int(rows * s.boosting_row + held) + fixed
    return int((rows + valid) * (1.1 * s.bins_row + 12) + rows * s.boosting_row) + fixed


def _trees(s: Sizes) -> int:
    return s.forest_nodes * (NODE + NODE_SCORE * s.scores)


def page_rows(rows: int, features: int) -> int:
    """Rows of a page of bins on disk with which the pages together hold the least memory."""
    return 1 + isqrt(rows * PAGE_NODES // (PAGE_VALUE * max(features, 1)))


def _score_row(s: Sizes) -> int:
    """Id, label and the models' scores of a row."""
    return 10 + 8 * len(s.models) * s.scores
