"""The GPU's implementation of `pipeline.device.Frames`: cuDF and CuPy.

It mirrors `pipeline.device.cpu`. cuDF has a mask of nulls beside every column, and floats may have
NaN values too; both are missing here. Written against RAPIDS 26.10; docs/gpu-results lists what has
run on a GPU.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, TypeVar, cast

import cudf
import cupy as cp
import numpy as np
import pandas as pd

from pipeline.device import (
    MISSING,
    UNSEEN,
    Array,
    FileReaders,
    Frame,
    Series,
    cpu,
    dtype_of,
)
from pipeline.device.gpu import errors, lookup, memory, transfer_bytes
from pipeline.device.table_cache import TableCache
from pipeline.errors import DeviceError
from pipeline.schema import Column, Dtype

T = TypeVar("T")

name = "gpu"
lib = cudf
xp = cp


def read_meter() -> dict[str, int]:
    """Return the bytes of transfers, and the peak memory, since the last call."""
    return {**transfer_bytes.take_counts(), "peak_device": memory.take_peak()}


# -- building and converting -------------------------------------------------------------------


def empty_frame(columns: list[Column]) -> Frame:
    """Return a frame without rows with these columns, and an int64 index of row ids."""
    return to_device(cpu.empty_frame(columns))


def make_series(values: Array, dtype: Dtype, missing: Array | None = None) -> Series:
    """Return a column in its storage dtype from values and a mask (True is missing)."""
    if dtype in ("float64", "float32"):
        floats = values.astype(dtype, copy=missing is None)
        if missing is not None:
            floats = cp.where(missing, cp.asarray(np.nan, dtype=dtype), floats)
        return cudf.Series(floats, nan_as_null=False)
    column = cudf.Series(values.astype("int64" if dtype == "datetime" else dtype))
    if dtype == "datetime":
        column = column.astype("datetime64[us]")
    return column if missing is None else column.where(cudf.Series(~missing))


def make_text(codes: Array, values: np.ndarray) -> Series:
    """Return a text column (category) from codes into distinct values."""
    column = cudf.Series(codes)
    column = column.where(cudf.Series(codes >= 0))
    transfer_bytes.count("h2d", transfer_bytes.text_bytes(values))
    categories = cudf.Index(pd.Index(np.asarray(values, dtype=object), dtype="str"))
    return cudf.Series(cudf.CategoricalIndex.from_codes(column, categories, ordered=False))


def make_frame(columns: dict[str, Series]) -> Frame:
    """Return a frame of these columns."""
    return cudf.DataFrame(columns)


def frame_with_ids(columns: dict[str, Series], ids: Array) -> Frame:
    """Return a frame of these columns, with row ids as its index."""
    frame = cudf.DataFrame(columns) if columns else cudf.DataFrame(index=cudf.Index(ids))
    frame.index = cudf.Index(ids)
    return frame


def row_ids(frame: Frame) -> Array:
    """Return the row ids: the index as int64."""
    return frame.index.to_cupy().astype("int64", copy=False)


def concat(frames: list[Frame]) -> Frame:
    """Concatenate the rows; text columns get the union of the frames' categories."""
    return frames[0] if len(frames) == 1 else cudf.concat(frames)


def pack_integers(frame: Frame) -> Frame:
    """Return the frame with its integers in as few bytes as their values need."""
    return cudf.DataFrame({name: _pack_column(frame[name]) for name in frame.columns})


def _pack_column(series: Series) -> Series:
    if len(series) == 0 or dtype_of(series) not in ("int64", "int32"):
        return series
    values, _ = to_arrays(series)
    kind = cpu.choose_packed_dtype(int(values.min()), int(values.max()))
    return series if kind is None else series.astype(kind)


def unpack_integers(series: Series) -> Series:
    """Return a packed column as int64, and any other column as it is."""
    return series.astype("int64") if str(series.dtype) in cpu.PACKED else series


# -- columns as arrays -------------------------------------------------------------------------


def to_arrays(series: Series) -> tuple[Array, Array]:
    """Return (values, missing) of a column that is not text."""
    missing = series.isna().to_cupy()
    kind = dtype_of(series)
    if kind == "datetime":
        series = series.astype("datetime64[us]").astype("int64")
    elif not isinstance(series.dtype, np.dtype):  # UInt32 of `isocalendar`, which CuPy lacks
        series = series.astype(kind)
    filled = series.fillna(False if kind == "bool" else 0).to_cupy()
    if filled.dtype.kind == "f":
        filled = cp.where(missing, cp.asarray(np.nan, dtype=filled.dtype), filled)
    return filled, missing


