"""join: columns of a side table, looked up by its keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from pipeline.config.section import Names
from pipeline.config.stored import Count, StoredObject
from pipeline.console.plural import quantify
from pipeline.device import MISSING, Array, Frame, Frames, Series, cpu
from pipeline.errors import ConfigError, DataError, shorten, suggest_or_list
from pipeline.features.op import Op, Rows, State, Summary
from pipeline.features.saved_state import (
    MAX_ROWS,
    Content,
    ExpectedTable,
    SavedState,
    TableName,
    key_content,
)
from pipeline.features.stats.key_tables import find_positions, key_names, to_key_column
from pipeline.schema import Column, Dtype, Schema

_NUMBERS = frozenset({"int64", "int32", "float64", "float32"})


class JoinedColumn(StoredObject):
    """A joined column."""

    name: str
    dtype: Dtype


class Joined(SavedState):
    """State of join: the used part of the side table, and counts of unmatched training rows."""

    table: TableName
    produces: list[JoinedColumn]
    rows: Count
    unmatched: Count
    missing_key: Count

    def find_mismatch(self, op: Any, schema: Schema) -> str:
        """Check the joined columns against the op's."""
        expected = [(c.name, c.dtype) for c in op.produces(schema)]
        if expected == [(c.name, c.dtype) for c in self.produces]:
            return ""
        return "produces is not what its op and columns give"

    def describe_tables(self, op: Any, schema: Schema) -> list[ExpectedTable]:
        """Describe the side table: keys, then joined columns."""
        columns: dict[str, Content] = {
            key: key_content(op.types[name])
            for key, name in zip(key_names(len(op.keys)), op.keys, strict=True)
        }
        keys = tuple(columns)
        columns |= {f"column_{i}": c.dtype for i, c in enumerate(self.produces)}
        return [ExpectedTable(columns, keys, MAX_ROWS)]


