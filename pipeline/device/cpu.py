"""The CPU's implementation of `pipeline.device.Frames`: pandas and NumPy.

Arrays are shared, not copied.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import pandas as pd

from pipeline.device import MISSING, UNSEEN
from pipeline.schema import Column, Dtype

name = "cpu"
lib = pd
xp = np

STORAGE: dict[str, Any] = {
    "int64": "Int64", "int32": "Int32", "float64": "float64", "float32": "float32",
    "bool": "boolean", "datetime": "datetime64[us]",
}  # fmt: skip


def empty_frame(columns: list[Column]) -> pd.DataFrame:
    """Return a frame without rows with these columns, and an int64 index of row ids."""
    data = {
        c.name: pd.Series(pd.Categorical([], categories=pd.Index([], dtype="str")))
        if c.dtype == "text"
        else pd.Series([], dtype=STORAGE[c.dtype])
        for c in columns
    }
    return pd.DataFrame(data, index=pd.Index([], dtype="int64"))


def make_series(values: np.ndarray, dtype: Dtype, missing: np.ndarray | None = None) -> pd.Series:
    """Return a column in its storage dtype from values and a mask (True is missing)."""
    if dtype == "datetime":
        stamps = np.asarray(values, "int64").astype("datetime64[us]")
        if missing is not None:
            stamps[missing] = np.datetime64("NaT")
        return pd.Series(stamps, copy=False)
    if dtype in ("float64", "float32"):
        if missing is None:
            return pd.Series(np.asarray(values, dtype=dtype), copy=False)
        floats = np.array(values, dtype=dtype)  # a copy: the caller's array must not change
        floats[missing] = np.nan
        return pd.Series(floats, copy=False)
    mask = np.zeros(len(values), bool) if missing is None else np.asarray(missing, bool)
    kind: Any = pd.arrays.BooleanArray if dtype == "bool" else pd.arrays.IntegerArray
    return pd.Series(kind(np.asarray(values, dtype), mask), copy=False)


def make_text(codes: np.ndarray, values: np.ndarray) -> pd.Series:
    """Return a text column (category) from codes into distinct values."""
    categories = pd.Index(np.asarray(values, dtype=object), dtype="str")
    text = pd.Categorical.from_codes(codes, categories=categories, validate=False)
    return pd.Series(text, copy=False)


def make_frame(columns: dict[str, pd.Series]) -> pd.DataFrame:
    """Return a frame of these columns."""
    # only their arrays: pandas would unite the equal indexes of all columns, one by one
    return pd.DataFrame({name: column.array for name, column in columns.items()}, copy=False)


def frame_with_ids(columns: dict[str, pd.Series], ids: np.ndarray) -> pd.DataFrame:
    """Return a frame of these columns, with row ids as its index."""
    arrays = {name: column.array for name, column in columns.items()}
    return pd.DataFrame(arrays, index=pd.Index(ids, dtype="int64"), copy=False)


def row_ids(frame: pd.DataFrame) -> np.ndarray:
    """Return the row ids: the index as int64."""
    return frame.index.to_numpy(dtype="int64")


def concat(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Concatenate the rows; text columns get the union of the frames' categories."""
    if len(frames) == 1:
        return frames[0]
    from pandas.api.types import union_categoricals

    texts = [str(n) for n, d in frames[0].dtypes.items() if isinstance(d, pd.CategoricalDtype)]
    index = frames[0].index.append([f.index for f in frames[1:]])
    joined = pd.concat([f.drop(columns=texts) for f in frames], axis=0).set_axis(index)
    columns = {n: pd.Series(union_categoricals([f[n] for f in frames]), index=index) for n in texts}
    return joined.assign(**columns)[list(frames[0].columns)]


PACKED = ("int8", "int16", "uint32")
"""Dtypes of packed integers; storage dtypes are others."""


