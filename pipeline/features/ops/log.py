"""log: the logarithm of skewed numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from pipeline.device import Series
from pipeline.features.column_op import ColumnOp
from pipeline.features.op import Rows
from pipeline.schema import Kind


class Log(ColumnOp):
    """Take the logarithm ``log(x + offset)`` of numeric columns, as float64.

    Where ``x <= -offset`` the logarithm is undefined, and the result is missing. The result for an
    infinite value is missing too.

    Example:
        - log: {columns: [n], base: 10}

        >>> from pipeline.features.try_op import try_op
        >>> try_op("log: {columns: [n], base: 10}", {"n": [0, 9, 999, -1, None]})
             n
        0  0.0
        1  1.0
        2  3.0
        3  NaN
        4  NaN
    """

    name: ClassVar[str] = "log"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"numeric"})

    base: Literal["e", 2, 10] = "e"
    """Base of the logarithm."""
    offset: float = Field(1.0, ge=0)
    """Number that is added first. With 1, zero stays zero and small numbers stay exact (log1p)."""

    @field_validator("base", mode="before")
    @classmethod
    def _parse_base(cls, value: Any) -> Any:
        return {"2": 2, "10": 10}.get(value, value) if isinstance(value, str) else value

    def transform_column(self, column: Series, fitted: Mapping[str, Any], rows: Rows) -> Series:
        """Take the logarithm of the values."""
        xp = rows.device.xp
        values = rows.device.to_floats(column)
        defined = xp.isfinite(values) & (values > -self.offset)
        safe = xp.where(defined, values, 1.0)  # no warning about values that are left out anyway
        natural = xp.log1p(safe) if self.offset == 1 else xp.log(safe + self.offset)
        scale = 1.0 if self.base == "e" else math.log(self.base)
        return rows.device.make_series(xp.where(defined, natural / scale, xp.nan), "float64")
