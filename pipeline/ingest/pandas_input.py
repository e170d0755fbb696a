"""Any pandas frame in storage dtypes: what a scorer is given, one row or many."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from pipeline.device import cpu
from pipeline.device.factorize import factorize
from pipeline.errors import DataError, SchemaError, shorten, suggest_or_list
from pipeline.schema import EARLIEST, LATEST, Column, Schema

RULES = {
    "int64": "an integer", "int32": "an integer", "float64": "a number", "float32": "a number",
    "bool": "true or false", "datetime": "a timestamp of the years 1 to 9999", "text": "text",
}  # fmt: skip


def from_pandas(df: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """The schema's columns of a host frame in storage dtypes, with a RangeIndex.

    Takes every dtype that can hold the values: numbers and None as objects, whole floats as
    integers, text as ``str``, objects or categories, timestamps of any unit and zone, or their
    ISO 8601 text. Columns that the schema does not know are ignored.

    Args:
        df: n rows; not changed.
        schema: the columns that are needed.

    Returns:
        A new frame of n rows.

    Raises:
        SchemaError: columns are missing, double or of another type.
        DataError: a value does not fit its column; row and value are named.
    """
    _check_names(df, schema)
    columns = {c.name: _stored(df[c.name], c) for c in schema}
    return pd.DataFrame(columns, index=pd.RangeIndex(len(df)), copy=False)


def _check_names(df: pd.DataFrame, schema: Schema) -> None:
    if not hasattr(df, "columns"):
        raise SchemaError(
            f"a pandas frame is needed, this is a {type(df).__name__}", fix="pd.DataFrame(rows)"
        )
    present = list(df.columns)
    known = set(present)
    if lacking := [c for c in schema if c.name not in known]:
        spare = [str(n) for n in present if n not in schema]
        raise SchemaError(
            f"the frame lacks {len(lacking)} of {len(schema.names)} columns",
            examples=[f"- {c.name} ({c.dtype})" for c in lacking],
            fix=suggest_or_list(lacking[0].name, spare),
        )
    for column in schema:
        if len(known) < len(present) and present.count(column.name) > 1:
            raise SchemaError(f"the frame has {column.name!r} {present.count(column.name)} times")


def _stored(series: pd.Series, column: Column) -> Any:
    kind = series.dtype.kind if isinstance(series.dtype, np.dtype) else _kind(series)
    if kind == "category":
        if column.dtype == "text" and _all_text(series.cat.categories):
            return cpu.make_text(*cpu.to_codes(series)).array
        series = series.astype(object)
        kind = "O"
    missing = series.isna().to_numpy()
    if missing.all():
        return _of_missing(len(series), column)
    if kind == "O":
        return _from_objects(series.to_numpy(dtype=object), missing, column, series.index)
    return _typed(series, kind, missing, column)


def _kind(series: pd.Series) -> str:
    if isinstance(series.dtype, pd.CategoricalDtype):
        return "category"
    if isinstance(series.dtype, pd.DatetimeTZDtype):
        return "M"
    kind = getattr(series.dtype, "kind", "O")
    return kind if kind in "iufb" else "O"


def _all_text(values: Any) -> bool:
    return all(isinstance(v, str) for v in values)


def _of_missing(rows: int, column: Column) -> Any:
    if column.dtype == "text":
        return cpu.make_text(np.full(rows, -1), np.array([], dtype=object)).array
    return cpu.make_series(np.zeros(rows), column.dtype, np.ones(rows, dtype=bool)).array


def _typed(series: pd.Series, kind: str, missing: np.ndarray, column: Column) -> Any:
    """From a column whose dtype says what it holds."""
    accepted = {"int64": "iuf", "int32": "iuf", "float64": "iuf", "float32": "iuf",
                "bool": "b", "datetime": "M"}.get(column.dtype, "")  # fmt: skip
    if kind not in accepted:
        raise _retyped(column, str(series.dtype))
    if kind == "M":
        zone = getattr(series.dtype, "tz", None)
        naive = series if zone is None else series.dt.tz_convert(None)
        return cpu.make_series(_micros(naive, missing, column), "datetime", missing).array
    if kind == "f" and column.dtype.startswith("int"):
        values = series.to_numpy(dtype="float64", na_value=0.0)
        _check((values == np.floor(values)) & (np.abs(values) < 2.0**63), series, column)
        return cpu.make_series(np.where(missing, 0, values), column.dtype, missing).array
    if kind == "u" and column.dtype.startswith("int"):
        values = series.to_numpy(dtype="uint64", na_value=0)
        _check(values < 2**63, series, column)
        return cpu.make_series(values, column.dtype, missing).array
    plain = {"i": "int64", "u": "uint64", "f": "float64", "b": "bool"}[kind]
    return cpu.make_series(
        series.to_numpy(dtype=plain, na_value=np.nan if kind == "f" else 0), column.dtype, missing
    ).array


def _micros(stamps: pd.Series, missing: np.ndarray, column: Column) -> np.ndarray:
    """µs since 1970 of timestamps of any unit; a missing one is 0.

    Raises:
        DataError: one lies outside of the years 1 to 9999.
    """
    present = np.where(missing, np.datetime64(0, "s"), stamps.to_numpy())
    # whole seconds first: a cast to µs that overflows wraps around to another time
    seconds = present.astype("datetime64[s]").astype("int64")
    bounds = EARLIEST // 10**6, LATEST // 10**6
    _check((seconds >= bounds[0]) & (seconds <= bounds[1]), stamps, column)
    micros: np.ndarray = present.astype("datetime64[us]").astype("int64")
    return micros


def _check(good: np.ndarray, series: pd.Series, column: Column) -> None:
    if not good.all():
        at = int(np.flatnonzero(~good)[0])
        raise _bad(column, series.iloc[at], series.index[at])


def _from_objects(values: np.ndarray, missing: np.ndarray, column: Column, index: pd.Index) -> Any:
    """From Python values: each is looked at, since an object may be anything."""
    present = values[~missing]
    fits = _FITS.get(column.dtype, _is_number)
    for value, label in zip(present, index[~missing], strict=True):
        if not fits(value):
            raise _bad(column, value, label)
    if column.dtype == "text":
        return cpu.make_text(*factorize(values)).array
    if column.dtype == "datetime":
        return _stamps(values, missing, column, index)
    filled = np.where(missing, 0, values)
    if column.dtype == "bool":
        return cpu.make_series(filled.astype(bool), "bool", missing).array
    if column.dtype.startswith("int"):
        whole = np.array([v == int(v) and abs(v) < 2**63 for v in present])
        if not whole.all():
            at = int(np.flatnonzero(~whole)[0])
            raise _bad(column, present[at], index[~missing][at])
        integers = np.array([int(v) for v in filled], dtype="int64")
        return cpu.make_series(integers, column.dtype, missing).array
    return cpu.make_series(filled.astype("float64"), column.dtype, missing).array


def _stamps(values: np.ndarray, missing: np.ndarray, column: Column, index: pd.Index) -> Any:
    stamps = pd.to_datetime(pd.Series(values), format="ISO8601", utc=True, errors="coerce")
    bad = stamps.isna().to_numpy() & ~missing
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise _bad(column, values[at], index[at])
    naive = stamps.dt.tz_convert(None).set_axis(index)
    return cpu.make_series(_micros(naive, missing, column), "datetime", missing).array


def _is_number(value: Any) -> bool:
    from decimal import Decimal
    from numbers import Real

    return isinstance(value, Real | Decimal) and not isinstance(value, bool | np.bool_)


def _is_date(value: Any) -> bool:
    from datetime import date

    return isinstance(value, str | date | np.datetime64)


_FITS = {
    "text": lambda v: isinstance(v, str),
    "bool": lambda v: isinstance(v, bool | np.bool_),
    "datetime": _is_date,
}


def _retyped(column: Column, found: str) -> SchemaError:
    return SchemaError(
        f"column {column.name!r} is {found}, it must be {RULES[column.dtype]}",
        fix="convert it before scoring: the models were trained on that type",
    )


def _bad(column: Column, value: Any, label: Any) -> DataError:
    value, label = (v.item() if isinstance(v, np.generic) else v for v in (value, label))
    return DataError(
        f"column {column.name!r}, row {label!r}: {shorten(value)} is not {RULES[column.dtype]}"
    )
