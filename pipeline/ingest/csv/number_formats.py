"""Formats of numbers: decimal commas, separators of thousands, signs of currencies.

An example describes the format of a column, also in messages: ``1.234,56 €``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

SIGNS = "$€£¥₹₽₩₺₴₫₱₪฿"
INSPECTED = 50
"""Values whose first and last characters are searched for a currency."""
THIN = "\u00a0\u202f"
"""Non-breaking spaces, which separate thousands."""
SEPARATORS = ((",", "."), (".", ","), (" ", ","), (" ", "."), ("'", "."), ("’", "."))
"""Pairs of characters: between thousands, before decimals."""
_EXAMPLE = re.compile(r"(\D*)1(\D)234(\D)56(\D*)")


def guess_formats(values: Sequence[str], delimiter: str) -> list[str]:
    """Return examples that the values may follow, the likelier first.

    Args:
        values: distinct values, none missing.
        delimiter: the delimiter of the CSV. A comma that separates fields can only be a separator
            of thousands. Beside a semicolon it is rather a decimal comma.
    """
    bare = [value.strip().lstrip("+-") for value in values[:INSPECTED]]
    start = next((m[0] for w in bare if (m := re.match(rf"[{SIGNS}]\s?", w))), "")
    end = next((m[0] for w in bare if (m := re.search(rf"\s?[{SIGNS}%]$", w))), "")
    if start and end and start.strip() != end.strip():  # two units
        return []
    # Codes such as 560 001 have a space between digits in every value.
    are_codes = all(re.search(rf"\d[ {THIN}]\d", value) for value in values[:INSPECTED])
    order = sorted(SEPARATORS, key=lambda pair: delimiter == ";" and pair != (".", ","))
    return [
        f"{start}1{thousands}234{decimal}56{end}"
        for thousands, decimal in order
        if not decimal == delimiter == "," and not (thousands == " " and are_codes)
    ]


def parse_numbers(values: pa.Array, example: str) -> pa.Array:
    """Parse numbers as float64; null for values in another format. The currency may be absent.

    Args:
        values: strings, none missing.
        example: an example of `guess_formats`.
    """
    match = _EXAMPLE.fullmatch(example)
    if match is None:
        raise AssertionError(f"{example!r} is not an example of a number")
    start, thousands, decimal, end = match.groups()
    # the space beside a currency is optional, in values as in the example
    start, end = start.strip(), end.strip()
    apart = f"[ {THIN}]" if thousands == " " else re.escape(thousands)
    digits = rf"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{apart}[0-9]{{3}})+)"
    number = rf"{digits}(?:{re.escape(decimal)}[0-9]*)?(?:[eE][-+]?[0-9]+)?"
    space = f"[ {THIN}]?"
    before = f"(?:{re.escape(start)}{space})?" if start else ""
    after = f"(?:{space}{re.escape(end)})?" if end else ""
    fits = pc.match_substring_regex(
        values, rf"^\s*(?:[-+]?{before}|{before}[-+]?){number}{after}\s*$"
    )
    # Arrow parses plain numbers only: the rest is removed from those that fit.
    plain = pc.replace_substring_regex(values, rf"[^-+0-9eE{re.escape(decimal)}]", "")
    plain = pc.replace_substring_regex(pc.replace_substring(plain, decimal, "."), r"^\+", "")
    return pc.cast(pc.if_else(fits, plain, pa.scalar(None, plain.type)), pa.float64())


def is_example(example: str) -> bool:
    """Return whether a text is an example that `guess_formats` may return."""
    match = _EXAMPLE.fullmatch(example)
    return match is not None and match.groups()[1:3] in SEPARATORS
