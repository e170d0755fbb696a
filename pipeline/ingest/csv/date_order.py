"""Order of day, month and year where values fit several: its choice, and notes about it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.config.date_format import EPOCHS, is_format
from pipeline.ingest.csv.date_formats import parse_dates
from pipeline.ingest.csv.date_guesses import guess_formats
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn
from pipeline.ingest.reading_note import ReadingNote, suggest_type

ORDERED = 0.02
"""Largest share of steps against the order of time in values that are sorted by time."""
STEPS = 10
"""Steps between different values that show whether they are sorted."""
EPOCH_UNITS = {
    "epoch s": "seconds", "epoch ms": "milliseconds", "epoch us": "microseconds",
    "epoch ns": "nanoseconds",
}  # fmt: skip
FIRST = {"d": "day", "m": "month", "y": "year"}


def find_order(pattern: str | None) -> str:
    """Return the order of day, month and year in a format; empty if it is the usual one."""
    order = "".join(re.findall("%([dmyY])", pattern or ""))
    return order.lower() if {"d", "m"} <= {*order} and order[0] != "Y" else ""


def choose_format(formats: Sequence[str], values: Sequence[str]) -> tuple[str, str]:
    """Choose one of several formats that values fit; return it and the reason.

    Values that are sorted by one reading, and not by the others, are a log, which is written in
    order of time. Otherwise the first of each month is likelier than the first days of a January.

    Args:
        formats: formats with the numbers of day, month and year in different orders, the likeliest
            first.
        values: values in file order.
    """
    if len(formats) == 1 or formats[0].startswith("%Y") or "%b" in formats[0]:
        return formats[0], ""
    encoded = pa.array(values, pa.string()).dictionary_encode()
    codes = encoded.indices.to_numpy()
    times = {f: parse_dates(encoded.dictionary, f).to_numpy(zero_copy_only=False) for f in formats}
    disorder = {f: _measure_disorder(times[f][codes]) for f in formats}
    sorted_by = min(formats, key=lambda f: disorder[f])
    rest = [disorder[f] for f in formats if f != sorted_by]
    if disorder[sorted_by] <= ORDERED and min(rest) > max(ORDERED, 3 * disorder[sorted_by]):
        return sorted_by, "with it, the rows are in order of time"
    for pattern in formats:
        present = times[pattern][~np.isnat(times[pattern])]
        months = np.unique(present.astype("datetime64[M]"))
        are_first = (present == present.astype("datetime64[M]")).all()
        if are_first and len(np.unique(months.astype("int64") % 12)) > 2:
            return pattern, "with it, each is the first of a month"
    return formats[0], ""


def _measure_disorder(times: np.ndarray) -> float:
    """Return the share of steps against the prevailing direction; 0.5 if there are few steps."""
    steps = np.diff(times[~np.isnat(times)]).astype("int64")
    up, down = int((steps > 0).sum()), int((steps < 0).sum())
    return min(up, down) / (up + down) if up + down >= STEPS else 0.5


def share_order(
    columns: Sequence[SourceColumn], values: Sequence[Sequence[str]], types: Mapping[str, str]
) -> list[SourceColumn]:
    """Give columns whose order is a guess that of other columns, whose dates have one order only.

    A file writes its dates in one way. The separators must be the same.

    Args:
        columns: the inferred columns.
        values: their sampled values in file order; words that mean missing may be among them.
        types: the types and formats in the config; a format is not a guess.
    """
    shared = _find_shared_orders(columns, values, types)
    chosen = list(columns)
    for place, (column, sampled) in enumerate(zip(columns, values, strict=True)):
        order, pattern = find_order(column.pattern), column.pattern or ""
        other, _ = shared.get(_find_separator(pattern), ("", ""))
        if not order or not other or is_format(types.get(column.name, "")):
            continue
        rivals = [f for f in list_rivals(pattern, sampled) if find_order(f) == other]
        chosen[place] = replace(column, pattern=next(iter(rivals), pattern))
    return chosen


def _find_shared_orders(
    columns: Sequence[SourceColumn], values: Sequence[Sequence[str]], types: Mapping[str, str]
) -> dict[str, tuple[str, str]]:
    """Return order and name of the columns whose order is certain, by their separator.

    A separator that they use in different orders is left out.
    """
    dates = [
        (column, str(column.pattern), sampled)
        for column, sampled in zip(columns, values, strict=True)
        if column.dtype == "datetime" and find_order(column.pattern)
    ]
    separators = Counter(_find_separator(pattern) for _, pattern, _ in dates)
    orders: dict[str, dict[str, str]] = {}
    for column, pattern, sampled in dates:
        separator = _find_separator(pattern)
        if separators[separator] == 1:  # there is no column to share with
            continue
        if is_format(types.get(column.name, "")) or not list_rivals(pattern, sampled):
            orders.setdefault(separator, {}).setdefault(find_order(pattern), column.name)
    return {by: next(iter(names.items())) for by, names in orders.items() if len(names) == 1}


def _find_separator(pattern: str) -> str:
    between = re.search("%[dmyY]([^%]*)%[dmyY]", pattern)
    return between[1] if between else ""


def list_rivals(pattern: str, values: Sequence[str]) -> list[str]:
    """Return the formats that fit values as well as the one that was chosen, the likelier first."""
    if not find_order(pattern):
        return []
    distinct = pa.array(dict.fromkeys(values), pa.string())
    formats = guess_formats(Counter(values), is_asked=True)
    misfits = parse_dates(distinct, pattern).null_count
    fitting = [f for f in formats if parse_dates(distinct, f).null_count <= misfits]
    return (
        [f for f in fitting if f != pattern] if pattern in fitting and find_order(pattern) else []
    )


def note_dates(
    columns: Sequence[SourceColumn],
    values: Sequence[Sequence[str]],
    types: Mapping[str, str],
    where: str,
) -> Iterator[ReadingNote]:
    """Yield a note per column of dates whose format was inferred.

    Args:
        columns: the inferred columns.
        values: their sampled values in file order; words that mean missing may be among them.
        types: the types and formats in the config.
        where: the source's key in the config, or empty for new data, which get no notes.
    """
    shared = _find_shared_orders(columns, values, types)
    for column, sampled in zip(columns, values, strict=True):
        pattern = column.pattern
        if not where or column.dtype != "datetime" or is_format(types.get(column.name, "")):
            continue
        if pattern is not None and pattern not in (ISO, ZONED):
            order, other_name = shared.get(_find_separator(pattern), ("", ""))
            certain = other_name if order == find_order(pattern) else ""
            message, other = _describe_choice(pattern, sampled, certain)
            change = suggest_type(where, column.name, other)
            yield ReadingNote("date", message, column.name, change)


def _describe_choice(pattern: str, values: Sequence[str], certain: str) -> tuple[str, str]:
    """Return a sentence on a format that was inferred, and the likeliest other type or format.

    Args:
        pattern: the format.
        values: the sampled values.
        certain: name of a column that is surely written in the same order, or empty.
    """
    counts = Counter(values)
    present = parse_dates(pa.array(counts, pa.string()), pattern).drop_null().to_numpy()
    days = present.astype("datetime64[D]")
    span = f"{days.min()} to {days.max()}"
    if pattern in EPOCHS:
        other = "float" if any("." in value for value in counts) else "integer"
        return f"the numbers are read as {EPOCH_UNITS[pattern]} since 1970: {span}", other
    rivals = list_rivals(pattern, values)
    if not rivals:
        is_number = pattern in ("%Y%m%d", "%Y%m%d%H%M%S")
        return f"read as dates written {pattern}: {span}", "integer" if is_number else "text"
    first = FIRST[find_order(pattern)[0]]
    if certain:
        reason = f"{first} first, as in column {certain}"
    else:
        formats = [f for f in guess_formats(counts, is_asked=True) if f in (pattern, *rivals)]
        reason = choose_format(formats, values)[1] or f"{first} first is usual in such dates"
    return (
        f"the order of day, month and year is a guess, {pattern}: {reason} ({span})",
        f"'{rivals[0]}'",
    )
