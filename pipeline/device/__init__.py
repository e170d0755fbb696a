"""The devices that run a stage, and what differs between pandas/NumPy and cuDF/CuPy.

Everything may import from here; modules here import only from schema, config and errors.
`Frames` is the protocol of the functions in which the devices differ. Two modules implement it:
`pipeline.device.cpu` and `pipeline.device.gpu.frames`. All other code uses what pandas and cuDF
share, or NumPy's array functions through ``xp``.

An *array* below is a NumPy or CuPy array. A *series* and a *frame* are pandas or cuDF objects with
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

UNSEEN, MISSING = -1, -2
"""Results of `Frames.find_positions` for a value that is not among the keys, and a missing one."""


def dtype_of(series: Series) -> Dtype:
    """Return the storage dtype (`pipeline.schema`) of a column of either library."""
    name = str(series.dtype).lower()
    if name == "category":
        return "text"
    if name.startswith("datetime"):
        return "datetime"
    return "bool" if name.startswith("bool") else name  # type: ignore[return-value]


class FileReaders(Protocol):
    """The file readers of a device, which decode on the device: `pipeline.device.gpu.reading`.

    They do not check the file; `pipeline.ingest.gpu_read_block` does.
    """

    name: str  # the library that reads

    def csv_fields(
        self, data: bytes, fields: int, used: Sequence[int], delimiter: str, quote: str | None
    ) -> Frame:
        """Return the fields of CSV records as text: a column ``"<position>"`` for each of ``used``.

        Quotes are removed, and an empty field is an empty text. A field that a record lacks is
        missing. Fields beyond the first ``fields`` are dropped, and empty lines are skipped.

        Args:
            data: lines that all end with a newline (no carriage returns).
            fields: the most fields that a record may have.
            used: positions of the wanted fields, ascending.
            delimiter: one ASCII character.
            quote: another one, or None: quotes are ordinary characters.
        """

    def row_groups(
        self, path: str, groups: Sequence[int], names: Sequence[str], size: int
    ) -> Frame:
        """Return columns of row groups of a local Parquet file in the library's dtypes.

        Times with a zone are converted to UTC. Columns that the file lacks are left out.

        Args:
            path: the file.
            groups: numbers of the row groups.
            names: the columns.
            size: bytes of these columns in the file.
        """


class Frames(Protocol):
    """The functions in which the devices differ."""

    name: str  # "cpu" or "gpu"
    lib: ModuleType  # pandas or cudf
    xp: ModuleType  # numpy or cupy

    # -- building and converting ---------------------------------------------------------------
    def empty_frame(self, columns: list[Column]) -> Frame:
        """Return a frame without rows with these columns, in storage dtypes: Dask's ``meta``."""

    def make_series(self, values: Array, dtype: Dtype, missing: Array | None = None) -> Series:
        """Return a column from an array of n values and an optional mask, True where missing.

        ``dtype`` is a name of `pipeline.schema.Dtype`, but not ``text`` (see `make_text`). NaN in
        ``values`` of a float dtype is missing. ``datetime`` takes int64 µs since 1970, UTC.
        The column may share the arrays, so the caller must not change them afterwards.
        """

    def make_text(self, codes: Array, values: np.ndarray) -> Series:
        """Return a text column from int codes (-1 missing) into ``values`` (host, unique str)."""

    def make_frame(self, columns: dict[str, Series]) -> Frame:
        """Return a frame of these columns, without copying them if the library allows it."""

    def frame_with_ids(self, columns: dict[str, Series], ids: Array) -> Frame:
        """Return a frame of these columns of n rows, with int64 row ids as its index."""

    def row_ids(self, frame: Frame) -> Array:
        """Return the frame's index as an int64 array: the row ids."""

    def concat(self, frames: list[Frame]) -> Frame:
        """Concatenate the rows of all frames; the index is kept, and text categories are united."""

    def pack_integers(self, frame: Frame) -> Frame:
        """Return the frame with its integers in as few bytes as their values need, for storage.

        `to_arrays`, `to_floats`, `to_codes` and the hashes accept such columns; ops do not.
        """

    def unpack_integers(self, series: Series) -> Series:
        """Return a packed column as int64, and any other column as it is. The index is kept."""

    # -- columns as arrays -----------------------------------------------------------------------
    def to_arrays(self, series: Series) -> tuple[Array, Array]:
        """Return (values, missing): int64, int32, float, bool, or int64 µs for a datetime.

        Where ``missing`` is True the value is 0 (NaN for floats). Not for text: see `to_codes`.
        """

    def to_floats(self, series: Series) -> Array:
        """Return the column as float64, missing as NaN. Not for text; datetimes are µs."""

    def to_codes(self, series: Series) -> tuple[Array, np.ndarray]:
        """Return (codes int32, -1 for missing; distinct values on the host) of any column.

        For text, the values are the partition's dictionary: an object array of str, which may
        contain values that no row has. For other dtypes they are the distinct values in any order.
        """

    def to_device_codes(self, series: Series) -> tuple[Array, Array]:
        """Return the same as `to_codes`, with the values on the device. Not for text."""

    def find_positions(
        self, series: Series, keys: np.ndarray, of: tuple[pd.DataFrame, str] | None = None
    ) -> Array:
        """Return the position of each row's value in ``keys``, or `UNSEEN` or `MISSING`, as int64.

        A float column matches integer keys of the same value, and the reverse.

        Args:
            series: a column of n rows.
            keys: host array of unique values: object of str for text, else numbers (int64 µs for
                datetimes).
            of: the fitted table and its column that ``keys`` is; a GPU then caches the keys.
        """

    def cache_array(self, table: pd.DataFrame, name: str, make: Callable[[], np.ndarray]) -> Array:
        """Return ``make()`` on the device; a GPU transfers it once per fitted table.

        ``name`` distinguishes it from the other arrays that are derived from the table.
        """

    def release(self) -> None:
        """Free what `cache_array` and `find_positions` cache; the next call recomputes it."""

    # -- reductions and hashes -------------------------------------------------------------------
    def bincount(self, codes: Array, length: int, weights: Array | None = None) -> np.ndarray:
        """Return rows per code (int64), or sums of weights (float64), on the host.

        The array has ``length`` entries. Negative codes are skipped. Rows are added in order.
        """

    def hash_ints(self, values: Array, seed: int) -> Array:
        """Hash each int64's 8 little-endian bytes with murmur3_x86_32: int64 in [0, 2^32)."""

    def hash_values(self, series: Series, seed: int) -> Array:
        """Hash a column of any dtype to int64 in [0, 2^32); text over its UTF-8 bytes.

        The host hashes the distinct values of a text; -0.0 hashes as 0.0; missing is 0.
        """

    # -- reading files ---------------------------------------------------------------------------
    def file_readers(self) -> FileReaders | None:
        """Return the device's own file readers; None if the device uses those of the host."""

    # -- errors ------------------------------------------------------------------------------------
    def translate_error(self, error: BaseException) -> DeviceError | None:
        """Return the device error that an exception means; None if it is not about the device."""

    def external_memory(self) -> AbstractContextManager[None]:
        """Return a block in which XGBoost may keep its bins outside the device's memory."""

    # -- counters for the ledger -----------------------------------------------------------------
    def read_meter(self) -> dict[str, int]:
        """Return the bytes since the last call, for the ledger.

        ``h2d`` and ``d2h`` are bytes of transfers; ``h2d_files`` are those of ``h2d`` that are
        bytes of input files. ``peak_device`` is the peak of the device's memory.
        """

    # -- transfers -----------------------------------------------------------------------------
    def to_host(self, value: Array | Series | Frame) -> Any:
        """Return a NumPy array, pandas Series or DataFrame of the same content; count the bytes."""

    def to_device(self, value: np.ndarray | pd.DataFrame) -> Any:
        """Invert `to_host`; count the bytes."""

    def to_host_unordered(self, values: Array) -> np.ndarray:
        """Return the values on the host in any order; equal values are transferred once."""

    def to_matrix(self, frame: Frame, names: list[str], rows: Array | None = None) -> Array:
        """Return a C-ordered float32 array (n, len(names)); missing is NaN. Not for text.

        ``rows`` are int64 positions (n,) of the wanted rows; None: all of them, in order.
        """
