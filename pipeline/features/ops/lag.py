"""lag: values of an entity's earlier rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.config.section import Names
from pipeline.device import Array, Frame
from pipeline.errors import ConfigError
from pipeline.features.op import Op, Rows, State, Summary, require_kinds
from pipeline.features.saved_state import (
    Content,
    ExpectedTable,
    SavedState,
    TableName,
    key_content,
)
from pipeline.features.stats.key_tables import (
    MAX_KEYS,
    check_key_count,
    group_rows,
    key_names,
    to_key_values,
)
from pipeline.features.stats.rolling import RollingStat, SortedSeries, compute_rolling, sort_series
from pipeline.schema import Column, Columns, Schema


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


Steps = Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], BeforeValidator(_as_list)]
Stats = Annotated[tuple[RollingStat, ...], BeforeValidator(_as_list), Field(min_length=1)]


class Rolling(BaseModel):
    """A window of earlier rows, and its statistics."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(ge=1, le=10_000)
    """Number of rows."""
    stats: Stats = ("mean",)
    """Statistics; ``std`` divides by n - 1."""


class History(SavedState):
    """State of lag: the last rows of each entity."""

    columns: list[str]
    history: TableName

    def describe_tables(self, op: Any, schema: Schema) -> list[ExpectedTable]:
        """Describe a table of keys, order, row ids and values."""
        by = list(dict.fromkeys(op.by))
        columns: dict[str, Content] = {
            key: key_content(schema[name].dtype)
            for key, name in zip(key_names(len(by)), by, strict=True)
        }
        columns |= {"order": key_content(schema[op.order].dtype), "id": "int64"}
        columns |= {f"value_{i}": "number" for i in range(len(self.columns))}
        return [ExpectedTable(columns, (), MAX_KEYS * op.depth())]


