"""What is predicted: the target's task, its classes, and the label of each row."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.config.model import Data
from pipeline.device import Array, Frames, Series, dtype_of
from pipeline.errors import ConfigError, DataError, InputError, shorten
from pipeline.expression import Expression, column_expression, parse
from pipeline.matrix import Target

MAX_VALUES = 1_000
"""Distinct values that are told apart; a target has no more classes."""
MAX_INTEGER_CLASSES = 20
"""Integers with at most so many values are classes."""
EXACT = 2**53


@dataclass(frozen=True)
class TargetSummary:
    """What was seen of the target."""

    dtype: str
    """int64, float64, bool, text or datetime."""
    missing: int
    counts: Mapping[Any, int] | None
    """Rows per value (bool, int, float, str); None: more than `MAX_VALUES` values."""
    whole: bool = True
    """All numbers are whole and exact in float64."""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class InferredTarget:
    """The target, and what decided its task: a sentence for the user."""

    target: Target
    why: str


def parse_target(target: str, names: Collection[str]) -> Expression:
    """The target as an expression; the name of a column is that column, however odd.

    Raises:
        ConfigError: it is none.
    """
    if target in names:
        return column_expression(target)
    with name_target_in_errors():
        return parse(target)


@contextmanager
def name_target_in_errors() -> Iterator[None]:
    """Says of an expression's mistakes that it is the target's."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(
            f"data.target: {error.message}", examples=error.examples, fix=error.fix
        ) from None


def summarise_target(series: Series, device: Frames) -> TargetSummary:
    """Summarise the target's values in one partition."""
    dtype, xp = dtype_of(series), device.xp
    codes, values = device.to_codes(series) if dtype == "text" else device.to_device_codes(series)
    present = len(series) - int((codes < 0).sum())
    counts = _count_values(codes, values, dtype, device)
    missing = len(series) - present
    if dtype == "text" or present == 0:
        return TargetSummary(dtype, missing, counts)
    numbers, absent = device.to_arrays(series)
    numbers = numbers[~absent].astype("float64")
    whole = bool((xp.isfinite(numbers) & (numbers == xp.floor(numbers))).all())
    whole = whole and bool((xp.abs(numbers) <= EXACT).all())
    return TargetSummary(dtype, missing, counts, whole, float(numbers.min()), float(numbers.max()))


def _count_values(codes: Array, values: Array, dtype: str, device: Frames) -> dict[Any, int] | None:
    """Rows by value; None if there are too many values."""
    # of these some may have no rows: a text's dictionary, what stands where a number is missing
    if dtype != "text" and len(values) > MAX_VALUES + 1:
        return None
    rows = device.bincount(codes, len(values))
    known = values if dtype == "text" else device.to_host(values)
    if int((rows > 0).sum()) > MAX_VALUES:
        return None
    return {_to_python(v, dtype): int(n) for v, n in zip(known, rows, strict=True) if n}


def _to_python(value: Any, dtype: str) -> Any:
    """As natural Python value; -0.0 is 0.0."""
    if dtype == "text":
        return str(value)
    if dtype == "bool":
        return bool(value)
    return float(value) + 0.0 if dtype == "float64" else int(value)


def merge_summaries(a: TargetSummary, b: TargetSummary) -> TargetSummary:
    """The values in two partitions."""
    counts = None
    if a.counts is not None and b.counts is not None:
        counts = dict(a.counts)
        for value, rows in b.counts.items():
            counts[value] = counts.get(value, 0) + rows
        counts = counts if len(counts) <= MAX_VALUES else None
    lows = [s.low for s in (a, b) if s.low is not None]
    highs = [s.high for s in (a, b) if s.high is not None]
    return TargetSummary(
        a.dtype, a.missing + b.missing, counts, a.whole and b.whole,
        min(lows, default=None), max(highs, default=None),
    )  # fmt: skip


def infer_target(summary: TargetSummary, data: Data) -> InferredTarget:
    """The task and the classes, and what decided.

    Bool, text or two distinct values: classes; whole numbers with at most 20 values: multiclass;
    else regression. ``data.task`` overrides. Classes are sorted; ``data.positive`` comes last.

    Raises:
        DataError: no value, or a single one; infinite numbers; too many classes.
        ConfigError: ``data.task`` or ``data.positive`` does not fit the values.
    """
    _check_learnable(summary, data)
    if data.task == "auto":
        task, why = _infer_task(summary, data)
    else:
        task, why = data.task, f"data.task is {data.task}"
    if task == "regression":
        _check_regression(summary, data)
        return InferredTarget(Target("regression"), why)
    classes = _list_classes(summary, data, task)
    return InferredTarget(Target(task, _put_positive_last(classes, data, task)), why)


def _check_learnable(summary: TargetSummary, data: Data) -> None:
    if summary.counts is not None and len(summary.counts) < 2:
        seen = [f"{shorten(v)}: {n} rows" for v, n in summary.counts.items()]
        what = "has only one value" if seen else "is missing in every row"
        raise DataError(
            f"data.target: {data.target!r} {what}: there is nothing to learn", examples=seen,
            fix="choose another target, or read more rows",
        )  # fmt: skip
    if summary.dtype == "datetime":
        raise ConfigError(
            f"data.target: {data.target!r} is a datetime, which no model predicts",
            fix=f'predict a number of seconds: target: {data.target} - "2020-01-01"',
        )


