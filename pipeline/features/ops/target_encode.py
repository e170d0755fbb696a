"""target_encode: the mean of the target per value, out of fold for training rows."""

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
from pipeline.features.column_op import ColumnwiseOp
from pipeline.features.op import Rows, State, Summary, output_name, require_kinds
from pipeline.features.saved_state import ExpectedTable, SavedState, TableName, key_content
from pipeline.features.stats.key_tables import check_key_count, to_key_values
from pipeline.features.stats.target_means import (
    IS_MISSING,
    KEY,
    FoldSums,
    count_names,
    merge_sums,
    sum_by_key,
    sum_names,
)
from pipeline.schema import Column, Kind, Schema

_BLOCK_KINDS: frozenset[Kind] = frozenset({"datetime", "numeric"})


class Output(StoredObject):
    """An encoded column, and its output columns."""

    column: str
    names: list[str]


class Encodings(SavedState):
    """State of target_encode: counts and sums of the target by value and fold, per column."""

    column_lists: ClassVar[tuple[str, ...]] = ("outputs", "tables")

    outputs: list[Output]
    tables: list[TableName]
    cuts: list[float | int] | None = None

    def find_mismatch(self, op: Any, schema: Schema) -> str:
        """Check the cuts between blocks of time."""
        if (op.by == "time") != (self.cuts is not None):
            return f"cuts do not go with by: {op.by}"
        cuts = self.cuts or []
        if len(cuts) not in (0, op.folds - 1) or sorted(cuts) != cuts:
            return "cuts must rise, one less than there are folds"
        return ""

    def describe_tables(self, op: Any, schema: Schema) -> list[ExpectedTable]:
        """Describe a table of keys, counts and sums per encoded column."""
        numbers = [*count_names(op.folds), *sum_names(op.folds, max(1, len(schema.classes)))]
        return [
            ExpectedTable(
                {KEY: key_content(schema[output.column].dtype), IS_MISSING: "bool"}
                | dict.fromkeys(numbers, "number"),
                (IS_MISSING, KEY),
            )
            for output in self.outputs
        ]


