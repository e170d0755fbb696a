"""Estimates of the memory of each stage: bytes on the host and on the device, by part.

Widths are those of the storage dtypes (`pipeline.schema`) and of the arrays of XGBoost and
scikit-learn. The other constants (libraries, short-lived copies) were fitted to measured peaks:
docs/measurements/scaling.md shows them, and ``python -m benchmarks.memory_plan`` measures them
again. Estimates for a GPU use the same widths, and what the sources of XGBoost 3.2 and cuML 26.10
allocate. They have not been compared with a GPU yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isqrt
from typing import Literal

from pipeline.artifacts import stage_id as ids
from pipeline.artifacts.stage_id import StageId
from pipeline.memory.booster_bytes import sketch_bytes

# Bytes per value: data, and a mask where the dtype has one. Text is a code beside its dictionary.
WIDTH: Mapping[str, int] = {
    "int64": 9, "int32": 5, "float64": 8, "float32": 4, "bool": 2, "datetime": 8, "text": 4,
}  # fmt: skip
RUNNER_COLUMNS = 8 + 5
"""Bytes per row of the columns that the runner adds: the label, the set and the set's mask."""
LIBRARIES = {ids.READ: 225_000_000, ids.SPLIT: 245_000_000, ids.FEATURES: 245_000_000}
"""Resident bytes of the libraries and the client, by the first stage that needs them."""
LEARNERS = 315_000_000
"""The same in later stages, which need XGBoost and scikit-learn."""
SORTED_ROW = 70
"""Bytes per held-out row while its scores are sorted for the metrics."""
WRITTEN_PREDICTIONS = 40_000_000
"""Bytes of the rows of predictions.parquet that are being written, and of the curves."""

PAGE_NODES = 4_000_000
"""Bytes in memory per page of bins on disk: 32 kB for each of the 128 nodes of a tree of depth 8.

One million rows of 22 columns trained in 58 MB with 4 pages, and in 190 MB with 40.
"""
PAGE_VALUE = 16
"""Bytes per value of a page: 2 bins in each of the pages in use, and float32 twice to build it."""

NODE = 500
"""Bytes per node of a forest: the estimator, Treelite's model and its serialized bytes.

`NODE_SCORE` comes on top for each value that the node predicts. With all three in memory, 100 trees
of depth 16 took 380 for a regression, 570 for two classes, and 800 for ten.
"""
NODE_SCORE = 30

Bins = Literal["memory", "disk", "host"]
"""The place of XGBoost's bins: the memory of its device, the disk, or (for a GPU) the host."""

ON_DEVICE = ("frames", "matrix", "training", "in_flight")
"""Parts of a stage's estimate that are on the GPU, if one is used."""
GPU_LIBRARIES = 680_000_000
"""Resident bytes of RAPIDS and XGBoost on the host once imported, without a CUDA context."""
FOREST_HISTOGRAMS = 4 * 4096 * 10 * 128 * 4
"""Bytes on the GPU for each output of cuML's forest.

The factors are streams, nodes at a time, columns at a time, bins, and bytes per count.
"""
DEVICE_PAGES = 8
"""Pages that fit on a GPU with XGBoost's external memory.

It uses a page of a sixteenth of the GPU and prefetches the next one.
"""


@dataclass(frozen=True)
class Sizes:
    """The inputs of the estimates: counts from metadata, the rest from a sample."""

    rows: int
    train: float
    """Share of the rows that train."""
    valid: float
    """Share of the rows in the validation set."""
    read_row: float
    """Bytes per row as read, with its share of the dictionaries."""
    packed_row: float
    """The same with packed integers."""
    feature_row: float
    """Bytes per row of the columns that the features read, with packed integers."""
    staged_row: float
    """Bytes per row in a staged file; 0: the source is Parquet."""
    block_rows: int
    block_bytes: int
    """Bytes of CSV that a reader has in memory beside the rows it parses; 0: Parquet."""
    threads: int
    features: int
    present: float
    """Share of the matrix that is not missing."""
    distinct_texts: float
    """Bytes of the distinct texts that summaries gather on the host."""
    scores: int
    """Values that a model predicts per row."""
    models: tuple[str, ...]
    forest_rows: int
    """Rows that the forest draws from at most, if they fit."""
    forest_nodes: int
    """Nodes of all its trees."""
    refit: bool
    """True if features and models are fitted once more on all rows."""
    keep_frames: bool
    """True if the refit or the slices need the frames after the features."""
    device: str
    device_memory: int = 0
    """Bytes of a GPU; 0: unknown."""
    histograms: int = 0
    """Bytes of the histograms of XGBoost's tree, on its device: `histogram_bytes`."""
    boosted_trees: int = 0
    """Bytes of XGBoost's trees: `tree_bytes` of the rounds that are certain."""
    more_trees: int = 0
    """Bytes of the trees of all other rounds, which early stopping may leave out."""

    @property
    def held_out(self) -> int:
        """Number of rows that are scored."""
        return int(self.rows * (1 - self.train))

    @property
    def train_rows(self) -> int:
        """Number of rows that train."""
        return int(self.rows * self.train)

    @property
    def matrix_row(self) -> int:
        """Bytes per row of a matrix: float32 features, label and id."""
        return 4 * self.features + 16

    @property
    def bins_row(self) -> float:
        """Bytes per row of XGBoost's bins and their transpose."""
        if self.device == "gpu":
            # ELLPACK has no transpose; a bin takes the bits that all columns' bins need
            bits = 8 if self.present == 1 else (256 * self.features).bit_length()
            return self.features * bits / 8
        # At most 256 bins take a byte each; a sparse row stores 4 bytes for each value it has.
        return self.features * (2.0 if self.present == 1 else 1 + 4 * self.present)

    @property
    def boosting_row(self) -> float:
        """Bytes per training row of gradients, predictions and the rows of nodes."""
        # all scores share one list of rows: 10, 100 and 500 classes took 15, 14 and 14 per score
        return 28.0 + 16.0 * self.scores


