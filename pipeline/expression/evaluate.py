"""Evaluation of an expression's nodes, one function per kind of node.

On an empty frame the same functions infer the kind of the result.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from types import ModuleType
from typing import Any

import numpy as np

from pipeline.device import Array, Frame, Frames
from pipeline.errors import ConfigError, suggest_or_list
from pipeline.expression import arithmetic
from pipeline.expression.nodes import (
    Arithmetic,
    Call,
    Compare,
    Literal,
    Logic,
    Member,
    Name,
    Node,
    make_error,
)
from pipeline.expression.values import (
    NUMBERS,
    Kind,
    Value,
    as_datetime,
    as_float,
    as_integer,
    from_column,
    from_literal,
    take_by_code,
    unify_texts,
)

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True)
class EvaluationContext:
    """The expression's text for messages, the frame and the device."""

    text: str
    frame: Frame
    device: Frames

    def error(self, node: Node, message: str, fix: str = "") -> ConfigError:
        """Return the error for a node."""
        return make_error(self.text, node.at, message, fix)


def evaluate_node(node: Node, context: EvaluationContext) -> Value:
    """Compute the value of any node."""
    return _EVALUATE[type(node)](node, context)


def _evaluate_column(node: Name, context: EvaluationContext) -> Value:
    if node.column not in set(context.frame.columns):
        raise context.error(
            node,
            f"there is no column {node.column!r}",
            suggest_or_list(node.column, context.frame.columns),
        )
    return from_column(context.frame[node.column], context.device)


def _check_kind(
    node: Node, value: Value, kinds: tuple[str, ...], what: str, context: EvaluationContext
) -> Value:
    """Return the value if it is of one of these kinds, else raise the error for the node."""
    if value.kind not in kinds:
        fix = "compare it with something, for example x != 0" if "bool" in kinds[:1] else ""
        if value.kind == "text" and not fix:
            fix = "convert it to numbers first: with the op cast, or `types:` under `data:`"
        raise context.error(node, f"{what} takes {' or '.join(kinds)}, not {value.kind}", fix)
    return value


def _evaluate_number(node: Node, what: str, context: EvaluationContext) -> Value:
    return _check_kind(node, evaluate_node(node, context), NUMBERS, what, context)


def _evaluate_arithmetic(node: Arithmetic, context: EvaluationContext) -> Value:
    xp = context.device.xp
    if len(node.operands) == 1:
        value = _evaluate_number(node.operands[0], f"unary {node.op}", context)
        if value.kind == "float64":
            signed = -value.data if node.op == "-" else value.data
            data, undefined = arithmetic.mark_infinite(xp, signed)
            return Value("float64", data, value.missing | undefined)
        # 0 - x finds the overflow of the lowest int64
        return _calculate_integers(node.op, from_literal(0, xp), value, xp)
    left, right = (evaluate_node(operand, context) for operand in node.operands)
    if node.op == "-" and "datetime" in (left.kind, right.kind):
        # The literal beside a datetime is one, too; the difference is in seconds, not µs.
        first, second = node.operands
        left, right = (
            _parse_date_literal(first, left, right, context),
            _parse_date_literal(second, right, left, context),
        )
        for operand, value in ((first, left), (second, right)):
            _check_kind(operand, value, ("datetime",), "- beside a datetime", context)
        micros = _calculate_integers("-", left, right, xp)
        return Value("float64", as_float(micros) / 1e6, micros.missing)
    for operand, value in zip(node.operands, (left, right), strict=True):
        _check_kind(operand, value, NUMBERS, node.op, context)
    if node.op not in ("/", "**") and "float64" not in (left.kind, right.kind):
        return _calculate_integers(node.op, left, right, xp)
    data, undefined = arithmetic.apply_to_floats(xp, node.op, as_float(left), as_float(right))
    return Value("float64", data, left.missing | right.missing | undefined)


def _calculate_integers(op: str, left: Value, right: Value, xp: ModuleType) -> Value:
    data, undefined = arithmetic.apply_to_integers(xp, op, as_integer(left), as_integer(right))
    return Value("int64", data, left.missing | right.missing | undefined)


