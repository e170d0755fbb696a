"""Inference of the target: its task, its classes, and the label of each row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.config.model import Data
from pipeline.console.plural import quantify
from pipeline.device import Array, Frames, Series, dtype_of
from pipeline.errors import ConfigError, DataError, InputError, shorten
from pipeline.expression import Expression, column_expression, parse
from pipeline.matrix import Target, Task

MAX_VALUES = 1_000
"""Distinct target values that are counted; a target has at most so many classes."""
MAX_INTEGER_CLASSES = 20
"""Distinct integers up to which they are classes."""
MANY_CLASSES, RARE = 50, 10
"""Classes of a text target above which most must have as many rows as `RARE`."""
EXACT = 2**53
"""Largest integer up to which float64 is exact."""


@dataclass(frozen=True)
class TargetSummary:
    """Values of the target in one or more partitions."""

    dtype: str
    """int64, float64, bool, text or datetime."""
    missing: int
    counts: Mapping[Any, int] | None
    """Rows per value (bool, int, float, str); None for more than `MAX_VALUES` values."""
    whole: bool = True
    """True if all numbers are whole and exact in float64."""
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class InferredTarget:
    """Task and classes of the target, and the reason for the task: a sentence for the user."""

    target: Target
    why: str


def parse_target(target: str, names: Collection[str]) -> Expression:
    """Parse the target as an expression.

    The name of a column means that column, even if it reads like an expression.

    Raises:
        ConfigError: it is not a valid expression.
    """
    if target in names:
        return column_expression(target)
    with name_target_in_errors():
        return parse(target)


@contextmanager
def name_target_in_errors() -> Iterator[None]:
    """Prefix the errors of an expression with ``data.target:``."""
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
    """Count the rows per value; return None if there are too many values."""
    # One value more than the limit: the placeholder of missing numbers may be among the values.
    if dtype != "text" and len(values) > MAX_VALUES + 1:
        return None
    rows = device.bincount(codes, len(values))
    # A text's dictionary may hold values that no row has.
    if int((rows > 0).sum()) > MAX_VALUES:
        return None
    host_values = values if dtype == "text" else device.to_host(values)
    # -0.0 and 0.0 are one class: adding 0.0 to either gives 0.0
    convert: dict[str, Callable[..., object]] = {
        "text": str,
        "bool": bool,
        "float64": lambda v: float(v) + 0.0,
    }
    to_python = convert.get(dtype, int)
    return {to_python(v): int(n) for v, n in zip(host_values, rows, strict=True) if n}


def merge_summaries(a: TargetSummary, b: TargetSummary) -> TargetSummary:
    """Merge the summaries of two partitions."""
    counts = None
    if a.counts is not None and b.counts is not None:
        counts = dict(a.counts)
        for value, rows in b.counts.items():
            counts[value] = counts.get(value, 0) + rows
        counts = counts if len(counts) <= MAX_VALUES else None
    lows = [s.low for s in (a, b) if s.low is not None]
    highs = [s.high for s in (a, b) if s.high is not None]
    return TargetSummary(
        a.dtype,
        a.missing + b.missing,
        counts,
        a.whole and b.whole,
        min(lows, default=None),
        max(highs, default=None),
    )


def infer_target(summary: TargetSummary, data: Data) -> InferredTarget:
    """Infer the task and the classes from the values of the target.

    Bool, text or two distinct values give classes. Whole numbers with at most 20 distinct values
    give a multiclass task, all others a regression. ``data.task`` overrides this rule. Classes are
    sorted; ``data.positive`` comes last.

    Raises:
        DataError: no value, or a single one; infinite numbers; too many classes; more than 50
            classes of text of which most have fewer than ten rows, unless ``data.task`` asks for
            them.
        ConfigError: ``data.task`` or ``data.positive`` does not fit the values.
    """
    if summary.counts is not None and len(summary.counts) < 2:
        examples = [f"{shorten(v)}: {quantify(n, 'row')}" for v, n in summary.counts.items()]
        problem = "has only one value" if examples else "is missing in every row"
        raise DataError(
            f"data.target: {data.target!r} {problem}: there is nothing to learn",
            examples=examples,
            fix="choose another target, or read more rows",
        )
    if summary.dtype == "datetime":
        raise ConfigError(
            f"data.target: {data.target!r} is a datetime, which no model predicts",
            fix=f'predict a number of seconds: target: {data.target} - "2020-01-01"',
        )
    if data.task == "auto":
        task, why = _infer_task(summary)
        _check_rare_classes(summary, data)
    else:
        task, why = data.task, f"data.task is {data.task}"
    if task != "regression":
        return InferredTarget(Target(task, _list_classes(summary, data, task)), why)
    if summary.dtype == "text":
        raise ConfigError(
            f"data.task: regression needs numbers, and data.target {data.target!r} is text",
            examples=_list_examples(summary),
            fix="use task: multiclass, or types: {column: float}",
        )
    if data.positive is not None:
        raise _positive_error(data, task)
    _check_finite(summary, data)
    return InferredTarget(Target("regression"), why)


def _infer_task(summary: TargetSummary) -> tuple[Task, str]:
    """Return the task that the values suggest, and why."""
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
    return "regression", f"the target has {shown} distinct {kind}"


def _check_rare_classes(summary: TargetSummary, data: Data) -> None:
    """Refuse text that has more rare values than classes: a name, a price, a date, a comment."""
    counts = summary.counts
    if summary.dtype != "text" or (counts is not None and len(counts) <= MANY_CLASSES):
        return
    rare = 0 if counts is None else sum(rows < RARE for rows in counts.values())
    if counts is not None and rare <= len(counts) / 2:
        return
    shown = f"more than {MAX_VALUES:,}" if counts is None else f"{len(counts):,}"
    few = f", {rare:,} of them with fewer than {RARE} rows" if rare else ""
    among = "" if counts is None else f", or data.task: multiclass to learn all {shown}"
    raise DataError(
        f"data.target: {data.target!r} is text with {shown} distinct values{few}",
        examples=_list_examples(summary),
        fix="name another target; if these are numbers, correct the values that are not, or set "
        f"types: {{{data.target}: float}}, for a regression; if they are classes, group them, "
        f'such as target: {data.target} == "…"{among}',
    )


def _check_finite(summary: TargetSummary, data: Data) -> None:
    if not np.isfinite([v for v in (summary.low, summary.high) if v is not None]).all():
        raise DataError(
            f"data.target: {data.target!r} has infinite values",
            fix="leave such rows out with the op filter, or limit the target: "
            f"min({data.target}, 1000)",
        )


def _list_classes(summary: TargetSummary, data: Data, task: Task) -> tuple[Any, ...]:
    """Return the sorted classes, the positive one last; whole float64 values become int."""
    if summary.counts is None:
        problem = f"has more than {MAX_VALUES} distinct values, too many classes"
        raise _classes_error(DataError, problem, summary, data)
    _check_finite(summary, data)
    if task == "binary" and len(summary.counts) != 2:
        problem = f"has {quantify(len(summary.counts), 'distinct value')}, and task: binary takes 2"
        raise _classes_error(ConfigError, problem, summary, data)
    classes = sorted(summary.counts)
    if summary.dtype == "float64" and summary.whole:
        classes = [int(v) for v in classes]
    positive = data.positive
    if positive is None:
        return tuple(classes)
    if task != "binary":
        raise _positive_error(data, task)
    # The config may quote a number, or leave a text unquoted that YAML reads as a number.
    same = [c for c in classes if c == positive or str(c) == str(positive)]
    if not same:
        raise ConfigError(
            f"data.positive: {positive!r} is not a value of the target",
            examples=[shorten(c) for c in classes],
            fix="name one of these; quote texts such as 'yes' and 'no', which are bool in YAML",
        )
    return (*(c for c in classes if c != same[0]), same[0])


def _classes_error(
    kind: type[InputError], problem: str, summary: TargetSummary, data: Data
) -> InputError:
    fix = "write an expression that has the wanted classes, for example "
    fix += f'{data.target} == "…"' if summary.dtype == "text" else f"{data.target} > 15"
    if summary.dtype != "text":
        fix += ", or task: regression"
    message = f"data.target: {data.target!r} {problem}"
    return kind(message, examples=_list_examples(summary), fix=fix)


def _positive_error(data: Data, task: Task) -> ConfigError:
    return ConfigError(
        f"data.positive: {data.positive!r} is for two classes, and this is a {task} target",
        fix=f"leave positive out, or make two classes: target: {data.target} == {data.positive!r}",
    )


def _list_examples(summary: TargetSummary) -> list[str]:
    """Return the values with their rows, the most frequent first."""
    common = sorted((summary.counts or {}).items(), key=lambda item: (-item[1], str(item[0])))
    return [f"{shorten(value)}: {quantify(rows, 'row')}" for value, rows in common]


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
        # a lookup table: the label of False, of True, and of a missing value
        table = np.array([place.get(c, np.nan) for c in (False, True, None)])
        return device.to_device(table)[device.xp.where(missing, 2, values)]
    kinds = {type(c) for c in target.classes}
    dtype = object if str in kinds else np.float64 if float in kinds else np.int64
    positions = device.find_positions(series, np.array(target.classes, dtype=dtype))
    return device.xp.where(positions < 0, device.xp.nan, positions.astype("float64"))
