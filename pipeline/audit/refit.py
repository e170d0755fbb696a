"""Refits of the features on a sample of the rows, with some values or labels changed.

If fitted state depends on the training rows alone, it is the same to the bit whatever values the
other rows have. If a training row's encoding is out of fold, it is the same whatever labels the
rows of its own fold have.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from pipeline.artifacts.ledger import Ledger
from pipeline.cluster import partitions
from pipeline.cluster.synchronous import SynchronousClient
from pipeline.device import cpu, dtype_of
from pipeline.execution.context import Listener, RunContext
from pipeline.execution.executor import Executor
from pipeline.execution.run_state import FeatureChoice, LabeledData, RunState
from pipeline.execution.stage_cache import StageCache
from pipeline.execution.stages.features import BuildFeatures
from pipeline.features.engine import transform
from pipeline.features.engine.fit import FittedPlan
from pipeline.features.ops.target_encode import TargetEncode
from pipeline.features.registry import dump_op
from pipeline.matrix import Matrix, SetName, Target
from pipeline.schema import LABEL, RESERVED, SET, SETS, TRAIN, WEIGHT, Dtype

WORD = "\x07held out"
"""Text that no table contains."""


@dataclass(frozen=True)
class SampledRun:
    """A run whose rows are the sample, in memory."""

    context: RunContext
    rows: LabeledData
    """The facts about all rows; its partitions are not used."""
    frame: pd.DataFrame
    """Rows in storage dtypes, with label and set; row ids as index."""

    def with_frame(self, frame: pd.DataFrame) -> SampledRun:
        """Replace the values of the rows."""
        return replace(self, frame=frame)

    @property
    def training_mask(self) -> np.ndarray:
        """bool (n,): the training rows."""
        mask: np.ndarray = cpu.to_arrays(self.frame[SET])[0] == TRAIN
        return mask


@dataclass(frozen=True)
class Refit:
    """Features fitted on the training rows of a frame."""

    choice: FeatureChoice
    plan: FittedPlan


def refit_features(sampled: SampledRun) -> Refit:
    """Run the features stage on the sample, in the calling thread."""
    rows = replace(
        sampled.rows,
        parts=partitions.map_partitions([0], _take_frame, sampled.frame),
        # The caller makes the matrices that it compares, so none are persisted.
        plan=replace(sampled.rows.plan, in_memory=False),
    )
    choice = sampled.context.job.choice
    # Each refit has a folder of its own: it must not find the states of another one.
    with TemporaryDirectory(dir=sampled.context.folder) as name:
        folder = Path(name)
        context = RunContext(
            sampled.context.job,
            folder,
            Ledger(folder / "ledger.jsonl", choice.requested, choice.name, choice.reason),
            SynchronousClient(),
            sampled.context.threads,
            Listener(),
            StageCache(folder, records=False),
        )
        executor = Executor(RunState(context, rows=rows), [BuildFeatures()])
        executor.run_all()
    state = executor.state
    assert state.choice is not None
    return Refit(state.choice, state.fitted_features.plan)


def _take_frame(_: int, frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def build_matrices(sampled: SampledRun, plan: FittedPlan) -> dict[SetName, Matrix]:
    """Build the models' matrix of each set."""
    matrices = transform.build_matrices(
        sampled.frame, plan.steps, plan.features, sampled.rows.context
    )
    return {which: matrices[which] for which in SETS if which in matrices}


# -- rows that do not train ------------------------------------------------------------------------


def perturb_held_out_rows(sampled: SampledRun, *, fixed: set[str], tame: set[str]) -> SampledRun:
    """Replace values and labels of all rows that do not train; sets and ids do not change.

    Every second one gets a value that no row has: the largest number, the latest time, or an
    unused word. The others get values of training rows, in another order.

    Args:
        sampled: the run.
        fixed: columns that do not change.
        tame: columns that get values of training rows only, because an op refuses others.
    """
    frame, held_out = sampled.frame, ~sampled.training_mask
    changed = {
        name: _perturb(frame[name], held_out, wild=name not in tame)
        for name in map(str, frame.columns)
        if name not in RESERVED | fixed
    }
    changed[LABEL] = _flip(frame[LABEL], held_out, sampled.rows.target)
    if WEIGHT in frame.columns:
        weights = cpu.to_floats(frame[WEIGHT])
        changed[WEIGHT] = _make_column(
            np.where(held_out, weights + 1, weights), "float64", None, frame.index
        )
    return sampled.with_frame(frame.assign(**changed))


def _perturb(series: pd.Series, held_out: np.ndarray, *, wild: bool) -> pd.Series:
    at, train = np.flatnonzero(held_out), np.flatnonzero(~held_out)
    # A fixed stride through the training rows: every audit of a run perturbs it in the same way.
    drawn = train[(np.arange(len(at)) * 7919 + 1) % len(train)]
    odd = at[::2] if wild else at[:0]
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, categories = cpu.to_codes(series)
        codes = codes.copy()
        codes[at] = codes[drawn]
        codes[odd] = len(categories)
        text = cpu.make_text(codes, np.append(categories.astype(object), WORD))
        return text.set_axis(series.index)
    values, missing = (a.copy() for a in cpu.to_arrays(series))
    values[at], missing[at] = values[drawn], missing[drawn]
    values[odd], missing[odd] = _find_larger_value(values[~missing]), False
    dtype = dtype_of(series)
    # Floats mark a missing value by NaN, other types by the mask.
    mask = None if dtype.startswith("float") else missing
    return _make_column(values, dtype, mask, series.index)


