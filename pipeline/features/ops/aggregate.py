"""aggregate: statistics of a row's group, over the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field

from pipeline.config.section import Names
from pipeline.device import Frame
from pipeline.errors import ConfigError
from pipeline.features.op import Op, Rows, State, Summary, output_name, require_kinds
from pipeline.features.saved_state import (
    Content,
    ExpectedTable,
    SavedState,
    TableName,
    key_content,
)
from pipeline.features.stats.groups import (
    Stat,
    compute_group_moments,
    compute_statistic,
    merge_group_moments,
)
from pipeline.features.stats.key_tables import (
    check_key_count,
    find_positions,
    group_rows,
    key_names,
    take_or_last,
)
from pipeline.schema import Column, Columns, Schema

Stats = Annotated[
    tuple[Stat, ...],
    BeforeValidator(lambda v: (v,) if isinstance(v, str) else v),
    Field(min_length=1),
]


class Groups(SavedState):
    """State of aggregate: the requested statistics of each group."""

    by: list[str]
    columns: list[str]
    produces: list[str]
    table: TableName

    def describe_tables(self, op: Any, schema: Schema) -> list[ExpectedTable]:
        """Describe a table of keys and statistics."""
        columns: dict[str, Content] = {
            key: key_content(schema[name].dtype)
            for key, name in zip(key_names(len(self.by)), self.by, strict=True)
        }
        keys = tuple(columns)
        columns |= {f"stat_{j}": "number" for j in range(len(self.columns) * len(op.stats))}
        return [ExpectedTable(columns, keys)]


class Aggregate(Op):
    """Append statistics of the group that a row belongs to, fitted on the training rows.

    The statistics are float64 columns and skip missing values. They are missing for a group that
    no training row belongs to, and for a row with a missing key. They are also missing for a group
    without values, except for its count, which is 0.

    With row weights ``mean`` and ``std`` are weighted, ``sum`` adds each value times its row's
    weight, and ``count`` adds the weights of the rows with a value. A weight of 2 is the same as
    two such rows, so ``sum``, ``count`` and ``std`` depend on the weights' unit. ``min`` and
    ``max`` do not depend on weights.

    A training row is part of its own group's statistics. Therefore the columns of the target
    expression are refused.

    Example:
        - aggregate: {by: city, columns: sales, stats: [mean, count]}

        >>> from pipeline.features.try_op import try_op
        >>> shops = {"city": ["Rome", "Rome", "Oslo"], "sales": [1.0, 3.0, 5.0]}
        >>> try_op("aggregate: {by: city, columns: sales, stats: [mean, count]}", shops,
        ...        new={"city": ["Rome", "Bonn"], "sales": [9.0, 9.0]})
           sales__mean_by_city  sales__count_by_city
        0                  2.0                   2.0
        1                  NaN                   NaN
    """

    name: ClassVar[str] = "aggregate"
    column_keys: ClassVar[tuple[str, ...]] = ("by", "columns")
    requires_fit: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Groups

    by: Annotated[Names, Field(min_length=1)]
    """Columns whose values make a group."""
    columns: Columns
    """Numeric or bool columns to take statistics of."""
    stats: Stats = ("mean", "min", "max")
    """Statistics; ``std`` divides by n - 1, where n is the count."""
    as_: str | None = Field(None, alias="as")
    """Names of the results, with ``{column}`` and ``{stat}``; null:
    ``<column>__<stat>_by_<a>_<b>``."""

    def _keys(self, schema: Schema) -> list[str]:
        return [schema[name].name for name in dict.fromkeys(self.by)]

    def _values(self, schema: Schema) -> list[str]:
        return require_kinds(schema, self.columns.resolve(schema), {"numeric", "bool"}, self.name)

    def reads(self, schema: Schema) -> list[str]:
        """Return the keys and the numeric or bool columns.

        Raises:
            ConfigError: one of them is part of the target expression.
        """
        names = list(dict.fromkeys([*self._keys(schema), *self._values(schema)]))
        if of_target := [n for n in names if n in schema.target]:
            raise ConfigError(
                f"the target is made of {of_target[0]!r}: its statistics would reveal a training "
                "row's own target",
                fix="leave it out; target_encode computes a group's mean of the target out of fold",
            )
        return names

    def produces(self, schema: Schema) -> list[Column]:
        """Return a float64 column per column and statistic.

        Raises:
            ConfigError: two of them would have the same name.
        """
        by = "_".join(self._keys(schema))
        pattern = self.as_ or f"{{column}}__{{stat}}_by_{by}"
        if self.as_ is None:  # column names may have braces
            names = [f"{n}__{stat}_by_{by}" for n in self._values(schema) for stat in self.stats]
        else:
            stats = [pattern.replace("{stat}", stat) for stat in self.stats]
            names = [output_name(stat, n) for n in self._values(schema) for stat in stats]
        if twice := [n for n in names if names.count(n) > 1]:
            raise ConfigError(
                f"aggregate: as: {pattern!r} gives several columns the name {twice[0]!r}",
                fix='write as: "{column}_{stat}", and each statistic once',
            )
        return [Column(n, "float64") for n in names]

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Return the names of the keys, the values and the results."""
        return {
            "by": self._keys(schema),
            "columns": self._values(schema),
            "produces": [c.name for c in self.produces(schema)],
        }

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Compute the statistics of each group of one partition."""
        device = rows.device
        codes, keys = group_rows(frame, state["by"], device)
        # A single key column is coded by its dictionary, which may hold values that no row has.
        seen = device.bincount(codes, len(keys), rows.weight) > 0
        parts = {
            f"{part}_{i}": values
            for i, name in enumerate(state["columns"])
            for part, values in compute_group_moments(
                codes, device.to_floats(frame[name]), len(keys), device, rows.weight
            ).items()
        }
        table = pd.concat([keys, pd.DataFrame(parts, index=keys.index)], axis=1)[seen]
        return {"table": table.reset_index(drop=True)}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Merge the statistics of two partitions.

        Raises:
            DataError: more than 5 million groups.
        """
        keys = [n for n in a["table"].columns if str(n).startswith("key_")]
        columns = sum(str(n).startswith("n_") for n in a["table"].columns)
        table = merge_group_moments(a["table"], b["table"], keys, columns)
        check_key_count(len(table), self.name, ", ".join(self.by))
        return {"table": table}

    def finish(self, summary: Summary, state: State) -> State:
        """Return the requested statistics per group.

        Raises:
            DataError: more than 5 million groups.
        """
        keys = key_names(len(state["by"]))
        table = summary["table"].sort_values(keys, ignore_index=True)
        # `merge` checks too, but does not run for a single partition.
        check_key_count(len(table), self.name, ", ".join(self.by))
        pairs = [(i, stat) for i in range(len(state["columns"])) for stat in self.stats]
        stats = {f"stat_{j}": compute_statistic(table, i, s) for j, (i, s) in enumerate(pairs)}
        return {**state, "table": pd.concat([table[keys], pd.DataFrame(stats)], axis=1)}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Look up the group of each row."""
        device, table = rows.device, state["table"]

        def statistic(name: str) -> np.ndarray:  # the appended NaN belongs to rows without a group
            return np.append(table[name].to_numpy("float64"), np.nan)

        at = find_positions(frame, state["by"], table, device)
        columns = {}
        for j, name in enumerate(state["produces"]):
            stat = f"stat_{j}"
            values = device.cache_array(table, stat, partial(statistic, stat))
            columns[name] = device.make_series(take_or_last(values, at, device), "float64")
        return device.make_frame(columns)
