"""dates: the parts of a date and time that models can use."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, Field, field_validator

from pipeline.device import Array, Frame, Frames, Series
from pipeline.errors import suggest_or_list
from pipeline.features.op import Op, Rows, State, require_kinds
from pipeline.schema import Column, Columns, Schema

DatePart = Literal[
    "year", "quarter", "month", "week", "day", "day_of_year", "day_of_week",
    "hour", "minute", "second", "is_weekend", "is_month_start", "is_month_end",
]  # fmt: skip
Parts = Annotated[
    tuple[DatePart, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v),
    Field(min_length=1),
]  # fmt: skip

_MEMBER: Mapping[str, str] = MappingProxyType(
    {"day_of_week": "dayofweek", "day_of_year": "dayofyear"}
)
_FLAGS = frozenset({"is_weekend", "is_month_start", "is_month_end"})
# part -> (its first value, its period)
_PERIOD: Mapping[str, tuple[int, float]] = MappingProxyType(
    {
        "quarter": (1, 4), "month": (1, 12), "week": (1, 365.2425 / 7), "day": (1, 31),
        "day_of_year": (1, 365.2425), "day_of_week": (0, 7),
        "hour": (0, 24), "minute": (0, 60), "second": (0, 60),
    }
)  # fmt: skip
# µs since 1970 of 0001-01-02 and 9999-12-30: pandas' zones are those of Python's `datetime`
_ZONED = (-62_135_510_400_000_000, 253_402_128_000_000_000)


class Dates(Op):
    """Replaces datetime columns by parts of them: ``<column>__<part>``.

    ``year``, ``quarter`` 1-4, ``month`` 1-12, ``week`` (ISO) 1-53, ``day`` 1-31, ``day_of_year``
    1-366, ``day_of_week`` (Monday is 0), ``hour``, ``minute`` and ``second`` are int32 numbers;
    ``is_weekend`` (Saturday, Sunday), ``is_month_start`` and ``is_month_end`` are bools. With
    ``cyclical`` each part that comes round again becomes the float64 pair ``<column>__<part>_sin``
    and ``_cos``, so that December lies beside January. Missing stays missing.

    Times are stored in UTC; ``tz`` (an IANA name) converts them first, summer time included; those
    outside the years 1 to 9999 have no local time and become missing. The datetime column itself is
    removed unless ``keep`` is true.

    Example:
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
    columnwise: ClassVar[bool] = True

    columns: Columns
    parts: Parts = ("year", "month", "day", "day_of_week", "hour")
    tz: str | None = None
    """Zone of the local time that the parts are of; None: UTC."""
    cyclical: bool = False
    keep: bool = False

    @field_validator("parts")
    @classmethod
    def _once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))

    @field_validator("tz")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        try:
            return value if value is None else ZoneInfo(value).key
        except (KeyError, ValueError, OSError):
            near = suggest_or_list(value or "", available_timezones())
            raise ValueError(f"no time zone of this name; {near}") from None

    def reads(self, schema: Schema) -> list[str]:
        """The selected datetime columns."""
        return require_kinds(
            schema, self.columns.resolve(schema), {"datetime"}, self.name,
            "cast them to datetime first, or leave them out",
        )  # fmt: skip

    def produces(self, schema: Schema) -> list[Column]:
        """A column per part, or two where it is cyclical."""
        made = []
        for name in self.reads(schema):
            for part in self.parts:
                if part in _FLAGS:
                    made.append(Column(f"{name}__{part}", "bool"))
                elif self._in_circles(part):
                    made += [Column(f"{name}__{part}_{f}", "float64") for f in ("sin", "cos")]
                else:
                    made.append(Column(f"{name}__{part}", "int32", "numeric"))
        return made

    def _in_circles(self, part: str) -> bool:
        return self.cyclical and part in _PERIOD

    def removes(self, schema: Schema) -> list[str]:
        """The datetime columns, unless they are kept."""
        return [] if self.keep else self.reads(schema)

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Takes the parts of each column."""
        device, xp, made = rows.device, rows.device.xp, {}
        for name in frame.columns:
            codes, stamps = device.to_device_codes(frame[name])  # each time is taken apart once
            local = _local(stamps, self.tz, device)
            for part in self.parts:
                values = xp.append(_part(local, part, device), xp.nan)  # code -1 reads the last
                if self._in_circles(part):
                    first, period = _PERIOD[part]
                    angle = (values - first) * (2 * math.pi / period)
                    made[f"{name}__{part}_sin"] = device.make_series(
                        xp.sin(angle)[codes], "float64"
                    )
                    made[f"{name}__{part}_cos"] = device.make_series(
                        xp.cos(angle)[codes], "float64"
                    )
                else:
                    missing = xp.isnan(values)
                    whole = xp.where(missing, 0, values)
                    made[f"{name}__{part}"] = (
                        device.make_series((whole == 1)[codes], "bool", missing[codes])
                        if part in _FLAGS
                        else device.make_series(
                            whole.astype("int32")[codes], "int32", missing[codes]
                        )
                    )
        return device.make_frame(made)


def _local(stamps: Array, tz: str | None, device: Frames) -> Series:
    """µs since 1970 as a column of local times, without a zone; missing where there is none."""
    if tz is None:
        return device.make_series(stamps, "datetime")
    series = device.make_series(stamps, "datetime", (stamps < _ZONED[0]) | (stamps > _ZONED[1]))
    # Never met on the way from UTC, but cuDF knows no answer but NaT, and pandas raises by default.
    gaps: Any = {"ambiguous": "NaT", "nonexistent": "NaT"}
    utc = series.dt.tz_localize("UTC", **gaps)
    return utc.dt.tz_convert(tz).dt.tz_localize(None, **gaps)


def _part(series: Series, part: str, device: Frames) -> Array:
    """float64 (n,): the part, NaN where missing; 0 or 1 for the flags."""
    xp = device.xp
    if part == "week":
        return device.to_floats(series.dt.isocalendar()["week"])
    if part in _FLAGS:
        value, wanted = _flag(series, part, device)
        return xp.where(xp.isnan(value), xp.nan, value >= wanted)
    return device.to_floats(getattr(series.dt, _MEMBER.get(part, part)))


def _flag(series: Series, part: str, device: Frames) -> tuple[Array, Array | int]:
    """The flag is up where the first is at least the second; the first is NaN where missing."""
    if part == "is_weekend":
        return device.to_floats(series.dt.dayofweek), 5
    day = device.to_floats(series.dt.day)
    if part == "is_month_start":
        return -day, -1
    return day, device.to_floats(series.dt.days_in_month)
