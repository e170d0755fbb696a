"""one_hot: a column of yes or no per value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from pipeline.config.stored import Scalar
from pipeline.device import Frame
from pipeline.errors import ConfigError, shorten, suggest_or_list
from pipeline.features.op import Op, Rows, State, Summary, require_kinds
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.counts import (
    check_cardinality,
    count_columns,
    merge_column_counts,
    rank_by_count,
)
from pipeline.schema import Column, Columns, Dtype, Schema

Value = bool | int | float | str
Values = dict[str, tuple[Value, ...]]
_TYPES: Mapping[Dtype, tuple[type, ...]] = {"text": (str,), "bool": (bool,)}


class Found(SavedState):
    """The values of each column, which are those of the op once it is fitted."""

    aligned: ClassVar[tuple[str, ...]] = ("names", "values")
    of_columns: ClassVar[bool] = True

    names: list[str]
    values: list[list[Scalar]]


class OneHot(Op):
    """Replaces columns by a bool column per value: ``<column>__<value>``.

    The values are the ``max_values`` most frequent ones that at least ``min_count`` training rows
    have, equally frequent ones ordered by value, or those listed in ``values``. Other values, and
    missing ones, are False in all of them. Names that would be equal get ``_2``, ``_3``, … in the
    order of the values. Takes text, category, bool and numeric columns; these are removed unless
    ``keep`` is true.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> try_op("one_hot: {columns: [city], max_values: 2}",
        ...        {"city": ["Rome", "Oslo", "Rome", "Bern", None]})
           city__Rome  city__Bern
        0        True       False
        1       False       False
        2        True       False
        3       False        True
        4       False       False
    """

    name: ClassVar[str] = "one_hot"
    columnwise: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Found

    columns: Columns
    max_values: int = Field(20, ge=1, le=1000)
    min_count: int = Field(1, ge=1)
    values: Values | None = None
    """The values of every selected column, by column; None: found in the training rows."""
    keep: bool = False

    @field_validator("values")
    @classmethod
    def _once(cls, value: Values | None) -> Values | None:
        for column, listed in (value or {}).items():
            if len(set(listed)) < len(listed):
                raise ValueError(f"a value of {column!r} stands twice")
        return value

    @property
    def requires_fit(self) -> bool:  # type: ignore[override]
        """Listed values need no look at the rows."""
        return self.values is None

    def is_dynamic(self) -> bool:
        """The values, and so the columns, are found in the rows."""
        return self.values is None

    def resolve_outputs(self, state: State) -> Op:
        """With the values found; it produces the same columns for ever."""
        pairs = zip(state["names"], state["values"], strict=True)
        return self.model_copy(update={"values": {n: tuple(v) for n, v in pairs}})

    def reads(self, schema: Schema) -> list[str]:
        """The selected columns.

        Raises:
            ConfigError: a column holds datetimes; ``values`` has other columns or other types.
        """
        kinds = {"text", "category", "bool", "numeric"}
        names = require_kinds(
            schema, self.columns.resolve(schema), kinds, self.name, "take parts of it first (dates)"
        )
        if self.values is not None:
            _check_columns(self.values, names)
            for name in names:
                _check_types(self.values[name], schema[name])
        return names

    def produces(self, schema: Schema) -> list[Column]:
        """A bool column per value, once the values are known.

        Raises:
            ConfigError: a new column has the name of one that stays.
        """
        names = self.reads(schema)
        if self.values is None:
            return []
        staying = schema.drop(self.removes(schema))
        made = [n for names in output_names(names, self.values) for n in names]
        if clash := [n for n in made if n in staying]:
            raise ConfigError(
                f"one_hot makes a column {clash[0]!r}, and there is one already",
                fix=f"rename: {{{clash[0]}: …}} before it",
            )
        return [Column(n, "bool") for n in made]

    def removes(self, schema: Schema) -> list[str]:
        """The columns themselves, unless they are kept."""
        return [] if self.keep else self.reads(schema)

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """The listed values."""
        if self.values is None:
            return {}
        names = self.reads(schema)
        return {"names": names, "values": [list(self.values[n]) for n in names]}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Counts per value."""
        return count_columns(frame, rows)

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Counts of both partitions' rows.

        Raises:
            DataError: a column has more than 5 million values.
        """
        both = merge_column_counts(a, b)
        check_cardinality(both, self.name)
        return both

    def finish(self, summary: Summary, state: State) -> State:
        """The values of each column, the most frequent first."""
        values = []
        for found in summary["of"]:
            table = rank_by_count(found)
            if table["value"].dtype.kind == "f":  # infinities are no JSON
                table = table[np.isfinite(table["value"].to_numpy())]
            kept = table[table["count"] >= self.min_count].head(self.max_values)
            values.append(kept["value"].tolist())
        return {"names": summary["names"], "values": values}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """One comparison per value."""
        device, made = rows.device, {}
        by_name = dict(zip(state["names"], state["values"], strict=True))
        for column, outputs in zip(by_name, output_names(list(by_name), by_name), strict=True):
            at = device.find_positions(frame[column], _keys(by_name[column]))
            for i, output in enumerate(outputs):
                made[output] = device.make_series(at == i, "bool")
        if not made:
            return frame[[]]
        return device.make_frame(made)


def output_names(columns: list[str], values: Mapping[str, Any]) -> list[list[str]]:
    """Names of each column's outputs, unique among all of them."""
    taken: set[str] = set()
    found = []
    for column in columns:
        names = []
        for value in values[column]:
            name, n = f"{column}__{value}", 1
            while name in taken:
                n += 1
                name = f"{column}__{value}_{n}"
            taken.add(name)
            names.append(name)
        found.append(names)
    return found


def _keys(values: list[Value]) -> np.ndarray:
    if any(isinstance(v, str) for v in values) or not values:
        return np.array(values, dtype=object)
    return np.array(values)


def _check_columns(values: Values, names: list[str]) -> None:
    if wrong := [n for n in values if n not in names]:
        raise ConfigError(
            f"one_hot: values has {wrong[0]!r}, which is no selected column",
            fix=suggest_or_list(wrong[0], names),
        )
    if missing := [n for n in names if n not in values]:
        raise ConfigError(
            f"one_hot: values lacks {missing[0]!r}",
            fix="list the values of every selected column, or leave values out",
        )


def _check_types(values: tuple[Value, ...], column: Column) -> None:
    types = _TYPES.get(column.dtype, (int, float))
    for value in values:
        if not isinstance(value, types) or (isinstance(value, bool) and column.dtype != "bool"):
            raise ConfigError(
                f"one_hot: {shorten(value)} is no value for column {column.name!r}, "
                f"which is {column.dtype}",
                fix="quote text; write true and false for a bool",
            )
