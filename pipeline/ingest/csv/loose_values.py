"""Other spellings of integers, flags and booleans, read where the usual ones do not suffice.

pandas writes integers beside missing values as ``48.0``, and booleans as ``True``, ``1`` or ``1.0``
by their dtype. New data must not depend on which of these their writer chose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from pipeline.ingest.csv.dialect import Dialect

LOOSE = "loose"
"""Pattern of a column in a block whose values are not all spelled as usual; never stored."""
PAIRS = (("true", "false"), ("1", "0"), ("1.0", "0.0"), ("yes", "no"), ("y", "n"), ("t", "f"))
"""Words for true and false; letters may be upper or lower case."""
ZERO_ONE = frozenset({"0", "1", "0.0", "1.0"})
SAFE_DIGITS = 18
"""Digits that an integer of 64 bits surely holds."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?", re.ASCII)


def add_bool_words(dialect: Dialect) -> Dialect:
    """Add the usual pairs of words for true and false, if they cannot mean anything else.

    Words of the dialect keep their meaning: a pair is not added if one of its words has another
    use there, and digits are not added to digits (1 and 2 for true and false leave 0 unclear).
    """
    true, false = list(dialect.true), list(dialect.false)
    true_words, false_words = ({word.lower() for word in words} for words in (true, false))
    for yes, no in PAIRS:
        # 1.0 means what 1 means
        same = yes.removesuffix(".0") in true_words and no.removesuffix(".0") in false_words
        words_in_use = true_words | false_words
        taken = (
            any(map(str.isdecimal, words_in_use))
            if yes in ZERO_ONE
            else bool(words_in_use & {yes, no})
        )
        if same or not taken:
            for words, word in ((true, yes), (false, no)):
                words += [w for w in (word, word.title(), word.upper()) if w not in words]
    return replace(dialect, true=tuple(true), false=tuple(false))


def are_flags(values: Iterable[str]) -> bool:
    """Return whether there are values, and all of them are 0 or 1."""
    distinct = set(values)
    return bool(distinct) and distinct <= ZERO_ONE


def parse_loosely(values: pa.Array, number: pa.DataType, *, flags: bool) -> pa.Array:
    """Parse integers or flags in any spelling; null for text that is none.

    Args:
        values: strings, none missing.
        number: int64 or float64. Whole numbers such as ``48.0`` and ``4.8e1`` are integers.
        flags: ``True`` and ``False``, in upper or lower case, are 1 and 0.
    """
    text = pc.utf8_trim_whitespace(values)
    plain = text
    if pa.types.is_integer(number):
        plain = pc.replace_substring_regex(text, r"^([-+]?[0-9]+)[.]0*$", r"\1")
        plain = pc.replace_substring_regex(plain, r"^[+]", "")
        shape = rf"^-?[0-9]{{1,{SAFE_DIGITS}}}$"
    else:
        shape = r"^[-+]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][-+]?[0-9]+)?$"
        plain = pc.replace_substring_regex(plain, r"^[+]", "")
    fits = pc.match_substring_regex(plain, shape)
    parsed = pc.cast(pc.if_else(fits, plain, pa.scalar(None, plain.type)), number)
    if parsed.null_count == 0:
        return parsed
    # few values are left, such as those of 19 digits: they are parsed one by one
    others = [
        value if value is not None else _parse_unusual(str(word), number, flags)
        for value, word in zip(parsed.to_pylist(), text.to_pylist(), strict=True)
    ]
    return pa.array(others, number)


def _parse_unusual(word: str, number: pa.DataType, flags: bool) -> int | float | None:
    if flags and word.lower() in ("true", "false"):
        return int(word.lower() == "true")
    try:
        parsed: int | float = pa.scalar(word, pa.string()).cast(number).as_py()
    except pa.ArrowInvalid:
        is_whole = pa.types.is_integer(number) and NUMBER.fullmatch(word)
        return _to_integer(Decimal(word)) if is_whole else None
    return parsed


def _to_integer(value: Decimal) -> int | None:
    """Return a whole number within 64 bits as an integer, else None."""
    # the size first: 1e999999999 has as many digits
    if value and not 0 <= value.adjusted() < 19:
        return None
    whole = int(value)
    return whole if whole == value and -(2**63) <= whole < 2**63 else None
