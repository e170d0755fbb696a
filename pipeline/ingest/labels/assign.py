"""Frames with labels, sets and weights, made from the frames of the data.

Two passes. `scan_partition` collects what needs all rows: classes, times of a time split, counts.
`assign_labels` then drops filtered rows and rows without a target, and adds the runner's columns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.config.model import Split
from pipeline.device import Array, Frame, Frames
from pipeline.device.choose import frames_of
from pipeline.errors import DataError
from pipeline.expression import Expression
from pipeline.ingest.labels import split as splitting
from pipeline.ingest.labels import target as targets
from pipeline.matrix import Target
from pipeline.schema import LABEL, SET, SETS, TRAIN, VALID, WEIGHT, Column

LIGHTEST, HEAVIEST = 1e-18, 1e18
"""Bounds of a weight that is not 0: XGBoost holds weights, and squares of what they multiply, as
float32, and sums of fewer or more than these would vanish or overflow."""


@dataclass(frozen=True)
class LabelSpec:
    """What the partition functions below need; picklable and small."""

    device: str
    target: Expression
    filters: tuple[Expression, ...]
    split: Split
    seed: int
    sample_rate: float
    weight: str | None
    keep: tuple[str, ...]
    """Columns that go on to the features."""
    hold: bool = False
    """The frames stay in memory, `pack_frame`."""


@dataclass(frozen=True)
class LabelScan:
    """What one pass over all rows found; merges by addition."""

    rows: int
    filtered: int
    target_missing: int
    target: Any
    times: Any


@dataclass(frozen=True)
class _Selection:
    """Which rows of a frame go on, and their target."""

    kept: Array | None
    """bool (n,); None: all of them."""
    target: Any
    """The target's column for the kept rows."""
    filtered: int
    target_missing: int

    def rows(self, frame: Frame) -> Frame:
        """The kept rows of the frame."""
        return frame if self.kept is None else frame[self.kept]


def _select_rows(frame: Frame, spec: LabelSpec, device: Frames) -> _Selection:
    used = {n for e in (spec.target, *spec.filters) for n in e.columns}
    frame = _unpack_columns(frame, used, device)
    kept = device.xp.ones(len(frame), dtype=bool)
    for expression in spec.filters:
        kept = kept & evaluate_filter(frame, expression, device)
    column = spec.target.evaluate(frame, device)
    missing = device.to_arrays(column.isna())[0] & kept
    filtered, lost = len(frame) - int(kept.sum()), int(missing.sum())
    if not filtered and not lost:
        return _Selection(None, column, 0, 0)
    kept = kept & ~missing
    return _Selection(kept, column[kept].reset_index(drop=True), filtered, lost)


def _unpack_columns(frame: Frame, names: Collection[str], device: Frames) -> Frame:
    """The frame with these columns in storage dtypes."""
    return frame.assign(**{name: device.unpack_integers(frame[name]) for name in names})


def evaluate_filter(frame: Frame, expression: Expression, device: Frames) -> Array:
    """bool (n,): where the expression is true; missing counts as false."""
    values, missing = device.to_arrays(expression.evaluate(frame, device))
    return (values != 0) & ~missing


def is_target_missing(frame: Frame, expression: Expression, device: Frames) -> Array:
    """bool (n,): where the target has no value."""
    return device.to_arrays(expression.evaluate(frame, device).isna())[0]


def scan_partition(frame: Frame, spec: LabelSpec) -> LabelScan:
    """One partition's counts, target values and sampled times."""
    device, rows = frames_of(spec.device), len(frame)
    selection = _select_rows(frame, spec, device)
    if spec.split.by == "time" and spec.split.column is not None:
        frame = selection.rows(
            _unpack_columns(frame[[spec.split.column]], [spec.split.column], device)
        )
    return LabelScan(
        rows,
        selection.filtered,
        selection.target_missing,
        targets.summarise_target(selection.target, device),
        splitting.sample_times(frame, spec.split, device, spec.seed, spec.sample_rate),
    )


def merge_scans(a: LabelScan, b: LabelScan) -> LabelScan:
    """Two partitions' findings."""
    return LabelScan(
        a.rows + b.rows, a.filtered + b.filtered, a.target_missing + b.target_missing,
        targets.merge_summaries(a.target, b.target), splitting.merge_times(a.times, b.times),
    )  # fmt: skip


def assign_labels(frame: Frame, spec: LabelSpec, target: Target, cuts: Any) -> Frame:
    """The frame that the features start from.

    Raises:
        DataError: a weight is missing, negative, too small or too large; a time or set is missing.
    """
    device = frames_of(spec.device)
    selection = _select_rows(frame, spec, device)
    extra = [n for n in (spec.split.column, spec.weight) if n is not None]
    used = dict.fromkeys([*spec.keep, *extra])
    frame = selection.rows(frame[[n for n in frame.columns if n in used]])
    seen = _unpack_columns(frame, extra, device)
    sets = splitting.assign_sets(seen, spec.split, cuts, device, spec.seed)
    own: dict[str, tuple[Array, Any]] = {
        LABEL: (targets.encode_labels(selection.target, target, device), "float64"),
        SET: (sets.astype("int32"), "int32"),
    }
    if spec.weight is not None:
        own[WEIGHT] = (_check_weights(seen, spec.weight, device), "float64")
    known = set(frame.columns)
    columns = {n: _align_column(values, dtype, frame, device) for n, (values, dtype) in own.items()}
    made = frame[[n for n in spec.keep if n in known]].assign(**columns)
    return pack_frame(made, spec.device, target) if spec.hold else made


