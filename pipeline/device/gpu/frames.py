"""The GPU's side of `pipeline.device.Frames`: cuDF and CuPy. Mirrors `pipeline.device.cpu`.

cuDF keeps a mask of nulls beside every column; floats may hold NaN values too, and both are missing
here. Written against RAPIDS 26.10; what has run on a GPU is in docs/gpu-results.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, cast

import cudf
import cupy as cp
import numpy as np
import pandas as pd

from pipeline.device import MISSING, UNSEEN, FileReaders, cpu, dtype_of
from pipeline.device.gpu import errors, lookup, memory, transfer_bytes
from pipeline.device.table_cache import TableCache
from pipeline.errors import DeviceError
from pipeline.schema import Column, Dtype

name = "gpu"
lib = cudf
xp = cp


def read_meter() -> dict[str, int]:
    """What the ledger says of a stage: bytes moved, and the most in use, since the last call."""
    return {**transfer_bytes.take_counts(), "peak_device": memory.take_peak()}


# -- building and converting -------------------------------------------------------------------


def empty_frame(columns: list[Column]) -> Any:
    """A frame of no rows with these columns, and an int64 index of row ids."""
    return to_device(cpu.empty_frame(columns))


def make_series(values: Any, dtype: Dtype, missing: Any = None) -> Any:
    """A column in its storage dtype from values and a mask (True is missing)."""
    if dtype in ("float64", "float32"):
        floats_ = values.astype(dtype, copy=missing is None)
        if missing is not None:
            floats_ = cp.where(missing, cp.asarray(np.nan, dtype=dtype), floats_)
        return cudf.Series(floats_, nan_as_null=False)
    column = cudf.Series(values.astype("int64" if dtype == "datetime" else dtype))
    if dtype == "datetime":
        column = column.astype("datetime64[us]")
    return column if missing is None else column.where(cudf.Series(~missing))


def make_text(codes: Any, values: np.ndarray) -> Any:
    """A text column (category) from codes into distinct values."""
    known = cudf.Series(codes)
    known = known.where(cudf.Series(codes >= 0))
    transfer_bytes.count("h2d", transfer_bytes.text_bytes(values))
    categories = cudf.Index(pd.Index(np.asarray(values, dtype=object), dtype="str"))
    return cudf.Series(cudf.CategoricalIndex.from_codes(known, categories, ordered=False))


def make_frame(columns: dict[str, Any]) -> Any:
    """A frame of these columns."""
    return cudf.DataFrame(columns)


def frame_with_ids(columns: dict[str, Any], ids: Any) -> Any:
    """A frame of these columns, with row ids as its index."""
    made = cudf.DataFrame(columns) if columns else cudf.DataFrame(index=cudf.Index(ids))
    made.index = cudf.Index(ids)
    return made


def row_ids(frame: Any) -> Any:
    """Row ids: the index as int64."""
    return frame.index.to_cupy().astype("int64", copy=False)


def concat(frames: list[Any]) -> Any:
    """Rows of all frames; text columns get the union of the frames' categories."""
    return frames[0] if len(frames) == 1 else cudf.concat(frames)


def pack_integers(frame: Any) -> Any:
    """The frame with its integers in as few bytes as their values need."""
    return cudf.DataFrame({name: _packed(frame[name]) for name in frame.columns})


def _packed(series: Any) -> Any:
    if len(series) == 0 or dtype_of(series) not in ("int64", "int32"):
        return series
    values, _ = to_arrays(series)
    kind = cpu.packing(int(values.min()), int(values.max()))
    return series if kind is None else series.astype(kind)


def unpack_integers(series: Any) -> Any:
    """The column of a packed frame as int64; any other column as it is."""
    return series.astype("int64") if str(series.dtype) in cpu.PACKED else series


# -- columns as arrays -------------------------------------------------------------------------


def to_arrays(series: Any) -> tuple[Any, Any]:
    """(values, missing) of a column that is not text."""
    missing = series.isna().to_cupy()
    kind = dtype_of(series)
    if kind == "datetime":
        series = series.astype("datetime64[us]").astype("int64")
    elif not isinstance(series.dtype, np.dtype):  # UInt32 of `isocalendar`, which CuPy knows not
        series = series.astype(kind)
    filled = series.fillna(False if kind == "bool" else 0).to_cupy()
    if filled.dtype.kind == "f":
        filled = cp.where(missing, cp.asarray(np.nan, dtype=filled.dtype), filled)
    return filled, missing