def _infer_task(summary: TargetSummary, data: Data) -> tuple[Any, str]:
    """The task by the values, and why."""
    values = None if summary.counts is None else len(summary.counts)
    shown = f"more than {MAX_VALUES}" if values is None else str(values)
    if summary.dtype == "bool":
        return "binary", "the target is true or false"
    if values == 2:
        return "binary", "the target has two distinct values"
    if summary.dtype == "text":
        return "multiclass", f"the target is text with {shown} distinct values"
    if summary.whole and values is not None and values <= MAX_INTEGER_CLASSES:
        return "multiclass", f"the target has {shown} distinct whole numbers"
    kind = "whole numbers" if summary.whole else "numbers"
    if data.positive is not None:
        raise _positive_error(data, "regression")
    return "regression", f"the target has {shown} distinct {kind}"


def _check_regression(summary: TargetSummary, data: Data) -> None:
    if summary.dtype == "text":
        raise ConfigError(
            f"data.task: regression needs numbers, and data.target {data.target!r} is text",
            examples=_list_examples(summary), fix="task: multiclass, or types: {column: float}",
        )  # fmt: skip
    if data.positive is not None:
        raise _positive_error(data, "regression")
    _check_finite(summary, data)


def _check_finite(summary: TargetSummary, data: Data) -> None:
    if not np.isfinite([v for v in (summary.low, summary.high) if v is not None]).all():
        raise DataError(
            f"data.target: {data.target!r} has infinite values",
            fix="leave such rows out with the op filter, or limit the target: "
            f"min({data.target}, 1000)",
        )


def _list_classes(summary: TargetSummary, data: Data, task: str) -> tuple[Any, ...]:
    """The classes, sorted; whole float64 values as int."""
    if summary.counts is None:
        raise _classes_error(
            DataError,
            f"has more than {MAX_VALUES} distinct values, too many classes",
            summary,
            data,
        )
    _check_finite(summary, data)
    if task == "binary" and len(summary.counts) != 2:
        raise _classes_error(
            ConfigError, f"has {len(summary.counts)} distinct values, and task: binary takes 2",
            summary, data,
        )  # fmt: skip
    values = sorted(summary.counts)
    if summary.dtype == "float64" and summary.whole:
        values = [int(v) for v in values]
    return tuple(values)


def _classes_error(
    kind: type[InputError], message: str, summary: TargetSummary, data: Data
) -> InputError:
    fix = "write an expression that has the wanted classes, for example "
    fix += f'{data.target} == "…"' if summary.dtype == "text" else f"{data.target} > 15"
    if summary.dtype != "text":
        fix += ", or task: regression"
    return kind(
        f"data.target: {data.target!r} {message}", examples=_list_examples(summary), fix=fix
    )


def _put_positive_last(classes: tuple[Any, ...], data: Data, task: str) -> tuple[Any, ...]:
    if data.positive is None:
        return classes
    if task != "binary":
        raise _positive_error(data, task)
    wanted = data.positive
    same = [c for c in classes if c == wanted or str(c) == str(wanted)]
    if not same:
        raise ConfigError(
            f"data.positive: {wanted!r} is not a value of the target",
            examples=[shorten(c) for c in classes],
            fix="name one of these; quote texts such as 'yes' and 'no', which are bool in YAML",
        )
    return (*(c for c in classes if c != same[0]), same[0])


def _positive_error(data: Data, task: str) -> ConfigError:
    return ConfigError(
        f"data.positive: {data.positive!r} is for two classes, and this is a {task} target",
        fix=f"leave positive out, or make two classes: target: {data.target} == {data.positive!r}",
    )


def _list_examples(summary: TargetSummary) -> list[str]:
    common = sorted((summary.counts or {}).items(), key=lambda item: (-item[1], str(item[0])))
    return [f"{shorten(value)}: {rows} rows" for value, rows in common]


def encode_labels(series: Series, target: Target, device: Frames) -> Array:
    """Encode the target's column as float64 labels (n,).

    A label is the position of its class, or the value itself for a regression. It is NaN where the
    target is missing, or where the value is none of the classes.
    """
    if target.task == "regression":
        return device.to_floats(series)
    if dtype_of(series) == "bool":
        values, missing = device.to_arrays(series)
        place = {c: float(i) for i, c in enumerate(target.classes)}
        table = np.array([place.get(c, np.nan) for c in (False, True, None)])
        return device.to_device(table)[device.xp.where(missing, 2, values)]
    kinds = {type(c) for c in target.classes}
    dtype: Any = object if str in kinds else "float64" if float in kinds else "int64"
    found = device.find_positions(series, np.array(target.classes, dtype=dtype))
    return device.xp.where(found < 0, device.xp.nan, found.astype("float64"))
