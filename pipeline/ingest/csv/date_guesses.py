"""Formats that dates may have, read off the shape of sampled values: digits, separators, names.

The shape is split into what values of one column share, which is how the date is written, and the
parts of the time in which they may differ. The latter become optional parts of the format.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pipeline.ingest.csv.date_formats import MONTH_NAMES, WEEKDAYS

MAX_LENGTH = 60
"""Characters of the longest value that may be a date."""
INSPECTED = 50
"""Distinct values that are inspected first; if none of them is a date, the others are not."""
ZEROS = str.maketrans("123456789", "000000000")
ZONE = r"(?P<zone> ?(?:(?:utc|gmt)?[-+]\d\d(?::?\d\d)?|z|utc|gmt)(?![a-z\d]))?"
TIME = re.compile(
    r"(?<!\d)\d{1,2}:\d\d(?P<seconds>:\d\d(?:(?P<point>[.,])\d{1,9})?)?(?![\d:])"
    rf"(?P<half> ?[ap][.]?m[.]?(?![a-z]))?{ZONE}"
)
COMPACT = re.compile(
    rf"\d{{8}}(?P<apart>[t _-]?)\d{{4}}(?P<seconds>\d\d(?:(?P<point>[.])\d{{1,9}})?)?{ZONE}"
)
TOKEN = re.compile(r"\d+|[a-z]+|[^a-z\d]+")
SEPARATOR = re.compile(r"[ ,./:_()\[\]\"-]{1,3}")
ORDERS: Mapping[str, tuple[str, ...]] = {
    "224": ("dmY", "mdY"), "422": ("Ymd",), "222": ("dmy", "mdy", "ymd"),
    "8": ("",), "2b4": ("dbY",), "b24": ("bdY",), "4b2": ("Ybd",), "2b2": ("dby", "ybd"),
    "b22": ("bdy",),
}  # fmt: skip
"""Directives in order, by the digits of the numbers; ``b`` is the name of a month."""


@dataclass(frozen=True)
class DateShape:
    """Way in which the date of a value is written, and the kind of its time."""

    tokens: tuple[str, ...]
    """The number of digits, ``b`` for the name of a month, ``a`` for that of a weekday, ``time``,
    or other characters."""
    is_half: bool = False
    """True if the hours are those of AM and PM."""
    is_zoned: bool = False

    @property
    def digits(self) -> str:
        """Key of `ORDERS`."""
        return "".join(token for token in self.tokens if token in "248b")


@dataclass(frozen=True)
class TimeShape:
    """Way in which the time of a value is written."""

    apart: str
    """Characters between date and time."""
    has_seconds: bool
    point: str
    """Character before the fraction; empty if there is none."""
    half: str
    """Blank before AM or PM, or empty."""
    zone: str
    """Blank before the zone, or empty."""
    colon: str = ":"


def guess_formats(counts: Mapping[str, int], *, is_asked: bool) -> list[str]:
    """Return formats that the values may have, the likelier first.

    Month first is likelier for ``1/2/2026``, day first for ``1.2.2026`` and ``1-2-2026``.

    Args:
        counts: number of sampled values by their text.
        is_asked: True if the values are dates, as the config says. Otherwise versions and codes
            that resemble dates with a year of two digits are none.
    """
    dates: Counter[DateShape] = Counter()
    times: dict[DateShape, Counter[TimeShape | None]] = {}
    unpadded: set[DateShape] = set()
    # The shape does not depend on which digits there are, so that few texts are left.
    shapes: Counter[str] = Counter()
    for value, count in counts.items():
        shapes[value.translate(ZEROS)] += count
    for place, (value, count) in enumerate(shapes.items()):
        if place == INSPECTED and not dates:
            return []
        shape = find_shape(value)
        if shape is not None:
            date, time, is_padded = shape
            dates[date] += count
            times.setdefault(date, Counter())[time] += count
            if not is_padded:
                unpadded.add(date)
    if not dates:
        return []
    for date in list(times):  # values without a time beside those of AM and PM
        bare = DateShape(date.tokens)
        if date.is_half and not date.is_zoned and set(times.get(bare, ())) == {None}:
            times[date] += times.pop(bare)
            dates[date] += dates.pop(bare)
    date = dates.most_common(1)[0][0]
    time_format = _format_time(date, times[date])
    orders = _list_orders(date, is_sure=is_asked or date not in unpadded)
    return [_format_date(date, order, time_format) for order in orders]


def find_shape(value: str) -> tuple[DateShape, TimeShape | None, bool] | None:
    """Return shapes of date and time, and whether the date's numbers are padded with zeros.

    None if the value is not a date.
    """
    if len(value) > MAX_LENGTH:
        return None
    text = re.sub(r"\s+", " ", value.strip().lower())
    if compact := COMPACT.fullmatch(text):
        shape = DateShape(("8", "time"), is_zoned=compact["zone"] is not None)
        return shape, _describe_time(compact, compact["apart"], colon=""), True
    match = TIME.search(text)
    before = text if match is None else text[: match.start()]
    tokens = list(_split_tokens(before))
    apart = ""
    if match is not None:
        if tokens and tokens[-1] not in {*"1248ab?"}:
            apart = tokens.pop()
        tokens += ["time", *_split_tokens(text[match.end() :])]
    date = DateShape(
        tuple("2" if token == "1" else token for token in tokens),
        is_half=match is not None and match["half"] is not None,
        is_zoned=match is not None and match["zone"] is not None,
    )
    if "?" in tokens or date.digits not in ORDERS:
        return None
    time = None if match is None else _describe_time(match, apart, colon=":")
    if time is None:  # such a value may stand beside others that have a time
        date = DateShape((*date.tokens, "time"))
    return date, time, "1" not in tokens


def _split_tokens(text: str) -> Iterator[str]:
    """Yield the tokens of a text in lower case; ``?`` for one that no date has."""
    pieces = TOKEN.findall(text)
    for place, piece in enumerate(pieces):
        if piece[0].isdigit():
            yield str(len(piece)) if len(piece) in (1, 2, 4, 8) else "?"
        elif re.fullmatch(MONTH_NAMES, piece):
            yield "b"
        elif re.fullmatch(WEEKDAYS, piece):
            yield "a"
        elif SEPARATOR.fullmatch(piece) or (piece == "t" and place == len(pieces) - 1):
            yield piece
        else:
            yield "?"


def _describe_time(match: re.Match[str], apart: str, colon: str) -> TimeShape:
    groups = match.groupdict()
    half, zone = (" " if (groups.get(n) or "")[:1] == " " else "" for n in ("half", "zone"))
    return TimeShape(apart, groups["seconds"] is not None, groups["point"] or "", half, zone, colon)


def _list_orders(date: DateShape, *, is_sure: bool) -> tuple[str, ...]:
    """Return the orders of day, month and year, the likelier first."""
    orders = ORDERS[date.digits]
    if date.digits == "8" or "b" in date.digits:
        return orders
    places = [i for i, token in enumerate(date.tokens) if token in ("2", "4")]
    between = {date.tokens[i + 1 : j] for i, j in zip(places, places[1:], strict=False)}
    separator = "".join(between.pop()) if len(between) == 1 else ""
    slashes = separator == "/"
    if not separator or separator.strip() not in ("/", "-", ".", ""):
        return ()
    if date.digits == "222" and not slashes and not (is_sure and separator.strip()):
        return ()
    is_day_first = orders[0].startswith("d")
    return (orders[1], orders[0], *orders[2:]) if slashes and is_day_first else orders


def _format_date(date: DateShape, order: str, time_format: str) -> str:
    directives = iter(order)
    text = ""
    for token in date.tokens:
        if token == "8":
            text += "%Y%m%d"
        elif token in ("2", "4", "b"):
            text += f"%{next(directives)}"
        elif token == "a":
            text += "%a"
        else:
            text += time_format if token == "time" else re.sub(r"[\[\]]", r"%\g<0>", token)
    return text


def _format_time(date: DateShape, times: Counter[TimeShape | None]) -> str:
    """Return the format of the times, with parts that not all have in brackets."""
    shapes = Counter({time: count for time, count in times.items() if time is not None})
    if not shapes:
        return ""

    def get_commonest(name: str) -> str:
        numbers: Counter[str] = Counter()
        for shape, count in shapes.items():
            numbers[getattr(shape, name)] += count
        return numbers.most_common(1)[0][0]

    colon = get_commonest("colon")
    points = {shape.point for shape in shapes if shape.has_seconds}
    fraction = next((f"{point}%f" for point in (".", ",") if point in points), "")
    seconds = f"{colon}%S{_allow_absence(fraction, '' in points)}"
    with_seconds = {shape.has_seconds for shape in shapes}
    text = "%I" if date.is_half else "%H"
    text += f"{colon}%M"
    if True in with_seconds:
        text += _allow_absence(seconds, False in with_seconds)
    for is_there, name, directive in ((date.is_half, "half", "%p"), (date.is_zoned, "zone", "%z")):
        if is_there:
            blanks = {getattr(shape, name) for shape in shapes}
            text += (blanks.pop() if len(blanks) == 1 else "[ ]") + directive
    apart = re.sub(r"[\[\]]", r"%\g<0>", get_commonest("apart")).replace("t", "T")
    return _allow_absence(apart + text, None in times)


def _allow_absence(text: str, is_optional: bool) -> str:
    return f"[{text}]" if text and is_optional else text