def to_floats(series: Series) -> Array:
    """Return the column as float64, with NaN where it is missing."""
    values, missing = to_arrays(series)
    return cp.where(missing, cp.nan, values.astype("float64"))


def to_codes(series: Series) -> tuple[Array, np.ndarray]:
    """Return (int32 codes with -1 for missing, distinct values on the host)."""
    if dtype_of(series) == "text":
        values = series.cat.categories.to_pandas().to_numpy(dtype=object)
        transfer_bytes.count("d2h", transfer_bytes.text_bytes(values))
        return series.cat.codes.astype("int32").fillna(-1).to_cupy(), values
    codes, values = to_device_codes(series)
    return codes, to_host(values)


def to_device_codes(series: Series) -> tuple[Array, Array]:
    """Return (int32 codes with -1 for missing, distinct values on the GPU); not for text."""
    rows, missing = to_arrays(series)
    if rows.dtype.kind == "f":
        rows = cp.where(missing, 0, rows)  # NaN differs from itself
    if rows.dtype.kind == "b":
        values, codes = cp.unique(rows.astype("int8"), return_inverse=True)
        values = values.astype(bool)
    else:
        values, codes = cp.unique(rows, return_inverse=True)
    return cp.where(missing, -1, codes.reshape(-1)).astype("int32"), values


_cache = TableCache()


def cache_array(table: pd.DataFrame, name: str, make: Callable[[], np.ndarray]) -> Array:
    """Return ``make()`` as an array on the GPU; cache it for as long as the table lives."""
    return _cache.get(table, name, lambda: to_device(make()))


def release() -> None:
    """Free what is cached of fitted tables."""
    _cache.clear()


def find_positions(
    series: Series, keys: np.ndarray, of: tuple[pd.DataFrame, str] | None = None
) -> Array:
    """Return the position of each row's value in ``keys``, or UNSEEN or MISSING."""
    if dtype_of(series) == "text":
        texts = _cache_keys(of, "words", lambda: lookup.text_keys(keys))
        table = cp.append(lookup.find_among(cudf.Series(series.cat.categories), texts), MISSING)
        codes = series.cat.codes.astype("int32").fillna(-1).to_cupy()
        return table[cp.where(codes < 0, len(table) - 1, codes)]
    values, missing = to_arrays(series)
    keys = np.asarray(keys)
    if len(keys) == 0 or keys.dtype == object:  # keys of another type: nothing can be equal
        return cp.where(missing, MISSING, UNSEEN).astype("int64")
    kind = "float64" if "f" in (values.dtype.kind, keys.dtype.kind) else "int64"
    ascending, order = _cache_keys(of, kind, lambda: lookup.sort_keys(keys.astype(kind)))
    values = values.astype(kind)
    at = cp.minimum(cp.searchsorted(ascending, values), len(keys) - 1)
    positions = cp.where(ascending[at] == values, order[at], UNSEEN)
    return cp.where(missing, MISSING, positions).astype("int64")


def _cache_keys(of: tuple[pd.DataFrame, str] | None, what: str, make: Callable[[], T]) -> T:
    """Return ``make()``; cache it if the keys are a column of a fitted table."""
    return make() if of is None else _cache.get(of[0], f"{what} of {of[1]}", make)


# -- reductions and hashes -----------------------------------------------------------------------


def bincount(codes: Array, length: int, weights: Array | None = None) -> np.ndarray:
    """Return rows, or sums of weights, per code; skip negative codes.

    CuPy adds weights in any order, so sums may differ in their last bits between runs.
    """
    valid = codes >= 0
    rows = codes[valid].astype("int64")
    valid_weights = None if weights is None else weights[valid].astype("float64")
    counts = cp.bincount(rows, weights=valid_weights, minlength=length)
    if valid_weights is not None:
        sums: np.ndarray = to_host(counts)
        return sums
    # a frame has fewer than 2^31 rows: half the bytes to transfer
    on_host: np.ndarray = to_host(counts.astype("int32"))
    return on_host.astype("int64")


