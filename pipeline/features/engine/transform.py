"""Partition functions of the feature stage: what runs on one frame, on the device.

A frame here has the columns of the data and the runner's own (`columns.RESERVED`), and row ids as
its index. Ops see none of these: only the columns they read, with a RangeIndex.

Between ops a partition is a dict of columns, not a frame: taking columns out of a frame and putting
them back copies them in bulk, and costs more than the arithmetic for a single row.
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
    """An op of the plan, the schema before it, and its state as far as it is known."""

    op: Op
    schema: Schema
    state: State
    """The fitted state once ``done``; before, `Op.prepare`'s or that of an earlier pass."""
    done: bool
    phase: int = 0
    idle: bool = False
    """Nothing in the pass at hand reads what it makes: it is not transformed."""

    @property
    def usable(self) -> bool:
        """`transform` gives final values."""
        return self.done or self.op.can_transform_unfitted

    @cached_property
    def reads(self) -> list[str]:
        """`Op.reads` of the schema."""
        return self.op.reads(self.schema)

    @cached_property
    def produces(self) -> list[Column]:
        """`Op.produces` of the schema."""
        return self.op.produces(self.schema)

    @cached_property
    def removes(self) -> list[str]:
        """`Op.removes` of the schema."""
        return self.op.removes(self.schema)


@dataclass(frozen=True)
class TransformContext:
    """What every partition function needs beside its frame; picklable and small."""

    device: str
    seed: int
    task: Task
    n_classes: int
    sample_rate: float = 1.0
    predicting: bool = False
    sets: tuple[SetName, ...] = SETS
    """The sets whose matrices are wanted."""
    train_rate: float = 1.0
    """Share of the training rows that the models get: the sample of decision 5."""


@dataclass(frozen=True)
class Part:
    """A partition between ops: n rows."""

    columns: dict[str, Series]
    """As the frame has them, perhaps packed: see `frame`."""
    rows: Rows
    sets: Array | None
    """int (n,): positions in `SETS`; None for new data."""

    def frame(self, names: Sequence[str]) -> Frame:
        """These columns in storage dtypes, with a RangeIndex."""
        device = self.rows.device
        if not names:  # a frame of no columns still has rows
            return device.make_frame({"": device.make_series(self.rows.ids, "int64")})[[]]
        return device.make_frame(
            {name: device.unpack_integers(self.columns[name]) for name in names}
        )


def to_part(frame: Frame, context: TransformContext) -> Part:
    """A frame with ids as index, as a partition between ops."""
    device = frames_of(context.device)
    known = set(frame.columns)
    sets = device.to_arrays(frame[SET])[0] if SET in known else None
    rows = Rows(
        device=device,
        ids=device.row_ids(frame),
        label=device.to_floats(frame[LABEL]) if LABEL in known else None,
        weight=device.to_floats(frame[WEIGHT]) if WEIGHT in known else None,
        task=context.task,
        n_classes=context.n_classes,
        seed=context.seed,
        sample_rate=context.sample_rate,
        predicting=context.predicting,
        train_mask=None if sets is None else sets == TRAIN,
    )
    frame = frame.reset_index(drop=True)
    return Part({n: frame[n] for n in frame.columns if n not in RESERVED}, rows, sets)


def to_frame(part: Part, like: Frame) -> Frame:
    """The inverse of `to_part`: ids as index, and the runner's columns of ``like``; unpacked."""
    device, frame = part.rows.device, part.frame(list(part.columns))
    frame.index = like.index
    own = {n: device.unpack_integers(like[n]) for n in like.columns if n in RESERVED}
    return frame.assign(**own)


def select_rows(part: Part, mask: Array) -> Part:
    """The rows where the mask is True."""
    if bool(mask.all()):
        return part
    rows, sets, columns = part.rows, part.sets, {}
    if part.columns:
        frame = rows.device.make_frame(part.columns)[mask].reset_index(drop=True)
        columns = {n: frame[n] for n in part.columns}
    own = replace(
        rows,
        ids=rows.ids[mask],
        label=None if rows.label is None else rows.label[mask],
        weight=None if rows.weight is None else rows.weight[mask],
        train_mask=None if rows.train_mask is None else rows.train_mask[mask],
    )
    return Part(columns, own, None if sets is None else sets[mask])


def select_training_rows(part: Part) -> Part:
    """The training rows; all rows when there are no sets."""
    return part if part.rows.train_mask is None else select_rows(part, part.rows.train_mask)


def find_last_regroup(ops: Iterable[Op]) -> int:
    """The position of the last op that looks at rows of all sets; -1 if none does."""
    return max((i for i, op in enumerate(ops) if op.fit_on == "all"), default=-1)


def apply_steps(part: Part, steps: Sequence[Step]) -> Part:
    """The partition after the steps; training rows get their out-of-fold values."""
    for step in steps:
        part = _after(part, step)
    return part


def _after(part: Part, step: Step) -> Part:
    declared = [column.name for column in step.produces]
    removed = set(step.removes)
    kept = {n: s for n, s in part.columns.items() if n not in removed}
    if not declared:
        return replace(part, columns=kept)
    seen = part.frame(step.reads)
    transform = step.op.transform if part.sets is None else step.op.transform_train
    with annotate(step.op.name):
        made = transform(seen, step.state, part.rows)
    if list(made.columns) != declared or len(made) != len(part.rows.ids):
        raise AssertionError(
            f"{step.op.name} made {list(made.columns)} × {len(made)}, "
            f"not {declared} × {len(part.rows.ids)}"
        )
    return replace(part, columns=kept | {name: made[name] for name in declared})