@dataclass(frozen=True)
class StageEstimate:
    """Estimated memory of one stage."""

    stage: StageId
    parts: Mapping[str, int]
    """Bytes on the host by part."""
    on_device: Mapping[str, int] = field(default_factory=dict)
    """Bytes on a GPU by part."""

    @property
    def host(self) -> int:
        """Peak bytes of the stage on the host."""
        return sum(self.parts.values())

    @property
    def device(self) -> int:
        """Peak bytes of the stage on the GPU."""
        return sum(self.on_device.values())


def estimate_stages(
    sizes: Sizes,
    *,
    in_memory: bool,
    bins: Bins = "memory",
    train_rate: float = 1.0,
    scored_share: float = 1.0,
    drawn_share: float = 1.0,
) -> list[StageEstimate]:
    """Return the estimate of each stage.

    Args:
        sizes: the counts and widths.
        in_memory: rows stay in memory between passes; else each pass makes them again.
        bins: where XGBoost keeps its bins.
        train_rate: share of the training rows that the models get.
        scored_share: share of the held-out rows that the metrics use.
        drawn_share: share of `drawn_rows` that the forest draws from.
    """
    s = sizes
    read = int(s.rows * s.packed_row)
    frames = int(s.rows * (s.feature_row + RUNNER_COLUMNS))
    matrix = s.rows * s.matrix_row
    # a streamed row is read and split again in each pass over the features
    block_row = (s.feature_row if in_memory else 2 * s.read_row) + 8 * s.features
    in_features = {"in_flight": int(s.threads * s.block_rows * block_row)}
    in_reading = int(s.threads * (s.block_bytes + s.block_rows * s.read_row))
    if not in_memory:
        read = frames = matrix = 0
    # matrices replace the frames one by one, unless something needs the frames later
    more = matrix if s.keep_frames else max(matrix - frames, 0)
    estimates = [
        _sum_parts(s, ids.READ, frames=read, in_flight=in_reading),
        _sum_parts(s, ids.SPLIT, frames=max(read, frames), in_flight=2 * in_reading),
        _sum_parts(s, ids.FEATURES, frames=frames, **_beside_frames(s, more), **in_features),
    ]
    base = {"matrix": matrix, "frames": frames if s.keep_frames else 0, "trees": 0}
    base |= {} if in_memory else in_features
    most = drawn_share * drawn_rows(s)
    for name in s.models:
        stage, valid, fitted = ids.train_id(name), s.rows * s.valid, s.rows * s.train * train_rate
        # models other than the forest get all rows that fit
        fitted = min(fitted, most) if name == "forest" else fitted
        estimates.append(_estimate_training(s, stage, base, rows=fitted, valid=valid, bins=bins))
        base["trees"] += _model_bytes(s, name)
    if "xgboost" in s.models:  # it trains last, and releases the training set
        base["matrix"] = int(matrix * (1 - s.train))
    # id, label and the models' scores of a row; the metrics test each score for being finite
    score_row = 10 + 8 * len(s.models) * s.scores
    scores = int(s.held_out * (score_row + s.scores + scored_share * SORTED_ROW))
    # blocks that are being scored, beside what is gathered; the forest's threads have parts
    scored_row = 8 * s.scores * (len(s.models) + ("forest" in s.models))
    scores += int(s.threads * s.block_rows * (1 - s.train) * scored_row)
    estimates.append(_sum_parts(s, ids.EVALUATE, **base, scores=scores + WRITTEN_PREDICTIONS))
    if s.refit:
        more = max(matrix - frames, 0)  # the first matrices are released before the refit
        estimates.append(
            _sum_parts(
                s, ids.REFIT_FEATURES, frames=frames, **_beside_frames(s, more), **in_features
            )
        )
        base["frames"] = base["trees"] = 0
        for name in s.models:
            fitted = min(s.rows * train_rate, most) if name == "forest" else s.rows * train_rate
            estimates.append(
                _estimate_training(s, ids.refit_id(name), base, rows=fitted, valid=0, bins=bins)
            )
            base["trees"] += _model_bytes(s, name)
    return estimates