class Lag(Op):
    """Append values of earlier rows of the same entity: shifts, differences, rolling windows.

    The rows of an entity (equal ``by``) are sorted by ``order``, then by their position in the
    data; rows of all sets count. Let x be the row's position and g the ``gap``. A row gets, as
    float64 and never from the row itself:

    - ``<column>__shift_<k>``: the value at x - g - k
    - ``<column>__diff_<k>``: the value at x - g - 1 minus the value at x - g - 1 - k
    - ``<column>__<stat>_<window>``: a statistic of the values at x - g - window … x - g - 1

    Missing values in a window are skipped. In a window without values ``count`` is 0 and the other
    statistics are missing. A row without entity or order gets missing values, and other rows do not
    see it. Each row counts once, whatever its weight. A run drops rows of weight 0, so no row sees
    them: give rows that are only history a tiny weight, such as 1e-9.

    Columns of the target expression need a ``gap`` of at least 1: the number of rows until the
    target is known. New data need not have these columns; the engine adds a column of missing
    values.

    The last rows of each entity are fitted state, and new data continue the series: they are sorted
    among the stored rows. A stored row is skipped if the new data have a row of the same entity and
    order. New rows that are earlier than an entity's stored rows see only each other. The new rows
    of an entity must come in one frame.

    Example:
        - lag: {by: shop, order: day, columns: sold, shift: 1, rolling: {window: 2}}

        >>> from pipeline.features.try_op import try_op
        >>> sales = {"shop": list("ABAA"), "day": [1, 1, 3, 2], "sold": [5.0, 7.0, 9.0, 6.0]}
        >>> entry = "lag: {by: shop, order: day, columns: sold, shift: 1, rolling: {window: 2}}"
        >>> try_op(entry, sales)
           sold__shift_1  sold__mean_2
        0            NaN           NaN
        1            NaN           NaN
        2            6.0           5.5
        3            5.0           5.0
        >>> try_op(entry, sales, new={"shop": ["A", "B"], "day": [4, 2], "sold": [0.0, 0.0]})
           sold__shift_1  sold__mean_2
        0            9.0           7.5
        1            7.0           7.0
    """

    name: ClassVar[str] = "lag"
    column_keys: ClassVar[tuple[str, ...]] = ("by", "order", "columns")
    requires_fit: ClassVar[bool] = True
    can_transform_unfitted: ClassVar[bool] = True
    fit_on: ClassVar[Literal["train", "all"]] = "all"
    state_model: ClassVar[type[SavedState]] = History

    by: Annotated[Names, Field(min_length=1)]
    """Columns whose values make an entity."""
    order: str
    """Numeric or datetime column that sorts the rows of an entity."""
    columns: Columns
    """Numeric or bool columns to take earlier values of."""
    shift: Steps = ()
    """Distances of single earlier values, in rows."""
    diff: Steps = ()
    """Distances of differences between earlier values, in rows."""
    rolling: Annotated[tuple[Rolling, ...], BeforeValidator(_as_list)] = ()
    """Windows of earlier rows: ``window`` (number of rows) and ``stats`` (default: mean)."""
    gap: int = Field(0, ge=0, le=10_000)
    """Number of rows before a row that it does not see."""

    @model_validator(mode="after")
    def _check_outputs(self) -> Lag:
        if not (self.shift or self.diff or self.rolling):
            raise ValueError("give shift, diff or rolling")
        parts = self._parts()
        if twice := [part for part in parts if parts.count(part) > 1]:
            raise ValueError(f"{twice[0]} is requested twice")
        return self

    def _parts(self) -> list[str]:
        """Return the suffixes of the produced names, in order."""
        windows = [f"{stat}_{r.window}" for r in self.rolling for stat in r.stats]
        return [*(f"shift_{k}" for k in self.shift), *(f"diff_{k}" for k in self.diff), *windows]

    def depth(self) -> int:
        """Return the distance of the earliest row that affects an output."""
        distances = [*self.shift, *(k + 1 for k in self.diff), *(r.window for r in self.rolling)]
        return self.gap + max(distances)

    def _values(self, schema: Schema) -> list[str]:
        return require_kinds(schema, self.columns.resolve(schema), {"numeric", "bool"}, self.name)

    def reads(self, schema: Schema) -> list[str]:
        """Return the entity, the order and the columns.

        Raises:
            ConfigError: the order is not a number or time, or the target is used without a gap.
        """
        require_kinds(schema, [self.order], {"numeric", "datetime"}, "lag: order")
        placing, columns = [*(schema[n].name for n in self.by), self.order], self._values(schema)
        if of_target := [n for n in placing if n in schema.target]:
            raise ConfigError(
                f"the target is made of {of_target[0]!r}: it cannot order the rows of a series",
                fix="use other columns for by and order",
            )
        if self.gap < 1 and (of_target := [n for n in columns if n in schema.target]):
            raise ConfigError(
                f"the target is made of {of_target[0]!r}: with gap: 0 a row would see the target "
                "of the row just before it, which may not be known yet",
                fix="set gap: 1, or the number of rows until the target is known",
            )
        return list(dict.fromkeys([*placing, *columns]))

    def can_read_target(self) -> bool:
        """Return whether there is a gap of at least one row."""
        return self.gap >= 1

    def produces(self, schema: Schema) -> list[Column]:
        """Return a float64 column per column and shift, difference and statistic."""
        return [Column(f"{n}__{p}", "float64") for n in self._values(schema) for p in self._parts()]

    def regroup_by(self) -> tuple[list[str], list[str]]:
        """Return (entity, order): rows of an entity, of all sets, must share a partition."""
        return list(self.by), [self.order]

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Return the columns whose earlier values are used."""
        return {"columns": self._values(schema)}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Return the last rows of each entity: ``key_0`` …, ``order``, ``id`` and ``value_0`` …"""
        device = rows.device
        codes, keys, order = self._entities(frame, rows)
        series = sort_series(codes, order, rows.ids, device)
        # No output of a new row reaches further back than `depth`.
        at = series.at[series.rank_from_end() <= self.depth()]
        entities = keys.take(device.to_host(codes[at])).reset_index(drop=True)
        columns = {"order": device.to_host(order[at]), "id": device.to_host(rows.ids[at])}
        for i, name in enumerate(state["columns"]):
            columns[f"value_{i}"] = device.to_host(device.to_floats(frame[name])[at])
        return {"history": pd.concat([entities, pd.DataFrame(columns)], axis=1)}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Return the latest rows of both summaries.

        Raises:
            DataError: more than 5 million entities.
        """
        return {"history": self._latest(pd.concat([a["history"], b["history"]]))}

    def finish(self, summary: Summary, state: State) -> State:
        """Return the latest rows of each entity, sorted.

        Raises:
            DataError: more than 5 million entities.
        """
        return {**state, "history": self._latest(summary["history"])}

    def _latest(self, history: pd.DataFrame) -> pd.DataFrame:
        keys = key_names(len(dict.fromkeys(self.by)))
        ordered = history.sort_values([*keys, "order", "id"], ignore_index=True)
        groups = ordered.groupby(keys, sort=False)
        check_key_count(groups.ngroups, self.name, ", ".join(self.by))
        latest: pd.DataFrame = groups.tail(self.depth())
        return latest.reset_index(drop=True)

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Compute outputs along sorted series, then restore the order of the rows."""
        device, xp = rows.device, rows.device.xp
        codes, keys, order = self._entities(frame, rows)
        if rows.predicting:
            history = _select_history(keys, state["history"])
        else:  # while fitting, all rows of an entity are in the frame
            values = {f"value_{i}": np.empty(0) for i in range(len(state["columns"]))}
            history = pd.DataFrame(
                {"code": np.empty(0, "int64"), "order": np.empty(0, order.dtype), **values}
            )
        count = len(history)
        old = {name: device.to_device(history[name].to_numpy()) for name in history.columns}
        new = xp.arange(count + len(codes)) >= count
        series = sort_series(
            xp.concatenate([old["code"], codes]),
            xp.concatenate([old["order"].astype(order.dtype), order]),
            # Negative ids sort stored rows before new ones of the same order.
            xp.concatenate([xp.arange(count) - count, rows.ids]),
            device,
            replaced_by=new if count else None,
        )
        is_new = new[series.at]
        at = series.at[is_new] - count
        columns = {}
        for i, name in enumerate(state["columns"]):
            values = xp.concatenate([old[f"value_{i}"], device.to_floats(frame[name])])[series.at]
            for part, results in self._compute_parts(series, values).items():
                output = xp.full(len(codes), xp.nan)
                output[at] = results[is_new]
                columns[f"{name}__{part}"] = device.make_series(output, "float64")
        return device.make_frame(columns)

    def _compute_parts(self, series: SortedSeries, values: Array) -> dict[str, Array]:
        """Return every output of one column, in sorted order."""
        newest = series.shift(values, self.gap + 1)
        parts = {f"shift_{k}": series.shift(values, self.gap + k) for k in self.shift}
        for k in self.diff:
            parts[f"diff_{k}"] = newest - series.shift(values, self.gap + 1 + k)
        for r in self.rolling:
            stats = compute_rolling(series, values, window=r.window, gap=self.gap, stats=r.stats)
            parts |= {f"{stat}_{r.window}": results for stat, results in stats.items()}
        return parts

    def _entities(self, frame: Frame, rows: Rows) -> tuple[Array, pd.DataFrame, Array]:
        """Return (entity of each row, -1 without entity or order; entities' keys; order values)."""
        codes, keys = group_rows(frame, tuple(dict.fromkeys(self.by)), rows.device)
        order, missing = rows.device.to_arrays(frame[self.order])
        return rows.device.xp.where(missing, -1, codes), keys, order


def _select_history(keys: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return the stored rows of these entities, with their ``code`` instead of keys and ids."""
    names = list(keys.columns)
    for name in names:  # a few new rows must not cost the numbering of every stored entity
        wanted, stored = to_key_values(pd.Series(keys[name].unique())), to_key_values(history[name])
        at = pd.Index(wanted, dtype=wanted.dtype).get_indexer(pd.Index(stored, dtype=stored.dtype))
        history = history[at >= 0]
    both = pd.concat([keys, history[names]], ignore_index=True)
    # Numbered by first appearance: the keys, which are unique, get 0, 1, 2, …
    code = both.groupby(names, sort=False).ngroup().to_numpy()[len(keys) :]
    wanted_rows = code < len(keys)
    selected = history[wanted_rows].drop(columns=[*names, "id"])
    return selected.assign(code=code[wanted_rows])
