"""Inference of how the dates of a CSV column are written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import pyarrow as pa

from pipeline.config.date_format import EPOCHS
from pipeline.config.model import ColumnType
from pipeline.ingest.csv.date_formats import has_time, is_zoned, parse_dates
from pipeline.ingest.csv.date_guesses import guess_formats
from pipeline.ingest.csv.date_order import choose_format, find_order
from pipeline.ingest.csv.type_tester import TypeTester
from pipeline.ingest.csv.types import ISO, ZONED, SourceColumn

EPOCH_YEARS, DATE_YEARS = (1990, 2099), (1800, 2199)
"""Years in which numbers may be times since 1970, or dates such as 20260131."""
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
    chosen, _ = choose_format([str(c.pattern) for c in best], fit.values)
    return next(c for c in best if c.pattern == chosen)


def infer_numeric_date(name: str, fit: TypeTester) -> SourceColumn | None:
    """Infer dates from numbers, if the column's name says what they are; None if it does not."""
    formats = _guess_numeric(name, fit, is_asked=False)
    return SourceColumn(name, _type_of(formats[0]), formats[0]) if formats else None


def reinfer_date(trained: SourceColumn, fit: TypeTester) -> SourceColumn:
    """Infer how new data write the dates of a run's column: as there, if that fits.

    Otherwise another format is taken if day and month are in the order of the run, or cannot be
    confused. Times without a zone are not taken for times with one. Dates and times are, because
    pandas leaves out times that are midnight in all rows.
    """
    if fit(trained):
        return trained
    formats: list[tuple[ColumnType, str]] = [("date", ISO), ("datetime", ISO), ("datetime", ZONED)]
    formats += [(_type_of(f), f) for f in guess_formats(fit.counts, is_asked=True)]
    order = find_order(trained.pattern)
    columns = [
        SourceColumn(trained.name, kind, pattern)
        for kind, pattern in formats
        if is_zoned(pattern) == is_zoned(trained.pattern)
    ]
    columns = [c for c in columns if fit(c)]
    orders = {find_order(c.pattern) for c in columns} - {""}
    allowed = {order} if order else orders if len(orders) == 1 else set()
    columns = [c for c in columns if find_order(c.pattern) in {"", *allowed}]
    return min(columns, key=fit.count_wrong, default=trained)


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
