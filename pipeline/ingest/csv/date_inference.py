"""Inference of how the dates of a CSV column are written, and notes on what was decided."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa

from pipeline.config.date_format import EPOCHS, is_format
from pipeline.config.model import ColumnType
from pipeline.ingest.csv.date_formats import has_time, is_zoned, parse_dates
from pipeline.ingest.csv.date_guesses import guess_formats
from pipeline.ingest.csv.type_tester import TypeTester
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn
from pipeline.ingest.reading_note import ReadingNote, suggest_type

ORDERED = 0.02
"""Largest share of steps against the order of time in values that are sorted by time."""
STEPS = 10
"""Steps between different values that show whether they are sorted."""
EPOCH_YEARS, DATE_YEARS = (1990, 2099), (1800, 2199)
"""Years in which numbers may be times since 1970, or dates such as 20260131."""
EPOCH_UNITS = {
    "epoch s": "seconds", "epoch ms": "milliseconds", "epoch us": "microseconds",
    "epoch ns": "nanoseconds",
}  # fmt: skip
EPOCH_NAME = re.compile(r"epoch|unix|posix|time_?stamp")
EPOCH_WORDS = frozenset({"ts", "utc", "tstamp"})
UNITS: Mapping[str, str] = {
    "s": "epoch s", "sec": "epoch s", "secs": "epoch s", "seconds": "epoch s",
    "ms": "epoch ms", "msec": "epoch ms", "millis": "epoch ms", "milliseconds": "epoch ms",
    "us": "epoch us", "usec": "epoch us", "micros": "epoch us", "microseconds": "epoch us",
    "ns": "epoch ns", "nsec": "epoch ns", "nanos": "epoch ns", "nanoseconds": "epoch ns",
}  # fmt: skip
"""Words of column names that give the unit of times since 1970."""
DATE_NAME = re.compile(r"date|day|ymd|(^|_)dt(_|$)")
DIGITS = re.compile(r"\d{8}|\d{14}")


def infer_date(name: str, fit: TypeTester, asked: ColumnType | None) -> SourceColumn | None:
    """Infer a column of dates from text; None if the values are not dates.

    ISO dates come first. Among other formats, the one that most values fit is chosen.
    """
    iso = [
        SourceColumn(name, "date", ISO),
        SourceColumn(name, "datetime", ISO),
        SourceColumn(name, "datetime", ZONED),
    ]
    iso = [c for c in iso if asked in (None, c.type)]
    fitting = [c for c in iso if fit(c)]
    for column in fitting:
        if not fit.wrong(column):
            return column
    formats = guess_formats(fit.counts, is_asked=asked is not None)
    if asked is not None:
        formats += [f for f in _guess_numeric(name, fit, is_asked=True) if f not in formats]
    others = [SourceColumn(name, asked or _type_of(f), f) for f in formats]
    others = [c for c in others if asked != "date" or not has_time(str(c.pattern))]
    fitting += [c for c in others if fit(c)]
    if not fitting and asked is not None:  # the values that do not fit will be bad ones
        half = len(fit.values) / 2
        fitting = [c for c in (*iso, *others) if fit.values and fit.count_wrong(c) < half]
    if not fitting:
        return None
    fewest = min(map(fit.count_wrong, fitting))
    best = [c for c in fitting if fit.count_wrong(c) == fewest]
    if best[0] in iso:
        return best[0]
    chosen, _ = _choose_format([str(c.pattern) for c in best], fit.values)
    return next(c for c in best if c.pattern == chosen)


def infer_numeric_date(name: str, fit: TypeTester) -> SourceColumn | None:
    """Infer dates from numbers, if the column's name says what they are; None if it does not."""
    formats = _guess_numeric(name, fit, is_asked=False)
    return SourceColumn(name, _type_of(formats[0]), formats[0]) if formats else None


def reinfer_date(trained: SourceColumn, fit: TypeTester) -> SourceColumn:
    """Infer how new data write the dates of a run's column: as there, if that fits.

    Otherwise another format is taken if day and month are in the order of the run, or cannot be
    confused. Times without a zone are not taken for times with one, nor dates for times.
    """
    if fit(trained):
        return trained
    formats: list[tuple[ColumnType, str]] = [("date", ISO), ("datetime", ISO), ("datetime", ZONED)]
    formats += [(_type_of(f), f) for f in guess_formats(fit.counts, is_asked=True)]
    order = _find_order(trained.pattern)
    columns = [
        SourceColumn(trained.name, kind, pattern)
        for kind, pattern in formats
        if kind == trained.type and is_zoned(pattern) == is_zoned(trained.pattern)
    ]
    columns = [c for c in columns if fit(c)]
    orders = {_find_order(c.pattern) for c in columns} - {""}
    allowed = {order} if order else orders if len(orders) == 1 else set()
    columns = [c for c in columns if _find_order(c.pattern) in {"", *allowed}]
    return min(columns, key=fit.count_wrong, default=trained)


