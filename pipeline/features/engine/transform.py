"""Functions of the feature stage that run on one partition, on the device.

A frame here has the columns of the data and those of the pipeline (`pipeline.schema.RESERVED`), and
row ids as its index. Ops see only the columns they read, with a RangeIndex.

Between ops a partition is a dict of columns, not a frame: taking columns out of a frame and putting
them back copies them in bulk. For a single row that costs more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from pipeline.device import Array, Frame, Frames, Series
from pipeline.device.choose import frames_of
from pipeline.device.nvtx_ranges import annotate
from pipeline.features.op import Op, Rows, State, Summary
from pipeline.matrix import Feature, Matrix, SetName, Task, zero_missing_codes
from pipeline.schema import LABEL, RESERVED, SET, SETS, TRAIN, WEIGHT, Column, Schema


@dataclass(frozen=True)
class Step:
    """An op of the plan, the schema before it, and its state so far."""

    op: Op
    schema: Schema
    state: State
    """Fitted state once ``done``; before that, the state of `Op.prepare` or of an earlier pass."""
    done: bool
    phase: int = 0
    idle: bool = False
    """Nothing in the current pass reads its outputs: it is not transformed."""

    @property
    def is_usable(self) -> bool:
        """True if `Op.transform` returns final values."""
        return self.done or self.op.can_transform_unfitted

    @cached_property
    def reads(self) -> list[str]:
        """Columns that the op reads."""
        return self.op.reads(self.schema)

    @cached_property
    def produces(self) -> list[Column]:
        """Columns that the op produces."""
        return self.op.produces(self.schema)

    @cached_property
    def removes(self) -> list[str]:
        """Columns that the op removes."""
        return self.op.removes(self.schema)


@dataclass(frozen=True)
class TransformContext:
    """Arguments of every partition function beside its frame; picklable and small."""

    device: str
    seed: int
    task: Task
    n_classes: int
    sample_rate: float = 1.0
    predicting: bool = False
    sets: tuple[SetName, ...] = SETS
    """Sets whose matrices are wanted."""
    train_rate: float = 1.0
    """Share of the training rows that the models get (the sample of decision 5)."""


@dataclass(frozen=True)
class Part:
    """A partition between ops: n rows."""

    columns: dict[str, Series]
    """Columns of the frame, perhaps packed: see `frame`."""
    rows: Rows
    sets: Array | None
    """int (n,): positions in `SETS`; None for new data."""

    def frame(self, names: Sequence[str]) -> Frame:
        """Return a frame of these columns in storage dtypes, with a RangeIndex."""
        device = self.rows.device
        if not names:  # a frame of no columns still has rows
            return device.make_frame({"": device.make_series(self.rows.ids, "int64")})[[]]
        return device.make_frame(
            {name: device.unpack_integers(self.columns[name]) for name in names}
        )


def to_part(frame: Frame, context: TransformContext) -> Part:
    """Convert a frame with ids as index to a partition between ops."""
    device = frames_of(context.device)
    names = set(frame.columns)
    sets = device.to_arrays(frame[SET])[0] if SET in names else None
    rows = Rows(
        device=device,
        ids=device.row_ids(frame),
        label=device.to_floats(frame[LABEL]) if LABEL in names else None,
        weight=device.to_floats(frame[WEIGHT]) if WEIGHT in names else None,
        task=context.task,
        n_classes=context.n_classes,
        seed=context.seed,
        sample_rate=context.sample_rate,
        predicting=context.predicting,
        train_mask=None if sets is None else sets == TRAIN,
    )
    # Ops may rely on positions: the index, which holds the ids, is set again in `to_frame`.
    frame = frame.reset_index(drop=True)
    return Part({n: frame[n] for n in frame.columns if n not in RESERVED}, rows, sets)


def to_frame(part: Part, like: Frame) -> Frame:
    """Convert a partition to a frame with the index and the reserved columns of ``like``."""
    device, frame = part.rows.device, part.frame(list(part.columns))
    frame.index = like.index
    reserved = {n: device.unpack_integers(like[n]) for n in like.columns if n in RESERVED}
    return frame.assign(**reserved)


def select_rows(part: Part, mask: Array) -> Part:
    """Select the rows where the mask is True."""
    if bool(mask.all()):  # the common case: no copy
        return part
    rows, sets, columns = part.rows, part.sets, {}
    if part.columns:
        frame = rows.device.make_frame(part.columns)[mask].reset_index(drop=True)
        columns = {n: frame[n] for n in part.columns}
    selected = replace(
        rows,
        ids=rows.ids[mask],
        label=None if rows.label is None else rows.label[mask],
        weight=None if rows.weight is None else rows.weight[mask],
        train_mask=None if rows.train_mask is None else rows.train_mask[mask],
    )
    return Part(columns, selected, None if sets is None else sets[mask])


def select_training_rows(part: Part) -> Part:
    """Select the training rows; all rows if there are no sets."""
    return part if part.rows.train_mask is None else select_rows(part, part.rows.train_mask)


def find_last_all_rows_op(ops: Iterable[Op]) -> int:
    """Return the position of the last op that uses rows of all sets; -1 if none does."""
    return max((i for i, op in enumerate(ops) if op.fit_on == "all"), default=-1)


def apply_steps(part: Part, steps: Sequence[Step]) -> Part:
    """Apply the steps to a partition; training rows get their out-of-fold values."""
    for step in steps:
        part = _apply_step(part, step)
    return part


def _apply_step(part: Part, step: Step) -> Part:
    declared = [column.name for column in step.produces]
    removed = set(step.removes)
    columns = {n: s for n, s in part.columns.items() if n not in removed}
    if not declared:
        return replace(part, columns=columns)
    inputs = part.frame(step.reads)
    # Without sets the data are new: nothing is trained on them.
    transform = step.op.transform if part.sets is None else step.op.transform_train
    with annotate(step.op.name):
        outputs = transform(inputs, step.state, part.rows)
    if list(outputs.columns) != declared or len(outputs) != len(part.rows.ids):
        raise AssertionError(
            f"{step.op.name} returned {list(outputs.columns)} × {len(outputs)}, "
            f"not {declared} × {len(part.rows.ids)}"
        )
    return replace(part, columns=columns | {name: outputs[name] for name in declared})


def transform_frame(frame: Frame, steps: Sequence[Step], context: TransformContext) -> Frame:
    """Apply the steps to a frame with rows of all sets."""
    return to_frame(apply_steps(to_part(frame, context), steps), frame)


def summarise_steps(
    frame: Frame, steps: Sequence[Step], pending: Sequence[int], context: TransformContext
) -> dict[int, Summary]:
    """Summarise the pending steps, each after the steps before it.

    ``steps`` holds the usable steps and the pending ones. A pending step that is not usable is not
    applied: steps that read its columns wait for a later phase. Rows and columns that no step needs
    are dropped as soon as possible (lag needs the rows of all sets).
    """
    keep_all_until = find_last_all_rows_op(s.op for s in steps)
    sample = all(steps[i].op.fit_on == "sample" for i in pending)
    part, needed = to_part(frame, context), {n for s in steps for n in s.reads}
    part = replace(part, columns={n: s for n, s in part.columns.items() if n in needed})
    summaries: dict[int, Summary] = {}
    if keep_all_until < 0:  # no step needs validation or test rows
        part = _select_fit_rows(part, sample)
    for position, step in enumerate(steps):
        if position in pending:
            rows = part if step.op.fit_on == "all" else select_training_rows(part)
            with annotate(f"{step.op.name}: summarise"):
                summaries[position] = step.op.summarise(
                    rows.frame(step.reads), rows.rows, step.state
                )
        if step.is_usable and not step.idle:
            part = _apply_step(part, step)
        if position == keep_all_until:
            part = _select_fit_rows(part, sample)
    return summaries


def _select_fit_rows(part: Part, sample: bool) -> Part:
    """Select the training rows, or only those in the sample if no step needs the others."""
    if not sample:
        return select_training_rows(part)
    mask, train_mask = part.rows.sample_mask(), part.rows.train_mask
    return select_rows(part, mask if train_mask is None else mask & train_mask)


def find_active_steps(steps: Mapping[int, Step], pending: Container[int]) -> dict[int, Step]:
    """Return, by place, the pending steps and all steps whose columns these depend on."""
    needed: set[str] = set()
    active: dict[int, Step] = {}
    for place, step in reversed(list(steps.items())):
        outputs = {c.name for c in step.produces}
        idle = not outputs & needed
        if not idle:
            needed -= outputs
        if not idle or place in pending:
            needed |= set(step.reads)
            active[place] = replace(step, idle=idle)
    return dict(reversed(list(active.items())))


def merge_summaries(
    a: dict[int, Summary], b: dict[int, Summary], steps: Sequence[Step]
) -> dict[int, Summary]:
    """Merge the summaries of two partitions, op by op."""
    return {i: steps[i].op.merge(a[i], b[i]) for i in a}


def hash_group(frame: Frame, names: Sequence[str], device_name: str) -> Array:
    """Return int64 (n,) in [0, 2^32): equal for rows of the same entity, on every partition."""
    device = frames_of(device_name)
    number = device.xp.zeros(len(frame), dtype="int64")
    for name in names:  # hashes, not codes: codes differ between partitions
        number = device.hash_ints(number * 2**32 + device.hash_values(frame[name], 1), 2)
    return number


def build_matrices(
    frame: Frame, steps: Sequence[Step], features: Sequence[Feature], context: TransformContext
) -> dict[str, Matrix]:
    """Build a float32 matrix per set from the frame's rows, to train on and to score.

    Unwanted rows are dropped before the steps if no step needs them.
    """
    part = to_part(frame, context)
    if find_last_all_rows_op(s.op for s in steps) < 0:
        part = select_rows(part, _mask_wanted(part, context))
    part = apply_steps(part, steps)
    rows, wanted = part.rows, _mask_wanted(part, context)
    frame, device = _feature_frame(part, features), part.rows.device
    by_set: dict[str, Matrix] = {}
    for number, set_name in enumerate(SETS):
        at = device.xp.flatnonzero((part.sets == number) & wanted)
        if len(at):  # sets without rows here have no matrix
            x = device.to_matrix(frame, list(frame.columns), at)
            label, weight = (None if a is None else a[at] for a in (rows.label, rows.weight))
            by_set[set_name] = Matrix(x, label, weight, rows.ids[at])
    return by_set


def _feature_frame(part: Part, features: Sequence[Feature]) -> Frame:
    """Return the features' columns, in order, in the form that models take."""
    device, frame = part.rows.device, part.frame([f.name for f in features])
    codes = {f.name: zero_missing_codes(frame[f.name], device) for f in features if f.kind == "c"}
    return frame.assign(**codes)


def _mask_wanted(part: Part, context: TransformContext) -> Array:
    """Return bool (n,): rows of the wanted sets, and of training rows only the sample."""
    wanted = part.rows.device.xp.zeros(len(part.rows.ids), dtype=bool)
    for number, name in enumerate(SETS):
        if name in context.sets:
            mask = part.sets == number
            if name == "train" and context.train_rate < 1:
                mask = mask & replace(part.rows, sample_rate=context.train_rate).sample_mask()
            wanted = wanted | mask
    return wanted


def build_scoring_matrix(
    frame: Frame, steps: Sequence[Step], features: Sequence[Feature], context: TransformContext
) -> tuple[Array, Frames]:
    """Build the float32 matrix of new rows, in the frame's order."""
    part = apply_steps(to_part(frame, context), steps)
    device, inputs = part.rows.device, _feature_frame(part, features)
    return device.to_matrix(inputs, list(inputs.columns)), device
