"""The nodes of an expression's tree, and the error that names the place of a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.errors import ConfigError

SHOWN = 90  # characters of the expression in an error


@dataclass(frozen=True)
class Literal:
    """A number, a text or True/False."""

    at: int
    value: int | float | str | bool


@dataclass(frozen=True)
class Name:
    """A column."""

    at: int
    column: str


@dataclass(frozen=True)
class Arithmetic:
    """``+ - * / // % **`` of two operands, or ``+ -`` of one."""

    at: int
    op: str
    operands: tuple[Node, ...]


@dataclass(frozen=True)
class Compare:
    """``a < b``, or chained: ``a < b <= c``, where each operand is evaluated once."""

    at: int
    ops: tuple[str, ...]
    operands: tuple[Node, ...]


@dataclass(frozen=True)
class Member:
    """``a in [1, 2]`` or ``a not in [1, 2]``."""

    at: int
    operand: Node
    values: tuple[Literal, ...]
    negated: bool


@dataclass(frozen=True)
class Logic:
    """``and``, ``or`` of several operands, ``not`` of one."""

    at: int
    op: str
    operands: tuple[Node, ...]


@dataclass(frozen=True)
class Call:
    """A function of `pipeline.expression.syntax.FUNCTIONS`."""

    at: int
    function: str
    operands: tuple[Node, ...]


Node = Literal | Name | Arithmetic | Compare | Member | Logic | Call


def iter_names(node: Node) -> Iterator[Name]:
    """Yield the column names in a tree, from left to right."""
    match node:
        case Name():
            yield node
        case Member(operand=operand):
            yield from iter_names(operand)
        case Arithmetic() | Compare() | Logic() | Call():
            for operand in node.operands:
                yield from iter_names(operand)


def make_error(text: str, at: int, message: str, fix: str = "") -> ConfigError:
    """Return the error for the part at character ``at`` (from 0), shown with a caret."""
    start = max(0, at - SHOWN // 2)
    shown = text[start : start + SHOWN].replace("\n", " ").replace("\t", " ")
    caret = " " * (at - start) + "^"
    return ConfigError(
        f"expression, position {at + 1}: {message}", examples=(shown, caret), fix=fix
    )
