"""Frames with labels, sets and weights, made from the frames of the data.

Two passes. `scan_partition` collects what needs all rows: classes, times of a time split, counts.
`assign_labels` then drops filtered rows, rows of weight 0 and rows without a target, and adds the
runner's columns.

Rows of weight 0 go here, before anything is inferred or fitted. So nothing after this stage can
depend on them: neither a library that counts rows (bins, bootstraps, leaves), nor an op.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pipeline.config.model import Split
from pipeline.device import Array, Frame, Frames, Series
from pipeline.device.choose import frames_of
from pipeline.errors import DataError
from pipeline.expression import Expression
from pipeline.ingest.labels import split as splitting
from pipeline.ingest.labels import target as targets
from pipeline.ingest.labels.label_state import LabelCounts
from pipeline.ingest.labels.split import Cuts
from pipeline.ingest.labels.target import TargetSummary
from pipeline.matrix import Target
from pipeline.schema import LABEL, SET, SETS, TRAIN, VALID, WEIGHT, Column, Dtype

# XGBoost stores weights, and squares of what they multiply, as float32: sums of smaller or larger
# weights would vanish or overflow.
LIGHTEST, HEAVIEST = 1e-18, 1e18
"""Range of a weight other than 0."""


@dataclass(frozen=True)
class LabelSpec:
    """Parameters of the functions below; small, because each task carries them to its worker."""

    device: str
    target: Expression
    filters: tuple[Expression, ...]
    split: Split
    seed: int
    sample_rate: float
    weight: str | None
    keep: tuple[str, ...]
    """Columns that the features need."""
    hold: bool = False
    """True if the frames stay in memory; `pack_frame` packs them then."""


@dataclass(frozen=True)
class LabelScan:
    """Counts and values of the first pass over the rows; scans merge by addition."""

    rows: int
    filtered: int
    weightless: int
    """Rows of weight 0 that the filters keep."""
    target_missing: int
    """Other rows without a target."""
    target: TargetSummary
    times: splitting.Times
    missing: Mapping[str, int]
    """Missing values by column, in all rows as they were read."""


@dataclass(frozen=True)
class _Selection:
    """Rows of a frame that pass the filters, have a target and do not weigh 0."""

    mask: Array | None
    """bool (n,); None selects all rows."""
    target: Series
    """Target of the selected rows."""
    filtered: int = 0
    weightless: int = 0
    target_missing: int = 0

    def select(self, frame: Frame) -> Frame:
        """Return the selected rows of the frame."""
        return frame if self.mask is None else frame[self.mask]


def _select_rows(frame: Frame, spec: LabelSpec, device: Frames) -> _Selection:
    used = {n for e in (spec.target, *spec.filters) for n in e.columns}
    used |= set() if spec.weight is None else {spec.weight}
    frame = _unpack_columns(frame, used, device)
    mask = device.xp.ones(len(frame), dtype=bool)
    for expression in spec.filters:
        mask = mask & evaluate_filter(frame, expression, device)
    passed = int(mask.sum())
    if spec.weight is not None:
        # A missing weight is not 0: `_check_weights` refuses it.
        mask = mask & (device.to_floats(frame[spec.weight]) != 0)
    weighty = int(mask.sum())
    column = spec.target.evaluate(frame, device)
    mask = mask & ~device.to_arrays(column.isna())[0]
    selected = int(mask.sum())
    if selected == len(frame):
        return _Selection(None, column)  # spares a copy of the frame
    target = column[mask].reset_index(drop=True)
    dropped = (len(frame) - passed, passed - weighty, weighty - selected)
    return _Selection(mask, target, *dropped)


def _unpack_columns(frame: Frame, names: Collection[str], device: Frames) -> Frame:
    """Return the frame with these columns in storage dtypes."""
    return frame.assign(**{name: device.unpack_integers(frame[name]) for name in names})


def evaluate_filter(frame: Frame, expression: Expression, device: Frames) -> Array:
    """Return a bool array (n,), True where the expression is true; missing counts as false."""
    values, missing = device.to_arrays(expression.evaluate(frame, device))
    return (values != 0) & ~missing


def is_target_missing(frame: Frame, expression: Expression, device: Frames) -> Array:
    """Return a bool array (n,), True where the target has no value."""
    return device.to_arrays(expression.evaluate(frame, device).isna())[0]


def scan_partition(frame: Frame, spec: LabelSpec) -> LabelScan:
    """Collect a partition's counts, target values and sampled times."""
    device, rows = frames_of(spec.device), len(frame)
    selection = _select_rows(frame, spec, device)
    missing = {name: int(device.to_arrays(frame[name].isna())[0].sum()) for name in frame.columns}
    if spec.split.by == "time" and spec.split.column is not None:
        times = _unpack_columns(frame[[spec.split.column]], [spec.split.column], device)
        frame = selection.select(times)
    return LabelScan(
        rows,
        selection.filtered,
        selection.weightless,
        selection.target_missing,
        targets.summarise_target(selection.target, device),
        splitting.sample_times(frame, spec.split, device, spec.seed, spec.sample_rate),
        missing,
    )