def drawn_rows(sizes: Sizes) -> float:
    """Return the rows that the forest draws from if they all fit: in the refit, if there is one."""
    return min(sizes.forest_rows, sizes.rows * (1.0 if sizes.refit else sizes.train))


def _sum_parts(sizes: Sizes, stage: StageId, **parts: int) -> StageEstimate:
    """Return a stage's estimate: these parts and the libraries, on the host or on the GPU."""
    on_gpu = sizes.device == "gpu"
    libraries = GPU_LIBRARIES if on_gpu else LIBRARIES.get(stage, LEARNERS)
    parts = {k: v for k, v in {"libraries": libraries, **parts}.items() if v}
    on_device = {k: v for k, v in parts.items() if on_gpu and k in ON_DEVICE}
    return StageEstimate(stage, {k: v for k, v in parts.items() if k not in on_device}, on_device)


def _estimate_training(
    s: Sizes, stage: StageId, base: Mapping[str, int], *, rows: float, valid: float, bins: Bins
) -> StageEstimate:
    """Return the estimate of a training.

    While XGBoost makes its bins all matrices are in memory, later only those of held-out rows.
    """
    training = _training_bytes(s, stage.model, rows, valid, bins)
    if stage.model != "xgboost":
        return _sum_parts(s, stage, **base, training=training)
    share = 1 - s.train if valid else 0.0
    outside = {"bins": int((rows + valid) * s.bins_row)} if bins == "host" else {}
    boosting = {**base, **outside, "matrix": int(base["matrix"] * share), "training": training}
    boosted = _boosting_bytes(s, rows, valid)
    values = min(s.block_rows, int(rows)) * s.features
    sketch = sketch_bytes(values, s.device_memory) if s.device == "gpu" else 0
    binning = {**base, **outside, "training": training - boosted + sketch}
    larger = max(boosting, binning, key=lambda parts: sum(parts.values()))
    return _sum_parts(s, stage, **larger)


def _beside_frames(s: Sizes, matrix: int) -> dict[str, int]:
    """Return what is in memory beside the frames: distinct texts in the fit, then matrices."""
    texts = int(s.distinct_texts)
    return {"words": texts} if s.distinct_texts > matrix else {"matrix": matrix}


def _boosting_bytes(s: Sizes, rows: float, valid: float) -> int:
    # a valid row has its prediction, and a copy as probabilities for the metric
    return int(rows * s.boosting_row + 8 * valid * s.scores) + s.histograms + s.boosted_trees


def _training_bytes(s: Sizes, name: str, rows: float, valid: float, bins: Bins) -> int:
    if name == "forest":
        histograms = FOREST_HISTOGRAMS * s.scores if s.device == "gpu" else 0
        return int(rows * (13 * s.features + 40)) + _model_bytes(s, name) + histograms
    boosting = _boosting_bytes(s, rows, valid)
    if bins == "host":
        pages = min((rows + valid) * s.bins_row, s.device_memory / DEVICE_PAGES)
        return int(pages) + boosting
    if bins == "disk":
        page = page_rows(int(rows + valid), s.features)
        in_pages = (rows + valid) / page * PAGE_NODES + page * s.features * PAGE_VALUE
        return int(in_pages) + boosting
    return int((rows + valid) * (1.1 * s.bins_row + 12)) + boosting


def _model_bytes(s: Sizes, name: str) -> int:
    forest = s.forest_nodes * (NODE + NODE_SCORE * s.scores)
    return forest if name == "forest" else s.boosted_trees


def page_rows(rows: int, features: int) -> int:
    """Return the rows per page of bins on disk with which all pages need the least memory."""
    # more pages cost nodes, larger pages cost values: the sum is least where both are equal
    return 1 + isqrt(rows * PAGE_NODES // (PAGE_VALUE * max(features, 1)))
