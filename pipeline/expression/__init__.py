"""Expressions over columns: ``arr_delay > 15``, ``coalesce(a, b) * 2``, ``carrier in ["UA"]``.

The language is a small part of Python's: ``+ - * / // % **``, comparisons (also chained), ``and``,
``or``, ``not``, ``in`` and ``not in`` a list of literals, numbers, texts, True and False, column
names (in backticks where they are not plain words: `` `a b` ``) and the functions of
`syntax.FUNCTIONS`. It is parsed, never evaluated as Python.

A result is missing where any operand is (``a or b`` too), on both devices. The exceptions are
``is_missing``, ``coalesce`` and the branches of ``where``. ``+ - * // %`` of int64 are exact int64,
``/`` and ``**`` give float64; int64 and float64 are compared and mixed in float64. A result that
does not exist is missing: a division by zero, an overflow of int64, any float that is not finite
(``min``, ``max``, ``where`` and ``coalesce`` keep an infinity). ``//`` and ``%`` round to
the floor, as in Python; ``round`` to the even neighbour. A datetime is compared with another one or
with an ISO literal (UTC); their difference is float64 seconds. Texts are ordered by code point.

Modules here import from device, schema and below.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from keyword import iskeyword

import numpy as np

from pipeline.device import Frame, Frames, Series, cpu
from pipeline.expression.evaluate import EvaluationContext, evaluate_node
from pipeline.expression.nodes import Name, Node, iter_names, make_error
from pipeline.expression.syntax import FUNCTIONS, parse_nodes
from pipeline.expression.values import Value, to_series
from pipeline.schema import Column, Schema


@dataclass(frozen=True)
class Expression:
    """A parsed expression."""

    text: str
    root: Node

    @property
    def columns(self) -> list[str]:
        """The columns that the expression reads, in order of appearance."""
        return list(dict.fromkeys(name.column for name in iter_names(self.root)))

    def check(self, schema: Schema) -> Column:
        """Infer the result's kind, int64, float64, bool, datetime or text; it is named by the text.

        Raises:
            ConfigError: an unknown column, or operands of the wrong kinds; names the position.
        """
        for name in iter_names(self.root):
            if name.column not in schema:
                raise make_error(self.text, name.at, *schema.explain_absence(name.column))
        empty = cpu.empty_frame([schema[name] for name in self.columns])
        return Column(self.text, self._value(empty, cpu).kind)

    def evaluate(self, frame: Frame, device: Frames) -> Series:
        """Compute the result for each row, in its storage dtype, with a RangeIndex.

        Raises:
            ConfigError: as for `check`.
        """
        return to_series(self._value(frame, device), len(frame), device)

    def _value(self, frame: Frame, device: Frames) -> Value:
        with np.errstate(all="ignore"):  # such results become missing, without a warning
            return evaluate_node(self.root, EvaluationContext(self.text, frame, device))


@lru_cache(maxsize=1024)
def parse(text: str) -> Expression:
    """Parse a text to an expression.

    Raises:
        ConfigError: the text is not an expression of this language, or too long or deep (2,000
            characters, 200 parts, 50 levels); names the part and its position.
    """
    return Expression(text, parse_nodes(text))


def column_expression(name: str) -> Expression:
    """Return the expression that is just the column of this name, whatever its characters."""
    return Expression(name, Name(0, name))


def quote(name: str) -> str:
    """Return a column's name as an expression has it: in backticks if it is not a plain word."""
    return name if name.isidentifier() and not iskeyword(name) else f"`{name}`"


def rename_columns(text: str, rename: Callable[[str], str]) -> str:
    """Return the text of an expression in which columns have other names.

    Args:
        text: the expression; parts that name no column stay as they are.
        rename: returns the new name of a column, or the same one.

    Raises:
        ConfigError: as `parse`.
    """
    # From the end on, so that the positions before a name stay right.
    for node in sorted(iter_names(parse(text).root), key=lambda node: -node.at):
        if (column := rename(node.column)) != node.column:
            quoted = text[node.at] == "`"
            end = node.at + len(node.column) + 2 * quoted
            text = f"{text[: node.at]}{f'`{column}`' if quoted else quote(column)}{text[end:]}"
    return text


__all__ = ["FUNCTIONS", "Expression", "column_expression", "parse", "quote", "rename_columns"]