def _parse_date_literal(
    node: Node, value: Value, other: Value, context: EvaluationContext
) -> Value:
    """Return a text literal beside a datetime as a datetime, and any other value unchanged."""
    if other.kind != "datetime" or not isinstance(value.literal, str):
        return value
    try:
        return as_datetime(value, context.device.xp)
    except ValueError:
        raise context.error(
            node,
            f"{value.literal!r} is not a date or time",
            'write it as "2013-07-01T12:30:00"',
        ) from None


def _evaluate_comparison(node: Compare, context: EvaluationContext) -> Value:
    # each operand is evaluated once, also between two comparisons of a chain
    values = [evaluate_node(operand, context) for operand in node.operands]
    results = [
        _compare(op, node.operands[i : i + 2], values[i : i + 2], context)
        for i, op in enumerate(node.ops)
    ]
    return reduce(lambda a, b: Value("bool", a.data & b.data, a.missing | b.missing), results)


def _compare(
    op: str, nodes: Sequence[Node], values: Sequence[Value], context: EvaluationContext
) -> Value:
    """Compare two values; the nodes are for messages."""
    left, right = (
        _parse_date_literal(nodes[0], values[0], values[1], context),
        _parse_date_literal(nodes[1], values[1], values[0], context),
    )
    missing = left.missing | right.missing
    if left.kind == right.kind == "text":
        return Value("bool", _compare_texts(op, left, right, context.device), missing)
    if left.kind != right.kind and not {left.kind, right.kind} <= set(NUMBERS):
        raise context.error(
            nodes[1],
            f"{left.kind} cannot be compared with {right.kind}",
            "write texts in quotes and numbers without, or use the op cast first",
        )
    return Value("bool", _COMPARE[op](left.data, right.data), missing)


def _compare_texts(op: str, left: Value, right: Value, device: Frames) -> Array:
    compare, first, second = _COMPARE[op], left.literal, right.literal
    if right.words is not None and isinstance(second, str):
        return _test_texts(left, lambda word: compare(word, second), device)
    if right.words is not None and isinstance(first, str):
        return _test_texts(right, lambda word: compare(first, word), device)
    # two columns: over one list of words, in order if the comparison needs it, codes compare alike
    left, right = unify_texts([left, right], device, ordered=op not in ("==", "!="))
    return compare(left.data, right.data)


def _test_texts(value: Value, test: Callable[[str], bool], device: Frames) -> Array:
    """Test each distinct text once, and return the answer for every row."""
    words = value.words if value.words is not None else np.array([], dtype=object)
    table = np.array([bool(test(word)) for word in words] + [False], dtype=bool)
    return take_by_code(table, value.data, device)


def _evaluate_membership(node: Member, context: EvaluationContext) -> Value:
    value = evaluate_node(node.operand, context)
    if value.kind == "text" and all(isinstance(v.value, str) for v in node.values):
        words = {v.value for v in node.values}
        is_member = _test_texts(value, words.__contains__, context.device)
    else:
        equal = []
        for element in node.values:
            literal = from_literal(element.value, context.device.xp)
            equal.append(_compare("==", (node.operand, element), (value, literal), context).data)
        is_member = reduce(operator.or_, equal)
    return Value("bool", ~is_member if node.negated else is_member, value.missing)


def _evaluate_logic(node: Logic, context: EvaluationContext) -> Value:
    values = [
        _check_kind(operand, evaluate_node(operand, context), ("bool",), node.op, context)
        for operand in node.operands
    ]
    if node.op == "not":
        return Value("bool", ~values[0].data, values[0].missing)
    joined = reduce(operator.and_ if node.op == "and" else operator.or_, [v.data for v in values])
    return Value("bool", joined, reduce(operator.or_, [v.missing for v in values]))