def to_floats(series: Any) -> Any:
    """float64 with NaN where missing."""
    values, missing = to_arrays(series)
    return cp.where(missing, cp.nan, values.astype("float64"))


def to_codes(series: Any) -> tuple[Any, np.ndarray]:
    """(int32 codes with -1 for missing, distinct values)."""
    if dtype_of(series) == "text":
        values = series.cat.categories.to_pandas().to_numpy(dtype=object)
        transfer_bytes.count("d2h", transfer_bytes.text_bytes(values))
        return series.cat.codes.astype("int32").fillna(-1).to_cupy(), values
    found, values = to_device_codes(series)
    return found, to_host(values)


def to_device_codes(series: Any) -> tuple[Any, Any]:
    """(int32 codes with -1 for missing, distinct values here) of a column that is not text."""
    found, missing = to_arrays(series)
    if found.dtype.kind == "f":
        found = cp.where(missing, 0, found)  # NaN differs from itself
    if found.dtype.kind == "b":
        values, at = cp.unique(found.astype("int8"), return_inverse=True)
        values = values.astype(bool)
    else:
        values, at = cp.unique(found, return_inverse=True)
    return cp.where(missing, -1, at.reshape(-1)).astype("int32"), values


_constants = TableCache()


def cache_array(table: pd.DataFrame, name: str, make: Callable[[], np.ndarray]) -> Any:
    """``make()`` as an array here, for as long as the table lives."""
    return _constants.get(table, name, lambda: to_device(make()))


def release() -> None:
    """Frees what is kept of fitted tables."""
    _constants.clear()


def find_positions(
    series: Any, keys: np.ndarray, of: tuple[pd.DataFrame, str] | None = None
) -> Any:
    """Where each row's value stands in ``keys``; UNSEEN, MISSING otherwise."""
    if dtype_of(series) == "text":
        known = _made(of, "words", lambda: lookup.text_keys(keys))
        table = cp.append(lookup.find_among(cudf.Series(series.cat.categories), known), MISSING)
        found = series.cat.codes.astype("int32").fillna(-1).to_cupy()
        return table[cp.where(found < 0, len(table) - 1, found)]
    values, missing = to_arrays(series)
    keys = np.asarray(keys)
    if len(keys) == 0 or keys.dtype == object:  # keys of another type: nothing can be equal
        return cp.where(missing, MISSING, UNSEEN).astype("int64")
    kind = "float64" if "f" in (values.dtype.kind, keys.dtype.kind) else "int64"
    known, order = _made(of, kind, lambda: lookup.sort_keys(keys.astype(kind)))
    values = values.astype(kind)
    at = cp.minimum(cp.searchsorted(known, values), len(keys) - 1)
    found = cp.where(known[at] == values, order[at], UNSEEN)
    return cp.where(missing, MISSING, found).astype("int64")


def _made(of: tuple[pd.DataFrame, str] | None, what: str, make: Callable[[], Any]) -> Any:
    """``make()``, kept if the keys are a column of a fitted table."""
    return make() if of is None else _constants.get(of[0], f"{what} of {of[1]}", make)


# -- reductions and hashes -----------------------------------------------------------------------


def bincount(codes: Any, length: int, weights: Any = None) -> np.ndarray:
    """Rows, or sums of weights, per code; negative codes are left out.

    CuPy adds weights in no fixed order, so sums may differ in their last bits between runs.
    """
    kept = codes >= 0
    rows = codes[kept].astype("int64")
    of = None if weights is None else weights[kept].astype("float64")
    found = cp.bincount(rows, weights=of, minlength=length)
    if of is not None:
        summed: np.ndarray = to_host(found)
        return summed
    counts: np.ndarray = to_host(found.astype("int32"))  # a frame has fewer than 2^31 rows
    return counts.astype("int64")


