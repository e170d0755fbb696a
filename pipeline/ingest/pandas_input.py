"""Conversion of a scorer's input, any pandas frame, to storage dtypes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from pipeline.console.plural import quantify
from pipeline.device import cpu
from pipeline.device.factorize import factorize
from pipeline.errors import DataError, SchemaError, shorten
from pipeline.ingest.column_names import match_header, suggest_column
from pipeline.ingest.frame_stream import name_as_text
from pipeline.schema import EARLIEST, LATEST, Column, Schema

# Rules that messages quote.
RULES = {
    "int64": "an integer", "int32": "an integer", "float64": "a number", "float32": "a number",
    "bool": "true or false", "datetime": "a timestamp of the years 1 to 9999", "text": "text",
}  # fmt: skip


def from_pandas(df: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Convert the schema's columns of a CPU frame to storage dtypes, with a RangeIndex.

    Every dtype that can hold the values is accepted: numbers and None as objects, whole floats as
    integers, text as ``str``, objects or categories, timestamps of any unit and zone, or their
    ISO 8601 text. Columns that the schema lacks are ignored. As in `run`, a named index is a
    column, and names that are not text become text. Names match apart from blanks and case, if one
    column does.

    Args:
        df: n rows; not changed.
        schema: the columns that are needed.

    Returns:
        A new frame of n rows.

    Raises:
        SchemaError: columns are missing, occur twice or have another type.
        DataError: a value does not fit its column; the error names row and value.
    """
    if not hasattr(df, "columns"):
        raise SchemaError(
            f"a pandas frame is needed, this is a {type(df).__name__}",
            fix="convert it: pd.DataFrame(rows)",
        )
    df = _name_columns(df, schema)
    names = list(df.columns)
    present = set(names)
    if lacking := [c for c in schema if c.name not in present]:
        spare = [str(n) for n in names if n not in schema]
        raise SchemaError(
            f"the frame lacks {len(lacking)} of {quantify(len(schema.names), 'column')}",
            examples=[f"- {c.name} ({c.dtype})" for c in lacking],
            fix=suggest_column(lacking[0].name, spare),
        )
    for column in schema:
        # Names are rarely repeated: only then is it worth counting each of them.
        if len(present) < len(names) and names.count(column.name) > 1:
            raise SchemaError(f"the frame has {column.name!r} {names.count(column.name)} times")
    columns = {c.name: _convert_column(df[c.name], c) for c in schema}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(df)), copy=False)


