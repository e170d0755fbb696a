"""join: columns of a side table, found by its keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from pipeline.config.model import Names
from pipeline.config.stored import Count, StoredObject
from pipeline.device import MISSING, Array, Frame, Frames, Series, cpu
from pipeline.errors import ConfigError, DataError, shorten, suggest_or_list
from pipeline.features.op import Op, Rows, State, Summary
from pipeline.features.saved_state import MAX_ROWS, Expected, Kind, SavedState, TableName, key_kind
from pipeline.features.stats.key_tables import find_positions, key_names, to_key_column
from pipeline.schema import Column, Dtype, Schema

_NUMBERS = frozenset({"int64", "int32", "float64", "float32"})


class Made(StoredObject):
    """A joined column."""

    name: str
    dtype: Dtype


class Joined(SavedState):
    """The used part of the side table, and how many training rows found nothing in it."""

    table: TableName
    produces: list[Made]
    rows: Count
    unmatched: Count
    missing_key: Count

    def mismatch(self, op: Any, schema: Schema) -> str:
        """Check the joined columns against the op's."""
        made = [(c.name, c.dtype) for c in op.produces(schema)]
        same = made == [(c.name, c.dtype) for c in self.produces]
        return "" if same else "produces is not what its op and columns give"

    def tables_expected(self, op: Any, schema: Schema) -> list[Expected]:
        """Describe the side table: keys, then joined columns."""
        keys = dict(zip(key_names(len(op.keys)), op.keys, strict=True))
        kinds: dict[str, Kind] = {key: key_kind(op.types[n]) for key, n in keys.items()}
        joined: dict[str, Kind] = {f"column_{i}": c.dtype for i, c in enumerate(self.produces)}
        return [Expected({**kinds, **joined}, tuple(keys), MAX_ROWS)]


class Join(Op):
    """Appends columns of a side table (``data.tables``), each row's found by the table's keys.

    A row whose key is missing or not in the table gets missing values; both are counted. A joined
    column whose name exists already becomes ``<table>__<column>``. Numbers match numbers of the
    same value, whether integer or float; other keys must have the same type on both sides.

    The fitted state holds the key columns and the joined columns of the table, so that a run
    scores new data without the table's file.

    Example:
        >>> import pandas as pd
        >>> from pipeline.features.try_op import make_side_table, try_op
        >>> planes = make_side_table({"tail": ["N1", "N2"], "seats": [2, 150]}, keys=["tail"])
        >>> flights = {"tail": ["N2", "N9", None, "N1"]}
        >>> try_op("join: {table: planes, columns: [seats]}", flights, tables={"planes": planes})
           seats
        0    150
        1   <NA>
        2   <NA>
        3      2
    """

    name: ClassVar[str] = "join"
    requires_fit: ClassVar[bool] = True
    can_transform_unfitted: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Joined

    table: str
    columns: Names | None = None
    """Columns of the table; None: all but the keys."""
    keys: Names | None = None
    """The table's key columns. Filled in by the plan from ``data.tables.<table>.keys``."""
    types: dict[str, Dtype] | None = None
    """Storage dtypes of the table's columns. Filled in by the plan, see `filled`."""

    def bind_table(self, keys: Sequence[str], types: Mapping[str, Dtype]) -> Join:
        """This op once the table's keys and columns are known; what the plan calls first.

        Raises:
            ConfigError: the table lacks a key or a column; the nearest name is proposed.
        """
        for name in (*keys, *(self.columns or ())):
            if name not in types:
                raise ConfigError(
                    f"join: table {self.table!r} has no column {name!r}",
                    fix=suggest_or_list(name, types),
                )
        used = {*keys, *(self.columns or types)}
        kept = {name: dtype for name, dtype in types.items() if name in used}
        return self.model_copy(update={"keys": tuple(keys), "types": kept})

    def _keys(self) -> tuple[str, ...]:
        if self.keys is None or self.types is None:
            raise ConfigError(
                f"join: the keys of table {self.table!r} are not known",
                fix=f"describe it: data.tables.{self.table}: {{path: …, keys: […]}}",
            )
        return self.keys

    def _joined(self) -> list[str]:
        """The table's columns that are joined."""
        keys = self._keys()
        return (
            list(self.columns) if self.columns else [n for n in self.types or {} if n not in keys]
        )

    def reads(self, schema: Schema) -> list[str]:
        """The key columns.

        Raises:
            ConfigError: the frame lacks one, or its type cannot equal the table's.
        """
        for key in self._keys():
            own, other = schema[key].dtype, (self.types or {})[key]
            if own != other and not {own, other} <= _NUMBERS:
                raise ConfigError(
                    f"join: key {key!r} is {own} in the data and {other} in table {self.table!r}",
                    fix=f"give it one type: types: {{{key}: …}} under data or "
                    f"data.tables.{self.table}, or cast it before the join",
                )
        return list(self._keys())

    def produces(self, schema: Schema) -> list[Column]:
        """The joined columns, in the table's dtypes."""
        self.reads(schema)
        made = []
        for column in self._joined():
            name = f"{self.table}__{column}" if column in schema else column
            if name != column and name in schema:
                raise ConfigError(
                    f"join: the data have both {column!r} and {name!r}",
                    fix=f"rename one of them before the join, or leave out {column!r}",
                )
            made.append(Column(name, (self.types or {})[column]))
        return made

    def tables(self) -> dict[str, list[str] | None]:
        """The side table, its keys and the joined columns."""
        if self.columns is None or self.keys is None:
            return {self.table: None}
        return {self.table: list(dict.fromkeys([*self.keys, *self.columns]))}

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """The used part of the table: ``key_0`` … and ``column_0`` …

        Raises:
            DataError: two rows of the table have the same keys.
        """
        table, keys = tables[self.table].reset_index(drop=True), list(self._keys())
        table = table[~table[keys].isna().any(axis=1)].reset_index(drop=True)
        _check_unique(table, keys, self.table)
        data = {
            name: to_key_column(_plain(table[key]))
            for name, key in zip(key_names(len(keys)), keys, strict=True)
        }
        for i, column in enumerate(self._joined()):
            as_str = (self.types or {})[column] == "text"
            data[f"column_{i}"] = table[column].astype("str") if as_str else table[column]
        made = [{"name": c.name, "dtype": c.dtype} for c in self.produces(schema)]
        return {"table": pd.DataFrame(data), "produces": made}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Counts of the training rows that find nothing."""
        at = find_positions(frame, self._keys(), state["table"], rows.device)
        missing = int((at == MISSING).sum())
        return {
            "rows": len(frame), "unmatched": int((at < 0).sum()) - missing, "missing_key": missing,
        }  # fmt: skip

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Adds the counts."""
        return {name: a[name] + b[name] for name in a}

    def finish(self, summary: Summary, state: State) -> State:
        """The table with the counts: ``rows``, ``unmatched`` and ``missing_key``."""
        return {**state, **summary}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Looks the keys up and takes the table's values."""
        device = rows.device
        at = find_positions(frame, self._keys(), state["table"], device)
        at = device.xp.where(at < 0, len(state["table"]), at)  # a missing value follows the last
        return device.make_frame(
            {
                column["name"]: _taken(state["table"], f"column_{i}", column["dtype"], at, device)
                for i, column in enumerate(state["produces"])
            }
        )