def _align_column(values: Array, dtype: Any, frame: Frame, device: Frames) -> Any:
    """A column beside those of the frame."""
    column = device.make_series(values, dtype)
    column.index = frame.index
    return column


def pack_frame(frame: Frame, device_name: str, target: Target) -> Frame:
    """For holding: integers, and positions of classes, in as few bytes as they need."""
    device = frames_of(device_name)
    if target.task != "regression":
        labels = device.to_floats(frame[LABEL])
        if not bool(device.xp.isnan(labels).any()):
            whole = _align_column(labels.astype("int64"), "int64", frame, device)
            frame = frame.assign(**{LABEL: whole})
    return device.pack_integers(frame)


def _check_weights(frame: Frame, name: str, device: Frames) -> Array:
    weights = device.to_floats(frame[name])
    bad = ~((weights == 0) | ((weights >= LIGHTEST) & (weights <= HEAVIEST)))
    if bool(bad.any()):
        ids = device.to_host(device.row_ids(frame)[bad])
        values = device.to_host(weights[bad])
        raise DataError(
            f"data.weight: {len(ids)} rows of column {name!r} have no weight >= 0: "
            f"a weight is 0, or from {LIGHTEST:g} to {HEAVIEST:g}",
            examples=[f"row {i}: {v}" for i, v in zip(ids, values, strict=True)],
            fix="fill or correct them in the data; if all are too small or too large, "
            "divide them by their mean",
        )
    return weights


def assign_all_to_train(frame: Frame, device_name: str) -> Frame:
    """The frame with all its rows in the training set: for the refit."""
    device = frames_of(device_name)
    zeros = device.xp.zeros(len(frame), dtype="int32")
    return frame.assign(**{SET: _align_column(zeros, "int32", frame, device)})


def list_added_columns(spec: LabelSpec) -> list[Column]:
    """The columns that `assign_labels` adds."""
    weight = [Column(WEIGHT, "float64")] if spec.weight is not None else []
    return [Column(LABEL, "float64"), Column(SET, "int32"), *weight]


@dataclass(frozen=True)
class LabelCounts:
    """Rows per set, and what the training rows' labels weigh: what the baseline predicts from."""

    rows: Mapping[str, int]
    sampled: int
    """Training rows of the sample that the models get: all of them at a rate of 1."""
    classes: Mapping[float, float]
    """Training rows, or their weight, per class position; empty for a regression."""
    label: float
    """Sum of the training labels, each times its weight."""
    weight: float
    """Training rows, or their weight."""
    valid_weight: float
    """Valid rows, or their weight."""


def check_labels(counts: LabelCounts, target: Target) -> None:
    """Refuses training rows that nothing can be learnt from.

    Raises:
        DataError: all their weights are 0, or those of the valid rows, or they are of one class.
    """
    if counts.weight == 0:
        raise DataError(
            "data.weight: the weights of all training rows are 0",
            fix="name another column of weights, or leave data.weight out",
        )
    if counts.rows["valid"] and counts.valid_weight == 0:
        raise DataError(
            "data.weight: the weights of all valid rows are 0, so no metric can stop the training",
            fix="give some of them a weight, or leave the valid set out: split: {valid: 0}",
        )
    present = [c for i, c in enumerate(target.classes) if counts.classes.get(float(i), 0) > 0]
    if target.classes and len(present) < 2:
        raise DataError(
            f"the training rows are all of one class, {present[0]!r}: there is nothing to learn",
            examples=[f"classes in all sets: {', '.join(map(repr, target.classes))}"],
            fix="split by: random, or other shares of valid and test, or take more rows",
        )


def count_rows(frame: Frame, device_name: str, classes: int, seed: int, rate: float) -> LabelCounts:
    """One partition's counts; ``rate`` is the share of the training rows that the models get."""
    device = frames_of(device_name)
    sets = device.to_arrays(frame[SET])[0]
    per_set = device.bincount(sets, len(SETS))
    train = sets == TRAIN
    ids = device.row_ids(frame)[train]
    sampled = len(ids) if rate == 1 else _below(device.hash_ints(ids, seed + 2), rate)
    labels = device.to_floats(frame[LABEL])[train]
    weights, valid_weight = device.xp.ones(len(labels)), float(per_set[VALID])
    if WEIGHT in set(frame.columns):
        every = device.to_floats(frame[WEIGHT])
        weights, valid_weight = every[train], float(every[sets == VALID].sum())
    per_class: Any = device.bincount(labels.astype("int64"), classes, weights) if classes else []
    return LabelCounts(
        {name: int(per_set[i]) for i, name in enumerate(SETS)},
        sampled,
        {float(i): float(n) for i, n in enumerate(per_class)},
        float((labels * weights).sum()),
        float(weights.sum()),
        valid_weight,
    )


def _below(hashes: Array, rate: float) -> int:
    return int((hashes < int(rate * 2**32)).sum())


def merge_counts(a: LabelCounts, b: LabelCounts) -> LabelCounts:
    """Two partitions' counts."""
    return LabelCounts(
        {k: a.rows[k] + b.rows[k] for k in a.rows},
        a.sampled + b.sampled,
        {k: a.classes[k] + b.classes[k] for k in a.classes},
        a.label + b.label,
        a.weight + b.weight,
        a.valid_weight + b.valid_weight,
    )