def hash_ints(values: Any, seed: int) -> Any:
    """MurmurHash3_x86_32 of int64 values."""
    column = cudf.Series(cp.ascontiguousarray(values.astype("int64", copy=False)))
    return column.hash_values(method="murmur3", seed=seed & 0xFFFFFFFF).to_cupy().astype("int64")


def hash_values(series: Any, seed: int) -> Any:
    """A hash of a column of any dtype; missing is 0."""
    if dtype_of(series) == "text":
        found, distinct = to_codes(series)
        table = np.append(cpu.hash_text(distinct, seed), 0).astype("int64")
        return to_device(table)[cp.where(found < 0, len(table) - 1, found)]
    values, missing = to_arrays(series)
    if values.dtype.kind == "f":
        values = (values.astype("float64") + 0.0).view("int64")  # + 0.0 turns -0.0 into 0.0
    return cp.where(missing, 0, hash_ints(values.astype("int64"), seed))


# -- reading files -------------------------------------------------------------------------------


def file_readers() -> FileReaders:
    """cuDF's readers."""
    return cast("FileReaders", importlib.import_module("pipeline.device.gpu.reading"))


# -- when it cannot --------------------------------------------------------------------------------


def translate_error(error: BaseException) -> DeviceError | None:
    """What a library's error says of the GPU; None when it is not about the GPU."""
    return errors.translate_error(error)


def external_memory() -> AbstractContextManager[None]:
    """XGBoost's own asynchronous pool: without one, its external memory is slow on a GPU."""
    import xgboost

    found: AbstractContextManager[None] = xgboost.config_context(use_cuda_async_pool=True)
    return found


# -- crossing the bus ----------------------------------------------------------------------------


def to_host(value: Any) -> Any:
    """NumPy array, pandas Series or DataFrame in storage dtypes; bytes are counted."""
    if isinstance(value, np.ndarray | np.generic):
        return value
    if isinstance(value, cp.ndarray):
        transfer_bytes.count("d2h", value.nbytes)
        return cp.asnumpy(value)
    transfer_bytes.count("d2h", 8 * len(value))  # of its index
    if isinstance(value, cudf.Series):
        column = _column_to_host(value)
        column.index = value.index.to_pandas()
        return column
    columns = {n: _column_to_host(value[n]) for n in value.columns}
    made = pd.DataFrame(columns, columns=pd.Index(list(columns)), copy=False)
    made.index = value.index.to_pandas()
    return made


def _column_to_host(series: Any) -> pd.Series:
    if (kind := dtype_of(series)) == "text":
        found, values = to_codes(series)
        return cpu.make_text(to_host(found), values)
    values, missing = to_arrays(series)
    return cpu.make_series(to_host(values), kind, to_host(missing))


def to_device(value: Any) -> Any:
    """CuPy array or cuDF frame from a NumPy array or a pandas frame in storage dtypes."""
    if isinstance(value, np.ndarray):
        transfer_bytes.count("h2d", value.nbytes)
        return cp.asarray(value)
    made = cudf.DataFrame({n: _column_to_device(value[n]) for n in value.columns})
    made.index = cudf.Index(to_device(value.index.to_numpy(dtype="int64")))
    return made


def to_host_unordered(values: Any) -> np.ndarray:
    """The values on the host; where few differ, each once with its count."""
    known, counts = cp.unique(values, return_counts=True)
    if len(known) * (known.itemsize + 4) >= values.nbytes:
        every: np.ndarray = to_host(values)
        return every
    repeated: np.ndarray = np.repeat(to_host(known), to_host(counts.astype("int32")))
    return repeated


def _column_to_device(series: pd.Series) -> Any:
    if (kind := dtype_of(series)) == "text":
        found, values_of_text = cpu.to_codes(series)
        return make_text(to_device(found), values_of_text)
    values, missing = cpu.to_arrays(series)
    return make_series(to_device(values), kind, to_device(missing) if missing.any() else None)


def to_matrix(frame: Any, names: list[str], rows: Any = None) -> Any:
    """C-ordered float32 (n, len(names)) of all rows or of those; missing is NaN."""
    out = cp.empty((len(frame) if rows is None else len(rows), len(names)), dtype="float32")
    for j, column in enumerate(names):
        values = to_floats(frame[column])
        out[:, j] = values if rows is None else values[rows]
    return out
