"""Numbers as people write them: with a decimal comma, thousands set apart, a currency's sign.

How a column is written is told by an example, as its messages show it: ``1.234,56 €``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

SIGNS = "$€£¥₹₽₩₺₴₫₱₪฿"
LOOKED_AT = 50
"""Words whose first and last characters tell the currency."""
THIN = "\u00a0\u202f"
"""Spaces that do not break, between thousands."""
SEPARATORS = ((",", "."), (".", ","), (" ", ","), (" ", "."), ("'", "."), ("’", "."))
"""Between thousands, before decimals."""
_EXAMPLE = re.compile(r"(\D*)1(\D)234(\D)56(\D*)")


def guess_formats(words: Sequence[str], delimiter: str) -> list[str]:
    """Examples that the words may follow, the likelier first where all fit as well.

    Args:
        words: distinct values, none missing.
        delimiter: of the CSV. A comma stands in no number of a file whose fields it separates, but
            between thousands; with a semicolon it is a decimal comma.
    """
    bare = [word.strip().lstrip("+-") for word in words[:LOOKED_AT]]
    start = next((m[0] for w in bare if (m := re.match(rf"[{SIGNS}]\s?", w))), "")
    end = next((m[0] for w in bare if (m := re.search(rf"\s?[{SIGNS}%]$", w))), "")
    if start and end and start.strip() != end.strip():  # two units
        return []
    order = sorted(SEPARATORS, key=lambda pair: delimiter == ";" and pair != (".", ","))
    return [
        f"{start}1{thousands}234{decimal}56{end}"
        for thousands, decimal in order
        if not decimal == delimiter == "," and not (thousands == " " and _are_codes(words))
    ]


def _are_codes(words: Sequence[str]) -> bool:
    """Whether every word has a space between digits, as codes (560 001) have and quantities not."""
    return all(re.search(rf"\d[ {THIN}]\d", word) for word in words[:LOOKED_AT])


def parse_numbers(words: pa.Array, way: str) -> pa.Array:
    """float64; null for words that are not written that way. The sign of a currency may lack.

    Args:
        words: strings, none missing.
        way: an example of `guess_formats`.
    """
    start, thousands, decimal, end = _split_format(way)
    apart = f"[ {THIN}]" if thousands == " " else re.escape(thousands)
    digits = rf"(?:[0-9]+|[1-9][0-9]{{0,2}}(?:{apart}[0-9]{{3}})+)"
    number = rf"{digits}(?:{re.escape(decimal)}[0-9]*)?(?:[eE][-+]?[0-9]+)?"
    space = f"[ {THIN}]?"
    before = f"(?:{re.escape(start)}{space})?" if start else ""
    after = f"(?:{space}{re.escape(end)})?" if end else ""
    fits = pc.match_substring_regex(
        words, rf"^\s*(?:[-+]?{before}|{before}[-+]?){number}{after}\s*$"
    )
    plain = pc.replace_substring_regex(words, rf"[^-+0-9eE{re.escape(decimal)}]", "")
    plain = pc.replace_substring_regex(pc.replace_substring(plain, decimal, "."), r"^\+", "")
    return pc.cast(pc.if_else(fits, plain, pa.scalar(None, plain.type)), pa.float64())


def is_example(way: str) -> bool:
    """Tell whether a text is one that `guess_formats` may give."""
    match = _EXAMPLE.fullmatch(way)
    return match is not None and match.groups()[1:3] in SEPARATORS


def _split_format(way: str) -> tuple[str, str, str, str]:
    """(sign before, between thousands, before decimals, sign after), without spaces around."""
    match = _EXAMPLE.fullmatch(way)
    if match is None:
        raise AssertionError(f"{way!r} is no example of a number")
    start, thousands, decimal, end = match.groups()
    return start.strip(), thousands, decimal, end.strip()
