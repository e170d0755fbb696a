"""aggregate: statistics of a row's group, taken over the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import BeforeValidator, Field

from pipeline.config.model import Names
from pipeline.device import Frame
from pipeline.errors import ConfigError
from pipeline.features.op import Op, Rows, State, Summary, output_name, require_kinds
from pipeline.features.saved_state import Expected, Kind, SavedState, TableName, key_kind
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
    tuple[Stat, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v),
    Field(min_length=1),
]  # fmt: skip


class Groups(SavedState):
    """The chosen statistics of each group."""

    by: list[str]
    columns: list[str]
    produces: list[str]
    table: TableName

    def tables_expected(self, op: Any, schema: Schema) -> list[Expected]:
        """Describe a table of keys and statistics."""
        keys = dict(zip(key_names(len(self.by)), self.by, strict=True))
        kinds: dict[str, Kind] = {key: key_kind(schema[n].dtype) for key, n in keys.items()}
        stats: dict[str, Kind] = {
            f"stat_{j}": "number" for j in range(len(self.columns) * len(op.stats))
        }
        return [Expected({**kinds, **stats}, tuple(keys))]


class Aggregate(Op):
    """Appends statistics of the group that a row belongs to, fitted on the training rows.

    ``mean``, ``std`` (of a sample: n - 1), ``min``, ``max``, ``sum`` and ``count`` of the values
    that are not missing, as float64 columns ``<column>__<stat>_by_<a>_<b>``; ``as`` may name them
    otherwise with ``{column}`` and ``{stat}``. A group that no training row has, or a row that
    misses one of its keys, gets missing values; so does a group without values, but for its count,
    which is 0. A training row is part of its own group's statistics: the columns that the target
    is made of are therefore refused.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> shops = {"city": ["Rome", "Rome", "Oslo"], "sales": [1.0, 3.0, 5.0]}
        >>> try_op("aggregate: {by: city, columns: sales, stats: [mean, count]}", shops,
        ...        new={"city": ["Rome", "Bonn"], "sales": [9.0, 9.0]})
           sales__mean_by_city  sales__count_by_city
        0                  2.0                   2.0
        1                  NaN                   NaN
    """

    name: ClassVar[str] = "aggregate"
    requires_fit: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Groups

    by: Annotated[Names, Field(min_length=1)]
    columns: Columns
    stats: Stats = ("mean", "min", "max")
    as_: str | None = Field(None, alias="as")

    def _by(self, schema: Schema) -> list[str]:
        return [schema[name].name for name in dict.fromkeys(self.by)]

    def _of(self, schema: Schema) -> list[str]:
        return require_kinds(schema, self.columns.resolve(schema), {"numeric", "bool"}, self.name)

    def reads(self, schema: Schema) -> list[str]:
        """The keys and the numeric or bool columns.

        Raises:
            ConfigError: one of them is made into the target.
        """
        names = list(dict.fromkeys([*self._by(schema), *self._of(schema)]))
        if of_target := [n for n in names if n in schema.target]:
            raise ConfigError(
                f"the target is made of {of_target[0]!r}: statistics of it would tell a training "
                "row its own target",
                fix="leave it out; target_encode gives a group's mean of the target out of fold",
            )
        return names

    def produces(self, schema: Schema) -> list[Column]:
        """A float64 column per column and statistic.

        Raises:
            ConfigError: two of them would have the same name.
        """
        by = "_".join(self._by(schema))
        pattern = self.as_ or f"{{column}}__{{stat}}_by_{by}"
        if self.as_ is None:  # names of the data may hold braces
            names = [f"{n}__{stat}_by_{by}" for n in self._of(schema) for stat in self.stats]
        else:
            stats = [pattern.replace("{stat}", stat) for stat in self.stats]
            names = [output_name(stat, n) for n in self._of(schema) for stat in stats]
        if twice := [n for n in names if names.count(n) > 1]:
            raise ConfigError(
                f"aggregate: as: {pattern!r} makes several columns {twice[0]!r}",
                fix='write as: "{column}_{stat}", and each statistic once',
            )
        return [Column(n, "float64") for n in names]

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Which columns are grouped by, measured and made."""
        made = [c.name for c in self.produces(schema)]
        return {"by": self._by(schema), "columns": self._of(schema), "produces": made}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """The statistics of each group of this partition."""
        device = rows.device
        codes, keys = group_rows(frame, state["by"], device)
        seen = device.bincount(codes, len(keys)) > 0
        parts = {
            f"{part}_{i}": values
            for i, name in enumerate(state["columns"])
            for part, values in compute_group_moments(
                codes, device.to_floats(frame[name]), len(keys), device
            ).items()
        }
        table = pd.concat([keys, pd.DataFrame(parts, index=keys.index)], axis=1)[seen]
        return {"table": table.reset_index(drop=True)}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Statistics of both partitions' rows.

        Raises:
            DataError: more than 5 million groups.
        """
        keys = [n for n in a["table"].columns if str(n).startswith("key_")]
        columns = sum(str(n).startswith("n_") for n in a["table"].columns)
        table = merge_group_moments(a["table"], b["table"], keys, columns)
        check_key_count(len(table), self.name, ", ".join(self.by))
        return {"table": table}

    def finish(self, summary: Summary, state: State) -> State:
        """The chosen statistics per group.

        Raises:
            DataError: more than 5 million groups.
        """
        keys = key_names(len(state["by"]))
        table = summary["table"].sort_values(keys, ignore_index=True)
        check_key_count(len(table), self.name, ", ".join(self.by))
        chosen = [(i, stat) for i in range(len(state["columns"])) for stat in self.stats]
        made = {
            f"stat_{j}": compute_statistic(table, i, stat) for j, (i, stat) in enumerate(chosen)
        }
        return {**state, "table": pd.concat([table[keys], pd.DataFrame(made)], axis=1)}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Looks each row's group up."""
        device = rows.device
        at = find_positions(frame, state["by"], state["table"], device)
        made = {}
        for j, name in enumerate(state["produces"]):
            values = device.cache_array(
                state["table"], f"stat_{j}", partial(_column, state["table"], j)
            )
            made[name] = device.make_series(take_or_last(values, at, device), "float64")
        return device.make_frame(made)


def _column(table: pd.DataFrame, number: int) -> np.ndarray:
    """float64 (groups + 1,): a statistic; NaN behind the last group."""
    return np.append(table[f"stat_{number}"].to_numpy("float64"), np.nan)
