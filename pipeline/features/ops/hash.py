"""hash: values to a fixed number of codes, without a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from pipeline.device import Series
from pipeline.features.column_op import ColumnOp
from pipeline.features.op import Rows
from pipeline.features.stats.counts import find_missing
from pipeline.schema import Dtype


class Hash(ColumnOp):
    """Replace values by ``hash % size``: int32 codes from 0 to ``size - 1``.

    The op takes columns of any kind and with any number of values. Nothing is fitted or stored, and
    different values may share a code. Missing values stay missing.

    The hash is MurmurHash3 (x86, 32 bit), the same on both devices and in every run with the same
    ``seed``. It is taken over the UTF-8 bytes of text, the 8 bytes of numbers, and the 8 bytes of
    the µs since 1970 of datetimes. An integer other than 0 and a float of the same value have
    different hashes.

    Example:
        - hash: {columns: [tail], size: 100}

        >>> from pipeline.features.try_op import try_op
        >>> try_op("hash: {columns: [tail], size: 100}", {"tail": ["N14228", "N24211", None]})
           tail
        0     4
        1    60
        2  <NA>
    """

    name: ClassVar[str] = "hash"
    output: ClassVar[Dtype] = "int32"

    size: int = Field(1024, ge=2, le=2**24)  # codes are float32 in the models' matrix
    """Number of codes."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the hash: another one distributes the values differently."""

    def transform_column(self, column: Series, fitted: Mapping[str, Any], rows: Rows) -> Series:
        """Hash the values."""
        device = rows.device
        codes = device.hash_values(column, self.seed) % self.size
        return device.make_series(codes.astype("int32"), "int32", find_missing(column, device))