def hash_ints(values: Array, seed: int) -> Array:
    """Hash int64 values with MurmurHash3_x86_32."""
    column = cudf.Series(cp.ascontiguousarray(values.astype("int64", copy=False)))
    return column.hash_values(method="murmur3", seed=seed & 0xFFFFFFFF).to_cupy().astype("int64")


def hash_values(series: Series, seed: int) -> Array:
    """Hash a column of any dtype; missing is 0."""
    if dtype_of(series) == "text":
        codes, distinct = to_codes(series)
        # one more entry, for the code -1 of missing values
        table = np.append(cpu.hash_text(distinct, seed), 0).astype("int64")
        return to_device(table)[cp.where(codes < 0, len(table) - 1, codes)]
    values, missing = to_arrays(series)
    if values.dtype.kind == "f":
        values = (values.astype("float64") + 0.0).view("int64")  # + 0.0 turns -0.0 into 0.0
    return cp.where(missing, 0, hash_ints(values.astype("int64"), seed))


# -- reading files -------------------------------------------------------------------------------


def file_readers() -> FileReaders:
    """Return cuDF's readers."""
    return cast("FileReaders", importlib.import_module("pipeline.device.gpu.reading"))


# -- errors ----------------------------------------------------------------------------------------


def translate_error(error: BaseException) -> DeviceError | None:
    """Return the device error that a library's error means; None if it is not about the GPU."""
    return errors.translate_error(error)


def external_memory() -> AbstractContextManager[None]:
    """Return a block with XGBoost's own asynchronous pool."""
    import xgboost

    # without such a pool, external memory is slow on a GPU
    pool: AbstractContextManager[None] = xgboost.config_context(use_cuda_async_pool=True)
    return pool


# -- transfers -----------------------------------------------------------------------------------


def to_host(value: Any) -> Any:
    """Return a NumPy array, pandas Series or DataFrame in storage dtypes; count the bytes."""
    if isinstance(value, np.ndarray | np.generic):
        return value
    if isinstance(value, cp.ndarray):
        transfer_bytes.count("d2h", value.nbytes)
        return cp.asnumpy(value)
    transfer_bytes.count("d2h", 8 * len(value))  # the index
    if isinstance(value, cudf.Series):
        column = _column_to_host(value)
        column.index = value.index.to_pandas()
        return column
    columns = {n: _column_to_host(value[n]) for n in value.columns}
    frame = pd.DataFrame(columns, columns=pd.Index(list(columns)), copy=False)
    frame.index = value.index.to_pandas()
    return frame


def _column_to_host(series: Series) -> pd.Series:
    if (kind := dtype_of(series)) == "text":
        codes, values = to_codes(series)
        return cpu.make_text(to_host(codes), values)
    values, missing = to_arrays(series)
    return cpu.make_series(to_host(values), kind, to_host(missing))


def to_device(value: Any) -> Any:
    """Return a CuPy array or cuDF frame of a NumPy array or a pandas frame; count the bytes."""
    if isinstance(value, np.ndarray):
        transfer_bytes.count("h2d", value.nbytes)
        return cp.asarray(value)
    frame = cudf.DataFrame({n: _column_to_device(value[n]) for n in value.columns})
    frame.index = cudf.Index(to_device(value.index.to_numpy(dtype="int64")))
    return frame


def to_host_unordered(values: Array) -> np.ndarray:
    """Return the values on the host; transfer each distinct one with its count, if that is less."""
    distinct, counts = cp.unique(values, return_counts=True)
    if len(distinct) * (distinct.itemsize + 4) >= values.nbytes:
        all_values: np.ndarray = to_host(values)
        return all_values
    repeated: np.ndarray = np.repeat(to_host(distinct), to_host(counts.astype("int32")))
    return repeated


def _column_to_device(series: pd.Series) -> Series:
    if (kind := dtype_of(series)) == "text":
        codes, texts = cpu.to_codes(series)
        return make_text(to_device(codes), texts)
    values, missing = cpu.to_arrays(series)
    return make_series(to_device(values), kind, to_device(missing) if missing.any() else None)


def to_matrix(frame: Frame, names: list[str], rows: Array | None = None) -> Array:
    """Return C-ordered float32 (n, len(names)) of all rows or of those; missing is NaN."""
    out = cp.empty((len(frame) if rows is None else len(rows), len(names)), dtype="float32")
    for j, column in enumerate(names):
        values = to_floats(frame[column])
        out[:, j] = values if rows is None else values[rows]
    return out