def transform_frame(frame: Frame, steps: Sequence[Step], context: TransformContext) -> Frame:
    """The frame after the steps, rows of all sets."""
    return to_frame(apply_steps(to_part(frame, context), steps), frame)


def summarise_steps(
    frame: Frame, steps: Sequence[Step], pending: Sequence[int], context: TransformContext
) -> dict[int, Summary]:
    """Summaries of the pending steps, each at its place in the chain.

    ``steps`` holds the usable steps and the pending ones; a pending step that is not usable
    changes nothing here: whatever reads its columns waits for a later phase. Rows and columns that
    no step needs are dropped as soon as possible (lag looks at the rows of all sets).
    """
    keep_all_until = find_last_regroup(s.op for s in steps)
    sample = all(steps[i].op.fit_on == "sample" for i in pending)
    part = _narrowed(to_part(frame, context), {n for s in steps for n in s.reads})
    found: dict[int, Summary] = {}
    if keep_all_until < 0:
        part = _fitted_on(part, sample)
    for position, step in enumerate(steps):
        if position in pending:
            own = part if step.op.fit_on == "all" else select_training_rows(part)
            with annotate(f"{step.op.name}: summarise"):
                found[position] = step.op.summarise(own.frame(step.reads), own.rows, step.state)
        if step.usable and not step.idle:
            part = _after(part, step)
        if position == keep_all_until:
            part = _fitted_on(part, sample)
    return found


def _narrowed(part: Part, names: Container[str]) -> Part:
    return replace(part, columns={n: s for n, s in part.columns.items() if n in names})


def _fitted_on(part: Part, sample: bool) -> Part:
    """The training rows; of these the sample alone, where that is all that is looked at."""
    if not sample:
        return select_training_rows(part)
    mask, train_mask = part.rows.sample_mask(), part.rows.train_mask
    return select_rows(part, mask if train_mask is None else mask & train_mask)


def find_active_steps(steps: Mapping[int, Step], pending: Container[int]) -> dict[int, Step]:
    """What a pass needs of these steps, by their places: those that are pending, and those whose
    columns they use, however indirectly."""
    needed: set[str] = set()
    found: dict[int, Step] = {}
    for place, step in reversed(list(steps.items())):
        made = {c.name for c in step.produces}
        idle = not made & needed
        if not idle:
            needed -= made
        if not idle or place in pending:
            needed |= set(step.reads)
            found[place] = replace(step, idle=idle)
    return dict(reversed(list(found.items())))


def merge_summaries(
    a: dict[int, Summary], b: dict[int, Summary], steps: Sequence[Step]
) -> dict[int, Summary]:
    """Two partitions' summaries, op by op."""
    return {i: steps[i].op.merge(a[i], b[i]) for i in a}


def hash_group(frame: Frame, names: Sequence[str], device_name: str) -> Array:
    """int64 (n,) in [0, 2^32): equal for rows of the same entity, on every partition."""
    device = frames_of(device_name)
    number = device.xp.zeros(len(frame), dtype="int64")
    for name in names:
        number = device.hash_ints(number * 2**32 + device.hash_values(frame[name], 1), 2)
    return number


def build_matrices(
    frame: Frame, steps: Sequence[Step], features: Sequence[Feature], context: TransformContext
) -> dict[str, Matrix]:
    """The frame's rows as a float32 matrix per set: what the models train on and score.

    Rows that the context does not want go before the steps, where no step looks at them.
    """
    part = to_part(frame, context)
    if find_last_regroup(s.op for s in steps) < 0:
        part = select_rows(part, _wanted(part, context))
    part = apply_steps(part, steps)
    rows, wanted = part.rows, _wanted(part, context)
    seen, device = _completed(part, features), part.rows.device
    found: dict[str, Matrix] = {}
    for number, set_name in enumerate(SETS):
        at = device.xp.flatnonzero((part.sets == number) & wanted)
        if len(at):
            x = device.to_matrix(seen, list(seen.columns), at)
            label, weight = (None if a is None else a[at] for a in (rows.label, rows.weight))
            found[set_name] = Matrix(x, label, weight, rows.ids[at])
    return found


def _completed(part: Part, features: Sequence[Feature]) -> Frame:
    """The features' columns, in order, as the models get them."""
    device, frame = part.rows.device, part.frame([f.name for f in features])
    codes = {f.name: zero_missing_codes(frame[f.name], device) for f in features if f.kind == "c"}
    return frame.assign(**codes)


def _wanted(part: Part, context: TransformContext) -> Array:
    """bool (n,): rows of the wanted sets; of the training rows, those of the sample."""
    wanted = part.rows.device.xp.zeros(len(part.rows.ids), dtype=bool)
    for number, name in enumerate(SETS):
        if name in context.sets:
            own = part.sets == number
            if name == "train" and context.train_rate < 1:
                own = own & replace(part.rows, sample_rate=context.train_rate).sample_mask()
            wanted = wanted | own
    return wanted


def build_scoring_matrix(
    frame: Frame, steps: Sequence[Step], features: Sequence[Feature], context: TransformContext
) -> tuple[Array, Frames]:
    """The float32 matrix of new rows, in the frame's order."""
    part = apply_steps(to_part(frame, context), steps)
    device, seen = part.rows.device, _completed(part, features)
    return device.to_matrix(seen, list(seen.columns)), device
