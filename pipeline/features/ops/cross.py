"""cross: one text column from the combinations of several columns' values."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field, field_validator

from pipeline.device import Array, Frame, Frames, Series, dtype_of
from pipeline.features.op import Op, Rows, State, check_new_names
from pipeline.features.stats.text_parsing import format_values
from pipeline.schema import Column, Schema


class Cross(Op):
    """Combine the values of two or more columns into one text, ``a|b``; the columns stay.

    The result is missing where any of the values is. The op takes columns of any kind. It creates
    only combinations that occur, so columns with many values are safe. A ``|`` within a text
    becomes ``\\|`` and a backslash is doubled, so that different combinations stay different.

    Example:
        - cross: {columns: [origin, month], as: route}

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
    """Columns to combine, in this order."""
    as_: str | None = Field(None, alias="as", min_length=1)
    """Name of the new column; null: the columns' names joined by ``_x_``."""

    @field_validator("columns", mode="after")
    @classmethod
    def _check_distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError("a column is listed twice")
        return value

    @field_validator("as_", mode="after")
    @classmethod
    def _check_name(cls, value: str | None) -> str | None:
        check_new_names([] if value is None else [value])
        return value

    def _output(self) -> str:
        return self.as_ or "_x_".join(self.columns)

    def reads(self, schema: Schema) -> list[str]:
        """Return the columns in the order written."""
        return [schema[name].name for name in self.columns]

    def produces(self, schema: Schema) -> list[Column]:
        """Return one text column."""
        return [Column(self._output(), "text")]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Combine codes two columns at a time, so that only pairs that occur are numbered."""
        device = rows.device
        codes, texts = _to_escaped_codes(frame[self.columns[0]], device)
        for name in self.columns[1:]:
            codes, texts = _pair(codes, texts, *_to_escaped_codes(frame[name], device), device)
        text = device.make_text(codes.astype("int32"), texts)
        return device.make_frame({self._output(): text})


def _to_escaped_codes(series: Series, device: Frames) -> tuple[Array, np.ndarray]:
    """Return (int64 codes, -1 where missing; the distinct values as text)."""
    codes, values = device.to_codes(series)
    texts = format_values(values, dtype_of(series))
    escaped = [t.replace("\\", "\\\\").replace("|", "\\|") for t in texts]
    return codes.astype("int64"), np.array(escaped, dtype=object)


def _pair(
    a: Array, a_texts: np.ndarray, b: Array, b_texts: np.ndarray, device: Frames
) -> tuple[Array, np.ndarray]:
    """Return codes and texts of the pairs of two coded columns that occur."""
    xp = device.xp
    # The product fits an int64: a partition has fewer than 2^31 distinct values per column.
    width = max(len(b_texts), 1)
    pairs = xp.where((a < 0) | (b < 0), -1, a * width + b)
    distinct, codes = xp.unique(pairs, return_inverse=True)
    occurring: np.ndarray = device.to_host(distinct)
    # -1 sorts first: it gets no text, and the other codes move down by one.
    skipped = int(len(occurring) > 0 and occurring[0] < 0)
    occurring = occurring[skipped:]
    texts = a_texts[occurring // width] + "|" + b_texts[occurring % width]
    return codes.reshape(-1) - skipped, texts
