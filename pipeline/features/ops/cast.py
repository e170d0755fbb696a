"""cast: columns as another type."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import field_validator

from pipeline.device import Array, Frame, Frames, Series, dtype_of
from pipeline.errors import ConfigError, DataError, shorten
from pipeline.features.column_op import ColumnOp
from pipeline.features.op import Rows, State, output_name
from pipeline.features.stats.text_parsing import format_values, parse_texts
from pipeline.schema import EARLIEST, LATEST, Column, Dtype, Schema

Type = Literal["integer", "float", "bool", "text", "datetime", "category"]
DTYPES: dict[Type, Dtype] = {
    "integer": "int64",
    "float": "float64",
    "bool": "bool",
    "text": "text",
    "datetime": "datetime",
    "category": "int32",
}
MICROSECONDS = {"s": 1_000_000, "ms": 1_000, "us": 1}
IMPOSSIBLE = {
    ("text", "category"): "use the op categorify, which learns the codes",
    ("datetime", "category"): "use the op dates first",
    ("datetime", "bool"): "compare it in a derive",
    ("bool", "datetime"): "leave it out",
    ("category", "datetime"): "leave it out",
}


class Cast(ColumnOp):
    """Convert columns to integer, float, bool, text, datetime or category.

    Text is parsed as numbers (``12``, ``-1.5e3``), as true/false, yes/no, t/f, y/n, 1/0 in any
    case, or as dates: ISO 8601, or ``format``. Times with a zone are converted to UTC. Numbers
    become text as Python writes them, and datetimes as ISO 8601 or by ``format``. A category takes
    non-negative integers as codes, unchanged.

    A number with a fraction does not fit an integer, and only 0 and 1 fit a bool. A value that does
    not fit is an error, or becomes missing with ``errors: missing``.

    Example:
        - cast: {columns: [n], to: integer, errors: missing}

        >>> from pipeline.features.try_op import try_op
        >>> try_op("cast: {columns: [n], to: integer, errors: missing}", {"n": ["1", " 22", "x"]})
              n
        0     1
        1    22
        2  <NA>
    """

    name: ClassVar[str] = "cast"

    to: Type
    """Type of the results."""
    format: str | None = None
    """Format of dates, as in `datetime.strptime` (``%d.%m.%Y``); null: ISO 8601."""
    unit: Literal["s", "ms", "us"] = "s"
    """Unit of numbers that are converted from or to datetimes; they count from 1970, UTC."""
    errors: Literal["error", "missing"] = "error"
    """Treatment of values that do not fit: stop with an error, or make them missing."""

    @field_validator("format")
    @classmethod
    def _check_directives(cls, value: str | None) -> str | None:
        if value is not None:  # pandas raises ValueError for an unknown directive
            pd.to_datetime(pd.Series(["x"], dtype="str"), format=value, errors="coerce")
        return value

    def reads(self, schema: Schema) -> list[str]:
        """Return the selected columns.

        Raises:
            ConfigError: a column cannot be converted to the type.
        """
        names = super().reads(schema)
        for name in names:
            kind = schema[name].kind
            if fix := IMPOSSIBLE.get((kind, self.to)):
                raise ConfigError(f"cast: {name!r} is {kind} and cannot be {self.to}", fix=fix)
        return names

    def produces(self, schema: Schema) -> list[Column]:
        """Return a column of the requested type each."""
        return [Column(output_name(self.as_, n), DTYPES[self.to]) for n in self.reads(schema)]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Convert each column.

        Raises:
            DataError: a value does not fit; names column, value and row.
        """
        converted = {}
        for name in frame.columns:
            series, misfits = self._convert(frame[name], rows.device)
            if self.errors == "error" and misfits is not None and bool(misfits.any()):
                raise self._misfit_error(frame[name], name, misfits, rows)
            converted[output_name(self.as_, name)] = series
        return rows.device.make_frame(converted)

    def _convert(self, series: Series, device: Frames) -> tuple[Series, Array | None]:
        """Return the converted column, and where values do not fit (None: all fit)."""
        dtype = dtype_of(series)
        if dtype == DTYPES[self.to]:
            return series, None
        if self.to == "text":
            return _to_text(series, self.format, device), None
        if dtype == "text":
            codes, texts = device.to_codes(series)
            parsed, fits = parse_texts(texts, self.to, self.format)
            # The last entry belongs to code -1, which is missing.
            values = device.to_device(np.append(parsed, parsed.dtype.type(0)))[codes]
            missing, misfits = codes < 0, ~device.to_device(np.append(fits, True))[codes]
        else:
            values, missing, misfits = self._from_numbers(series, device)
        return device.make_series(values, DTYPES[self.to], missing | misfits), misfits

    def _from_numbers(self, series: Series, device: Frames) -> tuple[Array, Array, Array]:
        """Return (converted values, missing, does not fit) of numbers, bools and datetimes."""
        xp = device.xp
        values, missing = device.to_arrays(series)
        scale = MICROSECONDS[self.unit]
        if dtype_of(series) == "datetime":
            values = values // scale if self.to == "integer" else values / scale
        if values.dtype.kind == "f":
            missing = missing | xp.isnan(values)
            values = xp.where(missing, 0.0, values).astype("float64")
        if self.to == "float":
            return values.astype("float64"), missing, xp.zeros(values.shape, dtype=bool)
        if self.to == "bool":
            return values != 0, missing, (values != 0) & (values != 1)
        if self.to == "datetime":
            # Compared in seconds: the product in µs may exceed int64.
            seconds = values.astype("float64") * (scale / 1e6)
            misfits = (seconds < EARLIEST // 10**6) | (seconds >= LATEST / 1e6)
            micros = xp.where(misfits, 0, values) * scale
            return (xp.rint(micros) if micros.dtype.kind == "f" else micros), missing, misfits
        misfits = xp.zeros(values.shape, dtype=bool)
        if self.to == "category":
            misfits = (values < 0) | (values >= 2**31)
        if values.dtype.kind == "f":
            misfits = misfits | (values != xp.floor(values)) | (xp.abs(values) >= 2.0**63)
        return xp.where(misfits, 0, values).astype(DTYPES[self.to]), missing, misfits

    def _misfit_error(self, series: Series, name: str, misfits: Array, rows: Rows) -> DataError:
        device = rows.device
        ids = device.to_host(rows.ids[misfits])
        codes, values = device.to_codes(series)
        wrong = values[device.to_host(codes[misfits])]
        examples = [
            f"row {i}: {shorten(v.item() if hasattr(v, 'item') else v)}"
            for i, v in zip(ids[:6], wrong[:6], strict=True)
        ]
        return DataError(
            f"cast: column {name!r} has {len(ids)} values in one block that are not {self.to}",
            examples=examples,
            fix="correct the data, or set `errors: missing` in this cast",
        )


def _to_text(series: Series, pattern: str | None, device: Frames) -> Series:
    codes, values = device.to_codes(series)
    texts = format_values(values, dtype_of(series), pattern)
    # Different values may have the same text: number the distinct texts.
    table, distinct = pd.factorize(np.asarray(texts, dtype=object))
    numbers = device.to_device(np.append(table, -1).astype("int32"))[codes]
    return device.make_text(numbers, np.asarray(distinct, dtype=object))
