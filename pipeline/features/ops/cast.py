"""cast: columns as another type."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field, field_validator

from pipeline.device import Array, Frame, Frames, Series, dtype_of
from pipeline.errors import ConfigError, DataError, shorten
from pipeline.features.op import Op, Rows, State, output_name
from pipeline.features.stats.text_parsing import format_values, parse_texts
from pipeline.schema import EARLIEST, LATEST, Column, Columns, Dtype, Schema

To = Literal["integer", "float", "bool", "text", "datetime", "category"]
DTYPES: dict[To, Dtype] = {
    "integer": "int64", "float": "float64", "bool": "bool", "text": "text",
    "datetime": "datetime", "category": "int32",
}  # fmt: skip
MICROS = {"s": 1_000_000, "ms": 1_000, "us": 1}
IMPOSSIBLE = {
    ("text", "category"): "use the op categorify, which learns the codes",
    ("datetime", "category"): "use the op dates first",
    ("datetime", "bool"): "compare it in a derive",
    ("bool", "datetime"): "leave it out",
    ("category", "datetime"): "leave it out",
}


class Cast(Op):
    """Columns as integer, float, bool, text, datetime or category (codes from 0 as they are).

    Text is read as numbers (``12``, ``-1.5e3``), as true/false, yes/no, t/f, y/n, 1/0 in any case,
    and as ISO dates or by ``format`` (``%d.%m.%Y``); zones become UTC. Numbers become text as
    Python writes them, datetimes as ISO or by ``format``. Numbers to and from datetimes count
    ``unit`` since 1970. A number with a fraction is no integer, and only 0 and 1 are bools. What
    does not fit is an error, or missing with ``errors: missing``.

    Example:
        >>> from pipeline.features.try_op import try_op
        >>> try_op("cast: {columns: [n], to: integer, errors: missing}", {"n": ["1", " 22", "x"]})
              n
        0     1
        1    22
        2  <NA>
    """

    name: ClassVar[str] = "cast"
    columnwise: ClassVar[bool] = True

    columns: Columns
    to: To
    format: str | None = None
    """How dates are written, as in `datetime.strptime`; None: ISO 8601."""
    unit: Literal["s", "ms", "us"] = "s"
    errors: Literal["error", "missing"] = "error"
    as_: str | None = Field(None, alias="as")

    @field_validator("format")
    @classmethod
    def _known_directives(cls, value: str | None) -> str | None:
        if value is not None:  # raises ValueError for a directive that it does not know
            pd.to_datetime(pd.Series(["x"], dtype="str"), format=value, errors="coerce")
        return value

    def reads(self, schema: Schema) -> list[str]:
        """The selected columns."""
        names = self.columns.resolve(schema)
        for name in names:
            kind = schema[name].kind
            if fix := IMPOSSIBLE.get((kind, self.to)):
                raise ConfigError(f"cast: {name!r} is {kind} and cannot be {self.to}", fix=fix)
        return names

    def produces(self, schema: Schema) -> list[Column]:
        """A column each, of the type asked for."""
        return [Column(output_name(self.as_, n), DTYPES[self.to]) for n in self.reads(schema)]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Converts each column.

        Raises:
            DataError: a value does not fit; names column, value and row.
        """
        return rows.device.make_frame(
            {output_name(self.as_, n): self._cast(frame[n], n, rows) for n in frame.columns}
        )

    def _cast(self, series: Series, name: str, rows: Rows) -> Series:
        device, dtype = rows.device, dtype_of(series)
        if dtype == DTYPES[self.to]:
            return series
        if self.to == "text":
            return _as_text(series, self.format, device)
        values, missing, bad = (
            self._from_text(series, device) if dtype == "text" else self._from_numbers(series, rows)
        )
        if self.errors == "error" and bool(bad.any()):
            raise self._misfit(series, name, bad, rows)
        return device.make_series(values, DTYPES[self.to], missing | bad)

    def _from_text(self, series: Series, device: Frames) -> tuple[Array, Array, Array]:
        codes, words = device.to_codes(series)
        parsed, fits = parse_texts(words, self.to, self.format)
        values = device.to_device(np.append(parsed, parsed.dtype.type(0)))[codes]
        return values, codes < 0, ~device.to_device(np.append(fits, True))[codes]

    def _from_numbers(self, series: Series, rows: Rows) -> tuple[Array, Array, Array]:
        """(values of the new type, missing, does not fit) from numbers, bools and datetimes."""
        xp = rows.device.xp
        values, missing = rows.device.to_arrays(series)
        scale = MICROS[self.unit]
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
            seconds = values.astype("float64") * (scale / 1e6)
            bad = (seconds < EARLIEST // 10**6) | (seconds >= LATEST / 1e6)
            micros = xp.where(bad, 0, values) * scale
            return (xp.rint(micros) if micros.dtype.kind == "f" else micros), missing, bad
        bad = xp.zeros(values.shape, dtype=bool)
        if self.to == "category":
            bad = (values < 0) | (values >= 2**31)
        if values.dtype.kind == "f":
            bad = bad | (values != xp.floor(values)) | (xp.abs(values) >= 2.0**63)
        return xp.where(bad, 0, values).astype(DTYPES[self.to]), missing, bad

    def _misfit(self, series: Series, name: str, bad: Array, rows: Rows) -> DataError:
        device = rows.device
        ids = device.to_host(rows.ids[bad])
        codes, values = device.to_codes(series)
        wrong = values[device.to_host(codes[bad])]
        examples = [
            f"row {i}: {shorten(v.item() if hasattr(v, 'item') else v)}"
            for i, v in zip(ids[:6], wrong[:6], strict=True)
        ]
        return DataError(
            f"cast: column {name!r} has {len(ids)} values in one block that are no {self.to}",
            examples=examples, fix="mend the data, or set `errors: missing` in this cast",
        )  # fmt: skip


def _as_text(series: Series, pattern: str | None, device: Frames) -> Series:
    codes, values = device.to_codes(series)
    words = format_values(values, dtype_of(series), pattern)
    table, distinct = pd.factorize(np.asarray(words, dtype=object))
    found: Any = device.to_device(np.append(table, -1).astype("int32"))[codes]
    return device.make_text(found, np.asarray(distinct, dtype=object))