def _find_order(pattern: str | None) -> str:
    """Return the order of day, month and year in a format; empty if it is the usual one."""
    order = "".join(re.findall("%([dmyY])", pattern or ""))
    return order.lower() if {"d", "m"} <= {*order} and order[0] != "Y" else ""


def _type_of(pattern: str) -> Literal["date", "datetime"]:
    return "datetime" if has_time(pattern) else "date"


def _guess_numeric(name: str, fit: TypeTester, *, is_asked: bool) -> list[str]:
    """Return the formats by which all numbers among the values are likely dates or times."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    joined = "_".join(words)
    formats: list[str] = []
    if is_asked or EPOCH_NAME.search(joined) or EPOCH_WORDS.intersection(words):
        units = {UNITS[word] for word in words if word in UNITS}
        formats += units or (EPOCHS if is_asked else ("epoch s", "epoch ms"))
    wrong = set(fit.wrong(SourceColumn(name, "float")))
    numbers = [value for value in fit.distinct if value not in wrong]
    values = pa.array(numbers, pa.string())
    likely = [f for f in formats if _lie_within(parse_dates(values, f), *EPOCH_YEARS)]
    if is_asked or DATE_NAME.search(joined):
        widths = {len(value) if DIGITS.fullmatch(value) else 0 for value in numbers}
        compact = {8: "%Y%m%d", 14: "%Y%m%d%H%M%S"}.get(widths.pop()) if len(widths) == 1 else None
        if compact and _lie_within(parse_dates(values, compact), *DATE_YEARS):
            likely.append(compact)
    return likely


def _lie_within(times: pa.Array, first: int, last: int) -> bool:
    """Return whether there are times, and all lie in these years."""
    if not len(times) or times.null_count:
        return False
    years = times.to_numpy(zero_copy_only=False).astype("datetime64[Y]").astype("int64") + 1970
    return bool(years.min() >= first and years.max() <= last)


def _choose_format(formats: Sequence[str], values: Sequence[str]) -> tuple[str, str]:
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
        return sorted_by, "so read, the rows are in order of time"
    for pattern in formats:
        present = times[pattern][~np.isnat(times[pattern])]
        months = np.unique(present.astype("datetime64[M]"))
        are_first = (present == present.astype("datetime64[M]")).all()
        if are_first and len(np.unique(months.astype("int64") % 12)) > 2:
            return pattern, "so read, each is the first of a month"
    return formats[0], ""


def _measure_disorder(times: np.ndarray) -> float:
    """Return the share of steps against the prevailing direction; 0.5 if there are few steps."""
    steps = np.diff(times[~np.isnat(times)]).astype("int64")
    up, down = int((steps > 0).sum()), int((steps < 0).sum())
    return min(up, down) / (up + down) if up + down >= STEPS else 0.5


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
    for column, sampled in zip(columns, values, strict=True):
        pattern = column.pattern
        if not where or column.dtype != "datetime" or is_format(types.get(column.name, "")):
            continue
        if pattern is not None and pattern not in (ISO, ZONED):
            message, other = _describe_choice(pattern, sampled)
            change = suggest_type(where, column.name, other)
            yield ReadingNote("date", message, column.name, change)


def _describe_choice(pattern: str, values: Sequence[str]) -> tuple[str, str]:
    """Return a sentence on a format that was inferred, and the likeliest other type or format."""
    counts = Counter(values)
    times = parse_dates(pa.array(counts, pa.string()), pattern)
    present = times.drop_null().to_numpy().astype("datetime64[D]")
    span = f"{present.min()} to {present.max()}"
    if pattern in EPOCHS:
        other = "float" if any("." in value for value in counts) else "integer"
        return f"the numbers are read as {EPOCH_UNITS[pattern]} since 1970: {span}", other
    rivals = [
        other
        for other in guess_formats(counts, is_asked=True)
        if parse_dates(pa.array(counts, pa.string()), other).null_count <= times.null_count
    ]
    order = _find_order(pattern)
    if order and pattern in rivals and len(rivals) > 1:
        _, reason = _choose_format(rivals, values)
        first = {"d": "day", "m": "month", "y": "year"}[order[0]]
        reason = reason or f"{first} first is usual in such dates"
        message = f"the order of day, month and year is a guess, {pattern}: {reason} ({span})"
        return message, f"'{next(f for f in rivals if f != pattern)}'"
    is_number = pattern in ("%Y%m%d", "%Y%m%d%H%M%S")
    return f"read as dates written {pattern}: {span}", "integer" if is_number else "text"
