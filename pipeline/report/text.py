"""Short text for the page's numbers: counts, bytes, seconds and metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

JsonObject = dict[str, Any]
"""A JSON object that was checked by its model."""
ABSENT = "–"
_UNITS = ("B", "kB", "MB", "GB", "TB")


def format_count(value: float | None) -> str:
    """Format a count: ``336,776``."""
    return ABSENT if value is None else f"{value:,.0f}"


def format_bytes(value: float | None) -> str:
    """Format bytes in decimal units: ``1.23 GB``; `ABSENT` for none."""
    if not value:
        return ABSENT
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def format_seconds(value: float) -> str:
    """Format seconds: ``0.04 s``, ``12.3 s``, ``3 min 05 s``."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes:,} min {rest:02d} s"


def format_metric(value: float | None, scale: float | None = None) -> str:
    """Format a metric with four decimals below 10, else with about four digits.

    Args:
        value: the metric; None if it is undefined.
        scale: the largest value of its column, which gives all of them the same decimals.
    """
    if value is None:
        return ABSENT
    size = abs(value if scale is None else scale)
    # Very small and very large numbers need an exponent.
    if not (size == 0 or 1e-3 <= size < 1e9):
        return f"{value:.4g}"
    decimals = 4 if size < 10 else max(0, 4 - len(str(int(size))))
    return f"{value:,.{decimals}f}"


def format_share(part: float, whole: float) -> str:
    """Format a percentage for a bar's width, ``0.0`` to ``100.0``."""
    return f"{100 * part / whole:.1f}" if whole > 0 else "0.0"


def join_names(names: Iterable[object], limit: int = 12) -> str:
    """Join the first ``limit`` names with commas, and count the others."""
    listed = [str(n) for n in names]
    more = len(listed) - limit
    return ", ".join(listed[:limit]) + (f", … {more:,} more" if more > 0 else "")
