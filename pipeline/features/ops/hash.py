"""hash: values to a fixed number of codes, without a table."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from pipeline.device import Frame
from pipeline.features.op import Op, Rows, State, output_name
from pipeline.features.stats.missing import missing_rows
from pipeline.schema import Column, Columns, Schema


class Hash(Op):
    """Replaces values by ``hash % size``, int32 codes from 0 to ``size - 1``; missing stays so.

    Columns of any kind and any number of values: nothing is fitted or kept, and different values
    may share a code. The hash is MurmurHash3 (x86, 32 bit), the same on both devices and in every
    run with this ``seed``: over the UTF-8 bytes of text, the 8 bytes of numbers and of the µs since
    1970 of datetimes. An integer other than 0 and a float of the same
    value hash differently.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> try_op("hash: {columns: [tail], size: 100}", {"tail": ["N14228", "N24211", None]})
           tail
        0     4
        1    60
        2  <NA>
    """

    name: ClassVar[str] = "hash"
    columnwise: ClassVar[bool] = True

    columns: Columns
    size: int = Field(1024, ge=2, le=2**24)  # codes are float32 in the models' matrix
    seed: int = Field(0, ge=0, lt=2**32)
    as_: str | None = Field(None, alias="as")

    def reads(self, schema: Schema) -> list[str]:
        """The selected columns."""
        return self.columns.resolve(schema)

    def produces(self, schema: Schema) -> list[Column]:
        """A category column each."""
        return [Column(output_name(self.as_, n), "int32") for n in self.reads(schema)]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Hashes each column."""
        device, made = rows.device, {}
        for name in frame.columns:
            codes = device.hash_values(frame[name], self.seed) % self.size
            made[output_name(self.as_, name)] = device.make_series(
                codes.astype("int32"), "int32", missing_rows(frame[name], device)
            )
        return device.make_frame(made)
