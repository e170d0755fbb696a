"""lag: what an entity's earlier rows held."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.config.model import Names
from pipeline.device import Array, Frame
from pipeline.errors import ConfigError
from pipeline.features.op import Op, Rows, State, Summary, require_kinds
from pipeline.features.saved_state import Expected, Kind, SavedState, TableName, key_kind
from pipeline.features.stats.key_tables import (
    MAX_KEYS,
    check_key_count,
    group_rows,
    key_names,
    to_key_values,
)
from pipeline.features.stats.rolling import RollingStat, SortedSeries, compute_rolling, sort_series
from pipeline.schema import Column, Columns, Schema


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


Steps = Annotated[tuple[Annotated[int, Field(ge=1, le=10_000)], ...], BeforeValidator(_listed)]
Stats = Annotated[tuple[RollingStat, ...], BeforeValidator(_listed), Field(min_length=1)]


class Rolling(BaseModel):
    """A window of earlier rows and what is computed of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int = Field(ge=1, le=10_000)
    """How many rows."""
    stats: Stats = ("mean",)


class History(SavedState):
    """The last rows of each entity."""

    columns: list[str]
    history: TableName

    def tables_expected(self, op: Any, schema: Schema) -> list[Expected]:
        """Describe a table of keys, order, row ids and values."""
        by = _distinct(op.by)
        keys = {k: key_kind(schema[n].dtype) for k, n in zip(key_names(len(by)), by, strict=True)}
        values: dict[str, Kind] = {f"value_{i}": "number" for i in range(len(self.columns))}
        order = key_kind(schema[op.order].dtype)
        return [
            Expected({**keys, "order": order, "id": "int64", **values}, (), MAX_KEYS * op.depth())
        ]


