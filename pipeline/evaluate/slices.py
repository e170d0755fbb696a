"""Metrics of parts of a set: the rows of each value of a column."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.device.factorize import factorize
from pipeline.evaluate.metrics import measure as measure_rows
from pipeline.matrix import Target

MAX_VALUES = 20
REST, MISSING = MAX_VALUES, MAX_VALUES + 1  # the slices after those of the values shown


def measure(
    target: Target,
    values: NDArray[Any],
    label: NDArray[Any],
    score: NDArray[Any],
    *,
    weight: NDArray[Any] | None = None,
    threshold: float | None = None,
) -> list[dict[str, Any]]:
    """Metrics of the rows of each value: the 20 most frequent, the other values together, missing.

    Args:
        target: what is predicted.
        values: (n,), of any type; missing as None, NaN, NaT or NA.
        label: (n,), as for `pipeline.evaluate.metrics.measure`; so are the others.
        score: (n,) or (n, k).
        weight: (n,) or None.
        threshold: the valid set's best.

    Returns:
        Most rows first: ``{"value": text or None, "kind": "value" | "rest" | "missing", "rows",
        "values": how many distinct ones, "metrics"}``.
    """
    place, names, distinct = _places(values)

    def part(at: int, kind: str, value: str | None, count: int) -> dict[str, Any]:
        inside = place == at
        found = measure_rows(
            target, label[inside], score[inside], None if weight is None else weight[inside],
            threshold,
        )  # fmt: skip
        return {
            "value": value, "kind": kind, "rows": int(inside.sum()), "values": count,
            "metrics": found,
        }  # fmt: skip

    parts = [part(at, "value", name, 1) for at, name in enumerate(names)]
    if distinct > len(names):
        parts.append(part(REST, "rest", None, distinct - len(names)))
    if (place == MISSING).any():
        parts.append(part(MISSING, "missing", None, 0))
    return parts


def _places(values: NDArray[Any]) -> tuple[NDArray[np.int64], list[str], int]:
    """Each row's slice, the names of the slices shown, and how many values there are."""
    codes, distinct = factorize(values)
    names = [str(v) for v in distinct]
    rows = np.bincount(codes[codes >= 0], minlength=len(names))
    # Ties by name: the order does not depend on which value the rows happen to begin with.
    shown = sorted(range(len(names)), key=lambda i: (-rows[i], names[i]))[:MAX_VALUES]
    place = np.full(len(names) + 1, REST)
    place[shown] = np.arange(len(shown))
    place[-1] = MISSING  # the code of a missing value is -1
    return place[codes], [names[i] for i in shown], len(names)
