"""From nodes to values, one function per kind of node. On an empty frame it checks the types."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
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
    """What every step needs: the text for messages, the frame, the device."""

    text: str
    frame: Frame
    device: Frames

    def wrong(self, node: Node, message: str, fix: str = "") -> ConfigError:
        """The error for a node."""
        return make_error(self.text, node.at, message, fix)


def evaluate_node(node: Node, context: EvaluationContext) -> Value:
    """The value of any node."""
    return _STEPS[type(node)](node, context)


def _literal(node: Literal, context: EvaluationContext) -> Value:
    return from_literal(node.value, context.device.xp)


def _column(node: Name, context: EvaluationContext) -> Value:
    if node.column not in set(context.frame.columns):
        raise context.wrong(
            node,
            f"there is no column {node.column!r}",
            suggest_or_list(node.column, context.frame.columns),
        )
    return from_column(context.frame[node.column], context.device)


def _need(
    node: Node, value: Value, kinds: tuple[str, ...], what: str, context: EvaluationContext
) -> Value:
    if value.kind not in kinds:
        fix = "compare it with something, for example x != 0" if "bool" in kinds[:1] else ""
        if value.kind == "text" and not fix:
            fix = "make numbers of it first: the op cast, or `types:` under `data:`"
        raise context.wrong(node, f"{what} takes {' or '.join(kinds)}, not {value.kind}", fix)
    return value


def _number(node: Node, what: str, context: EvaluationContext) -> Value:
    return _need(node, evaluate_node(node, context), NUMBERS, what, context)


def _arithmetic(node: Arithmetic, context: EvaluationContext) -> Value:
    xp = context.device.xp
    if len(node.operands) == 1:
        value = _number(node.operands[0], f"unary {node.op}", context)
        if value.kind == "float64":
            data, gone = arithmetic.mark_infinite(xp, -value.data if node.op == "-" else value.data)
            return Value("float64", data, value.missing | gone)
        zero = from_literal(0, xp)
        return _of_integers(node.op, zero, value, context)
    left, right = (evaluate_node(o, context) for o in node.operands)
    if node.op == "-" and "datetime" in (left.kind, right.kind):
        return _seconds_between(node, left, right, context)
    for operand, value in zip(node.operands, (left, right), strict=True):
        _need(operand, value, NUMBERS, node.op, context)
    if node.op not in ("/", "**") and "float64" not in (left.kind, right.kind):
        return _of_integers(node.op, left, right, context)
    data, gone = arithmetic.apply_to_floats(xp, node.op, as_float(left), as_float(right))
    return Value("float64", data, left.missing | right.missing | gone)


def _of_integers(op: str, left: Value, right: Value, context: EvaluationContext) -> Value:
    data, gone = arithmetic.apply_to_integers(
        context.device.xp, op, as_integer(left), as_integer(right)
    )
    return Value("int64", data, left.missing | right.missing | gone)


def _seconds_between(
    node: Arithmetic, left: Value, right: Value, context: EvaluationContext
) -> Value:
    left, right = (
        _like(node.operands[0], left, right, context),
        _like(node.operands[1], right, left, context),
    )
    for operand, value in zip(node.operands, (left, right), strict=True):
        _need(operand, value, ("datetime",), "- beside a datetime", context)
    micros = _of_integers("-", left, right, context)
    return Value("float64", as_float(micros) / 1e6, micros.missing)


def _like(node: Node, value: Value, other: Value, context: EvaluationContext) -> Value:
    """A text literal beside a datetime is a datetime."""
    if other.kind != "datetime" or not isinstance(value.literal, str):
        return value
    try:
        return as_datetime(value, context.device.xp)
    except ValueError:
        raise context.wrong(
            node, f"{value.literal!r} is no date or time", 'write it as "2013-07-01T12:30:00"'
        ) from None


def _compare(node: Compare, context: EvaluationContext) -> Value:
    values = [evaluate_node(operand, context) for operand in node.operands]
    pairs = []
    for i, op in enumerate(node.ops):
        nodes = (node.operands[i], node.operands[i + 1])
        pairs.append(_compared(op, nodes, values[i], values[i + 1], context))
    return reduce(_both_true, pairs)


def _both_true(a: Value, b: Value) -> Value:
    return Value("bool", a.data & b.data, a.missing | b.missing)


def _compared(
    op: str, nodes: tuple[Node, Node], left: Value, right: Value, context: EvaluationContext
) -> Value:
    left, right = _like(nodes[0], left, right, context), _like(nodes[1], right, left, context)
    missing = left.missing | right.missing
    if left.kind == right.kind == "text":
        return Value("bool", _compared_texts(op, left, right, context), missing)
    if left.kind != right.kind and not {left.kind, right.kind} <= set(NUMBERS):
        raise context.wrong(
            nodes[1], f"{left.kind} cannot be compared with {right.kind}",
            "write texts in quotes and numbers without, or use the op cast first",
        )  # fmt: skip
    return Value("bool", _COMPARE[op](left.data, right.data), missing)


def _compared_texts(op: str, left: Value, right: Value, context: EvaluationContext) -> Array:
    compare = _COMPARE[op]
    if right.words is not None and isinstance(right.literal, str):
        return _tested(left, lambda word: compare(word, right.literal), context)
    if right.words is not None and isinstance(left.literal, str):
        return _tested(right, lambda word: compare(left.literal, word), context)
    left, right = unify_texts([left, right], context.device, ordered=op not in ("==", "!="))
    return compare(left.data, right.data)


def _tested(value: Value, test: Callable[[str], bool], context: EvaluationContext) -> Array:
    """A question asked once per distinct text, answered for every row."""
    words = value.words if value.words is not None else np.array([], dtype=object)
    table = np.array([bool(test(word)) for word in words] + [False], dtype=bool)
    return take_by_code(table, value.data, context.device)


def _member(node: Member, context: EvaluationContext) -> Value:
    value = evaluate_node(node.operand, context)
    if value.kind == "text" and all(isinstance(v.value, str) for v in node.values):
        wanted = {v.value for v in node.values}
        found = _tested(value, wanted.__contains__, context)
    else:
        literals = [from_literal(v.value, context.device.xp) for v in node.values]
        equal = [
            _compared("==", (node.operand, at), value, literal, context).data
            for at, literal in zip(node.values, literals, strict=True)
        ]
        found = reduce(operator.or_, equal)
    return Value("bool", ~found if node.negated else found, value.missing)


def _logic(node: Logic, context: EvaluationContext) -> Value:
    values = [
        _need(o, evaluate_node(o, context), ("bool",), node.op, context) for o in node.operands
    ]
    if node.op == "not":
        return Value("bool", ~values[0].data, values[0].missing)
    joined = reduce(operator.and_ if node.op == "and" else operator.or_, [v.data for v in values])
    return Value("bool", joined, reduce(operator.or_, [v.missing for v in values]))


def _call(node: Call, context: EvaluationContext) -> Value:
    if node.function == "is_missing":
        missing = evaluate_node(node.operands[0], context).missing
        return Value("bool", missing, context.device.xp.zeros(missing.shape, dtype=bool))
    if node.function in ("where", "coalesce"):
        return _chosen(node, context)
    if node.function in ("min", "max"):
        return _extreme(node, context)
    return _of_one(node, context)


def _chosen(node: Call, context: EvaluationContext) -> Value:
    xp = context.device.xp
    options = node.operands[1:] if node.function == "where" else node.operands
    values = _alike(options, node.function, context)
    if node.function == "where":
        test = _need(
            node.operands[0], evaluate_node(node.operands[0], context), ("bool",), "where", context
        )
        result = _picked(xp, test.data, values[0], values[1])
        return replace(result, missing=result.missing | test.missing)
    result = values[0]
    for value in values[1:]:
        result = _picked(xp, ~result.missing, result, value)
    return result


def _picked(xp: Any, mask: Array, a: Value, b: Value) -> Value:
    data, missing = xp.where(mask, a.data, b.data), xp.where(mask, a.missing, b.missing)
    return Value(a.kind, data, missing, a.words)


def _alike(nodes: tuple[Node, ...], what: str, context: EvaluationContext) -> list[Value]:
    """The values as one kind: numbers meet as int64 or float64, ISO literals as datetimes."""
    values = [evaluate_node(n, context) for n in nodes]
    moment = next((v for v in values if v.kind == "datetime"), values[0])
    values = [_like(n, v, moment, context) for n, v in zip(nodes, values, strict=True)]
    kinds = {v.kind for v in values}
    if kinds == {"text"}:
        return unify_texts(values, context.device)
    if len(kinds) == 1:
        return values
    if not kinds <= set(NUMBERS):
        raise context.wrong(nodes[-1], f"{what} mixes {' and '.join(sorted(kinds))}")
    return _as_numbers(values)


def _as_numbers(values: list[Value]) -> list[Value]:
    kind: Kind = "float64" if any(v.kind == "float64" for v in values) else "int64"
    return [Value(kind, v.data.astype(kind), v.missing) for v in values]


def _extreme(node: Call, context: EvaluationContext) -> Value:
    values = _as_numbers([_number(o, node.function, context) for o in node.operands])
    choose = context.device.xp.minimum if node.function == "min" else context.device.xp.maximum
    data = reduce(choose, [v.data for v in values])
    return Value(values[0].kind, data, reduce(operator.or_, [v.missing for v in values]))


def _of_one(node: Call, context: EvaluationContext) -> Value:
    """A function of one number."""
    xp, name = context.device.xp, node.function
    value = _number(node.operands[0], name, context)
    if name in ("sqrt", "exp", "log", "log1p"):
        data, gone = arithmetic.apply_function(xp, name, as_float(value))
        return Value("float64", data, value.missing | gone)
    (value,) = _as_numbers([value])
    if name == "abs":
        data, gone = arithmetic.absolute_values(xp, value.data)
    else:
        data, gone = arithmetic.round_values(xp, name, value.data, _digits(node, context))
    return Value(value.kind, data, value.missing | gone)


def _digits(node: Call, context: EvaluationContext) -> int:
    if len(node.operands) == 1:
        return 0
    digits = node.operands[1]
    if isinstance(digits, Literal) and type(digits.value) is int and 0 <= digits.value <= 15:
        return digits.value
    raise context.wrong(
        digits, "round takes a number of decimals from 0 to 15", "write round(x, 2)"
    )


_STEPS: Mapping[type[Node], Callable[[Any, EvaluationContext], Value]] = {
    Literal: _literal, Name: _column, Arithmetic: _arithmetic, Compare: _compare,
    Member: _member, Logic: _logic, Call: _call,
}  # fmt: skip
