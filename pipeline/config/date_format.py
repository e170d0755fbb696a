"""Formats of dates and times: directives of ``strptime``, and parts that may be absent.

A format such as ``%d-%m-%Y[ %H:%M[:%S]]`` consists of

- directives (`DIRECTIVES`). Numbers have one or two digits, ``%Y`` has four, ``%f`` up to nine and
  ``%j`` up to three. Beside another number, without a character between, ``%m``, ``%d``, ``%H``,
  ``%I``, ``%M`` and ``%S`` have two;
- parts in brackets, which a value may lack. Brackets may be nested. ``%[`` and ``%]`` are the
  characters themselves;
- all other characters. A blank stands for one or more; letters may be upper or lower case.

Times since 1970 have the formats ``epoch s``, ``epoch ms``, ``epoch us`` and ``epoch ns``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

EPOCHS: Mapping[str, int] = {"epoch s": 0, "epoch ms": 3, "epoch us": 6, "epoch ns": 9}
"""Formats of times since 1970, with the number of decimals that the unit takes from seconds."""
DIRECTIVES: Mapping[str, str] = {
    "Y": "year", "y": "year", "m": "month", "b": "month", "B": "month", "d": "day",
    "j": "day of the year", "a": "weekday", "A": "weekday", "H": "hour", "I": "hour",
    "M": "minute", "S": "second", "f": "fraction", "p": "AM or PM", "z": "zone", "Z": "zone",
}  # fmt: skip
"""Subject of each directive; no two directives of a format have the same."""
NEEDS: Mapping[str, str] = {
    "d": "month", "M": "hour", "S": "minute", "f": "second", "z": "hour", "Z": "hour",
    "I": "AM or PM", "p": "hour",
}  # fmt: skip
"""Subjects without which a directive makes no sense."""
LISTED = ", ".join(f"%{letter}" for letter in DIRECTIVES)


@dataclass(frozen=True)
class FormatPart:
    """A directive, a literal text, or a bracket of a format."""

    text: str
    """The directive's letter, or the literal text; a bracket's is empty."""
    is_directive: bool = False
    depth: int = 0
    """Number of brackets around the part."""
    bracket: str = ""


def split_format(pattern: str) -> Iterator[FormatPart]:
    """Split a format into its parts.

    Raises:
        ValueError: it is not a format; the error says why.
    """
    depth = 0
    for text in re.findall(r"%.?|[\[\]]|[^%\[\]]+", pattern, re.DOTALL):
        if text in ("[", "]"):
            depth += 1 if text == "[" else -1
            if depth < 0:
                raise ValueError("has a closing bracket without its opening one")
            yield FormatPart("", bracket=text, depth=depth)
        elif text in ("%%", "%[", "%]"):
            yield FormatPart(text[1], depth=depth)
        elif text[0] != "%":
            yield FormatPart(text, depth=depth)
        elif text[1:] in DIRECTIVES:
            yield FormatPart(text[1], is_directive=True, depth=depth)
        else:
            raise ValueError(f"has the directive {text!r}, which is not one of {LISTED}")
    if depth:
        raise ValueError("has an opening bracket without its closing one")


def check_format(pattern: str) -> str:
    """Return the format, if it is one.

    Raises:
        ValueError: it is not; the error says why.
    """
    if pattern in EPOCHS:
        return pattern
    if "\0" in pattern or "\n" in pattern:
        raise ValueError("has a newline or a NUL")
    directives = [part for part in split_format(pattern) if part.is_directive]
    described: dict[str, str] = {}
    for part in directives:
        meaning = DIRECTIVES[part.text]
        if meaning in described:
            raise ValueError(f"has the {meaning} twice: %{described[meaning]} and %{part.text}")
        described[meaning] = part.text
    if not any(part.text in "Yy" and not part.depth for part in directives):
        raise ValueError("has no year outside of brackets: %Y or %y")
    for part in directives:
        needed = NEEDS.get(part.text)
        if needed and needed not in described:
            raise ValueError(f"has %{part.text} without the {needed}")
    if "p" in described.values() and "I" not in described.values():
        raise ValueError("has %p with %H; the hours of AM and PM are %I")
    if "j" in described.values() and "month" in described:
        raise ValueError("has both a month and the day of the year")
    return pattern


def is_format(word: str) -> bool:
    """Return whether a text in place of a type stands for a format, be it right or wrong."""
    return "%" in word or word in EPOCHS
