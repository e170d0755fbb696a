"""Formats of numbers: decimal commas, thousands, currencies, magnitudes, units, parentheses.

An example describes the format of a column, also in messages: ``1.234,56 €``, ``$1,234.56M``,
``(1,234.56)``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import shorten

SIGNS = "$€£¥₹₽₩₺₴₫₱₪฿"
INSPECTED = 50
"""Values whose first and last characters are searched for a currency or a unit."""
SHOWN = 1000
"""Values among which one for a message is searched."""
USUAL = 0.9
"""Share of the inspected values that must have one currency and one unit; others are bad."""
THIN = "\u00a0\u202f"
"""Non-breaking spaces, which separate thousands."""
SEPARATORS = ((",", "."), (".", ","), (" ", ","), (" ", "."), ("'", "."), ("’", "."))
"""Pairs of characters: between thousands, before decimals."""
MAGNITUDES = {
    "k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6, "mn": 1e6, "mio": 1e6, "Mio": 1e6,
    "b": 1e9, "B": 1e9, "bn": 1e9, "Bn": 1e9, "tn": 1e12, "T": 1e12,
    "thousand": 1e3, "lakh": 1e5, "million": 1e6, "crore": 1e7, "billion": 1e9, "trillion": 1e12,
}  # fmt: skip
"""Factors of letters after a number: ``1.2k`` is 1200."""
UNITS = frozenset(
    (
        "%", "‰", "°", "°C", "°F", "km", "m", "cm", "mm", "mi", "ft", "in", "kg", "g", "mg", "lb",
        "lbs", "oz", "t", "l", "L", "ml", "mL", "cc", "hp", "bhp", "kW", "kWh", "mAh", "mph",
        "km/h", "kmh", "rpm", "Nm", "GB", "MB", "kB", "TB", "Hz", "kHz", "MHz", "GHz", "s", "sec",
        "min", "h", "hr", "hrs", "px", "m²", "m2", "sqft", "kmpl",
    )
)  # fmt: skip
"""Units that may follow a number without a space; after a space, any one word may."""
NOT_UNITS = re.compile(
    r"(?i)(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*|[ap]\.?m\.?|utc|gmt|z|st|nd|rd|th"
)
_EXAMPLE = re.compile(r"(\(?)([^\d()]*)1(\D)234(\D)56([^\d()]*)(\)?)")
_VALUE = re.compile(
    r"(?P<start>\D*?)(?P<number>[.,]?\d(?:[\d.,'’ \u00a0\u202f]*\d)?[.,]?)(?P<end>\D*)"
)
_START = re.compile(rf"(?:[A-Z]{{0,3}}[{SIGNS}]|Rs\.?|[A-Z]{{3}}(?=\s))\s?")
_WORD = re.compile(r"[^\W\d_]{1,12}\.?")


@dataclass(frozen=True)
class _Format:
    """The parts of a format that an example stands for."""

    start: str
    thousands: str
    decimal: str
    magnitudes: bool
    """True if a letter such as k or M may follow the number."""
    unit: str
    parentheses: bool
    """True if a number in parentheses is negative."""


def guess_formats(values: Sequence[str], delimiter: str) -> list[str]:
    """Return examples that the values may follow, the likelier first.

    Args:
        values: distinct values, none missing.
        delimiter: the delimiter of the CSV. A comma that separates fields can only be a separator
            of thousands. Beside a semicolon it is rather a decimal comma.
    """
    bare = [value.strip() for value in values[:INSPECTED]]
    enclosed = [bool(re.fullmatch(r"\([^()]*\)", value)) for value in bare]
    bare = [v[1:-1].strip() if e else v for v, e in zip(bare, enclosed, strict=True)]
    matches = [match for value in bare if (match := _VALUE.fullmatch(value))]
    shapes = _keep_usual([(m["start"].strip("+- \t"), _split_end(m["end"])) for m in matches])
    if not shapes:
        return []
    start = max(text for text, _, _ in shapes)
    magnitudes = Counter(magnitude for _, magnitude, _ in shapes if magnitude)
    unit = max((unit for _, _, unit in shapes), key=len)
    is_money = bool(start) or _is_currency(unit)
    if (unit and start) or (unit and magnitudes and not is_money):
        return []
    if magnitudes and not is_money:
        if set(magnitudes) == {"m"}:  # meters
            magnitudes, unit = Counter(), "m"
        elif not _are_amounts(bare, magnitudes):
            return []
    shown = max(magnitudes, key=lambda m: (magnitudes[m], m), default="")
    shown = "M" if shown == "m" else shown
    # The first value with a unit and the first with a currency show whether a space stands there.
    space = next((" " * m["end"][0].isspace() for m in matches if m["end"].strip()), "")
    joint = next((" " * m["start"][-1].isspace() for m in matches if start and start in m[0]), "")
    tail = f"{space}{shown}{' ' if shown and unit else ''}{unit}" if shown or unit else ""
    head = f"{start}{joint}" if start else ""
    # Codes such as 560 001 have a space between digits in every value.
    are_codes = all(re.search(rf"\d[ {THIN}]\d", value) for value in values[:INSPECTED])
    order = sorted(SEPARATORS, key=lambda pair: delimiter == ";" and pair != (".", ","))
    left, right = ("(", ")") if any(enclosed) else ("", "")
    return [
        f"{left}{head}1{thousands}234{decimal}56{tail}{right}"
        for thousands, decimal in order
        if not decimal == delimiter == "," and not (thousands == " " and are_codes)
    ]


def _keep_usual(
    shapes: Sequence[tuple[str, tuple[str, str] | None]],
) -> list[tuple[str, str, str]]:
    """Return (start, magnitude, unit) of the values that share one start and one unit.

    There are none if more than a tenth of the values have others.
    """
    starts = Counter(start for start, _ in shapes if start)
    units = Counter(end[1].removesuffix("s") for _, end in shapes if end and end[1])
    start, unit = (max(counts, key=counts.__getitem__, default="") for counts in (starts, units))
    if start and not _START.fullmatch(f"{start} "):
        return []
    usual = [
        (begin, *end)
        for begin, end in shapes
        if end is not None and begin in ("", start) and end[1].removesuffix("s") in ("", unit)
    ]
    return usual if len(usual) >= USUAL * len(shapes) else []


def _is_currency(text: str) -> bool:
    return bool(re.fullmatch(rf"[{SIGNS}]|[A-Z]{{3}}", text))


def _are_amounts(values: Sequence[str], magnitudes: Counter[str]) -> bool:
    """Return whether letters after numbers are magnitudes: 12B and 14B may be apartments."""
    same = magnitudes.total() == len(values) and len(magnitudes) == 1
    return not same or not next(iter(magnitudes)).isupper() or any("." in v for v in values)


def _split_end(end: str) -> tuple[str, str] | None:
    """Split what follows a number into (magnitude, unit); None if it is neither.

    The letter m is both, and given as a magnitude.
    """
    has_space, text = end[:1].isspace(), end.strip()
    if not text:
        return "", ""
    magnitude, _, rest = text.partition(" ")
    if magnitude not in MAGNITUDES:
        match = re.match(
            rf"({'|'.join(sorted(MAGNITUDES, key=len, reverse=True))})(?=[{SIGNS}])", text
        )
        magnitude = match[1] if match else ""
        rest = text[len(magnitude) :]
    rest = rest.strip()
    if not rest or rest in UNITS or _is_currency(rest):
        return magnitude, rest
    # Any word may be the unit of all values: 36 months, 5 doors. Dates and hours have words too.
    if has_space and not magnitude and _WORD.fullmatch(rest) and not NOT_UNITS.fullmatch(rest):
        return "", rest
    return None


def _parse_example(example: str) -> _Format | None:
    match = _EXAMPLE.fullmatch(example)
    if match is None or bool(match[1]) != bool(match[6]):
        return None
    end = ("", "m") if match[5].strip() == "m" else _split_end(match[5])
    if end is None:
        return None
    factor, unit = end
    return _Format(match[2].strip(), match[3], match[4], bool(factor), unit, bool(match[1]))


def parse_numbers(values: pa.Array, example: str) -> pa.Array:
    """Parse numbers as float64; null for values in another format. The currency may be absent.

    Args:
        values: strings, none missing.
        example: an example of `guess_formats`.
    """
    form = _parse_example(example)
    if form is None:
        raise AssertionError(f"{example!r} is not an example of a number")
    space, decimal = f"[ {THIN}]?", re.escape(form.decimal)
    apart = f"[ {THIN}]" if form.thousands == " " else re.escape(form.thousands)
    digits = rf"(?:[1-9][0-9]{{0,2}}(?:{apart}[0-9]{{3}})+|[0-9]+)"
    number = rf"(?:{digits}(?:{decimal}[0-9]*)?|{decimal}[0-9]+)(?:[eE][-+]?[0-9]+)?"
    # the space beside a currency is optional, in values as in the example
    before = f"(?:{re.escape(form.start)}{space})?" if form.start else ""
    after = f"(?:{space}{re.escape(form.unit.removesuffix('s'))}s?)?" if form.unit else ""
    letters = "|".join(map(re.escape, MAGNITUDES)) if form.magnitudes else ""
    factor = f"(?:{space}(?:{letters}))?" if letters else ""
    signed = rf"(?:[-+]?{before}|{before}[-+]?){number}{factor}{after}"
    enclosed = rf"|\(\s*{before}{number}{factor}{after}\s*\)" if form.parentheses else ""
    fits = pc.match_substring_regex(values, rf"^\s*(?:{signed}{enclosed})\s*$")
    # Arrow parses plain numbers only: those that fit lose the rest.
    bare = pc.replace_substring_regex(values, r"^[\s(]*", "")
    negative = pc.match_substring_regex(bare, f"^(?:-|{before}-)")
    plain = pc.extract_regex(bare, rf"(?P<number>{number})").field("number")
    plain = pc.replace_substring_regex(plain, rf"[^-+0-9eE{decimal}]", "")
    plain = pc.replace_substring(plain, form.decimal, ".")
    numbers = pc.cast(pc.if_else(fits, plain, pa.scalar(None, plain.type)), pa.float64())
    if form.parentheses:
        negative = pc.or_(negative, pc.match_substring_regex(values, r"^\s*\("))
    for size in sorted(set(MAGNITUDES.values())) if letters else ():
        named = "|".join(m for m, value in MAGNITUDES.items() if value == size)
        is_scaled = pc.match_substring_regex(
            values, rf"[0-9{decimal}]{space}(?:{named}){after}\s*\)?\s*$"
        )
        numbers = pc.if_else(is_scaled, pc.multiply(numbers, size), numbers)
    return pc.if_else(negative, pc.negate(numbers), numbers)


def describe_format(example: str, values: Sequence[str]) -> str:
    """Return a sentence about a column's format, with one of its values that are not plain."""
    odd = [v for v in values[:SHOWN] if not re.fullmatch(r"[-+]?[\d.]+", v.strip())] or values[:1]
    numbers = parse_numbers(pa.array(odd, pa.string()), example).to_pylist()
    for text, number in zip(odd, numbers, strict=True):
        if number is not None:
            return f"values are written as {example}: {shorten(text)} is read as {number:,.12g}"
    return f"values are written as {example}"


def is_example(example: str) -> bool:
    """Return whether a text is an example that `guess_formats` may return."""
    form = _parse_example(example)
    return form is not None and (form.thousands, form.decimal) in SEPARATORS