class TargetEncode(ColumnwiseOp):
    """Replace each value by the mean of the target over the training rows that have it.

    For a regression the result is the mean; for two classes it is the share of class 1. For more
    classes there is a column per class, ``<column>__<class>`` (``<as>__<class>`` with ``as``), with
    the share of that class. The mean is smoothed towards the overall mean
    (`pipeline.features.stats.target_means` has the formula).

    With row weights all means are weighted, those of the folds too, and ``smooth`` is a weight. So
    the unit of the weights matters to the smoothing: if all weights are doubled, double ``smooth``
    as well. Blocks of time have about equal weight.

    A training row gets the mean over the *other* folds, smoothed towards their overall mean. All
    other rows get the mean over all training rows. Missing is a value of its own. A value that no
    training row has gets the overall mean. If no row is left to average, the result is missing.
    Scoring needs no target.

    Example:
        - target_encode: {columns: [carrier], smooth: 2}

        >>> from pipeline.features.try_op import try_op
        >>> flights = {"carrier": ["UA", "UA", "AA", "AA"]}
        >>> try_op("target_encode: {columns: [carrier], smooth: 2}", flights,
        ...        label=[1, 1, 1, 0], task="binary", n_classes=2, new={"carrier": ["UA", "ZZ"]})
           carrier
        0    0.875
        1    0.750
    """

    name: ClassVar[str] = "target_encode"
    column_keys: ClassVar[tuple[str, ...]] = ("columns", "column")
    requires_fit: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Encodings

    folds: int = Field(5, ge=2, le=100)
    """Number of folds."""
    smooth: float = Field(20.0, ge=0)
    """Number of rows with the overall mean that are added to the rows of each value; with row
    weights, their weight."""
    by: Literal["random", "group", "time"] = "random"
    """Folds: rows at ``random``; rows with equal ``column`` together (``group``); or successive
    blocks of ``column`` of about equal size (``time``; without a time: the first block)."""
    column: str | None = None
    """Column of groups or times."""
    as_: str | None = Field(None, alias="as")
    """Names of the results, with ``{column}`` for the column's name; null: replace the columns."""

    @model_validator(mode="after")
    def _check_column(self) -> TargetEncode:
        if (self.by == "random") != (self.column is None):
            wrong = "takes no column" if self.column else "needs a column"
            raise ValueError(f"by: {self.by} {wrong}")
        return self

    @property
    def n_passes(self) -> int:  # type: ignore[override]  # a constant of other ops
        """Two for blocks of time, because their cuts come first."""
        return 2 if self.by == "time" else 1

    def reads(self, schema: Schema) -> list[str]:
        """Return the encoded columns, and the one that defines the folds."""
        names = self.columns.resolve(schema)
        if self.column is None:
            return names
        if self.by == "time":
            require_kinds(schema, [self.column], _BLOCK_KINDS, "target_encode by: time")
        return [*names, *([schema[self.column].name] if self.column not in names else [])]

    def _outputs(self, schema: Schema) -> dict[str, list[str]]:
        """Return the output names of each encoded column.

        Raises:
            ConfigError: two of them would have the same name.
        """
        outputs = {}
        for column in self.columns.resolve(schema):
            base = output_name(self.as_, column)
            outputs[column] = [f"{base}__{c}" for c in schema.classes] or [base]
        names = [name for names in outputs.values() for name in names]
        if twice := [n for n in names if names.count(n) > 1]:
            raise ConfigError(
                f"target_encode: as: {self.as_!r} gives several columns the name {twice[0]!r}",
                fix='write {column} in it: as: "{column}_te"',
            )
        return outputs

    def produces(self, schema: Schema) -> list[Column]:
        """Return a float64 column each; one per class, for a multiclass target."""
        outputs = self._outputs(schema).values()
        return [Column(name, "float64") for names in outputs for name in names]

    def removes(self, schema: Schema) -> list[str]:
        """Return the encoded columns if columns per class replace them."""
        return self.columns.resolve(schema) if schema.classes and self.as_ is None else []

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Return the output names of each encoded column."""
        outputs = self._outputs(schema)
        return {"outputs": [{"column": c, "names": names} for c, names in outputs.items()]}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Return sampled times (first pass by time), else counts and sums per key and fold."""
        device = rows.device
        if self.by == "time" and "cuts" not in state:
            times, missing = device.to_arrays(frame[self.column])
            if times.dtype.kind == "f":  # cuts are finite; infinite times go to the outer blocks
                missing = ~device.xp.isfinite(times)
            chosen = rows.sample_mask() & ~missing
            if rows.weight is None:
                return {"times": [device.to_host_unordered(times[chosen])], "weights": []}
            chosen = chosen & (rows.weight > 0)
            times, weights = (device.to_host(values[chosen]) for values in (times, rows.weight))
            return {"times": [times], "weights": [weights]}
        assert rows.label is not None, "target_encode needs a label to be fitted"
        fold, tables = self.assign_folds(frame, rows, state), {}
        for output in state["outputs"]:
            codes, values = device.to_codes(frame[output["column"]])
            tables[output["column"]] = sum_by_key(
                codes.astype("int64"),
                values,
                fold,
                rows.label,
                folds=self.folds,
                n_classes=rows.n_classes,
                device=device,
                weight=rows.weight,
            )
        return {"tables": tables}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Join the times, or add the sums per key.

        Raises:
            DataError: more than 5 million keys.
        """
        if "times" in a:
            return {name: a[name] + b[name] for name in a}
        tables = {name: merge_sums(table, b["tables"][name]) for name, table in a["tables"].items()}
        for name, table in tables.items():
            check_key_count(len(table), self.name, name)
        return {"tables": tables}

    def finish(self, summary: Summary, state: State) -> State:
        """Return the cuts between blocks of time, or a table per column.

        Raises:
            DataError: more than 5 million keys; or all training rows in one fold.
        """
        if "times" in summary:
            return {**state, "cuts": self._find_cuts(**summary)}
        tables = []
        for name, table in summary["tables"].items():
            check_key_count(len(table), self.name, name)
            tables.append(table.sort_values([IS_MISSING, KEY], ignore_index=True))
        # Every table counts the same rows, so the first one shows the sizes of the folds.
        sizes = tables[0][count_names(self.folds)].sum()
        # Weights are not numbers of rows: one row alone is refused too if it has a weight.
        weighted, total = sizes.dtype.kind == "f", sizes.sum()
        if self.by != "random" and int((sizes > 0).sum()) == 1 and (weighted or total > 1):
            rows = "all training rows" if weighted else f"all {total:,} training rows"
            raise DataError(
                f"target_encode: by: {self.by} puts {rows} into one fold: "
                f"{self.column!r} has too few distinct values",
                fix="use another column, or by: random",
            )
        return {**state, "tables": tables}

    def _find_cuts(self, times: list[np.ndarray], weights: list[np.ndarray]) -> list[float | int]:
        """Return the first time of each block but the first; none without times."""
        every = np.concatenate(times)
        shares = range(1, self.folds) if len(every) else ()
        if not weights:
            every = np.sort(every)
            return [every[len(every) * f // self.folds].item() for f in shares]
        order = np.argsort(every, kind="stable")
        ends = np.cumsum(np.concatenate(weights)[order])
        # The row at which the weight of the rows up to it exceeds the share; whole weights give
        # the cuts of as many equal rows.
        at = [np.searchsorted(ends, ends[-1] * f / self.folds, side="right") for f in shares]
        return [every[order[min(i, len(every) - 1)]].item() for i in at]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Encode with the means over all training rows."""
        return self._encode(frame, state, rows, None)

    def transform_train(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Encode each training row with the means over the other folds."""
        fold = self.assign_folds(frame, rows, state)
        if rows.train_mask is not None:
            fold = rows.device.xp.where(rows.train_mask, fold, self.folds)
        return self._encode(frame, state, rows, fold)

    def assign_folds(self, frame: Frame, rows: Rows, state: State) -> Array:
        """Return int64 (n,): the fold of each training row."""
        device = rows.device
        if self.by == "random":
            return rows.assign_folds(self.folds)
        if self.by == "group":
            return device.hash_values(frame[self.column], rows.seed + 1) % self.folds
        times, missing = device.to_arrays(frame[self.column])
        cuts = device.to_device(np.array(state["cuts"], dtype=times.dtype))
        fold = device.xp.searchsorted(cuts, times, side="right")
        return device.xp.where(missing, 0, fold).astype("int64")

    def _encode(self, frame: Frame, state: State, rows: Rows, fold: Array | None) -> Frame:
        """Look up the means by key, and by fold if given; the last fold holds overall means."""
        device, columns = rows.device, {}
        by = "everyone" if fold is None else "fold"
        for output, table in zip(state["outputs"], state["tables"], strict=True):
            keys = to_key_values(table[~table[IS_MISSING]][KEY])
            at = device.find_positions(frame[output["column"]], keys, (table, KEY))
            if fold is not None:
                at = at * (self.folds + 1) + fold
            for c, name in enumerate(output["names"]):
                # Unseen (-1) and missing (-2) values count from the end.
                compute = partial(self._compute_means, table, by, c)
                means = device.cache_array(table, f"{by} {c}", compute)
                columns[name] = device.make_series(means[at], "float64")
        return device.make_frame(columns)

    def _compute_means(self, table: pd.DataFrame, by: str, which: int) -> np.ndarray:
        """Return float64: means of one class by key; last those of unseen and missing values."""
        sums = FoldSums(table, self.folds)
        values = sums.encode_all(self.smooth)[:, None]
        if by == "fold":
            values = np.concatenate([sums.encode_out_of_fold(self.smooth), values], axis=1)
        if not table[IS_MISSING].any():  # no training row lacks the value: new ones get the prior
            values = np.concatenate([values, values[-1:]])
        return values[..., which].reshape(-1)
