"""Parsing of text by a format of dates and times (`pipeline.config.date_format`).

A format becomes one regular expression. Its groups become integers, and these µs since 1970. Both
readers share all but the extraction of the groups.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.config.date_format import EPOCHS, split_format
from pipeline.device import Array
from pipeline.schema import EARLIEST, LATEST

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH_NAMES = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
WEEKDAYS = (
    "mon(?:day)?|tue(?:s(?:day)?)?|wed(?:nesday)?|thu(?:rs(?:day)?)?|fri(?:day)?|sat(?:urday)?|"
    "sun(?:day)?"
)
ZONE = (
    "(?:z|(?:utc|gmt)?(?P<sign>[-+])(?P<zone_hours>[0-9]{2})(?::?(?P<zone_minutes>[0-9]{2}))?"
    "|utc|gmt)"
)
PIVOT = 69
"""The first of the two-digit years that are those of the 20th century."""
NUMBERS = frozenset("YymdjHIMSf")
REGEX = {
    "Y": "(?P<year>[0-9]{4})", "y": "(?P<short_year>[0-9]{2})", "m": "(?P<month>[0-9]{1,2})",
    "b": f"(?P<month_name>{MONTH_NAMES})", "B": f"(?P<month_name>{MONTH_NAMES})",
    "d": "(?P<day>[0-9]{1,2})", "j": "(?P<year_day>[0-9]{1,3})", "a": f"(?:{WEEKDAYS})",
    "A": f"(?:{WEEKDAYS})", "H": "(?P<hour>[0-9]{1,2})", "I": "(?P<half_hour>[0-9]{1,2})",
    "M": "(?P<minute>[0-9]{1,2})", "S": "(?P<second>[0-9]{1,2})", "f": "(?P<fraction>[0-9]{1,9})",
    "p": "(?P<half>[ap])[.]?m[.]?", "z": ZONE, "Z": ZONE,
}  # fmt: skip
"""Regular expression of each directive; a group with a name has an integer, or a part of a zone."""
DEFAULTS = {"month": 1, "day": 1, "year_day": 1, "half_hour": 12}
"""Values of parts that a text lacks, if not 0."""
EPOCH = r"^\s*(?P<minus>-?)0*(?P<whole>[0-9]{1,30})(?:[.](?P<part>[0-9]{1,9})[0-9]*)?\s*$"


def is_zoned(pattern: str | None) -> bool:
    """Return whether the values of a pattern (`SourceColumn.pattern`) have a zone."""
    return pattern is not None and re.search("zoned|%[zZ]", pattern) is not None


def has_time(pattern: str) -> bool:
    """Return whether the values of a format have a time of day."""
    return pattern in EPOCHS or re.search("%[HI]", pattern) is not None


@cache
def build_regex(pattern: str) -> str:
    """Build the regular expression of a format, with named groups, for lower-case text."""
    parts = list(split_format(pattern))
    beside = [part for part in parts if not part.bracket]
    text, place = "", 0
    for part in parts:
        if part.bracket:
            text += "(?:" if part.bracket == "[" else ")?"
            continue
        around = beside[max(place - 1, 0) : place] + beside[place + 1 : place + 2]
        place += 1
        if not part.is_directive:
            text += "".join(_match_literal(c) for c in re.sub(r"\s+", " ", part.text.lower()))
        elif any(other.is_directive and other.text in NUMBERS for other in around):
            text += REGEX[part.text].replace("{1,2}", "{2}")
        else:
            text += REGEX[part.text]
    return rf"^[ \t]*{text}[ \t]*$"


def _match_literal(character: str) -> str:
    if character == " ":
        return "[ \t\u00a0\u202f]+"
    if character.isalnum() or character in ",:/-":
        return character
    # a class of one character, such as `[.]`, stands for the character itself in any engine
    return f"[{chr(92) if character in chr(92) + '^]' else ''}{character}]"


def parse_dates(values: pa.Array, pattern: str) -> pa.Array:
    """Parse strings as timestamps in µs, UTC without a zone; null for values that do not fit."""
    values = values.cast(pa.string())
    if pattern in EPOCHS:
        micros, fits = _parse_epochs(values, EPOCHS[pattern])
    else:
        groups = pc.extract_regex(values, "(?i)" + build_regex(pattern))
        numbers = {
            field.name: _to_integers(field.name, pc.struct_field(groups, field.name))
            for field in groups.type
        }
        micros, fits = compute_micros(numbers, np)
        fits &= groups.is_valid().to_numpy(zero_copy_only=False)
    return pa.array(micros, pa.int64(), mask=~fits).cast(pa.timestamp("us"))


def _to_integers(name: str, texts: pa.Array) -> np.ndarray:
    """Convert the texts of a group to integers; the default where a text lacks the group."""
    texts = texts.fill_null("")
    if name == "month_name":
        short = pc.utf8_slice_codeunits(pc.ascii_lower(texts), 0, 3)
        numbers = pc.add(pc.index_in(short, pa.array(MONTHS)).fill_null(-1), 1)
    elif name in ("half", "sign"):
        numbers = pc.is_in(texts, pa.array(["p", "P", "-"])).cast(pa.int64())
    else:
        if name == "fraction":  # nanoseconds are truncated
            texts = pc.utf8_slice_codeunits(pc.utf8_rpad(texts, 6, "0"), 0, 6)
        absent = pc.equal(texts, "")
        numbers = pc.if_else(absent, str(DEFAULTS.get(name, 0)), texts)
    integers: np.ndarray = numbers.cast(pa.int64()).to_numpy(zero_copy_only=False)
    return integers


def compute_micros(numbers: Mapping[str, Array], xp: Any) -> tuple[Array, Array]:
    """Compute µs since 1970 from the numbers in dates; return (µs, whether each is a time).

    Args:
        numbers: int64 arrays by the names of the groups in `REGEX`; one of the years at least.
        xp: the library of the arrays.
    """

    def get(name: str) -> Array | int:
        return numbers.get(name, DEFAULTS.get(name, 0))

    if "year" in numbers:
        year = numbers["year"]
    else:
        short = numbers["short_year"]
        year = short + xp.where(short < PIVOT, 2000, 1900)
    month = numbers.get("month_name", get("month"))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    lengths = xp.asarray([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
    is_month = (month >= 1) & (month <= 12)
    month = xp.where(is_month, month, 1)
    length = lengths[month] + (leap & (month == 2))
    day, year_day = get("day"), get("year_day")
    fits = is_month & (year >= 1) & (day >= 1) & (day <= length)
    fits &= (year_day >= 1) & (year_day <= 365 + leap)
    hour = get("hour")
    if "half_hour" in numbers:
        half_hour = numbers["half_hour"]
        fits &= (half_hour >= 1) & (half_hour <= 12)
        hour = half_hour % 12 + 12 * get("half")
    minute, second = get("minute"), get("second")
    fits &= (hour <= 23) & (minute <= 59) & (second <= 59)
    ahead = get("zone_hours") * 60 + get("zone_minutes")
    fits &= (get("zone_hours") <= 23) & (get("zone_minutes") <= 59)
    minutes = hour * 60 + minute - ahead * (1 - 2 * get("sign"))
    days = _count_days(year, month, day, xp) + year_day - 1
    micros = ((days * 1440 + minutes) * 60 + second) * 1_000_000 + get("fraction")
    fits &= (micros >= EARLIEST) & (micros <= LATEST)
    return micros, fits


def _count_days(year: Array, month: Array, day: Array | int, xp: Any) -> Array:
    """Count the days since 1970-01-01; the year is taken to begin in March."""
    year = year - (month <= 2)
    since_march = month + xp.where(month > 2, -3, 9)
    leaps = year // 4 - year // 100 + year // 400
    return year * 365 + leaps + (153 * since_march + 2) // 5 + day - 719_469


def _parse_epochs(values: pa.Array, decimals: int) -> tuple[np.ndarray, np.ndarray]:
    """Parse times since 1970 in units of 10^-decimals seconds; return (µs, whether each fits)."""
    groups = pc.extract_regex(values, EPOCH)
    minus, whole, part = (
        pc.struct_field(groups, field.name).fill_null("") for field in groups.type
    )
    # µs as text: the unit's digits, and those behind the point as far as they are at least 1 µs
    digits = pc.binary_join_element_wise(whole, pc.utf8_rpad(part, 9, "0"), "")
    cut = 9 - 6 + decimals
    length = pc.utf8_length(digits).to_numpy(zero_copy_only=False)
    fits = groups.is_valid().to_numpy(zero_copy_only=False) & (length - cut <= 18)
    shortened = pc.if_else(pa.array(fits), digits, pa.scalar("0" * (cut + 1)))
    micros = pc.utf8_slice_codeunits(shortened, 0, -cut) if cut else shortened
    micros = pc.if_else(pc.equal(micros, ""), "0", micros).cast(pa.int64())
    signed = micros.to_numpy(zero_copy_only=False) * np.where(
        pc.equal(minus, "-").to_numpy(zero_copy_only=False), -1, 1
    )
    return signed, fits & (signed >= EARLIEST) & (signed <= LATEST)
