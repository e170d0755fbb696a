"""The contract of a feature op: a frozen pydantic model (its YAML entry) and up to five pure steps.

    reads, produces, removes   the columns it needs, returns and takes away (from a `Schema` alone)
    summarise(frame, …)        reduces one partition to a small summary on the host
    merge(a, b)                combines two summaries; associative and commutative
    finish(summary, …)         turns a summary into the fitted state
    transform(frame, …)        computes the produced columns of n rows
    transform_train(frame, …)  the same while fitting, where training rows need out-of-fold values

An op sees a frame of exactly the columns that it `reads` (n rows, RangeIndex). It returns a frame
of exactly the columns that it `produces`, n rows in the same order. The engine
(`pipeline.features.engine`) does the rest: it restores the index, replaces and appends columns,
checks dtypes, and skips ops whose columns no model uses. ``summarise`` and ``transform`` run on the
device, the other steps on the host.

Frames are values: an op never changes its arguments. It has no row loops and no ``apply``.
Differences between pandas and cuDF are functions of ``rows.device`` (`pipeline.device.Frames`).
Ops that treat each selected column alone are shorter with a base of `pipeline.features.column_op`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self

import pandas as pd
from pydantic import BaseModel, ConfigDict

from pipeline.device import Array, Frame, Frames
from pipeline.errors import ConfigError
from pipeline.features.saved_state import SavedState
from pipeline.matrix import Task
from pipeline.schema import RESERVED, Column, Kind, Schema, Select, rename_keys

Summary = Any
"""Summary on the host: pandas, NumPy and Python values. It is small, as it holds counts or sums."""

State = Mapping[str, Any]
"""Fitted state: JSON values (str, int, float, bool, None, lists, dicts of str) and pandas frames.

