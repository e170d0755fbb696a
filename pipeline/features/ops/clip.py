"""clip: numbers below or above the bounds become the bound."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from pipeline.device import Frame
from pipeline.features.op import Op, Rows, State, output_name, require_kinds
from pipeline.schema import Column, Columns, Schema


class Clip(Op):
    """Limits numeric columns to ``[lower, upper]``; missing stays missing. The result is float64.

    Example:
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
    columnwise: ClassVar[bool] = True

    columns: Columns
    lower: float | None = None
    upper: float | None = None
    as_: str | None = Field(None, alias="as")

    @model_validator(mode="after")
    def _bounds(self) -> Clip:
        if self.lower is None and self.upper is None:
            raise ValueError("give lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise ValueError(f"lower={self.lower} is above upper={self.upper}")
        return self

    def reads(self, schema: Schema) -> list[str]:
        """The selected numeric columns."""
        return require_kinds(schema, self.columns.resolve(schema), {"numeric"}, self.name)

    def produces(self, schema: Schema) -> list[Column]:
        """A float64 column each."""
        return [Column(output_name(self.as_, n), "float64") for n in self.reads(schema)]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Clips each column."""
        device = rows.device
        return device.make_frame(
            {
                output_name(self.as_, n): device.make_series(
                    device.xp.clip(device.to_floats(frame[n]), self.lower, self.upper), "float64"
                )
                for n in frame.columns
            }
        )
