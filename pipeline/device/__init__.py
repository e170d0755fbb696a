"""Which device runs a stage, and what both devices can do to a frame.

`Frames` is everything that differs between pandas/NumPy and cuDF/CuPy; `pipeline.device.cpu` and
`pipeline.device.gpu.frames` are the two modules that have these functions. Everything else is
written against what pandas and cuDF share, or against NumPy's array functions through ``xp``.

An *array* below is a NumPy or CuPy array, a *series* and a *frame* a pandas or cuDF object with
n rows and a RangeIndex. *Host* values are NumPy arrays and pandas objects on either device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import ModuleType
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import DeviceError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from pipeline.schema import Column, Dtype

Array = Any
Series = Any
Frame = Any

UNSEEN, MISSING = (
    -1,
    -2,
)  # what `find_positions` says of values that are no key, and of missing ones


def dtype_of(series: Series) -> Dtype:
    """The storage dtype (`pipeline.schema`) of a column of either library."""
    name = str(series.dtype).lower()
    if name == "category":
        return "text"
    if name.startswith("datetime"):
        return "datetime"
    return "bool" if name.startswith("bool") else name  # type: ignore[return-value]


class FileReaders(Protocol):
    """A device's own file readers, which decode on the device: `pipeline.device.gpu.reading`.

    They say nothing of what is wrong in a file; `pipeline.ingest.gpu_read_block` sees to that.
    """

    name: str  # the library that reads

    def csv_fields(
        self, data: bytes, fields: int, used: Sequence[int], delimiter: str, quote: str | None
    ) -> Frame:
        """The fields of CSV records as text: a column ``"<position>"`` for each of ``used``.

        Quotes are taken off, an empty field is an empty text. Fields that a record lacks are
        missing, those beyond the first ``fields`` are dropped, lines without a byte are skipped.

        Args:
            data: lines that all end with a newline (no carriage returns).
            fields: how many a record may have.
            used: positions of those wanted, ascending.
            delimiter: one ASCII character.
            quote: another, or None: quotes are characters like others.
        """

    def row_groups(
        self, path: str, groups: Sequence[int], names: Sequence[str], size: int
    ) -> Frame:
        """Columns of row groups of a local Parquet file in the library's dtypes, zones as UTC.

        Columns that the file lacks are left out. ``size``: the columns' bytes in the file.
        """


class Frames(Protocol):
    """The named functions in which the devices differ."""

    name: str  # "cpu" or "gpu"
    lib: ModuleType  # pandas or cudf
    xp: ModuleType  # numpy or cupy

    # -- building and converting ---------------------------------------------------------------
    def empty_frame(self, columns: list[Column]) -> Frame:
        """A frame of no rows with these columns, in storage dtypes: Dask's ``meta``."""

    def make_series(self, values: Array, dtype: Dtype, missing: Array | None = None) -> Series:
        """A column from an array of n values and an optional bool array, True where missing.

        ``dtype`` is a name of `pipeline.schema.Dtype`, but not ``text`` (see `make_text`). NaN in
        ``values`` of a float dtype is missing. ``datetime`` takes int64 µs since 1970, UTC.
        The column may share the arrays: they must not be changed afterwards.
        """

    def make_text(self, codes: Array, values: np.ndarray) -> Series:
        """A text column from int codes (-1 missing) into ``values`` (host, object, unique)."""

    def make_frame(self, columns: dict[str, Series]) -> Frame:
        """A frame of these columns, without copying them where the library allows it."""

    def frame_with_ids(self, columns: dict[str, Series], ids: Array) -> Frame:
        """A frame of these columns of n rows, with an int64 array of row ids as its index."""

    def row_ids(self, frame: Frame) -> Array:
        """The frame's index as an int64 array: the row ids."""

    def concat(self, frames: list[Frame]) -> Frame:
        """Rows of all frames, one below the other, index kept; text categories are united."""

    def pack_integers(self, frame: Frame) -> Frame:
        """The frame with its integers in as few bytes as their values need, for holding it.

        `to_arrays`, `to_floats`, `to_codes` and the hashes take such columns; ops do not.
        """

    def unpack_integers(self, series: Series) -> Series:
        """The column of a packed frame as int64; any other column as it is. The index is kept."""

    # -- columns as arrays -----------------------------------------------------------------------
    def to_arrays(self, series: Series) -> tuple[Array, Array]:
        """(values, missing): values as int64, int32, float, bool, or int64 µs for datetime.

        Where ``missing`` is True the value is 0 (NaN for floats). Not for text: see `to_codes`.
        """

    def to_floats(self, series: Series) -> Array:
        """The column as a float64 array, missing as NaN. Not for text; datetimes are µs."""

    def to_codes(self, series: Series) -> tuple[Array, np.ndarray]:
        """(codes int32, -1 for missing; distinct values on the host) of a column of any dtype.

        Text: the values are the partition's dictionary (object array of str; may hold values
        that no row has). Other dtypes: the distinct values, in any order.
        """

    def to_device_codes(self, series: Series) -> tuple[Array, Array]:
        """As `to_codes`, with the values on the device too. Not for text."""

    def find_positions(
        self, series: Series, keys: np.ndarray, of: tuple[pd.DataFrame, str] | None = None
    ) -> Array:
        """int64: where each row's value stands in ``keys``; `UNSEEN` or `MISSING` otherwise.

        ``keys`` is a host array of unique values: object of str for text, else numbers (int64 µs
        for datetimes). A float column finds integer keys of the same value and the reverse.
        ``of``: the fitted table and the column that the keys are; the GPU then caches them.
        """

    def cache_array(self, table: pd.DataFrame, name: str, make: Callable[[], np.ndarray]) -> Array:
        """``make()`` on the device: what is made of a fitted table, and passes the bus once.

        ``name``: tells it from whatever else is made of the table.
        """

    def release(self) -> None:
        """Free what `cache_array` and `find_positions` keep; the next call recomputes it."""

    # -- reductions and hashes -------------------------------------------------------------------
    def bincount(self, codes: Array, length: int, weights: Array | None = None) -> np.ndarray:
        """Host array of ``length``: rows per code (int64) or sums of weights (float64).

        Negative codes are left out. Rows are added in order.
        """

    def hash_ints(self, values: Array, seed: int) -> Array:
        """murmur3_x86_32 of each int64's 8 little-endian bytes, as an int64 array in [0, 2^32)."""

    def hash_values(self, series: Series, seed: int) -> Array:
        """A hash in [0, 2^32) as int64 of a column of any dtype; text over its UTF-8 bytes.

        Text is hashed on the host over the distinct values; -0.0 hashes as 0.0; missing is 0.
        """

    # -- reading files ---------------------------------------------------------------------------
    def file_readers(self) -> FileReaders | None:
        """The device's own file readers; None where the host's are the device's."""

    # -- when it cannot ----------------------------------------------------------------------------
    def translate_error(self, error: BaseException) -> DeviceError | None:
        """What an error says of the device; None when it is not about the device."""

    def external_memory(self) -> AbstractContextManager[None]:
        """A block in which XGBoost may keep its bins outside the device's memory."""

    # -- what the ledger says -------------------------------------------------------------------
    def read_meter(self) -> dict[str, int]:
        """Bytes since the last call: ``h2d``, ``d2h`` over the bus, ``peak_device`` in use.

        ``h2d_files`` are those of ``h2d`` that are bytes of the input files.
        """

    # -- crossing the bus --------------------------------------------------------------------------
    def to_host(self, value: Array | Series | Frame) -> Any:
        """NumPy array, pandas Series or DataFrame of the same content; bytes are counted."""

    def to_device(self, value: np.ndarray | pd.DataFrame) -> Any:
        """The inverse of `to_host`; bytes are counted."""

    def to_host_unordered(self, values: Array) -> np.ndarray:
        """The values on the host, in any order; equal ones pass the bus together."""

    def to_matrix(self, frame: Frame, names: list[str], rows: Array | None = None) -> Array:
        """C-ordered float32 array (n, len(names)); missing is NaN. Columns are not text.

        ``rows``: int64 (n,), the positions of the rows wanted; None: all of them, in order.
        """
