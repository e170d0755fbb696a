"""The features fitted again on a sample of the rows, and on what it might have been.

If what is fitted depends on the training rows alone, it is the same to the bit whatever the other
rows hold. If a training row's encoding is out of fold, it is the same whatever the labels of its
own fold are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

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
from pipeline.schema import LABEL, RESERVED, SET, SETS, TRAIN, WEIGHT

WORD = "\x07held out"
"""Text that no table holds."""


@dataclass(frozen=True)
class SampledRun:
    """Rows that are all in memory, and the run that they are of."""

    context: RunContext
    rows: LabeledData
    """What was settled of all rows; its partitions are not used."""
    frame: pd.DataFrame
    """In storage dtypes, with label and set; row ids as index."""

    def with_frame(self, frame: pd.DataFrame) -> SampledRun:
        """Other values in the same rows."""
        return replace(self, frame=frame)

    @property
    def training_mask(self) -> np.ndarray:
        """bool (n,): the training rows."""
        found: np.ndarray = cpu.to_arrays(self.frame[SET])[0] == TRAIN
        return found


@dataclass(frozen=True)
class Refit:
    """Features fitted on the training rows of a frame."""

    choice: FeatureChoice
    plan: FittedPlan


def refit_features(of: SampledRun) -> Refit:
    """Run the features stage on the sample, in the calling thread."""
    rows = replace(
        of.rows,
        parts=partitions.map_partitions([0], _take_frame, of.frame),
        # The caller makes the matrices that it compares, so none are persisted.
        plan=replace(of.rows.plan, in_memory=False),
    )
    choice = of.context.job.choice
    # Each refit has a folder of its own: it must not find the states of another one.
    with TemporaryDirectory(dir=of.context.folder) as name:
        folder = Path(name)
        context = RunContext(
            of.context.job,
            folder,
            Ledger(folder / "ledger.jsonl", choice.requested, choice.name, choice.reason),
            SynchronousClient(),
            of.context.threads,
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


def build_matrices(of: SampledRun, plan: FittedPlan) -> dict[SetName, Matrix]:
    """The rows as the models would get them, by set."""
    found = transform.build_matrices(of.frame, plan.steps, plan.features, of.rows.context)
    return {which: found[which] for which in SETS if which in found}


# -- rows that do not train ------------------------------------------------------------------------


def perturb_held_out_rows(of: SampledRun, *, kept: set[str], tame: set[str]) -> SampledRun:
    """The rows with other values and labels in all rows that do not train; sets and ids are kept.

    Every second one of them gets a value that no row has: above all numbers, after all times, a
    word of our own. The others get those of training rows, in another order.

    Args:
        kept: columns that stay as they are.
        tame: columns that get values of training rows only, because an op refuses others.
    """
    frame, held = of.frame, ~of.training_mask
    made = {
        name: _replaced(frame[name], held, wild=name not in tame)
        for name in map(str, frame.columns) if name not in RESERVED | kept
    }  # fmt: skip
    own = {LABEL: _flipped(frame[LABEL], held, of.rows.target)}
    if WEIGHT in frame.columns:
        weights = cpu.to_floats(frame[WEIGHT])
        own[WEIGHT] = _column(np.where(held, weights + 1, weights), "float64", None, frame.index)
    return of.with_frame(frame.assign(**made, **own))


def _replaced(series: pd.Series, held: np.ndarray, *, wild: bool) -> pd.Series:
    at, train = np.flatnonzero(held), np.flatnonzero(~held)
    drawn = train[(np.arange(len(at)) * 7919 + 1) % len(train)]
    odd = at[::2] if wild else at[:0]
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, words = cpu.to_codes(series)
        codes = codes.copy()
        codes[at] = codes[drawn]
        codes[odd] = len(words)
        text = cpu.make_text(codes, np.append(words.astype(object), WORD))
        return text.set_axis(series.index)
    values, missing = (a.copy() for a in cpu.to_arrays(series))
    values[at], missing[at] = values[drawn], missing[drawn]
    values[odd], missing[odd] = _beyond(values[~missing]), False
    dtype = dtype_of(series)
    return _column(values, dtype, None if dtype.startswith("float") else missing, series.index)


def _beyond(values: np.ndarray) -> Any:
    """A value above all others, if there is room for one."""
    if values.dtype.kind == "b":
        return True
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    if not len(values):
        return 1
    high, low = values.max().item(), values.min().item()
    limit = float(np.finfo("float32").max) if values.dtype.kind == "f" else 2**62
    return max(high, min(high + (high - low) + 1, max(limit, high)))


def _column(
    values: np.ndarray, dtype: Any, missing: np.ndarray | None, index: pd.Index
) -> pd.Series:
    return cpu.make_series(values, dtype, missing).set_axis(index)


def _flipped(label: pd.Series, which: np.ndarray, target: Target) -> pd.Series:
    """The labels with those of some rows made others."""
    values = cpu.to_floats(label)
    regression = target.task == "regression"
    other = -2 * values + 1 if regression else (values + 1) % len(target.classes)
    return _column(np.where(which, other, values), "float64", None, label.index)


# -- labels of a fold ------------------------------------------------------------------------------


@dataclass(frozen=True)
class LabelFlip:
    """What became of an op's encodings when labels were flipped."""

    op: int
    """The step."""
    columns: tuple[str, ...]
    flipped: int
    """Training rows whose label was flipped: one, or those of a fold."""
    moved: int
    """Of these, rows whose own encoding changed: there should be none."""
    others: int
    """Other training rows whose encoding changed: without any, nothing was shown."""