def pack_integers(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with its integers in as few bytes as their values need."""
    small = {n: _pack_column(frame[n]) for n, d in frame.dtypes.items() if d in ("Int64", "Int32")}
    return frame.assign(**{str(name): series for name, series in small.items()})


def _pack_column(series: pd.Series) -> pd.Series:
    values, missing = to_arrays(series)
    if (kind := choose_packed_dtype(values.min(initial=0), values.max(initial=0))) is None:
        return series
    small: Any = values.astype(kind)
    if missing.any():
        small = pd.arrays.IntegerArray(small, missing)
    return pd.Series(small, index=series.index, copy=False)


def choose_packed_dtype(low: int, high: int) -> str | None:
    """Return the smallest packed dtype for integers from low to high; None if none fits."""
    fits = (k for k in PACKED if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
    return next(fits, None)


def unpack_integers(series: pd.Series) -> pd.Series:
    """Return a packed column as int64, and any other column as it is."""
    return series.astype("Int64") if series.dtype.name.lower() in PACKED else series


def to_arrays(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return (values, missing) of a column that is not text."""
    missing = series.isna().to_numpy()
    if series.dtype.kind == "M":
        stamps = series.to_numpy().astype("datetime64[us]").astype("int64")
        return np.where(missing, 0, stamps), missing
    if series.dtype.kind == "f":
        return series.to_numpy(dtype=series.dtype.name.lower(), na_value=np.nan), missing
    kind = "bool" if series.dtype.kind == "b" else series.dtype.name.lower()
    return series.to_numpy(dtype=kind, na_value=False if kind == "bool" else 0), missing


def to_floats(series: pd.Series) -> np.ndarray:
    """Return the column as float64, with NaN where it is missing."""
    if series.dtype.kind == "M":
        values, missing = to_arrays(series)
        return np.where(missing, np.nan, values)
    return series.to_numpy(dtype="float64", na_value=np.nan)


def to_codes(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return (int32 codes with -1 for missing, distinct values)."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        values = series.cat.categories.to_numpy(dtype=object)
        return series.cat.codes.to_numpy(dtype="int32"), values
    values, missing = to_arrays(series)
    codes, distinct = pd.factorize(values)
    codes = codes.astype("int32")
    codes[missing] = -1
    return codes, np.asarray(distinct)


def to_device_codes(series: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the same as `to_codes`: the host is the device."""
    return to_codes(series)


def cache_array(table: pd.DataFrame, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Return ``make()``: the host needs no copy, so nothing is cached."""
    return make()


def release() -> None:
    """Do nothing: nothing is cached."""


def find_positions(
    series: pd.Series, keys: np.ndarray, of: tuple[pd.DataFrame, str] | None = None
) -> np.ndarray:
    """Return the position of each row's value in ``keys``, or UNSEEN or MISSING."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, distinct = to_codes(series)
        index = pd.Index(np.asarray(keys, dtype=object), dtype=object)
        table = np.append(index.get_indexer(pd.Index(distinct, dtype=object)), MISSING)
        positions: np.ndarray = table[codes].astype("int64")  # code -1 reads the last entry
        return positions
    values, missing = to_arrays(series)
    keys = np.asarray(keys)
    if len(keys) == 0 or keys.dtype == object:  # keys of another type: nothing can be equal
        at = np.full(len(values), UNSEEN)
    else:
        at = pd.Index(keys, copy=False).get_indexer(pd.Index(values, copy=False)).astype("int64")
    at[missing] = MISSING
    return at


def bincount(codes: np.ndarray, length: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Return rows, or sums of weights, per code; skip negative codes."""
    valid = codes >= 0
    if not valid.all():
        codes, weights = codes[valid], None if weights is None else weights[valid]
    return np.bincount(codes, weights=weights, minlength=length)


def hash_ints(values: np.ndarray, seed: int) -> np.ndarray:
    """Hash int64 values with MurmurHash3_x86_32 (Appleby, public domain), vectorised over rows."""
    words = np.ascontiguousarray(values, dtype="<i8").view("<u4").reshape(-1, 2)
    h = np.full(len(words), seed & 0xFFFFFFFF, dtype=np.uint32)
    for word in (words[:, 0], words[:, 1]):
        mixed = word * np.uint32(0xCC9E2D51)
        _rotate(mixed, 15)
        mixed *= np.uint32(0x1B873593)
        h ^= mixed
        _rotate(h, 13)
        h *= np.uint32(5)
        h += np.uint32(0xE6546B64)
    h ^= np.uint32(8)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h ^= h >> np.uint32(shift)
        h *= np.uint32(factor)
    h ^= h >> np.uint32(16)
    return h.astype("int64")


def _rotate(x: np.ndarray, by: int) -> None:
    """Rotate each uint32 to the left, in place."""
    low = x >> np.uint32(32 - by)
    x <<= np.uint32(by)
    x |= low


def hash_text(values: np.ndarray, seed: int) -> np.ndarray:
    """Hash each string's UTF-8 bytes with MurmurHash3_x86_32, as int64."""
    from sklearn.utils import murmurhash3_32

    return np.array(
        [murmurhash3_32(str(v).encode("utf-8", "surrogatepass"), seed, True) for v in values],
        dtype="int64",
    )


def hash_values(series: pd.Series, seed: int) -> np.ndarray:
    """Hash a column of any dtype; missing is 0."""
    if isinstance(series.dtype, pd.CategoricalDtype):
        codes, distinct = to_codes(series)
        hashes: np.ndarray = np.append(hash_text(distinct, seed), 0)[codes]
        return hashes
    values, missing = to_arrays(series)
    if values.dtype.kind == "f":
        values = (values.astype("float64") + 0.0).view("int64")  # + 0.0 turns -0.0 into 0.0
    return np.where(missing, 0, hash_ints(values.astype("int64"), seed))


def file_readers() -> None:
    """Return None: the CPU uses the host's readers (`pipeline.ingest`)."""


def translate_error(error: BaseException) -> None:
    """Return None: there is no other device to fall back to."""


def external_memory() -> AbstractContextManager[None]:
    """Return an empty block: on the CPU, bins go to files."""
    return nullcontext()


def read_meter() -> dict[str, int]:
    """Return zeros: nothing is transferred, and there is no device memory."""
    return {"h2d": 0, "h2d_files": 0, "d2h": 0, "peak_device": 0}


def to_host(value: Any) -> Any:
    """Return the value itself: it is on the host already."""
    return value


def to_device(value: Any) -> Any:
    """Return the value itself: the host is the device."""
    return value


def to_host_unordered(values: np.ndarray) -> np.ndarray:
    """Return the values as they are."""
    return values


ROWS_AT_ONCE = 4096
"""Rows of a matrix that stay in a core's cache while its columns are written one by one."""


def to_matrix(frame: pd.DataFrame, names: list[str], rows: np.ndarray | None = None) -> np.ndarray:
    """Return C-ordered float32 (n, len(names)) of all rows or of those; missing is NaN."""
    count = len(frame) if rows is None else len(rows)
    out = np.empty((count, len(names)), dtype="float32")
    columns = [_numbers(frame[name]) for name in names]
    with np.errstate(over="ignore"):  # too large becomes infinite, as on a GPU
        for start in range(0, count, ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            at = block if rows is None else rows[block]
            for j, values in enumerate(columns):
                out[block, j] = values[at]
    return out


def _numbers(series: pd.Series) -> np.ndarray:
    """Return the column as numbers that fit float32 or are cast to it; missing is NaN."""
    if series.dtype.kind != "f" and series.hasnans:
        return series.to_numpy(dtype="float32", na_value=np.nan)
    return series.to_numpy(dtype=series.dtype.name.lower().replace("boolean", "bool"))