def _taken(table: pd.DataFrame, name: str, dtype: Dtype, at: Array, device: Frames) -> Series:
    """The values of a table's column at these positions; missing behind its last row."""
    if dtype == "text":
        codes, words = pd.factorize(table[name])
        every = device.cache_array(table, name, lambda: np.append(codes, -1).astype("int32"))
        return device.make_text(every[at], np.asarray(words, dtype=object))
    values, missing = cpu.to_arrays(table[name])
    last = values.dtype.type(np.nan if dtype.startswith("float") else 0)
    found = device.cache_array(table, name, lambda: np.append(values, last))[at]
    if dtype.startswith("float"):
        return device.make_series(found, dtype)
    lacking = device.cache_array(table, f"{name} missing", lambda: np.append(missing, True))
    return device.make_series(found, dtype, lacking[at])


def _plain(series: pd.Series) -> np.ndarray:
    """The values of a table's key column, none missing: object of str, or numbers."""
    if isinstance(series.dtype, pd.CategoricalDtype) or series.dtype.kind not in "iufbM":
        return series.astype("str").to_numpy(dtype=object)
    return cpu.to_arrays(series)[0]


def _check_unique(table: pd.DataFrame, keys: list[str], name: str) -> None:
    twice = table.duplicated(keys, keep=False)
    if not twice.any():
        return
    counts = table[twice].groupby(keys, sort=True, observed=True).size()
    shown = []
    for key, count in counts.head(100).items():
        values = key if isinstance(key, tuple) else (key,)
        pairs = ", ".join(f"{k}={_shown(v)}" for k, v in zip(keys, values, strict=True))
        shown.append(f"{pairs}: {count} rows")
    raise DataError(
        f"join: table {name!r} has {len(counts):,} duplicate keys",
        examples=shown[:5],
        fix=f"keep one row per key, or name more columns in data.tables.{name}.keys",
    )


def _shown(value: object) -> str:
    return str(value) if isinstance(value, pd.Timestamp) else shorten(value)