def flip_labels(of: SampledRun, base: Refit) -> Iterator[LabelFlip]:
    """Refits with the labels of one fold flipped, and of one row, for each op with folds."""
    trains = of.training_mask
    at = np.flatnonzero(trains)
    for number, step in enumerate(base.plan.steps):
        if not isinstance(step.op, TargetEncode):
            continue
        fold, before = _encoded(of, base.plan, number)
        of_row = np.zeros(len(trains), dtype=bool)
        of_row[at[len(trains) % len(at)]] = True
        for which in (trains & (fold == fold[at[0]]), of_row):
            label = _flipped(of.frame[LABEL], which, of.rows.target)
            other = refit_features(of.with_frame(of.frame.assign(**{LABEL: label})))
            _, after = _encoded(of, other.plan, number)
            changed = _unlike(before, after)
            yield LabelFlip(
                number, tuple(before), int(which.sum()), int((changed & which).sum()),
                int((changed & trains & ~which).sum()),
            )  # fmt: skip


def _encoded(
    of: SampledRun, plan: FittedPlan, number: int
) -> tuple[np.ndarray, Mapping[str, np.ndarray]]:
    """(fold of each row; what the step makes of the rows, as when fitting)."""
    part = transform.apply_steps(transform.to_part(of.frame, of.rows.context), plan.steps[:number])
    step = plan.steps[number]
    assert isinstance(step.op, TargetEncode)
    fold = step.op.assign_folds(part.frame(step.reads), part.rows, step.state)
    after = transform.apply_steps(part, [step])
    return fold, {c.name: cpu.to_floats(after.columns[c.name]) for c in step.produces}


def _unlike(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> np.ndarray:
    """bool (n,): rows where any column differs by a bit."""
    pairs = [a[name].view("int64") != b[name].view("int64") for name in a]
    found: np.ndarray = np.any(pairs, axis=0)
    return found


# -- comparing what is fitted ----------------------------------------------------------------------


def find_changed_states(a: FittedPlan, b: FittedPlan) -> list[tuple[int, str]]:
    """(step, where in its state) of what is not the same to the bit.

    The state of `lag` holds the last rows of each entity, of all sets, by design: new data continue
    them. What it makes of training rows is compared instead (`find_changed_columns`).
    """
    found = []
    for number, (one, other) in enumerate(zip(a.steps, b.steps, strict=True)):
        if one.op.fit_on != "all":
            found += [(number, where) for where in _differences(one.state, other.state, "state")]
    return found


def _differences(a: Any, b: Any, where: str) -> Iterator[str]:
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
        if a.hex() != b.hex():
            yield where
    elif type(a) is not type(b) or a != b:
        yield where


def find_changed_columns(a: Matrix, b: Matrix, names: Sequence[str]) -> list[str]:
    """The columns of the training rows' matrix that are not the same to the bit."""
    if not np.array_equal(a.ids, b.ids):
        return list(names)
    unlike = (a.x.view("int32") != b.x.view("int32")).any(axis=0)
    return [name for name, other in zip(names, unlike, strict=True) if other]


def is_same_choice(a: Refit, b: Refit) -> bool:
    """Whether both have the same ops and the same columns left out."""
    ops = [[dump_op(op) for op in fit.choice.ops] for fit in (a, b)]
    return ops[0] == ops[1] and dict(a.choice.left_out) == dict(b.choice.left_out)
