"""Metrics of parts of a set: the rows of each value of a column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.device.factorize import factorize
from pipeline.evaluate.metrics import Values
from pipeline.evaluate.metrics import measure as measure_rows
from pipeline.matrix import Target

MAX_VALUES = 20
REST, MISSING = MAX_VALUES, MAX_VALUES + 1  # the slices after those of the values shown


def measure(
    target: Target,
    values: Values,
    label: Values,
    score: Values,
    *,
    weight: Values | None = None,
    threshold: float | None = None,
) -> list[dict[str, Any]]:
    """Compute metrics of the rows of each value.

    The 20 most frequent values have a slice each; the others share one, and missing ones another.

    Args:
        target: the task and the classes.
        values: (n,), of any type; missing as None, NaN, NaT or NA.
        label: (n,), as for `pipeline.evaluate.metrics.measure`; so are the others.
        score: (n,) or (n, k).
        weight: (n,) or None.
        threshold: the best threshold of the valid set.

    Returns:
        Most rows first: ``{"value": text or None, "kind": "value" | "rest" | "missing", "rows",
        "values": how many distinct ones, "metrics"}``.
    """
    place, names, distinct = _assign_slices(values)

    def measure_slice(position: int, kind: str, value: str | None, count: int) -> dict[str, Any]:
        inside = place == position
        inside_weight = None if weight is None else weight[inside]
        return {
            "value": value,
            "kind": kind,
            "rows": int(inside.sum()),
            "values": count,
            "metrics": measure_rows(target, label[inside], score[inside], inside_weight, threshold),
        }

    parts = [measure_slice(i, "value", name, 1) for i, name in enumerate(names)]
    if distinct > len(names):
        parts.append(measure_slice(REST, "rest", None, distinct - len(names)))
    if (place == MISSING).any():
        parts.append(measure_slice(MISSING, "missing", None, 0))
    return parts


def _assign_slices(values: Values) -> tuple[NDArray[np.int64], list[str], int]:
    """Return each row's slice, the names of the slices with one value, and the number of values."""
    codes, distinct = factorize(values)
    names = [str(v) for v in distinct]
    rows = np.bincount(codes[codes >= 0], minlength=len(names))
    # Ties are ordered by name, not by which value happens to come first in the rows.
    shown = sorted(range(len(names)), key=lambda i: (-rows[i], names[i]))[:MAX_VALUES]
    place = np.full(len(names) + 1, REST)
    place[shown] = np.arange(len(shown))
    place[-1] = MISSING  # the code of a missing value is -1
    return place[codes], [names[i] for i in shown], len(names)
