"""clip: numbers limited to a range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import model_validator

from pipeline.device import Series
from pipeline.features.column_op import ColumnOp
from pipeline.features.op import Rows
from pipeline.schema import Kind


class Clip(ColumnOp):
    """Limit numeric columns to the range from ``lower`` to ``upper``, as float64.

    Missing values stay missing. Give at least one of the limits.

    Example:
        - clip: {columns: [delay], lower: 0, upper: 60}

        >>> from pipeline.features.try_op import try_op
        >>> delays = {"delay": [-5.0, 30.0, None, 900.0]}
        >>> try_op("clip: {columns: [delay], lower: 0, upper: 60}", delays)
           delay
        0    0.0
        1   30.0
        2    NaN
        3   60.0
    """

    name: ClassVar[str] = "clip"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"numeric"})

    lower: float | None = None
    """Smallest value; smaller ones become it."""
    upper: float | None = None
    """Largest value; larger ones become it."""

    # pydantic checks each parameter alone; a validator checks them together.
    @model_validator(mode="after")
    def _check_limits(self) -> Clip:
        if self.lower is None and self.upper is None:
            raise ValueError("give lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower={self.lower} is above upper={self.upper}")
        return self

    def transform_column(self, column: Series, fitted: Mapping[str, Any], rows: Rows) -> Series:
        """Limit the values."""
        device = rows.device
        limited = device.xp.clip(device.to_floats(column), self.lower, self.upper)
        return device.make_series(limited, "float64")
