"""Which rows of a column are missing, whatever its dtype."""

from __future__ import annotations

from pipeline.device import Array, Frames, Series, dtype_of


def missing_rows(series: Series, device: Frames) -> Array:
    """bool (n,): True where the column is missing."""
    if dtype_of(series) == "text":
        return device.to_codes(series)[0] < 0
    return device.to_arrays(series)[1]
