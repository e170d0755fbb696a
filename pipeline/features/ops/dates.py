"""dates: parts of a date and time that models can use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, field_validator

from pipeline.device import Array, Frame, Frames, Series
from pipeline.errors import suggest_or_list
from pipeline.features.column_op import ColumnwiseOp
from pipeline.features.op import Rows, State
from pipeline.schema import Column, Kind, Schema

DatePart = Literal[
    "year", "quarter", "month", "week", "day", "day_of_year", "day_of_week",
    "hour", "minute", "second", "is_weekend", "is_month_start", "is_month_end",
]  # fmt: skip
Parts = Annotated[
    tuple[DatePart, ...],
    BeforeValidator(lambda v: (v,) if isinstance(v, str) else v),
    Field(min_length=1),
]

_MEMBER: Mapping[str, str] = MappingProxyType(
    {"day_of_week": "dayofweek", "day_of_year": "dayofyear"}
)
_FLAGS = frozenset({"is_weekend", "is_month_start", "is_month_end"})
# part -> (first value, period)
_PERIOD: Mapping[str, tuple[int, float]] = MappingProxyType(
    {
        "quarter": (1, 4), "month": (1, 12), "week": (1, 365.2425 / 7), "day": (1, 31),
        "day_of_year": (1, 365.2425), "day_of_week": (0, 7),
        "hour": (0, 24), "minute": (0, 60), "second": (0, 60),
    }
)  # fmt: skip
# µs since 1970 of 0001-01-02 and 9999-12-30: pandas uses the zones of Python's `datetime`.
_ZONED = (-62_135_510_400_000_000, 253_402_128_000_000_000)


class Dates(ColumnwiseOp):
    """Replace datetime columns by parts of them: ``<column>__<part>``.

    ``year``, ``quarter`` 1-4, ``month`` 1-12, ``week`` (ISO) 1-53, ``day`` 1-31, ``day_of_year``
    1-366, ``day_of_week`` (Monday is 0), ``hour``, ``minute`` and ``second`` are int32 numbers.
    ``is_weekend`` (Saturday, Sunday), ``is_month_start`` and ``is_month_end`` are bools. Missing
    values stay missing.

    Times are stored in UTC. ``tz`` converts them first, with daylight saving time; times outside
    the years 1 to 9999 have no local time and become missing.

    Example:
        - dates: {columns: [at], parts: [day_of_week, hour], tz: America/New_York}

        >>> from pipeline.features.try_op import try_op
        >>> import pandas as pd
        >>> departures = {"at": pd.to_datetime(["2013-07-06 02:30", None]).to_series()}
        >>> try_op("dates: {columns: [at], parts: [day_of_week, hour], tz: America/New_York}",
        ...        departures)
           at__day_of_week  at__hour
        0                4        22
        1             <NA>      <NA>
    """

    name: ClassVar[str] = "dates"
    kinds: ClassVar[frozenset[Kind]] = frozenset({"datetime"})
    kinds_fix: ClassVar[str] = "cast them to datetime first, or leave them out"

    parts: Parts = ("year", "month", "day", "day_of_week", "hour")
    """Parts to compute."""
    tz: str | None = None
    """IANA name of the time zone of the parts; null: UTC."""
    cyclical: bool = False
    """Return periodic parts as the float64 pair ``<column>__<part>_sin`` and ``_cos``, so that
    December is next to January."""
    keep: bool = False
    """Keep the datetime columns themselves too."""

    @field_validator("parts")
    @classmethod
    def _drop_repeated(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("tz")
    @classmethod
    def _check_zone(cls, value: str | None) -> str | None:
        try:
            return value if value is None else ZoneInfo(value).key
        except (KeyError, ValueError, OSError):
            suggestion = suggest_or_list(value or "", available_timezones())
            raise ValueError(f"no time zone has this name; {suggestion}") from None

    def produces(self, schema: Schema) -> list[Column]:
        """Return a column per part, or two if the part is cyclical."""
        columns = []
        for name in self.reads(schema):
            for part in self.parts:
                if part in _FLAGS:
                    columns.append(Column(f"{name}__{part}", "bool"))
                elif self._is_cyclical(part):
                    columns += [Column(f"{name}__{part}_{f}", "float64") for f in ("sin", "cos")]
                else:
                    columns.append(Column(f"{name}__{part}", "int32", "numeric"))
        return columns

    def _is_cyclical(self, part: str) -> bool:
        return self.cyclical and part in _PERIOD

    def removes(self, schema: Schema) -> list[str]:
        """Return the datetime columns, unless ``keep`` is true."""
        return [] if self.keep else self.reads(schema)

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Compute the parts of each column."""
        device, xp, columns = rows.device, rows.device.xp, {}
        for name in frame.columns:
            # Every distinct time is converted once; code -1, missing, reads the appended NaN.
            codes, stamps = device.to_device_codes(frame[name])
            local = _to_local(stamps, self.tz, device)
            for part in self.parts:
                output = f"{name}__{part}"
                values = xp.append(_compute_part(local, part, device), xp.nan)
                if self._is_cyclical(part):
                    first, period = _PERIOD[part]
                    angle = (values - first) * (2 * math.pi / period)
                    columns[f"{output}_sin"] = device.make_series(xp.sin(angle)[codes], "float64")
                    columns[f"{output}_cos"] = device.make_series(xp.cos(angle)[codes], "float64")
                    continue
                missing = xp.isnan(values)
                whole = xp.where(missing, 0, values)
                if part in _FLAGS:
                    flags = (whole == 1)[codes]
                    columns[output] = device.make_series(flags, "bool", missing[codes])
                else:
                    numbers = whole.astype("int32")[codes]
                    columns[output] = device.make_series(numbers, "int32", missing[codes])
        return device.make_frame(columns)


def _to_local(stamps: Array, tz: str | None, device: Frames) -> Series:
    """Return µs since 1970 as a column of local times without a zone; missing if undefined."""
    if tz is None:
        return device.make_series(stamps, "datetime")
    outside = (stamps < _ZONED[0]) | (stamps > _ZONED[1])
    series = device.make_series(stamps, "datetime", outside)
    # Conversion from UTC never meets these cases, but cuDF accepts only NaT, and pandas raises.
    gaps: Any = {"ambiguous": "NaT", "nonexistent": "NaT"}
    utc = series.dt.tz_localize("UTC", **gaps)
    return utc.dt.tz_convert(tz).dt.tz_localize(None, **gaps)


def _compute_part(series: Series, part: str, device: Frames) -> Array:
    """Return float64 (n,): the part, NaN where missing; 0 or 1 for the flags."""
    xp = device.xp
    if part == "week":
        return device.to_floats(series.dt.isocalendar()["week"])
    if part not in _FLAGS:
        return device.to_floats(getattr(series.dt, _MEMBER.get(part, part)))
    if part == "is_weekend":
        value = device.to_floats(series.dt.dayofweek)
        flag = value >= 5  # noqa: PLR2004  # Saturday
    else:
        value = device.to_floats(series.dt.day)
        last = device.to_floats(series.dt.days_in_month)
        flag = value <= 1 if part == "is_month_start" else value >= last
    return xp.where(xp.isnan(value), xp.nan, flag)
