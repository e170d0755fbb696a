"""one_hot: a bool column per value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from pipeline.config.stored import Scalar
from pipeline.device import Frame
from pipeline.errors import ConfigError, shorten, suggest_or_list
from pipeline.features.column_op import CountingOp
from pipeline.features.op import Op, Rows, State, Summary
from pipeline.features.saved_state import SavedState
from pipeline.features.stats.counts import rank_by_count
from pipeline.schema import Column, Dtype, Kind, Schema

Value = bool | int | float | str
Values = dict[str, tuple[Value, ...]]
_TYPES: Mapping[Dtype, tuple[type, ...]] = {"text": (str,), "bool": (bool,)}


class FrequentValues(SavedState):
    """State of one_hot: the values of each column, which the fitted op lists too."""

    column_lists: ClassVar[tuple[str, ...]] = ("names", "values")

    names: list[str]
    values: list[list[Scalar]]


class OneHot(CountingOp):
    """Replace columns by a bool column per value: ``<column>__<value>``.

    The values are the most frequent ones of the training rows, or those listed in ``values``.
    Equally frequent values are ordered by value. Rows with another or a missing value are False in
    all columns. Names that would be equal get ``_2``, ``_3``, … in the order of the values.

    With row weights the frequency of a value is the sum of its rows' weights.

    Example:
        - one_hot: {columns: [city], max_values: 2}

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
    column_keys: ClassVar[tuple[str, ...]] = ("columns", "values")
    kinds: ClassVar[frozenset[Kind]] = frozenset({"text", "category", "bool", "numeric"})
    kinds_fix: ClassVar[str] = "take parts of it first (dates)"
    state_model: ClassVar[type[SavedState]] = FrequentValues

    max_values: int = Field(20, ge=1, le=1000)
    """Most values of a column that get a column of their own."""
    min_count: int = Field(1, ge=1)
    """Training rows that a value needs for a column of its own; with row weights, their weight. 1
    asks for nothing."""
    values: Values | None = None
    """Values by column, for every selected column; null: the frequent values of the training rows.
    """
    keep: bool = False
    """Keep the columns themselves too."""

    @field_validator("values")
    @classmethod
    def _check_distinct(cls, value: Values | None) -> Values | None:
        for column, listed in (value or {}).items():
            if len(set(listed)) < len(listed):
                raise ValueError(f"a value of {column!r} is listed twice")
        return value

    @property
    def requires_fit(self) -> bool:  # type: ignore[override]  # a constant of most ops
        """False if the values are listed."""
        return self.values is None

    def is_dynamic(self) -> bool:
        """Return whether the values, and so the columns, come from the rows."""
        return self.values is None

    def resolve_outputs(self, state: State) -> Op:
        """Return the op with the fitted values listed: its columns no longer depend on data."""
        pairs = zip(state["names"], state["values"], strict=True)
        return self.model_copy(update={"values": {n: tuple(v) for n, v in pairs}})

    def reads(self, schema: Schema) -> list[str]:
        """Return the selected columns.

        Raises:
            ConfigError: a column holds datetimes; ``values`` has other columns or other types.
        """
        names = super().reads(schema)
        if self.values is not None:
            _check_values(self.values, [schema[name] for name in names])
        return names

    def produces(self, schema: Schema) -> list[Column]:
        """Return a bool column per value, once the values are known.

        Raises:
            ConfigError: a new column has the name of one that stays.
        """
        names = self.reads(schema)
        if self.values is None:
            return []
        remaining = schema.drop(self.removes(schema))
        outputs = [n for names in output_names(names, self.values) for n in names]
        if clash := [n for n in outputs if n in remaining]:
            raise ConfigError(
                f"one_hot creates a column {clash[0]!r}, which exists already",
                fix=f"rename: {{{clash[0]}: …}} before it",
            )
        return [Column(n, "bool") for n in outputs]

    def removes(self, schema: Schema) -> list[str]:
        """Return the columns themselves, unless ``keep`` is true."""
        return [] if self.keep else self.reads(schema)

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Return the listed values."""
        if self.values is None:
            return {}
        names = self.reads(schema)
        return {"names": names, "values": [list(self.values[n]) for n in names]}

    def finish(self, summary: Summary, state: State) -> State:
        """Return the values of each column, the most frequent first."""
        values = []
        for counts in summary["of"]:
            table = rank_by_count(counts, self.min_count)
            if table["value"].dtype.kind == "f":  # an infinite value cannot be stored as JSON
                table = table[np.isfinite(table["value"].to_numpy())]
            values.append(table["value"].head(self.max_values).tolist())
        return {"names": summary["names"], "values": values}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Compare each column with its values."""
        device, columns = rows.device, {}
        by_name = dict(zip(state["names"], state["values"], strict=True))
        for name, outputs in zip(by_name, output_names(list(by_name), by_name), strict=True):
            values = by_name[name]
            texts = not values or any(isinstance(v, str) for v in values)
            keys = np.array(values, dtype=object) if texts else np.array(values)
            at = device.find_positions(frame[name], keys)
            for i, output in enumerate(outputs):
                columns[output] = device.make_series(at == i, "bool")
        # A frame without columns still needs its rows.
        return device.make_frame(columns) if columns else frame[[]]


def output_names(columns: list[str], values: Mapping[str, Any]) -> list[list[str]]:
    """Return the names of each column's outputs, unique among all of them."""
    taken: set[str] = set()
    outputs = []
    for column in columns:
        names = []
        for value in values[column]:
            name, n = f"{column}__{value}", 1
            while name in taken:
                n += 1
                name = f"{column}__{value}_{n}"
            taken.add(name)
            names.append(name)
        outputs.append(names)
    return outputs


def _check_values(values: Values, columns: list[Column]) -> None:
    names = [column.name for column in columns]
    if wrong := [n for n in values if n not in names]:
        raise ConfigError(
            f"one_hot: values has {wrong[0]!r}, which is not a selected column",
            fix=suggest_or_list(wrong[0], names),
        )
    if missing := [n for n in names if n not in values]:
        raise ConfigError(
            f"one_hot: values lacks {missing[0]!r}",
            fix="list the values of every selected column, or leave values out",
        )
    for column in columns:
        types = _TYPES.get(column.dtype, (int, float))
        for value in values[column.name]:
            # A bool is an int in Python.
            if not isinstance(value, types) or (isinstance(value, bool) and column.dtype != "bool"):
                raise ConfigError(
                    f"one_hot: {shorten(value)} does not fit column {column.name!r}, "
                    f"which is {column.dtype}",
                    fix="quote text; write true and false for a bool",
                )