def _name_columns(df: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the frame with text as names and the levels of its index that the schema needs."""
    if all(c.name in df.columns for c in schema):
        return df
    if not all(isinstance(name, str) for name in df.columns):
        df = df.set_axis([name_as_text(name) for name in df.columns], axis="columns")
    levels = {name_as_text(name): i for i, name in enumerate(df.index.names) if name is not None}
    matched = match_header([*df.columns, *levels], schema.names)
    df = df.rename(columns=matched)
    levels = {matched.get(name, name): i for name, i in levels.items()}
    absent = [c.name for c in schema if c.name not in df.columns and c.name in levels]
    values = {name: df.index.get_level_values(levels[name]) for name in absent}
    return df.assign(**{name: pd.Series(v, index=df.index) for name, v in values.items()})


def _convert_column(series: pd.Series, column: Column) -> Any:
    kind = getattr(series.dtype, "kind", "O")
    if isinstance(series.dtype, pd.CategoricalDtype):
        if column.dtype == "text" and all(isinstance(v, str) for v in series.cat.categories):
            return cpu.make_text(*cpu.to_codes(series)).array
        series, kind = series.astype(object), "O"
    elif isinstance(series.dtype, pd.DatetimeTZDtype):
        kind = "M"
    elif not isinstance(series.dtype, np.dtype) and kind not in "iufb":
        kind = "O"  # other extension dtypes are read as Python values, each of which is checked
    missing = series.isna().to_numpy()
    if missing.all():  # whatever the dtype: None, NaN and NaT make columns of many dtypes
        if column.dtype == "text":
            return cpu.make_text(np.full(len(series), -1), np.array([], dtype=object)).array
        return cpu.make_series(np.zeros(len(series)), column.dtype, missing).array
    if kind == "O":
        return _convert_objects(series.to_numpy(dtype=object), missing, column, series.index)
    return _convert_typed(series, kind, missing, column)


def _convert_typed(series: pd.Series, kind: str, missing: np.ndarray, column: Column) -> Any:
    """Convert a column whose dtype fixes the type of its values."""
    accepted = {
        "int64": "iuf", "int32": "iuf", "float64": "iuf", "float32": "iuf", "bool": "b",
        "datetime": "M",
    }.get(column.dtype, "")  # fmt: skip
    if kind not in accepted:
        raise SchemaError(
            f"column {column.name!r} is {series.dtype}, it must be {RULES[column.dtype]}",
            fix="convert it before scoring: the models were trained on that type",
        )
    if kind == "M":
        zone = getattr(series.dtype, "tz", None)
        naive = series if zone is None else series.dt.tz_convert(None)
        return cpu.make_series(_to_microseconds(naive, missing, column), "datetime", missing).array
    if kind == "f" and column.dtype.startswith("int"):
        values = series.to_numpy(dtype="float64", na_value=0.0)
        _check_all((values == np.floor(values)) & (np.abs(values) < 2.0**63), series, column)
        return cpu.make_series(np.where(missing, 0, values), column.dtype, missing).array
    if kind == "u" and column.dtype.startswith("int"):
        values = series.to_numpy(dtype="uint64", na_value=0)
        _check_all(values < 2**63, series, column)
        return cpu.make_series(values, column.dtype, missing).array
    dtype = {"i": "int64", "u": "uint64", "f": "float64", "b": "bool"}[kind]
    values = series.to_numpy(dtype=dtype, na_value=np.nan if kind == "f" else 0)
    return cpu.make_series(values, column.dtype, missing).array


def _to_microseconds(stamps: pd.Series, missing: np.ndarray, column: Column) -> np.ndarray:
    """Convert timestamps of any unit to µs since 1970; a missing one becomes 0.

    Raises:
        DataError: one lies outside of the years 1 to 9999.
    """
    present = np.where(missing, np.datetime64(0, "s"), stamps.to_numpy())
    # Whole seconds first: a cast to µs that overflows wraps around to another time.
    seconds = present.astype("datetime64[s]").astype("int64")
    _check_all((seconds >= EARLIEST // 10**6) & (seconds <= LATEST // 10**6), stamps, column)
    micros: np.ndarray = present.astype("datetime64[us]").astype("int64")
    return micros


def _check_all(valid: np.ndarray, series: pd.Series, column: Column) -> None:
    if not valid.all():
        at = int(np.flatnonzero(~valid)[0])
        raise _value_error(column, series.iloc[at], series.index[at])


def _convert_objects(
    values: np.ndarray, missing: np.ndarray, column: Column, index: pd.Index
) -> Any:
    """Convert Python values, each of which is checked, since an object may be anything."""
    present = values[~missing]
    fits = _FITS.get(column.dtype, _is_number)
    for value, label in zip(present, index[~missing], strict=True):
        if not fits(value):
            raise _value_error(column, value, label)
    if column.dtype == "text":
        return cpu.make_text(*factorize(values)).array
    if column.dtype == "datetime":
        stamps = pd.to_datetime(pd.Series(values), format="ISO8601", utc=True, errors="coerce")
        bad = stamps.isna().to_numpy() & ~missing
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise _value_error(column, values[at], index[at])
        naive = stamps.dt.tz_convert(None).set_axis(index)
        return cpu.make_series(_to_microseconds(naive, missing, column), "datetime", missing).array
    filled = np.where(missing, 0, values)
    if column.dtype == "bool":
        return cpu.make_series(filled.astype(bool), "bool", missing).array
    if column.dtype.startswith("int"):
        # compared as Python numbers: integers beyond 2**53 would change as float64
        whole = np.array([v == int(v) and abs(v) < 2**63 for v in present])
        if not whole.all():
            at = int(np.flatnonzero(~whole)[0])
            raise _value_error(column, present[at], index[~missing][at])
        integers = np.array([int(v) for v in filled], dtype="int64")
        return cpu.make_series(integers, column.dtype, missing).array
    return cpu.make_series(filled.astype("float64"), column.dtype, missing).array


def _is_number(value: object) -> bool:
    from decimal import Decimal
    from numbers import Real

    # bool is a subclass of int
    return isinstance(value, Real | Decimal) and not isinstance(value, bool | np.bool_)


_FITS: dict[str, Callable[[object], bool]] = {
    "text": lambda v: isinstance(v, str),
    "bool": lambda v: isinstance(v, bool | np.bool_),
    "datetime": lambda v: isinstance(v, str | date | np.datetime64),
}


def _value_error(column: Column, value: object, label: object) -> DataError:
    value, label = (v.item() if isinstance(v, np.generic) else v for v in (value, label))
    return DataError(
        f"column {column.name!r}, row {label!r}: {shorten(value)} is not {RULES[column.dtype]}"
    )