def merge_scans(a: LabelScan, b: LabelScan) -> LabelScan:
    """Merge the scans of two partitions."""
    return LabelScan(
        a.rows + b.rows,
        a.filtered + b.filtered,
        a.weightless + b.weightless,
        a.target_missing + b.target_missing,
        targets.merge_summaries(a.target, b.target),
        splitting.merge_times(a.times, b.times),
        {name: count + b.missing[name] for name, count in a.missing.items()},
    )


def assign_labels(frame: Frame, spec: LabelSpec, target: Target, cuts: Cuts | None) -> Frame:
    """Drop rows without target or weight, add label, set and weight, keep what the features need.

    Raises:
        DataError: a weight is missing, negative, too small or too large; a time or set is missing.
    """
    device = frames_of(spec.device)
    selection = _select_rows(frame, spec, device)
    extra = [n for n in (spec.split.column, spec.weight) if n is not None]
    used = dict.fromkeys([*spec.keep, *extra])
    frame = selection.select(frame[[n for n in frame.columns if n in used]])
    unpacked = _unpack_columns(frame, extra, device)
    sets = splitting.assign_sets(unpacked, spec.split, cuts, device, spec.seed)
    added: dict[str, tuple[Array, Dtype]] = {
        LABEL: (targets.encode_labels(selection.target, target, device), "float64"),
        SET: (sets.astype("int32"), "int32"),
    }
    if spec.weight is not None:
        added[WEIGHT] = (_check_weights(unpacked, spec.weight, device), "float64")
    present = set(frame.columns)
    columns = {
        n: _align_column(values, dtype, frame, device) for n, (values, dtype) in added.items()
    }
    labeled = frame[[n for n in spec.keep if n in present]].assign(**columns)
    return pack_frame(labeled, spec.device, target) if spec.hold else labeled


def _align_column(values: Array, dtype: Dtype, frame: Frame, device: Frames) -> Series:
    """Return a column with the frame's index, so that `assign` puts it beside the others."""
    column = device.make_series(values, dtype)
    column.index = frame.index
    return column


def pack_frame(frame: Frame, device_name: str, target: Target) -> Frame:
    """Pack a frame for memory: integers and class positions in as few bytes as they need."""
    device = frames_of(device_name)
    if target.task != "regression":
        labels = device.to_floats(frame[LABEL])
        # a label may be NaN in data that the classes were not inferred from: floats stay then
        if not bool(device.xp.isnan(labels).any()):
            whole = _align_column(labels.astype("int64"), "int64", frame, device)
            frame = frame.assign(**{LABEL: whole})
    return device.pack_integers(frame)