class Join(Op):
    """Append columns of a side table (``data.tables``), looked up by the table's keys.

    A row whose key is missing or not in the table gets missing values; both cases are counted, each
    row once whatever its weight. A joined column whose name exists already becomes
    ``<table>__<column>``. Numbers match numbers of the same value, whether integer or float. Other
    keys must have the same type on both sides.

    The fitted state holds the key columns and the joined columns of the table, so a run scores new
    data without the table's file.

    Example:
        - join: {table: planes, columns: [seats]}

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
    # The columns are those of the table; its keys are renamed under data.tables.
    column_keys: ClassVar[tuple[str, ...]] = ()
    requires_fit: ClassVar[bool] = True
    can_transform_unfitted: ClassVar[bool] = True
    state_model: ClassVar[type[SavedState]] = Joined

    table: str
    """Name of the side table under ``data.tables``."""
    columns: Names | None = None
    """Columns of the table; null: all except the keys."""
    keys: Names | None = None
    """Key columns of the table. Filled in from ``data.tables.<table>.keys``; do not set it."""
    types: dict[str, Dtype] | None = None
    """Storage dtypes of the table's columns. Filled in from the table; do not set it."""

    def bind_table(self, keys: Sequence[str], types: Mapping[str, Dtype]) -> Join:
        """Return the op with the table's keys and dtypes filled in; needed before all other steps.

        Raises:
            ConfigError: the table lacks a key or a column; suggests the nearest name.
        """
        for name in (*keys, *(self.columns or ())):
            if name not in types:
                raise ConfigError(
                    f"join: table {self.table!r} has no column {name!r}",
                    fix=suggest_or_list(name, types),
                )
        used = {*keys, *(self.columns or types)}
        used_types = {name: dtype for name, dtype in types.items() if name in used}
        return self.model_copy(update={"keys": tuple(keys), "types": used_types})

    def _keys(self) -> tuple[str, ...]:
        if self.keys is None or self.types is None:
            raise ConfigError(
                f"join: the keys of table {self.table!r} are not known",
                fix=f"describe it: data.tables.{self.table}: {{path: …, keys: […]}}",
            )
        return self.keys

    def _joined(self) -> list[str]:
        keys = self._keys()
        if self.columns:
            return list(self.columns)
        return [name for name in self.types or {} if name not in keys]

    def reads(self, schema: Schema) -> list[str]:
        """Return the key columns.

        Raises:
            ConfigError: the frame lacks one, or its type cannot match the table's.
        """
        for key in self._keys():
            left, right = schema[key].dtype, (self.types or {})[key]
            if left != right and not {left, right} <= _NUMBERS:
                raise ConfigError(
                    f"join: key {key!r} is {left} in the data and {right} in table {self.table!r}",
                    fix=f"give it one type: types: {{{key}: …}} under data or "
                    f"data.tables.{self.table}, or cast it before the join",
                )
        return list(self._keys())

    def produces(self, schema: Schema) -> list[Column]:
        """Return the joined columns in the table's dtypes.

        Raises:
            ConfigError: the data have both a column's name and its longer name.
        """
        self.reads(schema)  # refuses keys that cannot match
        columns = []
        for column in self._joined():
            name = f"{self.table}__{column}" if column in schema else column
            if name != column and name in schema:
                raise ConfigError(
                    f"join: the data have both {column!r} and {name!r}",
                    fix=f"rename one of them before the join, or leave out {column!r}",
                )
            columns.append(Column(name, (self.types or {})[column]))
        return columns

    def tables(self) -> dict[str, list[str] | None]:
        """Return the side table with its keys and the joined columns."""
        if self.columns is None or self.keys is None:  # before `bind_table`: read everything
            return {self.table: None}
        return {self.table: list(dict.fromkeys([*self.keys, *self.columns]))}

    def prepare(self, schema: Schema, tables: Mapping[str, pd.DataFrame]) -> State:
        """Return the used part of the table: ``key_0`` … and ``column_0`` …

        Raises:
            DataError: two rows of the table have the same keys.
        """
        table, keys = tables[self.table].reset_index(drop=True), list(self._keys())
        # A missing key matches no row, so these rows of the table are useless.
        table = table[~table[keys].isna().any(axis=1)].reset_index(drop=True)
        _check_unique(table, keys, self.table)
        data = {}
        for name, key in zip(key_names(len(keys)), keys, strict=True):
            if table[key].dtype.kind in "iufbM":
                data[name] = to_key_column(cpu.to_arrays(table[key])[0])
            else:  # categories become plain texts, so that any partition can look them up
                data[name] = to_key_column(table[key].astype("str").to_numpy(dtype=object))
        for i, column in enumerate(self._joined()):
            as_str = (self.types or {})[column] == "text"
            data[f"column_{i}"] = table[column].astype("str") if as_str else table[column]
        produces = [{"name": c.name, "dtype": c.dtype} for c in self.produces(schema)]
        return {"table": pd.DataFrame(data), "produces": produces}

    def summarise(self, frame: Frame, rows: Rows, state: State) -> Summary:
        """Count training rows without a match, or with a missing key."""
        at = find_positions(frame, self._keys(), state["table"], rows.device)
        missing = int((at == MISSING).sum())
        return {
            "rows": len(frame),
            "unmatched": int((at < 0).sum()) - missing,
            "missing_key": missing,
        }

    def merge(self, a: Summary, b: Summary) -> Summary:
        """Add the counts."""
        return {name: a[name] + b[name] for name in a}

    def finish(self, summary: Summary, state: State) -> State:
        """Return the table with the counts: ``rows``, ``unmatched`` and ``missing_key``."""
        return {**state, **summary}

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Look up the keys and take the table's values."""
        device = rows.device
        at = find_positions(frame, self._keys(), state["table"], device)
        at = device.xp.where(at < 0, len(state["table"]), at)  # missing: after the last row
        return device.make_frame(
            {
                column["name"]: _take(state["table"], f"column_{i}", column["dtype"], at, device)
                for i, column in enumerate(state["produces"])
            }
        )


def _take(table: pd.DataFrame, name: str, dtype: Dtype, at: Array, device: Frames) -> Series:
    """Return the values of a table's column at these positions; missing after its last row."""
    if dtype == "text":
        codes, texts = pd.factorize(table[name])
        table_codes = device.cache_array(table, name, lambda: np.append(codes, -1).astype("int32"))
        return device.make_text(table_codes[at], np.asarray(texts, dtype=object))
    values, missing = cpu.to_arrays(table[name])
    last = values.dtype.type(np.nan if dtype.startswith("float") else 0)
    taken = device.cache_array(table, name, lambda: np.append(values, last))[at]
    if dtype.startswith("float"):
        return device.make_series(taken, dtype)
    table_missing = device.cache_array(table, f"{name} missing", lambda: np.append(missing, True))
    return device.make_series(taken, dtype, table_missing[at])


def _check_unique(table: pd.DataFrame, keys: list[str], name: str) -> None:
    twice = table.duplicated(keys, keep=False)
    if not twice.any():
        return
    counts = table[twice].groupby(keys, sort=True, observed=True).size()
    examples = []
    for key, count in counts.head(100).items():
        values = key if isinstance(key, tuple) else (key,)
        shown = (str(v) if isinstance(v, pd.Timestamp) else shorten(v) for v in values)
        pairs = ", ".join(f"{k}={v}" for k, v in zip(keys, shown, strict=True))
        examples.append(f"{pairs}: {quantify(count, 'row')}")
    raise DataError(
        f"join: table {name!r} has {len(counts):,} duplicate keys",
        examples=examples[:5],
        fix=f"keep one row per key, or name more columns in data.tables.{name}.keys",
    )