def _evaluate_call(node: Call, context: EvaluationContext) -> Value:
    if node.function == "is_missing":
        missing = evaluate_node(node.operands[0], context).missing
        return Value("bool", missing, context.device.xp.zeros(missing.shape, dtype=bool))
    if node.function in ("where", "coalesce"):
        return _evaluate_choice(node, context)
    if node.function not in ("min", "max"):
        return _evaluate_function_of_one(node, context)
    values = _unify_numbers([_evaluate_number(o, node.function, context) for o in node.operands])
    choose = context.device.xp.minimum if node.function == "min" else context.device.xp.maximum
    data = reduce(choose, [v.data for v in values])
    return Value(values[0].kind, data, reduce(operator.or_, [v.missing for v in values]))


def _evaluate_choice(node: Call, context: EvaluationContext) -> Value:
    """Evaluate ``where`` or ``coalesce``."""
    xp = context.device.xp

    def select(mask: Array, a: Value, b: Value) -> Value:
        data, missing = xp.where(mask, a.data, b.data), xp.where(mask, a.missing, b.missing)
        return Value(a.kind, data, missing, a.words)

    if node.function == "where":
        condition, *options = node.operands
        values = _evaluate_alike(options, node.function, context)
        test = _check_kind(
            condition, evaluate_node(condition, context), ("bool",), "where", context
        )
        result = select(test.data, values[0], values[1])
        return replace(result, missing=result.missing | test.missing)
    result, *others = _evaluate_alike(node.operands, node.function, context)
    for value in others:
        result = select(~result.missing, result, value)
    return result


def _evaluate_alike(nodes: Sequence[Node], what: str, context: EvaluationContext) -> list[Value]:
    """Evaluate nodes to values of one kind.

    Numbers become int64 or float64; ISO literals beside a datetime become datetimes.
    """
    values = [evaluate_node(node, context) for node in nodes]
    moment = next((v for v in values if v.kind == "datetime"), values[0])
    values = [
        _parse_date_literal(node, value, moment, context)
        for node, value in zip(nodes, values, strict=True)
    ]
    kinds = {value.kind for value in values}
    if kinds == {"text"}:
        return unify_texts(values, context.device)
    if len(kinds) == 1:
        return values
    if not kinds <= set(NUMBERS):
        raise context.error(
            nodes[-1],
            f"{what} mixes {' and '.join(sorted(kinds))}",
            "convert the operands to one kind, for example with the op cast",
        )
    return _unify_numbers(values)


def _unify_numbers(values: list[Value]) -> list[Value]:
    kind: Kind = "float64" if any(v.kind == "float64" for v in values) else "int64"
    return [Value(kind, v.data.astype(kind), v.missing) for v in values]


def _evaluate_function_of_one(node: Call, context: EvaluationContext) -> Value:
    xp, name = context.device.xp, node.function
    value = _evaluate_number(node.operands[0], name, context)
    if name in ("sqrt", "exp", "log", "log1p"):
        data, undefined = arithmetic.apply_function(xp, name, as_float(value))
        return Value("float64", data, value.missing | undefined)
    (value,) = _unify_numbers([value])
    if name == "abs":
        data, undefined = arithmetic.absolute_values(xp, value.data)
    else:
        digits = 0
        if len(node.operands) == 2:
            literal = node.operands[1]
            # not isinstance: True is an int, too
            if not (
                isinstance(literal, Literal)
                and type(literal.value) is int
                and 0 <= literal.value <= 15
            ):
                raise context.error(
                    literal, "round takes a number of decimals from 0 to 15", "write round(x, 2)"
                )
            digits = literal.value
        data, undefined = arithmetic.round_values(xp, name, value.data, digits)
    return Value(value.kind, data, value.missing | undefined)


_EVALUATE: Mapping[type[Node], Callable[[Any, EvaluationContext], Value]] = {
    Literal: lambda node, context: from_literal(node.value, context.device.xp),
    Name: _evaluate_column,
    Arithmetic: _evaluate_arithmetic,
    Compare: _evaluate_comparison,
    Member: _evaluate_membership,
    Logic: _evaluate_logic,
    Call: _evaluate_call,
}
