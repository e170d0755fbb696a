"""cross: one text column from the combinations of several columns' values."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from pipeline.device import Array, Frame, Frames, Series, dtype_of
from pipeline.features.op import Op, Rows, State
from pipeline.features.stats.text_parsing import format_values
from pipeline.schema import RESERVED, Column, Schema


class Cross(Op):
    """The values of two or more columns as one text, ``a|b``; missing if any of them is.

    Columns of any kind, in the order written. Only combinations that occur are made, so columns of
    many values are safe. A ``|`` within a text becomes ``\\|`` and a backslash two, so that
    different combinations stay different.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> flights = {"origin": ["JFK", "LGA", None], "month": [1, 2, 3]}
        >>> try_op("cross: {columns: [origin, month], as: route}", flights)
           route
        0  JFK|1
        1  LGA|2
        2    NaN
    """

    name: ClassVar[str] = "cross"

    columns: tuple[str, ...] = Field(min_length=2)
    as_: str | None = Field(None, alias="as", min_length=1)
    """The new column's name; by default the names joined by ``_x_``."""

    @field_validator("columns", mode="after")
    @classmethod
    def _different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a column stands twice")
        return value

    @field_validator("as_", mode="after")
    @classmethod
    def _free(cls, value: str | None) -> str | None:
        if value in RESERVED:
            raise ValueError(f"{value!r} is a name of the pipeline's own")
        return value

    def _made(self) -> str:
        return self.as_ or "_x_".join(self.columns)

    def reads(self, schema: Schema) -> list[str]:
        """The columns as named."""
        return [schema[name].name for name in self.columns]

    def produces(self, schema: Schema) -> list[Column]:
        """One text column."""
        return [Column(self._made(), "text")]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Combines codes two columns at a time, keeping only the pairs that occur."""
        device = rows.device
        codes, words = _coded(frame[self.columns[0]], device)
        for name in self.columns[1:]:
            codes, words = _paired(codes, words, *_coded(frame[name], device), device)
        return device.make_frame({self._made(): device.make_text(codes.astype("int32"), words)})


def _coded(series: Series, device: Frames) -> tuple[Array, np.ndarray]:
    """(int64 codes, -1 missing; the distinct values as text)."""
    codes, values = device.to_codes(series)
    words = [
        w.replace("\\", "\\\\").replace("|", "\\|") for w in format_values(values, dtype_of(series))
    ]
    return codes.astype("int64"), np.array(words, dtype=object)


def _paired(
    a: Array, a_words: np.ndarray, b: Array, b_words: np.ndarray, device: Frames
) -> tuple[Array, np.ndarray]:
    """Codes and texts of the pairs of two coded columns that occur."""
    xp = device.xp
    width = max(len(b_words), 1)
    pairs = xp.where((a < 0) | (b < 0), -1, a * width + b)
    distinct, codes = xp.unique(pairs, return_inverse=True)
    found: np.ndarray = device.to_host(distinct)
    skipped = int(len(found) > 0 and found[0] < 0)  # -1 sorts first, so codes move down by one
    found = found[skipped:]
    words = a_words[found // width] + "|" + b_words[found % width]
    return codes.reshape(-1) - skipped, words