def _check_weights(frame: Frame, name: str, device: Frames) -> Array:
    """Return the column of weights as float64, once each is known to be valid."""
    weights = device.to_floats(frame[name])
    # NaN fails both comparisons; rows of weight 0 have been dropped
    bad = ~((weights >= LIGHTEST) & (weights <= HEAVIEST))
    if bool(bad.any()):
        ids = device.to_host(device.row_ids(frame)[bad])
        values = device.to_host(weights[bad])
        raise DataError(
            f"data.weight: column {name!r} has {len(ids)} invalid weights: "
            f"a weight is 0, or from {LIGHTEST:g} to {HEAVIEST:g}",
            examples=[f"row {i}: {v}" for i, v in zip(ids, values, strict=True)],
            fix="fill or correct them in the data; if all are too small or too large, "
            "divide them by their mean",
        )
    return weights


def assign_all_to_train(frame: Frame, device_name: str) -> Frame:
    """Return the frame with all its rows in the training set, for the refit."""
    device = frames_of(device_name)
    zeros = device.xp.zeros(len(frame), dtype="int32")
    return frame.assign(**{SET: _align_column(zeros, "int32", frame, device)})


def list_added_columns(spec: LabelSpec) -> list[Column]:
    """Return the columns that `assign_labels` adds."""
    weight = [Column(WEIGHT, "float64")] if spec.weight is not None else []
    return [Column(LABEL, "float64"), Column(SET, "int32"), *weight]


def check_labels(counts: LabelCounts, target: Target) -> None:
    """Refuse training rows that no model can learn from.

    Raises:
        DataError: all training rows have one class.
    """
    present = [c for i, c in enumerate(target.classes) if counts.classes.get(float(i), 0) > 0]
    if target.classes and len(present) < 2:
        raise DataError(
            f"the training rows are all of one class, {present[0]!r}: there is nothing to learn",
            examples=[f"classes in all sets: {', '.join(map(repr, target.classes))}"],
            fix="use split by: random, change the shares of valid and test, or read more rows",
        )


def count_rows(frame: Frame, device_name: str, classes: int, seed: int, rate: float) -> LabelCounts:
    """Count a partition's rows; ``rate`` is the share of the training rows that the models get."""
    device = frames_of(device_name)
    sets = device.to_arrays(frame[SET])[0]
    per_set = device.bincount(sets, len(SETS))
    train = sets == TRAIN
    ids = device.row_ids(frame)[train]
    sampled = len(ids)
    if rate < 1:
        # the same hash selects the rows that the models get (decision 5: seed + 2)
        sampled = int((device.hash_ints(ids, seed + 2) < int(rate * splitting.SPAN)).sum())
    labels = device.to_floats(frame[LABEL])[train]
    weights, valid_weight = device.xp.ones(len(labels)), float(per_set[VALID])
    if WEIGHT in set(frame.columns):
        all_weights = device.to_floats(frame[WEIGHT])
        weights, valid_weight = all_weights[train], float(all_weights[sets == VALID].sum())
    codes = labels.astype("int64")
    per_class = device.bincount(codes, classes, weights) if classes else ()
    rows_of_class = device.bincount(codes, classes) if classes else ()
    return LabelCounts(
        {name: int(per_set[i]) for i, name in enumerate(SETS)},
        sampled,
        {float(i): float(n) for i, n in enumerate(per_class)},
        float((labels * weights).sum()),
        float(weights.sum()),
        valid_weight,
        {float(i): int(n) for i, n in enumerate(rows_of_class)},
    )


def merge_counts(a: LabelCounts, b: LabelCounts) -> LabelCounts:
    """Merge the counts of two partitions."""
    return LabelCounts(
        {k: a.rows[k] + b.rows[k] for k in a.rows},
        a.sampled + b.sampled,
        {k: a.classes[k] + b.classes[k] for k in a.classes},
        a.label + b.label,
        a.weight + b.weight,
        a.valid_weight + b.valid_weight,
        {k: a.class_rows[k] + b.class_rows[k] for k in a.class_rows},
    )