Frames become Parquet files (RangeIndex; columns of int64, float64, bool, str, datetime64[us]).
"""


@dataclass(frozen=True)
class Rows:
    """The n rows of a frame beside their columns: ids, label, weight, and how they are used."""

    device: Frames
    ids: Array
    """int64, n: record numbers. Folds and samples are hashes of them."""
    label: Array | None = None
    """float64, n: 0/1 (binary), 0…k-1 (multiclass) or the value (regression). None at predict."""
    weight: Array | None = None
    """float64, n: row weights, or None for rows that count once each.

    An op learns the same from a row of weight 2 as from two such rows, and nothing from a row of
    weight 0: `tests/contract/test_op_weights.py` checks both for every fitted op. A run drops rows
    of weight 0 before ops see any. An op that learns the sequence of the rows (lag) or their number
    (join) counts each row once, and its docstring says so."""
    task: Task = "regression"
    n_classes: int = 0
    """Number of classes; 0 for a regression."""
    seed: int = 0
    sample_rate: float = 1.0
    """Share of the rows in the sample (decision 5); 1.0 while all rows fit into memory."""
    predicting: bool = False
    """True when scoring new data with a fitted state."""
    train_mask: Array | None = None
    """bool, n: True for rows of the training set; None: all rows are."""

    def assign_folds(self, k: int) -> Array:
        """Return int64 in [0, k): the fold of each row, from its id (seed + 1)."""
        return self.device.hash_ints(self.ids, self.seed + 1) % k

    def sample_mask(self) -> Array:
        """Return bool, n: True for rows of the sample (seed + 2), the same on every layout."""
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
    """Name of the op in the YAML file; also its module's name."""
    requires_fit: ClassVar[bool] = False
    """The op has `summarise`: it must see rows before its state is final."""
    can_transform_unfitted: ClassVar[bool] = False
    """`transform` needs only the state of `prepare`, although the op is fitted (join, lag)."""
    fit_on: ClassVar[Literal["train", "sample", "all"]] = "train"
    """Rows that `summarise` needs: training rows, or the sample of them (it may be given more).
    Only lag, which continues a series, needs rows of all sets."""
    columnwise: ClassVar[bool] = False
    """Each of the op's `columns` (a `Select`) is independent: unused ones are pruned."""
    column_keys: ClassVar[tuple[str, ...]] = ("columns",)
    """Parameters whose values, or keys of whose mappings, are names of columns."""
    n_passes: ClassVar[int] = 1
    """Number of times that `summarise` and `finish` run; later passes get the state so far."""

    state_model: ClassVar[type[SavedState]] = SavedState
    """Model that the fitted state of a loaded run is checked against."""

    # -- the schema's side -----------------------------------------------------------------------
    def reads(self, schema: Schema) -> list[str]:
        """Return the columns that summarise and transform need."""
        raise NotImplementedError

    def produces(self, schema: Schema) -> list[Column]:
        """Return the columns of `transform`; one with an existing name replaces that column."""
        return []

    def removes(self, schema: Schema) -> list[str]:
        """Return the columns that disappear after this op, beside replaced ones."""
        return []

    def output_schema(self, schema: Schema) -> Schema:
        """Return the schema after this op."""
        return schema.drop(self.removes(schema)).with_columns(self.produces(schema))

    def rename_columns(self, rename: Callable[[str], str]) -> Self:
        """Return the op for columns of other names: those that ``rename`` returns for its own."""
        values = {key: getattr(self, key) for key in self.column_keys}
        changed = {key: _rename_names(value, rename) for key, value in values.items()}
        changed = {key: value for key, value in changed.items() if value != values[key]}
        return self.model_copy(update=changed) if changed else self

    def can_read_target(self) -> bool:
        """Return whether the op may read columns of the target expression (lag with a gap)."""
        return False

    def tables(self) -> dict[str, list[str] | None]:
        """Return the side tables it needs, with the columns it uses of each (None: all)."""
        return {}

    def regroup_by(self) -> tuple[list[str], list[str]] | None:
        """Return (entity columns, order columns) if rows of an entity must share a partition."""
        return None

    def resolve_outputs(self, state: State) -> Op:
        """Return the fitted op, with output columns that depend on the data filled in (one_hot)."""
        return self

    def is_dynamic(self) -> bool:
        """Return whether the produced columns are unknown before fitting."""
        return False

    # -- the data's side --------------------------------------------------------------------------
    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Return the state that is known before any row is read, from side tables."""
        return {}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Summarise one partition. ``state`` comes from `prepare`, or from the previous pass."""
        raise NotImplementedError

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Merge two summaries."""
        raise NotImplementedError

    def finish(self, summary: Summary, state: State) -> State:
        """Return the fitted state of this pass."""
        raise NotImplementedError

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Compute the produced columns; without an override there are none."""
        return rows.device.make_frame({})

    def transform_train(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Compute the produced columns while fitting; only training rows may differ."""
        return self.transform(frame, state, rows)


def _rename_names(value: Any, rename: Callable[[str], str]) -> Any:
    """Return a parameter that names columns with other names; numbers and None stay."""
    match value:
        case str():
            return rename(value)
        case Select():
            return value.rename(rename)
        case tuple():
            return tuple(_rename_names(item, rename) for item in value)
        case Mapping():
            return rename_keys(value, rename)
    return value


def require_kinds(
    schema: Schema, names: list[str], kinds: Iterable[Kind], op: str, fix: str = ""
) -> list[str]:
    """Return ``names`` if each is a column of one of these kinds.

    Raises:
        ConfigError: a column is of another kind; the message names it and its kind.
    """
    allowed = set(kinds)
    wrong = [n for n in names if schema[n].kind not in allowed]
    if wrong:
        converter = "dates" if schema[wrong[0]].kind == "datetime" else "categorify"
        raise ConfigError(
            f"{op} takes {' or '.join(sorted(allowed))} columns",
            examples=tuple(f"{n} is {schema[n].kind}" for n in wrong),
            fix=fix or f"leave them out, or convert them first (cast, {converter})",
        )
    return names


def check_new_names(names: Iterable[str]) -> None:
    """Refuse names that no new column may have.

    Raises:
        ValueError: a name is empty, or is reserved for columns of the pipeline.
    """
    if reserved := RESERVED & set(names):
        raise ValueError(f"{min(reserved)!r} is reserved for a column of the pipeline")
    if "" in names:
        raise ValueError("a name cannot be empty")


def output_name(pattern: str | None, column: str) -> str:
    """Return the name of the result for ``column``: ``as: "{column}_te"``, or the column's name.

    Raises:
        ConfigError: the pattern has other braces than ``{column}``.
    """
    if pattern is None:
        return column
    rest = pattern.replace("{column}", "")
    if "{" in rest or "}" in rest:  # braces of the column's own name are allowed
        raise ConfigError(
            f"as: {pattern!r} has other braces than {{column}}",
            fix='write the pattern like as: "{column}_new"',
        )
    return pattern.replace("{column}", column)
