"""target_encode: the target's mean per value, out of fold for training rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from pipeline.config.stored import StoredObject
from pipeline.device import Array, Frame
from pipeline.errors import ConfigError, DataError
from pipeline.features.op import Op, Rows, State, Summary, output_name, require_kinds
from pipeline.features.saved_state import Expected, SavedState, TableName, key_kind
from pipeline.features.stats.key_tables import check_key_count, to_key_values
from pipeline.features.stats.target_means import (
    IS_MISSING,
    KEY,
    FoldSums,
    count_names,
    merge_sums,
    sum_names,
    sums_by_key,
)
from pipeline.schema import Column, Columns, Schema

_BLOCK_KINDS = {"datetime", "numeric"}


class Output(StoredObject):
    """An encoded column, and the columns made from it."""

    column: str
    names: list[str]


class Encodings(SavedState):
    """Counts and sums of the target by value and fold, a table per column."""

    aligned: ClassVar[tuple[str, ...]] = ("outputs", "tables")

    outputs: list[Output]
    tables: list[TableName]
    cuts: list[float | int] | None = None

    def mismatch(self, op: Any, schema: Schema) -> str:
        """Check the cuts between blocks of time."""
        if (op.by == "time") != (self.cuts is not None):
            return f"cuts do not go with by: {op.by}"
        cuts = self.cuts or []
        if len(cuts) not in (0, op.folds - 1) or sorted(cuts) != cuts:
            return "cuts must rise, one less than there are folds"
        return ""

    def tables_expected(self, op: Any, schema: Schema) -> list[Expected]:
        """Describe a table of keys, counts and sums per encoded column."""
        numbers = [*count_names(op.folds), *sum_names(op.folds, max(1, len(schema.classes)))]
        return [
            Expected(
                {KEY: key_kind(schema[output.column].dtype), IS_MISSING: "bool"}
                | dict.fromkeys(numbers, "number"),
                (IS_MISSING, KEY),
            )
            for output in self.outputs
        ]


class TargetEncode(Op):
    """Replaces each value by the mean of the target over the training rows that have it.

    Binary: the share of class 1. Regression: the mean. Multiclass: a column per class,
    ``<column>__<class>`` (``<as>__<class>`` with ``as``), the share of that class. The mean is
    drawn towards the overall mean as if ``smooth`` more rows had that
    (`pipeline.features.stats.target_means` has the formula). Row weights are not used.

    Training rows get the mean over the *other* folds, with those folds' overall mean; all other
    rows that over all training rows. Missing is a value of its own; a value not seen in training
    gets the overall mean. Where no row is left to average, the result is missing.

    ``by`` says what a fold is: rows at ``random``; rows with the same value of ``column``
    (``group``); or ``folds`` successive blocks of training rows, as equal as quantiles of
    ``column`` make them (``time``; a row without a time belongs to the first block). Scoring needs
    no target.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> flights = {"carrier": ["UA", "UA", "AA", "AA"]}
        >>> try_op("target_encode: {columns: [carrier], smooth: 2}", flights,
        ...        label=[1, 1, 1, 0], task="binary", n_classes=2, new={"carrier": ["UA", "ZZ"]})
           carrier
        0    0.875
        1    0.750
    """

    name: ClassVar[str] = "target_encode"
    columnwise: ClassVar[bool] = True
    requires_fit: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Encodings

    columns: Columns
    folds: int = Field(5, ge=2, le=100)
    smooth: float = Field(20.0, ge=0)
    by: Literal["random", "group", "time"] = "random"
    column: str | None = None
    """The group's or the time's column."""
    as_: str | None = Field(None, alias="as")

    @model_validator(mode="after")
    def _by_column(self) -> TargetEncode:
        if (self.by == "random") != (self.column is None):
            wrong = "takes no column" if self.column else "needs a column"
            raise ValueError(f"by: {self.by} {wrong}")
        return self

    @property
    def n_passes(self) -> int:  # type: ignore[override]  # a constant of other ops
        """Two for blocks of time: their cuts are found first."""
        return 2 if self.by == "time" else 1

    def _encoded(self, schema: Schema) -> list[str]:
        return self.columns.resolve(schema)

    def reads(self, schema: Schema) -> list[str]:
        """The encoded columns, and the one that makes the folds."""
        names = self._encoded(schema)
        if self.column is None:
            return names
        if self.by == "time":
            require_kinds(schema, [self.column], _BLOCK_KINDS, "target_encode by: time")
        return [*names, *([schema[self.column].name] if self.column not in names else [])]

    def _outputs(self, schema: Schema) -> dict[str, list[str]]:
        """Names of the columns made from each encoded one.

        Raises:
            ConfigError: two of them would have the same name.
        """
        found = {
            n: _output_names(output_name(self.as_, n), schema.classes)
            for n in self._encoded(schema)
        }
        names = [name for made in found.values() for name in made]
        if twice := [n for n in names if names.count(n) > 1]:
            raise ConfigError(
                f"target_encode: as: {self.as_!r} makes several columns {twice[0]!r}",
                fix='write {column} in it: as: "{column}_te"',
            )
        return found

    def produces(self, schema: Schema) -> list[Column]:
        """A float64 column each; one per class, for a multiclass target."""
        made = self._outputs(schema).values()
        return [Column(name, "float64") for names in made for name in names]

    def removes(self, schema: Schema) -> list[str]:
        """The encoded columns, where columns per class take their place."""
        return self._encoded(schema) if schema.classes and self.as_ is None else []

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Which columns become which."""
        outputs = [{"column": n, "names": made} for n, made in self._outputs(schema).items()]
        return {"outputs": outputs}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Times of the sample (first pass by time); else counts and sums per key and fold."""
        device = rows.device
        if self.by == "time" and "cuts" not in state:
            times, missing = device.to_arrays(frame[self.column])
            if times.dtype.kind == "f":  # a cut is a number; infinite rows have their blocks
                missing = ~device.xp.isfinite(times)
            return {"times": [device.to_host_unordered(times[rows.sample_mask() & ~missing])]}
        assert rows.label is not None, "target_encode is fitted on rows with a label"
        fold, tables = self.assign_folds(frame, rows, state), {}
        for output in state["outputs"]:
            codes, values = device.to_codes(frame[output["column"]])
            tables[output["column"]] = sums_by_key(
                codes.astype("int64"), values, fold, rows.label,
                folds=self.folds, n_classes=rows.n_classes, device=device,
            )  # fmt: skip
        return {"tables": tables}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Times one after the other; sums added per key.

        Raises:
            DataError: more than 5 million keys.
        """
        if "times" in a:
            return {"times": a["times"] + b["times"]}
        tables = {name: merge_sums(table, b["tables"][name]) for name, table in a["tables"].items()}
        for name, table in tables.items():
            check_key_count(len(table), self.name, name)
        return {"tables": tables}

    def finish(self, summary: Summary, state: State) -> State:
        """The cuts between blocks of time, or a table per column.

        Raises:
            DataError: more than 5 million keys; or all training rows in one fold.
        """
        if "times" in summary:
            times = np.sort(np.concatenate(summary["times"]))
            inner = range(1, self.folds) if len(times) else ()
            return {**state, "cuts": [times[len(times) * f // self.folds].item() for f in inner]}
        tables = []
        for name, table in summary["tables"].items():
            check_key_count(len(table), self.name, name)
            tables.append(table.sort_values([IS_MISSING, KEY], ignore_index=True))
        if tables:
            self._check_folds(tables[0])
        return {**state, "tables": tables}

    def _check_folds(self, table: pd.DataFrame) -> None:
        sizes = table[count_names(self.folds)].sum()
        if self.by != "random" and int((sizes > 0).sum()) == 1 and sizes.sum() > 1:
            raise DataError(
                f"target_encode: by: {self.by} puts all {sizes.sum():,} training rows into one "
                f"fold: {self.column!r} has too few distinct values",
                fix="use another column, or by: random",
            )

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Encodes with the means over all training rows."""
        return self._looked_up(frame, state, rows, None)

    def transform_train(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Encodes each training row with the means over the folds that are not its own."""
        fold = self.assign_folds(frame, rows, state)
        if rows.train_mask is not None:
            fold = rows.device.xp.where(rows.train_mask, fold, self.folds)
        return self._looked_up(frame, state, rows, fold)

    def assign_folds(self, frame: Frame, rows: Rows, state: State) -> Array:
        """int64 (n,): the fold of each training row."""
        device = rows.device
        if self.by == "random":
            return rows.assign_folds(self.folds)
        if self.by == "group":
            return device.hash_values(frame[self.column], rows.seed + 1) % self.folds
        times, missing = device.to_arrays(frame[self.column])
        cuts = device.to_device(np.array(state["cuts"], dtype=times.dtype))
        fold = device.xp.searchsorted(cuts, times, side="right")
        return device.xp.where(missing, 0, fold).astype("int64")

    def _looked_up(self, frame: Frame, state: State, rows: Rows, fold: Array | None) -> Frame:
        """The means by key; by fold too, the last being that of everyone, if there are folds."""
        device, made = rows.device, {}
        for output, table in zip(state["outputs"], state["tables"], strict=True):
            known = table[~table[IS_MISSING]]
            at = device.find_positions(
                frame[output["column"]], to_key_values(known[KEY]), (table, KEY)
            )
            by = "everyone" if fold is None else "fold"
            if fold is not None:
                at = at * (self.folds + 1) + fold
            for c, name in enumerate(output["names"]):
                # unseen (-1) and missing (-2) count from the end
                means = device.cache_array(table, f"{by} {c}", partial(self._means, table, by, c))
                made[name] = device.make_series(means[at], "float64")
        return device.make_frame(made)

    def _means(self, table: pd.DataFrame, by: str, which: int) -> np.ndarray:
        """float64: the means of one class by key; last those of unseen and of missing values."""
        sums = FoldSums(table, self.folds)
        values = sums.for_everyone(self.smooth)[:, None]
        if by == "fold":
            values = np.concatenate([sums.out_of_fold(self.smooth), values], axis=1)
        if not table[IS_MISSING].any():  # no training row lacks it: new ones get the prior
            values = np.concatenate([values, values[-1:]])
        return values[..., which].reshape(-1)


def _output_names(base: str, classes: tuple[str, ...]) -> list[str]:
    return [f"{base}__{c}" for c in classes] or [base]
