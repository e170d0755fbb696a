"""How numbers read on the page: counts, bytes, seconds and metrics as short text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

ABSENT = "–"
_UNITS = ("B", "kB", "MB", "GB", "TB")


def format_count(value: float | None) -> str:
    """``336,776``."""
    return ABSENT if value is None else f"{value:,.0f}"


def format_bytes(value: float | None) -> str:
    """Bytes in decimal units: ``1.23 GB``; nothing where there are none."""
    if not value:
        return ABSENT
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            break
        value /= 1000
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def format_seconds(value: float) -> str:
    """``0.04 s``, ``12.3 s``, ``3 min 05 s``."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes:,} min {rest:02d} s"


def format_metric(value: float | None, scale: float | None = None) -> str:
    """A metric: four decimals below 10, else about four digits.

    Args:
        value: the metric; None where it is undefined.
        scale: the largest value of its column, so that all of them have the same decimals.
    """
    if value is None:
        return ABSENT
    size = abs(value if scale is None else scale)
    if not (size == 0 or 1e-3 <= size < 1e9):
        return f"{value:.4g}"
    decimals = 4 if size < 10 else max(0, 4 - len(str(int(size))))
    return f"{value:,.{decimals}f}"


def format_share(part: float, whole: float) -> str:
    """A percentage for a bar's width, ``0.0`` to ``100.0``."""
    return f"{100 * part / whole:.1f}" if whole > 0 else "0.0"


def join_names(names: Iterable[Any], limit: int = 12) -> str:
    """Names with commas, the first ``limit`` of them."""
    known = [str(n) for n in names]
    more = len(known) - limit
    return ", ".join(known[:limit]) + (f", … {more:,} more" if more > 0 else "")
