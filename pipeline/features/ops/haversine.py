"""haversine: the distance between two places on the globe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.device import Frame
from pipeline.errors import ConfigError
from pipeline.features.op import Op, Rows, State, require_kinds
from pipeline.schema import Column, Schema

Place = tuple[float | str, float | str]
"""Latitude and longitude in degrees: columns, or numbers for a fixed place."""

# Mean radius of the Earth: H. Moritz, "Geodetic Reference System 1980"; a mile is 1.609344 km.
_RADIUS: Mapping[str, float] = MappingProxyType({"km": 6371.0088, "mi": 6371.0088 / 1.609344})


class Haversine(Op):
    """Compute the great-circle distance between two places, as float64; the columns stay.

    A place is ``[latitude, longitude]`` in degrees: numeric columns, or numbers for a fixed place.
    The Earth is taken as a sphere with its mean radius, 6371.0088 km; distances differ by up to
    0.6 % from those on the ellipsoid. The result is missing if one of the four coordinates is
    missing or infinite, or if a latitude lies outside [-90, 90]. Longitudes may exceed 180.

    The formula is that of R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (1984),
    p. 159. It is exact for small distances, where the cosine rule cancels.

    Example:
        - haversine: {from: [40.6398, -73.7789], to: [lat, lon], as: km}

        >>> from pipeline.features.try_op import try_op
        >>> airports = {"lat": [51.4775, 90.0, 91.0], "lon": [-0.4614, 0.0, 0.0]}
        >>> try_op("haversine: {from: [40.6398, -73.7789], to: [lat, lon], as: km}",
        ...        airports).round(1)
               km
        0  5539.5
        1  5488.6
        2     NaN
    """

    name: ClassVar[str] = "haversine"
    column_keys: ClassVar[tuple[str, ...]] = ("from_", "to")

    from_: Place = Field(alias="from")
    """First place: ``[latitude, longitude]`` in degrees."""
    to: Place
    """Second place: ``[latitude, longitude]`` in degrees."""
    unit: Literal["km", "mi"] = "km"
    """Unit of the distance: kilometres or miles (1.609344 km)."""
    as_: str | None = Field(None, alias="as", min_length=1)
    """Name of the new column; null: ``distance_<unit>``."""

    @field_validator("from_", "to")
    @classmethod
    def _check_degrees(cls, value: Place) -> Place:
        if any(isinstance(v, float) and not math.isfinite(v) for v in value):
            raise ValueError("degrees must be finite numbers")
        if isinstance(value[0], float) and abs(value[0]) > 90:  # noqa: PLR2004  # degrees
            raise ValueError("a latitude lies between -90 and 90; it comes before the longitude")
        return value

    @model_validator(mode="after")
    def _check_columns(self) -> Haversine:
        if not any(isinstance(v, str) for v in (*self.from_, *self.to)):
            raise ValueError("from and to are both fixed: one of them must be columns")
        return self

    def _output(self) -> str:
        return self.as_ or f"distance_{self.unit}"

    def reads(self, schema: Schema) -> list[str]:
        """Return the numeric columns of both places.

        Raises:
            ConfigError: one of them is missing or not numeric.
        """
        names = [schema[v].name for v in (*self.from_, *self.to) if isinstance(v, str)]
        if self.from_ == self.to:
            raise ConfigError("from and to are the same place")
        return require_kinds(schema, list(dict.fromkeys(names)), {"numeric"}, self.name)

    def produces(self, schema: Schema) -> list[Column]:
        """Return one float64 column."""
        return [Column(self._output(), "float64")]

    def transform(self, frame: Frame, state: State, rows: Rows) -> Frame:
        """Apply the haversine formula."""
        xp = rows.device.xp
        lat1, lon1, lat2, lon2 = (
            rows.device.to_floats(frame[v]) if isinstance(v, str) else xp.full(len(frame), v)
            for v in (*self.from_, *self.to)
        )
        valid = xp.isfinite(lat1 + lon1 + lat2 + lon2)
        valid &= (xp.abs(lat1) <= 90) & (xp.abs(lat2) <= 90)  # noqa: PLR2004  # degrees
        lat1, lon1, lat2, lon2 = (xp.where(valid, v, 0.0) for v in (lat1, lon1, lat2, lon2))
        up, along = xp.radians(lat2 - lat1), xp.radians(lon2 - lon1)
        flat = xp.cos(xp.radians(lat1)) * xp.cos(xp.radians(lat2))
        square = xp.sin(up / 2) ** 2 + flat * xp.sin(along / 2) ** 2
        # At antipodes, rounding may exceed 1.
        angle = 2 * xp.arcsin(xp.sqrt(xp.minimum(square, 1.0)))
        distance = _RADIUS[self.unit] * angle
        series = rows.device.make_series(distance, "float64", ~valid)
        return rows.device.make_frame({self._output(): series})
