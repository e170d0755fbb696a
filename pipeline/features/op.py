"""What a feature op is: a frozen pydantic model (its YAML entry) and up to five pure steps.

    reads, produces, removes   which columns it needs, makes and takes away (from a `Schema` alone)
    summarise(frame, …)        one partition to a small summary on the host
    merge(a, b)                two summaries to one; associative and commutative
    finish(summary, …)         a summary to the fitted state
    transform(frame, …)        the produced columns of n rows
    transform_train(frame, …)  the same while fitting, where training rows need out-of-fold values

An op sees a frame of just the columns it `reads` (n rows, RangeIndex) and returns a frame of just
the columns it `produces`, n rows in the same order. The plan (`features/plan.py`) does the rest:
it puts the index back, replaces and appends columns, checks dtypes, and skips ops whose columns no
model uses. ``summarise`` and ``transform`` run on the device, the others on the host.

Frames are values: an op never changes its arguments. No row loops, no ``apply``. Differences
between pandas and cuDF are functions of ``rows.device`` (`pipeline.device.Frames`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict

from pipeline.device import Array, Frame, Frames
from pipeline.errors import ConfigError
from pipeline.features.saved_state import SavedState
from pipeline.matrix import Task
from pipeline.schema import Column, Schema

Summary = Any
"""A summary on the host: pandas, NumPy and Python values. Small: it has been counted or summed."""

State = Mapping[str, Any]
"""Fitted state: JSON values (str, int, float, bool, None, lists, dicts of str) and pandas frames.

Frames become Parquet files (RangeIndex; columns of int64, float64, bool, str, datetime64[us]).
"""


@dataclass(frozen=True)
class Rows:
    """What the runner knows of the n rows of a frame, beside their columns."""

    device: Frames
    ids: Array
    """int64, n: the record numbers. Folds and samples are hashes of these."""
    label: Array | None = None
    """float64, n: 0/1 (binary), 0…k-1 (multiclass) or the value (regression). None at predict."""
    weight: Array | None = None
    """float64, n: row weights, or None."""
    task: Task = "regression"
    n_classes: int = 0
    """Number of classes; 0 for a regression."""
    seed: int = 0
    sample_rate: float = 1.0
    """Share of the rows in the sample (decision 5); 1.0 while they fit."""
    predicting: bool = False
    """True when scoring new data with a finished state."""
    train_mask: Array | None = None
    """bool, n: the rows of the training set; None: all of them are."""

    def assign_folds(self, k: int) -> Array:
        """int64 in [0, k): the fold of each row, from its id (seed + 1)."""
        return self.device.hash_ints(self.ids, self.seed + 1) % k

    def sample_mask(self) -> Array:
        """bool, n: rows of the sample (seed + 2): the same rows on every layout."""
        return self._in_sample

    @cached_property
    def _in_sample(self) -> Array:
        # Ops ask once per column: hashing each time was a tenth of the fitting (docs/benchmarks.md)
        if self.sample_rate >= 1:
            return self.device.xp.ones(len(self.ids), dtype="bool")
        hashes = self.device.hash_ints(self.ids, self.seed + 2)
        return hashes < int(self.sample_rate * 2**32)


class Op(BaseModel):
    """Base of all ops. Think twice before adding anything to this class."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
    )

    name: ClassVar[str]
    """The op's name in the YAML file; also its module's name."""
    requires_fit: ClassVar[bool] = False
    """It has `summarise`: it must see the rows before its state is final."""
    can_transform_unfitted: ClassVar[bool] = False
    """A fitted op whose `transform` needs no more than `prepare` gave it (join, lag)."""
    fit_on: ClassVar[Literal["train", "sample", "all"]] = "train"
    """The rows that `summarise` needs: the training rows, or those of the sample; it may see more
    of the former. "all" is for lag alone, which continues a series."""
    columnwise: ClassVar[bool] = False
    """Each of its `columns` (a `Select`) is treated alone: the plan leaves out those not used."""
    n_passes: ClassVar[int] = 1
    """How often `summarise`/`finish` run; the second time with the first state."""

    state_model: ClassVar[type[SavedState]] = SavedState
    """What its fitted state must be when a run is loaded."""

    # -- the schema's side -----------------------------------------------------------------------
    def reads(self, schema: Schema) -> list[str]:
        """Columns that summarise and transform need."""
        raise NotImplementedError

    def produces(self, schema: Schema) -> list[Column]:
        """Columns that transform returns; those of an existing name replace it."""
        return []

    def removes(self, schema: Schema) -> list[str]:
        """Columns that are gone after this op, beside replaced ones."""
        return []

    def output_schema(self, schema: Schema) -> Schema:
        """The schema after this op."""
        return schema.drop(self.removes(schema)).with_columns(self.produces(schema))

    def can_read_target(self) -> bool:
        """Whether it may read columns that the target is made of (lag with a gap)."""
        return False

    def tables(self) -> dict[str, list[str] | None]:
        """Side tables it needs, with the columns of each that it uses (None: all)."""
        return {}

    def regroup_by(self) -> tuple[list[str], list[str]] | None:
        """(entity columns, order columns) if an entity's rows must come together, sorted."""
        return None

    def resolve_outputs(self, state: State) -> Op:
        """This op once fitted, where what it produces depends on the data (one_hot)."""
        return self

    def is_dynamic(self) -> bool:
        """True while the produced columns are not known before fitting."""
        return False

    # -- the data's side --------------------------------------------------------------------------
    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """State that is known before any row is read, from side tables."""
        return {}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """One partition's summary. ``state`` is `prepare`'s, or the last pass's."""
        raise NotImplementedError

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Two summaries to one."""
        raise NotImplementedError

    def finish(self, summary: Summary, state: State) -> State:
        """The fitted state of this pass."""
        raise NotImplementedError

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """The produced columns."""
        raise NotImplementedError

    def transform_train(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """The produced columns while fitting: as `transform`'s, but for the rows that train."""
        return self.transform(frame, state, rows)


def require_kinds(
    schema: Schema, names: list[str], kinds: set[str], op: str, fix: str = ""
) -> list[str]:
    """``names``, checked: each is a column of one of these kinds.

    Raises:
        ConfigError: a column is of another kind; the message names it and its kind.
    """
    wrong = [n for n in names if schema[n].kind not in kinds]
    if wrong:
        shown = tuple(f"{n} is {schema[n].kind}" for n in wrong)
        raise ConfigError(
            f"{op} takes {' or '.join(sorted(kinds))} columns", examples=shown,
            fix=fix or f"leave them out, or convert them first (cast, {_coder(schema, wrong[0])})",
        )  # fmt: skip
    return names


def _coder(schema: Schema, name: str) -> str:
    return {"text": "categorify", "datetime": "dates"}.get(schema[name].kind, "categorify")


def output_name(pattern: str | None, column: str) -> str:
    """The name of the column made from ``column``: ``as: "{column}_te"``, or its own.

    Raises:
        ConfigError: the pattern has other braces than ``{column}``.
    """
    if pattern is None:
        return column
    rest = pattern.replace("{column}", "")
    if "{" in rest or "}" in rest:  # of the column's name they may be part
        raise ConfigError(f"as: {pattern!r} may hold only {{column}} in braces")
    return pattern.replace("{column}", column)