class Lag(Op):
    """Appends values of the earlier rows of the same entity: shifts, differences, rolling windows.

    The rows of an entity (equal ``by``) are sorted by ``order``, then by their place in the data;
    rows of all sets count. With ``x`` the row's place and ``g`` the ``gap``, a row gets

        ``<column>__shift_<k>``       the value at x - g - k
        ``<column>__diff_<k>``        the value at x - g - 1 less that at x - g - 1 - k
        ``<column>__<stat>_<window>`` a statistic of the values at x - g - window … x - g - 1

    as float64, never anything of the row itself. Missing values in a window are skipped; ``std``
    divides by n - 1; ``count`` is 0 where the window holds no value, the others are missing. A row
    without entity or order gets missing values and is no other row's earlier one.

    Columns that the target is made of need ``gap: 1`` or more, as many rows as the target becomes
    known late. New data need not hold them: the plan supplies a column of missing values.

    The last rows of each entity are fitted state, and new data continue the series: they are sorted
    among the kept rows. A kept row is left out where the new data hold a row of the same entity
    and order (they bring it again). New rows that are earlier than an entity's kept rows see only
    each other. The new rows of an entity must come in one frame.

    Example:
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
    requires_fit: ClassVar[bool] = True
    can_transform_unfitted: ClassVar[bool] = True
    fit_on: ClassVar[Literal["train", "all"]] = "all"
    state_model: ClassVar[type[SavedState]] = History

    by: Annotated[Names, Field(min_length=1)]
    order: str
    columns: Columns
    shift: Steps = ()
    diff: Steps = ()
    rolling: Annotated[tuple[Rolling, ...], BeforeValidator(_listed)] = ()
    gap: int = Field(0, ge=0, le=10_000)

    @model_validator(mode="after")
    def _something(self) -> Lag:
        if not (self.shift or self.diff or self.rolling):
            raise ValueError("give shift, diff or rolling")
        made = self._parts()
        if twice := [part for part in made if made.count(part) > 1]:
            raise ValueError(f"{twice[0]} is asked for twice")
        return self

    def _parts(self) -> list[str]:
        """The ends of the produced names, in order."""
        windows = [f"{stat}_{r.window}" for r in self.rolling for stat in r.stats]
        return [*(f"shift_{k}" for k in self.shift), *(f"diff_{k}" for k in self.diff), *windows]

    def depth(self) -> int:
        """Return how many rows back an output looks."""
        looks = [*self.shift, *(k + 1 for k in self.diff), *(r.window for r in self.rolling)]
        return self.gap + max(looks)

    def _of(self, schema: Schema) -> list[str]:
        return require_kinds(schema, self.columns.resolve(schema), {"numeric", "bool"}, self.name)

    def reads(self, schema: Schema) -> list[str]:
        """The entity, the order and the columns.

        Raises:
            ConfigError: the order is no number or time, or a column is made into the target.
        """
        require_kinds(schema, [self.order], {"numeric", "datetime"}, "lag: order")
        placing, columns = [*(schema[n].name for n in self.by), self.order], self._of(schema)
        if of_target := [n for n in placing if n in schema.target]:
            raise ConfigError(
                f"the target is made of {of_target[0]!r}: it cannot place a row in its series",
                fix="use other columns for by and order",
            )
        if self.gap < 1 and (of_target := [n for n in columns if n in schema.target]):
            raise ConfigError(
                f"the target is made of {of_target[0]!r}: with gap: 0 a row would see the target "
                "of the row just before it, which may not be known yet",
                fix="set gap: 1, or as many rows as the target becomes known late",
            )
        return list(dict.fromkeys([*placing, *columns]))

    def can_read_target(self) -> bool:
        """With a gap of at least one row."""
        return self.gap >= 1

    def produces(self, schema: Schema) -> list[Column]:
        """A float64 column per column and shift, difference and statistic."""
        return [Column(f"{n}__{p}", "float64") for n in self._of(schema) for p in self._parts()]

    def regroup_by(self) -> tuple[list[str], list[str]]:
        """An entity's rows, of all sets, come in one partition."""
        return list(self.by), [self.order]

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Which columns it looks back at."""
        return {"columns": self._of(schema)}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """The last rows of each entity: ``key_0`` …, ``order``, ``id`` and ``value_0`` …"""
        device = rows.device
        codes, keys, order = self._placed(frame, rows)
        lines = sort_series(codes, order, rows.ids, device)
        at = lines.at[lines.from_end() <= self.depth()]
        kept = keys.take(device.to_host(codes[at])).reset_index(drop=True)
        columns = {"order": device.to_host(order[at]), "id": device.to_host(rows.ids[at])}
        for i, name in enumerate(state["columns"]):
            columns[f"value_{i}"] = device.to_host(device.to_floats(frame[name])[at])
        return {"history": pd.concat([kept, pd.DataFrame(columns)], axis=1)}

    def merge(self, a: Summary, b: Summary) -> Summary:
        """The latest rows of both.

        Raises:
            DataError: more than 5 million entities.
        """
        return {"history": self._latest(pd.concat([a["history"], b["history"]]))}

    def finish(self, summary: Summary, state: State) -> State:
        """The latest rows of each entity, sorted.

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
        """Lines the rows up behind the kept ones (at predict), looks back, restores the order."""
        device, xp = rows.device, rows.device.xp
        codes, keys, order = self._placed(frame, rows)
        history = _kept_rows(keys, state["history"]) if rows.predicting else _none(state, order)
        count = len(history)
        old = {name: device.to_device(history[name].to_numpy()) for name in history.columns}
        new = xp.arange(count + len(codes)) >= count
        lines = sort_series(
            xp.concatenate([old["code"], codes]),
            xp.concatenate([old["order"].astype(order.dtype), order]),
            xp.concatenate([xp.arange(count) - count, rows.ids]),
            device, replaced_by=new if count else None,
        )  # fmt: skip
        back_to = lines.at[new[lines.at]] - count
        made = {}
        for i, name in enumerate(state["columns"]):
            values = xp.concatenate([old[f"value_{i}"], device.to_floats(frame[name])])[lines.at]
            for part, looked in self._looks(lines, values).items():
                found = xp.full(len(codes), xp.nan)
                found[back_to] = looked[new[lines.at]]
                made[f"{name}__{part}"] = device.make_series(found, "float64")
        return device.make_frame(made)

    def _looks(self, lines: SortedSeries, values: Array) -> dict[str, Array]:
        """Every output of one column, in sorted order."""
        newest = lines.back(values, self.gap + 1)
        found = {f"shift_{k}": lines.back(values, self.gap + k) for k in self.shift}
        for k in self.diff:
            found[f"diff_{k}"] = newest - lines.back(values, self.gap + 1 + k)
        for r in self.rolling:
            stats = compute_rolling(lines, values, window=r.window, gap=self.gap, stats=r.stats)
            found |= {f"{stat}_{r.window}": made for stat, made in stats.items()}
        return found

    def _placed(self, frame: Frame, rows: Rows) -> tuple[Array, pd.DataFrame, Array]:
        """(entity of each row, -1 without entity or order; the entities' keys; order values)."""
        codes, keys = group_rows(frame, _distinct(self.by), rows.device)
        order, missing = rows.device.to_arrays(frame[self.order])
        return rows.device.xp.where(missing, -1, codes), keys, order


def _kept_rows(keys: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """The kept rows of these entities, with their ``code`` in place of keys and ids."""
    names = list(keys.columns)
    for name in names:  # a few new rows must not cost the numbering of every entity kept
        asked, kept = to_key_values(pd.Series(keys[name].unique())), to_key_values(history[name])
        at = pd.Index(asked, dtype=asked.dtype).get_indexer(pd.Index(kept, dtype=kept.dtype))
        history = history[at >= 0]
    both = pd.concat([keys, history[names]], ignore_index=True)
    # Numbered by first appearance: the keys, which are unique, get 0, 1, 2, …
    code = both.groupby(names, sort=False).ngroup().to_numpy()[len(keys) :]
    known = code < len(keys)
    return history[known].drop(columns=[*names, "id"]).assign(code=code[known])


def _none(state: State, order: Array) -> pd.DataFrame:
    """No kept rows: while fitting, all rows of an entity are in the frame."""
    columns = {f"value_{i}": np.empty(0) for i in range(len(state["columns"]))}
    return pd.DataFrame(
        {"code": np.empty(0, "int64"), "order": np.empty(0, order.dtype), **columns}
    )
