"""log: the logarithm of skewed numbers."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from pipeline.device import Array, Frame
from pipeline.features.op import Op, Rows, State, output_name, require_kinds
from pipeline.schema import Column, Columns, Schema


class Log(Op):
    """``log(x + offset)`` to the base e, 2 or 10, as float64.

    Where ``x <= -offset`` there is no logarithm: the result is missing, as is that of infinity.

    Example:
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
    columnwise: ClassVar[bool] = True

    columns: Columns
    base: Literal["e", 2, 10] = "e"
    offset: float = Field(1.0, ge=0)
    """Added first; 1 makes 0 of 0 and is exact for small x (log1p)."""
    as_: str | None = Field(None, alias="as")

    @field_validator("base", mode="before")
    @classmethod
    def _base(cls, value: Any) -> Any:
        return {"2": 2, "10": 10}.get(value, value) if isinstance(value, str) else value

    def reads(self, schema: Schema) -> list[str]:
        """The selected numeric columns."""
        return require_kinds(schema, self.columns.resolve(schema), {"numeric"}, self.name)

    def produces(self, schema: Schema) -> list[Column]:
        """A float64 column each."""
        return [Column(output_name(self.as_, n), "float64") for n in self.reads(schema)]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Takes the logarithm of each column."""
        device = rows.device
        return device.make_frame(
            {
                output_name(self.as_, n): device.make_series(
                    self._logarithm(device.to_floats(frame[n]), device.xp), "float64"
                )
                for n in frame.columns
            }
        )

    def _logarithm(self, values: Array, xp: Any) -> Array:
        defined = xp.isfinite(values) & (values > -self.offset)
        safe = xp.where(defined, values, 1.0)
        natural = xp.log1p(safe) if self.offset == 1 else xp.log(safe + self.offset)
        scale = 1.0 if self.base == "e" else math.log(self.base)
        return xp.where(defined, natural / scale, xp.nan)
