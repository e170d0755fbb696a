"""elapsed: the time between two moments, as a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.device import Array, Frame
from pipeline.errors import ConfigError, suggest_or_list
from pipeline.features.op import Op, Rows, State, require_kinds
from pipeline.features.stats.text_parsing import parse_datetime
from pipeline.schema import Column, Schema

Moment = Annotated[str, BeforeValidator(lambda v: v.isoformat() if isinstance(v, date) else v)]
"""A column's name, or ISO 8601; YAML parses 2020-01-31 as a date."""
Unit = Literal["seconds", "minutes", "hours", "days", "weeks", "years"]

# In µs. A year is the mean year of the Gregorian calendar, 365.2425 days.
_UNITS: Mapping[str, int] = MappingProxyType(
    {
        "seconds": 10**6, "minutes": 60 * 10**6, "hours": 3600 * 10**6,
        "days": 86_400 * 10**6, "weeks": 7 * 86_400 * 10**6, "years": 31_556_952 * 10**6,
    }
)  # fmt: skip


class Elapsed(Op):
    """Compute the time from one moment to another, as float64; the columns stay.

    The result is negative if ``to`` is earlier than ``from``, and missing if either is. At least
    one of the moments is a datetime column; the other one may be a fixed date or time (ISO 8601,
    in UTC unless it names a zone).

    Example:
        - elapsed: {from: born, to: 2020-01-03, unit: days, as: age}

        >>> from pipeline.features.try_op import try_op
        >>> import pandas as pd
        >>> people = {"born": pd.to_datetime(["2020-01-01", "2020-01-31", None]).to_series()}
        >>> try_op("elapsed: {from: born, to: 2020-01-03, unit: days, as: age}", people)
            age
        0   2.0
        1 -28.0
        2   NaN
    """

    name: ClassVar[str] = "elapsed"
    column_keys: ClassVar[tuple[str, ...]] = ("from_", "to")

    from_: Moment = Field(alias="from")
    """First moment: a datetime column, or a fixed date or time."""
    to: Moment
    """Second moment: a datetime column, or a fixed date or time."""
    unit: Unit = "days"
    """Unit of the result; a year has 365.2425 days."""
    as_: str | None = Field(None, alias="as", min_length=1)
    """Name of the new column; null: ``<from>_to_<to>``."""

    @model_validator(mode="after")
    def _check_different(self) -> Elapsed:
        if self.from_ == self.to:
            raise ValueError("from and to are the same")
        return self

    def rename_columns(self, rename: Callable[[str], str]) -> Self:
        """Return the op for columns of other names; fixed dates and times stay."""
        return super().rename_columns(
            lambda text: text if parse_datetime(text) is not None else rename(text)
        )

    def _output(self) -> str:
        return self.as_ or f"{self.from_}_to_{self.to}"

    def reads(self, schema: Schema) -> list[str]:
        """Return the datetime columns among ``from`` and ``to``.

        Raises:
            ConfigError: a moment is neither a column nor a date, or none is a column.
        """
        names = []
        for text in (self.from_, self.to):
            if text in schema:
                names.append(text)
            elif parse_datetime(text) is None:
                raise ConfigError(
                    f"{text!r} is neither a column nor a date (2020-01-31T12:00)",
                    fix=suggest_or_list(text, [c.name for c in schema if c.kind == "datetime"]),
                )
        if not names:
            raise ConfigError("from and to are both fixed: one of them must be a column")
        return require_kinds(schema, names, {"datetime"}, self.name, "cast them to datetime first")

    def produces(self, schema: Schema) -> list[Column]:
        """Return one float64 column."""
        return [Column(self._output(), "float64")]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Divide the difference in µs by the unit."""
        device = rows.device
        start, no_start = _to_micros(frame, self.from_, rows)
        end, no_end = _to_micros(frame, self.to, rows)
        elapsed = (end - start) / _UNITS[self.unit]  # int64 µs: exact before the division
        return device.make_frame(
            {self._output(): device.make_series(elapsed, "float64", no_start | no_end)}
        )


def _to_micros(frame: Frame, text: str, rows: Rows) -> tuple[Array | int, Array]:
    """Return (int64 µs, missing) of a column, or of a fixed moment."""
    if text in list(frame.columns):
        return rows.device.to_arrays(frame[text])
    fixed = parse_datetime(text)
    assert fixed is not None  # checked by `reads`
    return fixed, rows.device.xp.zeros(len(frame), dtype=bool)