def _find_larger_value(values: np.ndarray) -> float:
    """Return a value above all others, if the type has room for one."""
    if values.dtype.kind == "b":
        return True
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not len(values):
        return 1
    high, low = values.max().item(), values.min().item()
    # The matrix holds float32, and arithmetic of ops must not overflow int64.
    limit = float(np.finfo("float32").max) if values.dtype.kind == "f" else 2**62
    larger: float = max(high, min(high + (high - low) + 1, max(limit, high)))
    return larger


def _make_column(
    values: np.ndarray, dtype: Dtype, missing: np.ndarray | None, index: pd.Index
) -> pd.Series:
    column: pd.Series = cpu.make_series(values, dtype, missing).set_axis(index)
    return column


def _flip(label: pd.Series, which: np.ndarray, target: Target) -> pd.Series:
    """Change the labels of some rows."""
    values = cpu.to_floats(label)
    is_regression = target.task == "regression"
    other = -2 * values + 1 if is_regression else (values + 1) % len(target.classes)
    return _make_column(np.where(which, other, values), "float64", None, label.index)


# -- labels of a fold ------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelFlip:
    """Changes of an op's encodings after labels were flipped."""

    op: int
    """Number of the step."""
    columns: tuple[str, ...]
    flipped: int
    """Number of training rows whose label was flipped: one, or those of a fold."""
    moved: int
    """Number of flipped rows whose own encoding changed; it should be 0."""
    others: int
    """Number of other training rows whose encoding changed; if 0, the flip had no effect."""


def flip_labels(sampled: SampledRun, base: Refit) -> Iterator[LabelFlip]:
    """Refit with the labels of one fold flipped, and of one row, for each op with folds."""
    training = sampled.training_mask
    at = np.flatnonzero(training)
    for number, step in enumerate(base.plan.steps):
        if not isinstance(step.op, TargetEncode):
            continue
        fold, before = _encode(sampled, base.plan, number)
        one_row = np.zeros(len(training), dtype=bool)
        one_row[at[len(training) % len(at)]] = True
        # A fold shows that its rows are encoded without it; a single row also shows a leak that
        # would cancel out over a fold.
        for which in (training & (fold == fold[at[0]]), one_row):
            label = _flip(sampled.frame[LABEL], which, sampled.rows.target)
            other = refit_features(sampled.with_frame(sampled.frame.assign(**{LABEL: label})))
            _, after = _encode(sampled, other.plan, number)
            changed = np.any(
                [before[name].view("int64") != after[name].view("int64") for name in before],
                axis=0,
            )
            yield LabelFlip(
                number,
                tuple(before),
                int(which.sum()),
                int((changed & which).sum()),
                int((changed & training & ~which).sum()),
            )


def _encode(
    sampled: SampledRun, plan: FittedPlan, number: int
) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """Return the fold of each row, and the step's encodings of the rows as when fitting."""
    part = transform.apply_steps(
        transform.to_part(sampled.frame, sampled.rows.context), plan.steps[:number]
    )
    step = plan.steps[number]
    assert isinstance(step.op, TargetEncode)
    fold = step.op.assign_folds(part.frame(step.reads), part.rows, step.state)
    after = transform.apply_steps(part, [step])
    return fold, {c.name: cpu.to_floats(after.columns[c.name]) for c in step.produces}


# -- comparison of refits --------------------------------------------------------------------------


def find_changed_states(a: FittedPlan, b: FittedPlan) -> list[tuple[int, str]]:
    """Return (step, place in its state) of all state that differs by a bit.

    The state of `lag` holds the last rows of each entity, of all sets, by design: new data follow
    them. Its values for training rows are compared instead (`find_changed_columns`).
    """
    places = []
    for number, (one, other) in enumerate(zip(a.steps, b.steps, strict=True)):
        if one.op.fit_on != "all":
            places += [(number, where) for where in _differences(one.state, other.state, "state")]
    return places


def _differences(a: object, b: object, where: str) -> Iterator[str]:
    if isinstance(a, pd.DataFrame) and isinstance(b, pd.DataFrame):
        if not a.equals(b) or list(a.dtypes) != list(b.dtypes):
            yield where
    elif isinstance(a, Mapping) and isinstance(b, Mapping) and a.keys() == b.keys():
        for key in a:
            yield from _differences(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        for i, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from _differences(one, other, f"{where}[{i}]")
    elif isinstance(a, float) and isinstance(b, float):
        # NaN equals NaN here, and 0.0 does not equal -0.0.
        if a.hex() != b.hex():
            yield where
    elif type(a) is not type(b) or a != b:
        yield where


def find_changed_columns(a: Matrix, b: Matrix, names: Sequence[str]) -> list[str]:
    """Return the columns of the training rows' matrix that differ by a bit."""
    if not np.array_equal(a.ids, b.ids):
        return list(names)
    changed = (a.x.view("int32") != b.x.view("int32")).any(axis=0)
    return [name for name, differs in zip(names, changed, strict=True) if differs]


def is_same_choice(a: Refit, b: Refit) -> bool:
    """Return whether both have the same ops and left out the same columns."""
    ops = [[dump_op(op) for op in fit.choice.ops] for fit in (a, b)]
    return ops[0] == ops[1] and dict(a.choice.left_out) == dict(b.choice.left_out)
